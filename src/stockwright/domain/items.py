"""The item master: what is stocked, counted, packed, listed, and what partners call it."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from stockwright.domain.codes import Code
from stockwright.domain.events import MAX_QUANTITY
from stockwright.domain.quantity import LIMIT

Control = Literal["none", "lot", "serial"]
Subject = Literal["item", "location"]

MAX_FACTOR: Final = 1_000_000
MAX_COST: Final = Decimal(1_000_000_000_000)
Quantity = Annotated[int, Meta(ge=1, le=MAX_QUANTITY)]
Factor = Annotated[int, Meta(ge=1, le=MAX_FACTOR)]


class Sku(Struct, frozen=True, kw_only=True):
    """One stock keeping unit, counted in whole base units."""

    code: Code
    description: str = ""
    sku_group: str = ""
    unit_cost: Decimal = Decimal(0)
    currency: str = ""
    base_unit: Code = "EA"
    control: Control = "none"
    active: bool = True

    def __post_init__(self) -> None:
        """Raises ValueError; bounds of a Decimal cannot be declared in its type."""
        if not (self.unit_cost.is_finite() and 0 <= self.unit_cost <= MAX_COST):
            raise ValueError(f"unit_cost must be from 0 to {MAX_COST}")


class Unit(Struct, frozen=True, kw_only=True):
    """A unit of measure of a SKU: one of it holds `factor` base units."""

    sku: Code
    code: Code
    factor: Factor


class Binding(Struct, frozen=True, kw_only=True):
    """A partner's own code for an item or a location.

    unit is the unit of measure the partner means by this code; '' for the base unit.
    """

    system: Code
    partner_code: Code
    code: Code
    subject: Subject = "item"
    unit: str = ""


class Component(Struct, frozen=True, kw_only=True):
    """A SKU with a quantity in base units, as part of a kit or of a listing."""

    sku: Code
    quantity: Quantity = 1


class Kit(Struct, frozen=True, kw_only=True):
    """A SKU made of others. components are unique by SKU and sorted by it."""

    sku: Code
    components: Annotated[tuple[Component, ...], Meta(min_length=1)]


class Listing(Struct, frozen=True, kw_only=True):
    """What a channel sells under one code. components are unique by SKU and sorted by it."""

    channel: Code
    code: Code
    components: Annotated[tuple[Component, ...], Meta(min_length=1)]
    active: bool = True


def taken_apart(bills: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """What each kit is made of in the end, kits within kits taken apart: base units by SKU.

    bills are what kits are made of directly, those within them included; no kit is within itself.
    More of a SKU than any place can hold says no more than that, however much more it is.
    """
    whole: dict[str, dict[str, int]] = {}

    def of(kit: str) -> dict[str, int]:
        found = whole.get(kit)
        if found is None:
            found = whole[kit] = {}
            for part, quantity in bills[kit].items():
                below = of(part) if part in bills else {part: 1}
                for sku, each in below.items():
                    found[sku] = min(LIMIT, found.get(sku, 0) + quantity * each)
        return found

    for kit in bills:
        of(kit)
    return whole


def path_to(kits: Mapping[str, Iterable[str]], start: str, goal: str) -> list[str]:
    """The way down from one SKU to another through bills of materials, both included; [] if none.

    kits maps a kit to its components. A kit `goal` with the component `start` would contain itself
    exactly where this finds a way.
    """
    came_from: dict[str, str] = {start: ""}
    queue = [start]
    for sku in queue:
        if sku == goal:
            way = [sku]
            while came_from[way[-1]]:
                way.append(came_from[way[-1]])
            return way[::-1]
        for component in kits.get(sku, ()):
            if component not in came_from:
                came_from[component] = sku
                queue.append(component)
    return []

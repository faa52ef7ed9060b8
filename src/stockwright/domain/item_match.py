"""A partner's items against the item master: matched, unknown, or in conflict about the unit."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec

ItemState = Literal["matched", "unknown", "unit_conflict"]
ITEM_STATES: Final[tuple[ItemState, ...]] = ("unit_conflict", "unknown", "matched")


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A listing of this code: its channel, whether it is on sale, base units by SKU."""

    channel: str
    active: bool
    parts: dict[str, int]


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the item master says about a partner's code.

    sku is what the code is bound to, '' where it is not; unit is the binding's. factors: base units
    of every unit of that SKU, its base unit included. same: one of our SKUs has this very code.
    """

    sku: str = ""
    unit: str = ""
    base_unit: str = ""
    factors: dict[str, int] = {}
    listings: tuple[Listed, ...] = ()
    same: bool = False


class PartnerItem(msgspec.Struct, frozen=True, kw_only=True):
    """One item of a partner and how it stands. sku is ours, or where unknown the likely one.

    seen are the units in which the partner was seen to count it; '' where it named none.
    """

    code: str
    state: ItemState
    sku: str = ""
    unit: str = ""
    why: str = ""
    seen: tuple[str, ...] = ("",)


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What a partner's codes must be to us: bound, where it tells of them; listed on a channel."""

    bound: bool
    channels: tuple[str, ...] = ()


def match(code: str, units: Collection[str], known: Known, needs: Needs) -> PartnerItem:
    """How one code of a partner stands; units are those in which it was seen, '' for none."""
    found = _judged(code, units, known, needs)
    return msgspec.structs.replace(found, seen=tuple(sorted(units)))


def _judged(code: str, units: Iterable[str], known: Known, needs: Needs) -> PartnerItem:
    conflict = _conflict(units, known)
    if conflict:
        return _item(code, known, "unit_conflict", conflict)
    lacks = []
    if needs.bound and not known.sku:
        lacks.append("it is bound to no SKU")
    if needs.channels and not any(listing.active for listing in known.listings):
        lacks.append(f"it is no active listing of {' or '.join(needs.channels)}")
    if lacks:
        return _item(code, known, "unknown", " and ".join(lacks), code if known.same else "")
    return _item(code, known, "matched", "")


def _item(code: str, known: Known, state: ItemState, why: str, likely: str = "") -> PartnerItem:
    listed = next((sku for listing in known.listings for sku in listing.parts), "")
    return PartnerItem(
        code=code, state=state, sku=known.sku or listed or likely, unit=known.unit, why=why
    )


def _conflict(units: Iterable[str], known: Known) -> str:
    """Why the same code would count two different quantities; '' where it would not."""
    if not known.sku:
        return ""
    has = ", ".join(sorted(known.factors))
    for unit in sorted({known.unit, *units} - {""}):
        if unit not in known.factors:
            return f"it counts in {unit}, and {known.sku} has no such unit: {has}"
    for listing in known.listings:
        wrong = _beside(listing, known)
        if wrong:
            return wrong
    return ""


def _beside(listing: Listed, known: Known) -> str:
    """Whether what is sold and what is told under one code are the same quantity of one SKU."""
    if len(listing.parts) != 1:
        return ""
    ((sku, quantity),) = listing.parts.items()
    if sku != known.sku:
        return f"{listing.channel} sells {sku} under it, and it is bound to {known.sku}"
    told = known.factors.get(known.unit, 1)
    if told == quantity:
        return ""
    return (
        f"{listing.channel} sells {quantity} {known.base_unit} under it, and its messages count"
        f" {told}: give its binding a unit of {quantity}"
    )


def counts(items: Iterable[PartnerItem]) -> dict[ItemState, int]:
    """How many items stand how; every state is there."""
    found: dict[ItemState, int] = dict.fromkeys(ITEM_STATES, 0)
    for item in items:
        found[item.state] += 1
    return found


def units_by_code(seen: Sequence[tuple[str, str]]) -> Mapping[str, set[str]]:
    """The units in which each code was seen."""
    found: dict[str, set[str]] = {}
    for code, unit in seen:
        found.setdefault(code, set()).add(unit)
    return found

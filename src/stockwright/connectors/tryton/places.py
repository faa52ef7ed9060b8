"""Tryton's tree of locations: where a location lies, and which of our places it belongs to."""

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import msgspec

from stockwright.connectors.tryton.access import Server
from stockwright.connectors.tryton.declaration import MOST_AT_ONCE
from stockwright.domain.errors import Misconfigured, Transient

KEPT: Final = dt.timedelta(minutes=10)
"""How long the tree is believed; a location that is not in it is looked for at once."""
_DEEPEST: Final = 100


class Location(msgspec.Struct):
    """A location of Tryton. Codes may be empty there."""

    id: int
    name: str
    type: str
    code: str | None = None
    parent: int | None = None

    @property
    def key(self) -> str:
        """What we call it by: its code, or its name where it has none."""
        return self.code or self.name


class Side(msgspec.Struct, omit_defaults=True):
    """One end of a move: what kind of location, and the keys from it upward.

    warehouse is the key of the warehouse it lies in.
    """

    type: str
    path: Sequence[str]
    warehouse: str = ""

    def place(self, places: Collection[str]) -> str:
        """The place it belongs to: the nearest of those read; '' where it is not ours.

        Without any, a place is a warehouse. Only locations that store goods are ours.
        """
        if self.type != "storage":
            return ""
        if not places:
            return self.warehouse
        return next((key for key in self.path if key in places), "")


class Places:
    """The tree, asked for when needed."""

    def __init__(self, server: Server, clock: Callable[[], dt.datetime]) -> None:
        self._server = server
        self._clock = clock
        self._tree: Mapping[int, Location] = {}
        self._until = dt.datetime.min.replace(tzinfo=dt.UTC)

    async def sides(self, wanted: Collection[int]) -> Mapping[int, Side]:
        """Where these locations lie. Raises Transient where Tryton does not show one of them."""
        if self._clock() >= self._until or not self._tree.keys() >= set(wanted):
            await self._read()
        for number in wanted:
            if number not in self._tree:
                raise Transient(f"Tryton shows no location {number}: the login may not see it")
        return {number: self._side(number) for number in wanted}

    async def stores(self, places: Collection[str]) -> Mapping[str, Sequence[int]]:
        """The locations that store goods, by the place they belong to; each place has some.

        Raises Misconfigured where a place of the settings is none.
        """
        await self._read()
        keys = {one.key for one in self._tree.values()}
        for place in places:
            if place not in keys:
                message = f"places names {place!r}, and Tryton has no location of that code"
                raise Misconfigured("places", message)
        found: dict[str, list[int]] = {}
        for number in self._tree:
            place = self._side(number).place(places)
            if place:
                found.setdefault(place, []).append(number)
        return found

    async def _read(self) -> None:
        # Goods may still lie in a location that is no longer active.
        records = await self._server.all_of(
            "stock.location",
            [],
            ["code", "name", "type", "parent"],
            size=MOST_AT_ONCE,
            context={"active_test": False},
        )
        try:
            locations = msgspec.convert(records, list[Location])
        except msgspec.ValidationError as error:
            raise Transient(f"Tryton answered a location unreadably: {error}") from None
        self._tree = {one.id: one for one in locations}
        self._until = self._clock() + KEPT

    def _side(self, number: int) -> Side:
        path: list[str] = []
        warehouse = ""
        at: int | None = number
        while at is not None and at in self._tree and len(path) < _DEEPEST:
            one = self._tree[at]
            path.append(one.key)
            if one.type == "warehouse" and not warehouse:
                warehouse = one.key
            at = one.parent
        return Side(type=self._tree[number].type, path=path, warehouse=warehouse)

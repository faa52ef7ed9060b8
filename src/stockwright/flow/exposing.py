"""Brings listings, stock, claims and policies together and computes what each listing may sell."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from stockwright.domain.availability import (
    Component,
    Explanation,
    Fence,
    Owed,
    Stock,
    available_to_sell,
)
from stockwright.domain.exposure import Policy, match_policy
from stockwright.domain.owing import Backorder
from stockwright.domain.supply import Dated
from stockwright.store import backorders, exposure, stock, supplies
from stockwright.store.connection import Connection
from stockwright.store.exposure import Part, Seller
from stockwright.store.history import revision_in_force

Listing = tuple[str, str]
"""(channel, code of the listing)."""
_DAY: Final = dt.timedelta(days=1)


class Rules:
    """Pools of all channels, and the policy rows that may apply to the SKUs asked for."""

    def __init__(
        self,
        pools: Mapping[str, tuple[str, ...]],
        policies: Mapping[str, Sequence[Policy]],
        groups: Mapping[str, str],
        sellers: Mapping[str, Seller] | None = None,
    ) -> None:
        self.pools = pools
        self._sellers = sellers or {}
        self._groups = groups
        self._channels = tuple(policies)
        # A row for one SKU is found by that SKU: a thousand such rows cost no more than one.
        self._rows: dict[tuple[str, str | None], list[Policy]] = {}
        for channel, rows in policies.items():
            for row in rows:
                self._rows.setdefault((channel, row.sku), []).append(row)
        self._matched: dict[tuple[str, str], Policy] = {}
        self.has_fences = any(row.ring_fence for rows in policies.values() for row in rows)
        self.presells = any(row.presell_days for rows in policies.values() for row in rows)
        self.asks_fresh = any(row.min_shelf_life_days for rows in policies.values() for row in rows)

    def knows(self, sku: str) -> bool:
        """True where the item master has the SKU."""
        return sku in self._groups

    def policy(self, channel: str, sku: str) -> Policy:
        """The row of a channel's policy that applies to a SKU."""
        found = self._matched.get((channel, sku))
        if found is None:
            rows = self._rows.get((channel, sku), []) + self._rows.get((channel, None), [])
            found = match_policy(rows, sku, self._groups.get(sku, ""))
            self._matched[channel, sku] = found
        return found

    def seller(self, channel: str) -> Seller:
        """How a channel sells."""
        return self._sellers.get(channel, Seller())

    def fenced(self, channel: str, sku: str) -> list[tuple[str, int]]:
        """Other channels' ring-fences on a SKU, as (channel, units); only where pools meet."""
        if not self.has_fences:
            return []
        pool = set(self.pools.get(channel, ()))
        return [
            (other, units)
            for other in self._channels
            if other != channel
            and (units := self.policy(other, sku).ring_fence)
            and pool.intersection(self.pools.get(other, ()))
        ]


def read_rules(connection: Connection, groups: Mapping[str, str]) -> Rules:
    """The rules as they are now for these SKUs, given with the group of each."""
    rows = exposure.policies(connection, list(groups), sorted(set(groups.values())))
    return Rules(exposure.pools(connection), rows, groups, exposure.sellers(connection))


class Reading(msgspec.Struct, frozen=True):
    """All that decides about some SKUs: rules, and the books at one sequence number.

    supply is what may be counted on at `now` and lots what is kept by lot, where a policy wants
    them; owed are the backorders by SKU. parts are those of the listings it was read for.
    """

    rules: Rules
    books: stock.Books
    now: dt.datetime
    supply: Mapping[str, Sequence[Dated]] = {}
    lots: Mapping[tuple[str, str], stock.LotBook] = {}
    owed: Mapping[str, Sequence[Backorder]] = {}
    parts: Sequence[Part] = ()

    def component(self, channel: str, sku: str, quantity: int = 1) -> Component:
        """What decides how much a channel may sell of one SKU, of which a piece takes quantity."""
        pool = self.rules.pools.get(channel, ())
        policy = self.rules.policy(channel, sku)
        days = policy.presell_days
        return Component(
            sku=sku,
            quantity=quantity,
            places=self._places(sku, pool, policy.min_shelf_life_days),
            policy=policy,
            supply=[one for one in self.supply.get(sku, ()) if one.location in pool],
            presell_until=self.now + days * _DAY if days else None,
            owed=self._owed(sku, pool, self.rules.seller(channel).demand_class),
            fences=[
                Fence(
                    channel=other, ring_fence=units, claimed=self.books.claims.get((other, sku), 0)
                )
                for other, units in self.rules.fenced(channel, sku)
            ],
        )

    def at_place(self, location: str, sku: str, quantity: int = 1) -> Component:
        """What decides how much may be promised of one SKU at a place, whoever sells it."""
        return Component(
            sku=sku,
            quantity=quantity,
            places=self.books.at(sku, (location,)),
            supply=[one for one in self.supply.get(sku, ()) if one.location == location],
            owed=self._owed(sku, (location,), None),
        )

    def _places(self, sku: str, pool: Sequence[str], days: int) -> list[Stock]:
        places = self.books.at(sku, pool)
        if not days:
            return places
        until = self.now.astimezone(dt.UTC).date() + days * _DAY
        books = {place: self.lots[sku, place] for place in pool if (sku, place) in self.lots}
        return [
            msgspec.structs.replace(one, stale=books[one.location].stale(until))
            if one.location in books
            else one
            for one in places
        ]

    def _owed(self, sku: str, pool: Sequence[str], demand_class: int | None) -> list[Owed]:
        """What goes before a demand class, summed up by channel and class."""
        found: dict[tuple[int, str], tuple[int, int]] = {}
        for one in self.owed.get(sku, ()):
            if demand_class is not None and one.demand_class > demand_class:
                continue
            if one.owed and not set(pool).isdisjoint(self.rules.pools.get(one.channel, ())):
                units, lines = found.get((one.demand_class, one.channel), (0, 0))
                found[one.demand_class, one.channel] = (units + one.owed, lines + 1)
        return [
            Owed(channel=channel, demand_class=rank, units=units, lines=lines)
            for (rank, channel), (units, lines) in sorted(found.items())
        ]

    def changes_by_time(self) -> set[tuple[str, dt.datetime]]:
        """When levels of its parts change next although nothing happens, as (sku, time)."""
        found: set[tuple[str, dt.datetime]] = set()
        if not (self.rules.presells or self.rules.asks_fresh):
            return found
        for part in self.parts:
            component = self.component(part.channel, part.sku, part.quantity)
            times = [*self._supply_times(component), *self._lot_times(component)]
            later = [at for at in times if at > self.now]
            if later:
                found.add((part.sku, min(later)))
        return found

    def _supply_times(self, component: Component) -> list[dt.datetime]:
        """When supply comes near enough to be shown, and when it is overdue."""
        days = component.policy.presell_days
        if not days:
            return []
        return [at for one in component.supply for at in (one.at - days * _DAY, one.overdue_at)]

    def _lot_times(self, component: Component) -> list[dt.datetime]:
        """A shelf life is counted in days: each may make a lot too old."""
        keeps = (self.lots.get((component.sku, place.location)) for place in component.places)
        if component.policy.min_shelf_life_days and any(book and book.lots for book in keeps):
            midnight = self.now.astimezone(dt.UTC).replace(
                hour=0, minute=0, second=0, microsecond=0
            )
            return [midnight + _DAY]
        return []

    def explain(
        self, listings: Sequence[Listing], parts: Sequence[Part]
    ) -> dict[Listing, Explanation]:
        """What each listing may sell, given its parts; one without parts sells nothing."""
        components: dict[Listing, list[Component]] = {listing: [] for listing in listings}
        for part in parts:
            components[part.channel, part.listing].append(
                self.component(part.channel, part.sku, part.quantity)
            )
        return {
            listing: available_to_sell(some, split=self.rules.seller(listing[0]).allow_split)
            for listing, some in components.items()
        }


def read(
    connection: Connection,
    groups: Mapping[str, str],
    *,
    with_supply: bool = False,
    now: dt.datetime | None = None,
) -> Reading:
    """Rules, stock and claims as they are now of these SKUs, given with the group of each.

    now is the database's clock unless told. Supply is read where it is asked for, or shown.
    """
    rules = read_rules(connection, groups)
    skus = list(groups)
    # Claims are needed only where a ring-fence counts them.
    books = stock.stock_of_skus(connection, skus, with_claims=rules.has_fences)
    at = now or books.read_at
    counts = with_supply or rules.presells
    return Reading(
        rules,
        books,
        at,
        supplies.expected(connection, skus, at) if counts else {},
        stock.lots_of_skus(connection, skus) if rules.asks_fresh else {},
        backorders.owed(connection, skus),
    )


def read_listings(
    connection: Connection, listings: Sequence[Listing], now: dt.datetime | None = None
) -> tuple[Reading, dict[Listing, Explanation]]:
    """What each listing may sell now, and the reading that is told by.

    A listing that is inactive, or gone, sells nothing. All of it is of one revision of the rules,
    the one that the reading's books name. Reads only; whoever writes the numbers must have locked
    the levels in an earlier statement.
    """
    for hold in (False, True):  # where rules change while we read, they are kept from it
        revision = revision_in_force(connection, hold=hold)
        parts = exposure.components(connection, listings)
        reading = read(connection, {part.sku: part.sku_group for part in parts}, now=now)
        if reading.books.revision == revision:
            break
    return msgspec.structs.replace(reading, parts=parts), reading.explain(listings, parts)

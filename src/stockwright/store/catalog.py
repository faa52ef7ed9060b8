"""The ledger's copy of the item master: whole for what is small, on demand for SKUs and bindings.

It is valid for one revision of the master; the lane's first read tells which one is in force, so
that a change made by any process holds from the next batch on.
"""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from stockwright.domain.catalog import Catalog, Channel, Location, Sku, System
from stockwright.domain.exposure import Policy
from stockwright.domain.windows import reason_of, sources_of
from stockwright.store.exposure import to_policy
from stockwright.store.queries import load
from stockwright.store.wire import Wire

MOST_CACHED = 50_000
_sql = load("catalog")


class CatalogCache:
    """Keeps a Catalog and fetches what a batch names and the copy does not hold."""

    def __init__(self) -> None:
        self._revision = -1
        self._skus: dict[str, Sku] = {}
        self._bindings: dict[tuple[str, str], tuple[str, str]] = {}
        self._catalog = Catalog({}, {}, {}, {}, {}, {})

    def knows(self, skus: set[str], bindings: set[tuple[str, str]]) -> Catalog | None:
        """The catalog as last read, where it has all of these; it may be old by now."""
        if self._revision < 0 or not skus <= self._skus.keys():
            return None
        return self._catalog if bindings <= self._bindings.keys() else None

    @property
    def full(self) -> bool:
        """Whether it holds more than it should; `at` begins anew then."""
        return len(self._skus) + len(self._bindings) > MOST_CACHED

    @property
    def at_hand(self) -> Catalog:
        """The catalog as last read; it may be old by now."""
        return self._catalog

    def at(self, wire: Wire, revision: int) -> Catalog:
        """The catalog at this revision; what was cached of another one is forgotten."""
        if revision != self._revision or self.full:
            self._skus, self._bindings = {}, {}
            self._catalog = _read(wire, self._skus, self._bindings)
            self._revision = revision
        return self._catalog

    def fetch(self, wire: Wire, skus: set[str], bindings: set[tuple[str, str]]) -> None:
        """Reads the SKUs and bindings that are not cached yet. Unknown ones stay out."""
        unseen = [pair for pair in bindings if pair not in self._bindings]
        if unseen:
            rows = wire.execute(
                _sql["bindings"], ([system for system, _ in unseen], [code for _, code in unseen])
            )
            for system, partner_code, code, unit in rows:
                self._bindings[(system, partner_code)] = (code, unit)
        wanted = skus | {self._bindings[pair][0] for pair in bindings if pair in self._bindings}
        missing = [code for code in wanted if code not in self._skus]
        if missing:
            for code, group, base_unit, control, factors in wire.execute(_sql["skus"], (missing,)):
                self._skus[code] = Sku(code, group, base_unit, control, factors)


def _read(
    wire: Wire, skus: dict[str, Sku], bindings: dict[tuple[str, str], tuple[str, str]]
) -> Catalog:
    def rows(name: str) -> list[tuple[Any, ...]]:
        return wire.execute(_sql[name]).fetchall()

    locations = {
        code: Location(code, feed, zone, priority)
        for code, feed, zone, priority in rows("locations")
    }
    groups: dict[str, list[str]] = {}
    for group, location in rows("groups"):
        groups.setdefault(group, []).append(location)
    policies: dict[str, list[Policy]] = {}
    for row in rows("policies"):
        policies.setdefault(row[0], []).append(to_policy(row))
    authorities: dict[tuple[str, str], list[Any]] = {}
    for location, group, valid_from, system in rows("authorities"):
        authorities.setdefault((location, group), []).append((valid_from, system))
    channels = {
        code: Channel(
            code,
            system,
            _pool(pool, groups, locations),
            split,
            hold_s,
            tuple(policies.get(code, ())),
            demand_class=demand_class,
        )
        for code, system, pool, split, hold_s, demand_class in rows("channels")
    }
    silent: dict[str, str] = dict(rows("degraded"))
    if silent:
        channels = _degraded(channels, authorities, silent)
    systems = {row[0]: System(*row) for row in rows("systems")}
    places = {(system, partner): code for system, partner, code in rows("location_bindings")}
    owed = frozenset(sku for (sku,) in rows("owed_skus"))
    return Catalog(skus, locations, channels, systems, authorities, bindings, places, owed)


def _degraded(
    channels: Mapping[str, Channel],
    authorities: Mapping[tuple[str, str], list[Any]],
    silent: Mapping[str, str],
) -> dict[str, Channel]:
    """The channels, each with the reason of a silent system that its stock depends on."""
    speakers: dict[str, set[str]] = {}
    for (place, _), holders in authorities.items():
        speakers.setdefault(place, set()).update(system for _, system in holders)
    systems = {code: channel.system for code, channel in channels.items()}
    pools = {code: channel.pool for code, channel in channels.items()}
    return {
        code: replace(
            channel, degraded=reason_of(sources_of(code, systems, pools, speakers), silent)
        )
        for code, channel in channels.items()
    }


def _pool(
    entries: list[str], groups: dict[str, list[str]], locations: dict[str, Location]
) -> tuple[str, ...]:
    """A pool's locations in order of priority, then code; groups stand for their members."""
    members = {
        place for entry in entries for place in groups.get(entry, [entry]) if place in locations
    }
    return tuple(sorted(members, key=lambda place: (locations[place].priority, place)))

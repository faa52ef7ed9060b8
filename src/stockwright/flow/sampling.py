"""A sample of a partner's messages, mapped as the intake would map it, and nothing recorded."""

import datetime as dt
from collections.abc import Sequence
from typing import Final

import msgspec

from stockwright.domain.events import Fact
from stockwright.flow.parts import codes_for
from stockwright.flow.unpacking import mapped, unpack
from stockwright.sdk.messages import Failure, Mapped, Payload
from stockwright.sdk.verbs import Maps
from stockwright.store.connecting import Shown
from stockwright.store.connection import Connection

SHOWN: Final = 20
"""Events and failures that are kept to be looked at."""
_ITEMS: Final = frozenset({"item", "sku"})


class Broken(msgspec.Struct, frozen=True, kw_only=True):
    """A part that could not be mapped, or names what nobody knows; payload counts from 1."""

    payload: int
    place: str
    path: str
    reason: str
    missing: str = ""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What a sample says. events counts all canonical events, by kind; first are the first of them.

    broken are parts whose mapping fails or whose location or channel nobody knows; parts that only
    lack an item are events all the same: items are matched by themselves.
    """

    payloads: int
    events: int
    kinds: dict[str, int]
    first: tuple[Fact, ...]
    failures: int
    broken: tuple[Broken, ...]


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """The items that a sample names, each with the units it came in, and the counts in it."""

    items: tuple[tuple[str, str], ...]
    counts: tuple[Shown, ...]


def sample(
    connection: Connection,
    system: str,
    maps: Maps,
    payloads: Sequence[Payload],
    received_at: dt.datetime,
) -> tuple[Sample, Seen]:
    """Maps payloads of a system; runs the connector's mapping here, so not in an event loop."""
    parts = [_parts(maps, payload) for payload in payloads]
    known = codes_for(connection, system, [part for some in parts for part in some])
    # Items are matched by themselves: what else a part lacks is not to hide behind them.
    others = {(subject, code) for subject, code in known.unknown if subject not in _ITEMS}
    codes = known._replace(unknown=others)
    facts: list[Fact] = []
    broken: list[Broken] = []
    for number, some in enumerate(parts, start=1):
        unpacked = unpack(some, system, received_at, codes)
        facts += [item for item in unpacked.items if isinstance(item, Fact)]
        broken += [_broken(number, place, failure) for place, failure in unpacked.waiting]
    kinds: dict[str, int] = {}
    for fact in facts:
        kinds[fact.kind] = kinds.get(fact.kind, 0) + 1
    told = Sample(
        payloads=len(payloads),
        events=len(facts),
        kinds=kinds,
        first=tuple(facts[:SHOWN]),
        failures=len(broken),
        broken=tuple(broken[:SHOWN]),
    )
    return told, Seen(items=_items(facts), counts=_counts(facts, received_at))


def _parts(maps: Maps, payload: Payload) -> list[Mapped]:
    if payload.problem is not None:
        return [Mapped(place="$", item=payload.problem)]
    return mapped(maps.map, payload)


def _broken(number: int, place: str, failure: Failure) -> Broken:
    return Broken(
        payload=number,
        place=place,
        path=failure.path,
        reason=failure.reason,
        missing=failure.missing,
    )


def _items(facts: Sequence[Fact]) -> tuple[tuple[str, str], ...]:
    return tuple(dict.fromkeys((fact.item, fact.unit) for fact in facts if fact.item))


def _counts(facts: Sequence[Fact], received_at: dt.datetime) -> tuple[Shown, ...]:
    """The partner's own stock figures among the facts: sellable units, in its own codes."""
    return tuple(
        Shown(
            code=fact.item,
            location=fact.location,
            lot=fact.lot,
            unit=fact.unit,
            quantity=fact.quantity,
            as_of=fact.occurred_at or received_at,
        )
        for fact in facts
        if fact.kind in ("count", "snapshot") and fact.item and fact.bucket == "sellable"
    )

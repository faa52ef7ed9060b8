"""Stock moves in: page after page by the time they were written, and none is left out.

A database shows a record when its transaction ends, under the time at which that began. So each
pass goes back a little behind the last one and leaves out what it told before. Pages go on behind
a record, never at a count: a record that is written meanwhile moves to the end and shifts others.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from stockwright.connectors.tryton.access import Domain, Record, Server, day, instant, instant_of
from stockwright.connectors.tryton.declaration import TrytonSettings
from stockwright.connectors.tryton.places import Places
from stockwright.domain.errors import Transient
from stockwright.sdk import passes
from stockwright.sdk.transports import json_body

MODEL: Final = "stock.move"
INTERNAL: Final = "stock.shipment.internal"
_FIELDS: Final = (
    *("state", "internal_quantity", "effective_date", "shipment", "write_date", "create_date"),
    *("product.code", "product.default_uom.symbol", "from_location", "to_location"),
)
Stamp = Literal["write_date", "create_date"]
STAMPS: Final[Sequence[Stamp]] = ("write_date", "create_date")
"""What moves are ordered by: those never written since their creation have only the second."""
Run = tuple[int, int]
"""Numbers from the first to the last, both included; of cancelled moves below zero."""
_SECOND: Final = len("2026-01-31T12:00:00")
"""Of a time as text: a busy server writes many moves in one second."""
_AT_ONCE: Final = 100
"""Numbers that one question names: REST puts it into the address."""


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where one order of the moves goes on.

    since: begin of the pass; none: with the first of all. at, id: the last move of the pass so far.
    told: what was told of the time that the next pass goes back, by the second it was written in.
    """

    since: str = ""
    at: str = ""
    id: int = 0
    told: Mapping[str, Sequence[Run]] = {}


class Cursor(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Where a poll goes on: which order is being read, and the mark of each."""

    order: int = 0
    marks: tuple[Mark, Mark] = (Mark(), Mark())


class Found(NamedTuple):
    """A page of a poll: messages with the numbers of their moves, the cursor after them, and
    whether there are no more now.
    """

    messages: Sequence[tuple[int, bytes]]
    cursor: Cursor
    complete: bool


def cursor_of(text: str) -> Cursor:
    """A cursor from its text, empty at the beginning. Raises Transient where it is none of ours."""
    return passes.cursor_of(text, Cursor, Cursor())


async def read(server: Server, places: Places, settings: TrytonSettings, cursor: Cursor) -> Found:
    """The next moves that are done, or were, and were not told before."""
    marks = list(cursor.marks)
    messages: list[tuple[int, bytes]] = []
    for order in range(cursor.order, len(STAMPS)):
        stamp, mark = STAMPS[order], marks[order]
        fields = (*_FIELDS, *(("lot.number",) if settings.lots else ()))
        page = await server.search_read(
            MODEL,
            [*_wanted(settings), *_behind(stamp, mark)],
            fields,
            limit=settings.page_size,
            order=((stamp, "ASC"), ("id", "ASC")),
        )
        complete = len(page) < settings.page_size
        told = {number for runs in mark.told.values() for number in _numbers(runs)}
        try:
            new = [record for record in page if _signed(record) not in told]
            messages += await _messages(server, places, new)
            marks[order] = _after(mark, stamp, page, complete, settings.overlap_s)
        except (KeyError, TypeError, ValueError) as error:
            raise Transient(f"Tryton answered a move unreadably: {error!r}") from None
        if not complete:
            return Found(messages, Cursor(order, (marks[0], marks[1])), complete=False)
    return Found(messages, Cursor(0, (marks[0], marks[1])), complete=True)


def _wanted(settings: TrytonSettings) -> Domain:
    """Moves that are done, and those that were before they were cancelled: a date tells them."""
    was_done = [["state", "=", "cancelled"], ["effective_date", "!=", None]]
    wanted: Domain = [["OR", [["state", "=", "done"]], was_done]]
    if settings.company:
        wanted.append(["company", "=", settings.company])
    if settings.since:
        wanted.append(["effective_date", ">=", day(settings.since)])
    return wanted


def _behind(stamp: Stamp, mark: Mark) -> Domain:
    behind: Domain = [["write_date", "!=" if stamp == "write_date" else "=", None]]
    if mark.at:
        at = instant(dt.datetime.fromisoformat(mark.at))
        behind.append(["OR", [[stamp, ">", at]], [[stamp, "=", at], ["id", ">", mark.id]]])
    elif mark.since:
        behind.append([stamp, ">=", instant(dt.datetime.fromisoformat(mark.since))])
    return behind


def _after(
    mark: Mark, stamp: Stamp, page: Sequence[Record], complete: bool, overlap_s: int
) -> Mark:
    by_time = {at: set(_numbers(runs)) for at, runs in mark.told.items()}
    at, last = mark.at, mark.id
    for record in page:
        at, last = _time(record, stamp), record["id"]
        by_time.setdefault(at[:_SECOND], set()).add(_signed(record))
    if not by_time:
        return mark
    latest = dt.datetime.fromisoformat(max(by_time) + "+00:00")
    since = max(mark.since, _text(latest - dt.timedelta(seconds=overlap_s)))
    told = {when: _runs(numbers) for when, numbers in by_time.items() if when >= since[:_SECOND]}
    return Mark(since, told=told) if complete else Mark(since, at, last, told)


async def _messages(
    server: Server, places: Places, records: Sequence[Record]
) -> list[tuple[int, bytes]]:
    """Each move as it came, and where the locations it names lie."""
    shipments = await _transfers(server, records)
    ends = ("from_location", "to_location")
    wanted = {one[end] for one in (*records, *shipments.values()) for end in ends}
    sides = await places.sides(wanted - {None})
    messages = []
    for record in records:
        told = {"move": record, "from": sides[record[ends[0]]], "to": sides[record[ends[1]]]}
        shipment = shipments.get(record["shipment"])
        if shipment is not None:
            told["transfer"] = {
                "from": sides[shipment[ends[0]]],
                "to": sides[shipment[ends[1]]],
                "planned_date": shipment.get("planned_date"),
            }
        messages.append((int(record["id"]), json_body(told)))
    return messages


async def _transfers(server: Server, records: Sequence[Record]) -> dict[str, Record]:
    """The internal shipments among these moves: their moves name the transit, not the ends."""
    named = {str(one["shipment"]) for one in records if one.get("shipment")}
    numbers = sorted(
        int(number)
        for model, _, number in (name.partition(",") for name in named)
        if model == INTERNAL
    )
    found: dict[str, Record] = {}
    for start in range(0, len(numbers), _AT_ONCE):
        some = numbers[start : start + _AT_ONCE]
        fields = ("from_location", "to_location", "planned_date")
        for one in await server.search_read(
            INTERNAL, [["id", "in", some]], fields, limit=len(some)
        ):
            found[f"{INTERNAL},{one['id']}"] = one
    return found


def _signed(record: Record) -> int:
    """A move that was told as done is told once more when it is cancelled."""
    return -int(record["id"]) if record["state"] == "cancelled" else int(record["id"])


def _time(record: Record, stamp: Stamp) -> str:
    found = instant_of(record[stamp])
    if found is None:
        raise ValueError(f"the move {record['id']} has no {stamp}")
    return _text(found)


def _text(moment: dt.datetime) -> str:
    """As long for every moment, so that texts compare as times do."""
    return moment.isoformat(timespec="microseconds")


def _runs(numbers: Iterable[int]) -> list[Run]:
    runs: list[Run] = []
    for number in sorted(numbers):
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def _numbers(runs: Iterable[Run]) -> Iterator[int]:
    for first, last in runs:
        yield from range(first, last + 1)

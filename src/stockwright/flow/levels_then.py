"""Levels as they were at a time, put together from what was written down by then.

Numbers are those of then. Two things were not written down and are told as nearly as they can be:
a call whose sender died counts as under way until its deadline, and a level that failed for its
whole call's sake counts as tried.
"""

import datetime as dt
from collections.abc import Sequence

from stockwright.domain.levels import State
from stockwright.store import level_past
from stockwright.store.connection import Connection
from stockwright.store.level_past import KnownThen, Listed
from stockwright.store.past import Moment
from stockwright.store.positions import ShownLevel


def levels_then(connection: Connection, listed: Sequence[Listed], then: Moment) -> list[ShownLevel]:
    """The levels of these listings at a moment, by key; none for one without a number by then."""
    by_key = {(one.channel, one.listing): one for one in listed}
    known = level_past.levels_at(connection, list(by_key), then)
    return [level_then(by_key[one.channel, one.listing], one, then.at) for one in known]


def level_then(listed: Listed, known: KnownThen, at: dt.datetime) -> ShownLevel:
    """One level as it was at a time, from what is known of it then."""
    sending = _is_under_way(known, at)
    acknowledged, error = known.taken, ""
    if known.found_at is not None and (known.taken_at is None or known.found_at > known.taken_at):
        acknowledged, error = known.found, known.found_why or ""
    if known.call_outcome not in (None, "acknowledged"):
        error = known.call_detail or error
    state = _state(listed, known, acknowledged, sending)
    read_at = known.seen_last_at
    if read_at is not None and read_at > at:
        read_at = known.seen_first_at
    return ShownLevel(
        channel=listed.channel,
        listing=listed.listing,
        location="",
        quantity=listed.quantity,
        desired=known.value,
        version=known.version,
        sequence=known.sequence,
        projected_at=known.projected_at,
        sent=known.call_value if sending else None,
        sent_version=known.call_version if sending else None,
        sent_at=known.call_started_at if sending else None,
        acknowledged=acknowledged,
        acknowledged_version=known.taken_version,
        acknowledged_at=known.taken_at,
        doubt_until=known.doubt_until,
        state=state,
        waiting_since=known.projected_at,
        attempts=known.tries,
        last_error="" if state in ("settled", "kept") else error,
        verified=known.seen,
        verified_at=read_at,
    )


def _is_under_way(known: KnownThen, at: dt.datetime) -> bool:
    return (
        known.call is not None
        and known.call_finished_at is None
        and known.call_deadline is not None
        and known.call_deadline > at
    )


def _state(listed: Listed, known: KnownThen, acknowledged: int | None, sending: bool) -> State:
    if sending:
        return "sending"
    if not listed.is_told:
        return "kept"
    if acknowledged == known.value and known.doubt_until is None:
        return "settled"
    if known.call_outcome == "refused" and known.call_version == known.version:
        return "refused"
    return "due"

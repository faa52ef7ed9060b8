"""What a parked payload would lead to if it were replayed now, beside what stands in the ledger."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from stockwright.domain.errors import Rejected
from stockwright.domain.wellformed import Prepared, prepare
from stockwright.flow.parts import Parts, codes_of
from stockwright.flow.unpacking import Codes, Unpacked, unpack
from stockwright.sdk.verbs import Maps
from stockwright.store import feed
from stockwright.store import payloads as store
from stockwright.store.connection import Pool
from stockwright.store.feed import EventChange, Move
from stockwright.store.payloads import Claimed
from stockwright.store.rehearsal import MOST_ITEMS, Rehearsed, rehearse
from stockwright.store.session import session

_SUBJECTS: Final = ("item", "location")


class Supposed(msgspec.Struct, frozen=True, kw_only=True):
    """A binding to suppose: the partner's code as the payload misses it, and our code for it."""

    subject: str
    partner_code: str
    code: str
    unit: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one part: an outcome code of the ledger, and what it moves.

    param, message and missing say why it would wait; replay marks what stands already.
    """

    code: str
    replay: bool = False
    param: str = ""
    message: str = ""
    missing: str = ""
    moves: Sequence[Move] = ()


class ReplayPart(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a payload: where it stands, what it says, what it would lead to, what stands.

    item is null where it could not be mapped; recorded is null where nothing of it stands.
    """

    place: str
    item: dict[str, Any] | None
    would: Verdict
    recorded: EventChange | None = None


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """The first parts of a payload; more tells how many others there are."""

    parts: list[ReplayPart]
    more: int = 0


def supposed(missing: str, code: str, unit: str = "") -> Supposed:
    """The binding that cures what a payload misses ("item:CODE").

    Raises Rejected where what it misses is no partner's code.
    """
    subject, _, partner_code = missing.partition(":")
    if subject not in _SUBJECTS:
        what = f"it misses {missing}" if missing else "it misses no code"
        message = f"A binding does not cure this payload: {what}. Add what is missing, and resume."
        raise Rejected("not_bindable", "code", message)
    return Supposed(subject=subject, partner_code=partner_code, code=code, unit=unit)


def preview(
    pool: Pool,
    url: str,
    connections: Mapping[str, Maps],
    payload_id: int,
    suppose: Supposed | None = None,
) -> Preview | None:
    """What replaying a payload would lead to now; None where there is none of that id.

    Nothing is written. As if `suppose` were bound; else by what is bound.
    """
    with session(pool) as connection:
        claimed = store.look_at(connection, payload_id)
    if claimed is None:
        return None
    parts = Parts(pool, connections).of(claimed)
    with session(pool) as connection:
        (codes,) = codes_of(connection, [claimed], [parts]).values()
    unpacked = unpack(parts, claimed.system, claimed.received_at, _with(codes, suppose))
    more = max(0, len(unpacked.items) - MOST_ITEMS)
    items, places = _ready(unpacked, claimed.received_at)
    bound = _bound(claimed, suppose)
    rehearsed = rehearse(url, items, bound) if items else []
    with session(pool) as connection:
        stands = [one.outcome.sequence for one in rehearsed if one.outcome.replay]
        recorded = {event.sequence: event for event in feed.events_at(connection, stands)}
    found = [
        _part(place, item, told, recorded)
        for place, item, told in zip(places, items, rehearsed, strict=True)
    ]
    return Preview(parts=found + _waiting(unpacked), more=more)


def differences(before: Preview, after: Preview) -> list[str]:
    """Places of which something else stands now than was foreseen, in order."""
    foreseen = {part.place: part.would for part in before.parts}
    found = []
    for part in after.parts:
        would = foreseen.get(part.place)
        if would is None or part.recorded is None:
            same = would is not None and would.code == part.would.code
        else:
            same = would.replay or _is(part.recorded, would)
        if not same:
            found.append(part.place)
    return found


def _is(event: EventChange, would: Verdict) -> bool:
    return event.outcome == would.code and list(event.moves) == list(would.moves)


def _ready(unpacked: Unpacked, received_at: dt.datetime) -> tuple[list[Prepared], list[str]]:
    some = zip(unpacked.items[:MOST_ITEMS], unpacked.places, strict=False)
    pairs = [(prepare(item, received_at), place) for item, place in some]
    return [item for item, _ in pairs], [place for _, place in pairs]


def _with(codes: Codes, suppose: Supposed | None) -> Codes:
    """What is known of codes if one more were bound."""
    if suppose is None:
        return codes
    known = (suppose.subject, suppose.partner_code)
    places = dict(codes.places)
    if suppose.subject == "location":
        places[suppose.partner_code] = suppose.code
    return Codes(places, codes.unknown - {known})


def _bound(claimed: Claimed, suppose: Supposed | None) -> dict[tuple[str, str], tuple[str, str]]:
    if suppose is None or suppose.subject != "item":
        return {}
    return {(claimed.system, suppose.partner_code): (suppose.code, suppose.unit)}


def _part(
    place: str, item: Prepared, told: Rehearsed, recorded: Mapping[int, EventChange]
) -> ReplayPart:
    outcome = told.outcome
    would = Verdict(
        code=outcome.code,
        replay=outcome.replay,
        param=outcome.field,
        message=outcome.message,
        missing=told.missing,
        moves=told.moves,
    )
    return ReplayPart(
        place=place,
        item=msgspec.json.decode(item.body),
        would=would,
        recorded=recorded.get(outcome.sequence) if outcome.replay else None,
    )


def _waiting(unpacked: Unpacked) -> list[ReplayPart]:
    return [
        ReplayPart(
            place=place,
            item=None,
            would=Verdict(
                code="parked",
                param=failure.path,
                message=failure.reason,
                missing=failure.missing,
            ),
        )
        for place, failure in unpacked.waiting[:MOST_ITEMS]
    ]

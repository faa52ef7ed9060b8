"""Reservations: asked, read, moved on. The caller's `document` makes every call safe to repeat."""

import secrets
import time
from typing import Annotated, Any, Final, Literal, get_args

import msgspec

from stockwright.api.bodies import decode, require_json
from stockwright.api.bound import check_own
from stockwright.api.call import Call
from stockwright.api.events import admit, located, refused
from stockwright.api.problems import STATUS, problem
from stockwright.api.reply import Reply, encode_json, reply
from stockwright.domain.codes import Code
from stockwright.domain.errors import Rejected
from stockwright.domain.events import MAX_LINES, Outcome, Request, RequestLine
from stockwright.store import reservations as stored

Transition = Literal["extend", "confirm", "allocate", "deallocate", "release", "cancel"]
TRANSITIONS: Final[tuple[Transition, ...]] = get_args(Transition)

_Key = Annotated[str, msgspec.Meta(max_length=128)]
_Lines = Annotated[list[RequestLine], msgspec.Meta(max_length=MAX_LINES)]


class ReservationAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What to reserve. Without `document` the Idempotency-Key is it, without both one is made."""

    document: _Key = ""
    system: _Key = ""
    channel: _Key = ""
    order: _Key = ""
    lines: _Lines
    mode: Literal["all", "partial"] = "all"
    hold_s: int = 0
    confirmed: bool = False
    reason: str = ""


class TransitionAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How to move a reservation on; without lines, all of them. hold_s is for `extend`."""

    document: _Key = ""
    lines: _Lines = []
    hold_s: int = 0
    reason: str = ""


class ReservationAnswer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The ledger's answer. `document` is the key under which it stands: repeat it to hear it again.

    lines: each with what was requested and granted, and the places it was taken from.
    """

    system: str
    order: str
    document: str
    code: str
    sequence: int = 0
    replay: bool = False
    state: str = ""
    expires_at: Any = None
    lines: list[dict[str, Any]] = []


_ASK: Final = msgspec.json.Decoder(ReservationAsk)
_TRANSITION: Final = msgspec.json.Decoder(TransitionAsk)


async def post_reservation(call: Call) -> Reply:
    """Reserves stock, or refuses and says why. A reservation's name is its system and order."""
    require_json(call.headers)
    ask = decode(_ASK, call.body)
    request = Request(
        kind="reserve",
        document=ask.document or _document(call),
        system=ask.system,
        channel=ask.channel,
        order=ask.order,
        lines=ask.lines,
        mode=ask.mode,
        hold_s=ask.hold_s,
        confirmed=ask.confirmed,
        reason=ask.reason,
    )
    return await _decide(call, request)


async def post_transition(call: Call) -> Reply:
    """Moves a reservation on: extend, confirm, allocate, deallocate, release or cancel."""
    kind = call.path["transition"]
    if kind not in TRANSITIONS:
        raise problem("not_found", f"There is no transition {kind!r}; one of {TRANSITIONS}.")
    ask = TransitionAsk()
    if call.body:
        require_json(call.headers)
        ask = decode(_TRANSITION, call.body)
    request = Request(
        kind=kind,
        document=ask.document or _document(call),
        system=call.path["system"],
        order=call.path["order"],
        lines=ask.lines,
        hold_s=ask.hold_s,
        reason=ask.reason,
    )
    return await _decide(call, request)


async def _decide(call: Call, request: Request) -> Reply:
    reason = admit(request, call.caller)
    if reason is not None:
        raise reason
    if request.channel:
        check_own(call.caller, "channel", request.channel)
    call.services.received(request.system, "api")
    (outcome,) = await call.services.recorder.record([request])
    return _answer(request, located(request, outcome))


def _answer(request: Request, outcome: Outcome) -> Reply:
    order = request.order or request.document
    status = STATUS[outcome.code]
    if status >= 400:
        named = {"system": request.system, "order": order, "document": request.document}
        raise refused(outcome, named)
    answer = ReservationAnswer(
        system=request.system,
        order=order,
        document=request.document,
        code=outcome.code,
        sequence=outcome.sequence,
        replay=outcome.replay,
        **(outcome.answer or {}),
    )
    return Reply(200 if outcome.replay else status, encode_json(answer))


def _document(call: Call) -> str:
    """The Idempotency-Key, or a new key that sorts by time: neighbours in the index are recent."""
    given = call.headers.get(b"idempotency-key")
    if given is None:
        return f"auto-{time.time_ns() // 1_000_000:011x}-{secrets.token_hex(8)}"
    try:
        return msgspec.convert(given.decode("utf-8"), Code)
    except (msgspec.ValidationError, UnicodeDecodeError):
        message = "An Idempotency-Key is 1 to 128 printable characters."
        raise Rejected("malformed", "Idempotency-Key", message) from None


async def get_reservation(call: Call) -> Reply:
    """A reservation as it stands: every line with what became of it, and where it is promised."""
    system, order = call.path["system"], call.path["order"]
    if not call.caller.speaks_for(system):
        raise problem("forbidden_system", param="system")
    found = await call.run(stored.find_reservation, system, order)
    if found is None:
        raise problem("not_found", f"The system {system} has no order {order}.", param="order")
    return reply(found)

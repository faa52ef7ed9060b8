"""Backorders: recorded, read, promoted to reservations, ended."""

from typing import Final, Literal

import msgspec

from stockwright.api.bodies import decode, require_json
from stockwright.api.call import Call
from stockwright.api.events import admit, refused
from stockwright.api.paging import PageQuery, page_of, position_of
from stockwright.api.problems import STATUS, problem
from stockwright.api.reply import Reply, reply
from stockwright.api.reservations import own_document
from stockwright.api.told import Words, post_told
from stockwright.domain.events import Request, RequestLine
from stockwright.domain.owing import BackorderState, BackorderTold
from stockwright.flow.telling import tell_backorders
from stockwright.store import backorders
from stockwright.store.backorders import BackorderView

ENDS: Final[dict[str, BackorderState]] = {"cancel": "cancelled", "close": "closed"}
_TOP: Final = 2**63 - 1
_TOLD: Final = msgspec.json.Decoder(BackorderTold)


class BackorderQuery(PageQuery, kw_only=True, forbid_unknown_fields=True):
    """Which backorders: what is still owed unless said otherwise."""

    state: BackorderState | Literal["all"] = "owed"
    sku: str = ""
    channel: str = ""
    system: str = ""
    order: str = ""


class MoveAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why it is moved on."""

    reason: Words = ""


_MOVE: Final = msgspec.json.Decoder(MoveAsk)


async def post_backorders(call: Call) -> Reply:
    """Records units owed to order lines: others wait behind them. One result per line."""
    return await post_told(call, _TOLD, tell_backorders)


async def get_backorders(call: Call) -> Reply:
    """Backorders, newest first."""
    query: BackorderQuery = call.query
    found = await call.run(
        backorders.page,
        sku=query.sku,
        channel=query.channel,
        system=query.system,
        order=query.order,
        state=query.state,
        before=position_of(query.cursor, int, _TOP),
        limit=query.limit + 1,
    )
    return reply(page_of(found, query.limit, lambda one: one.id))


async def get_backorder(call: Call) -> Reply:
    """One backorder, whatever became of it."""
    return reply(await _find(call))


async def post_backorder_transition(call: Call) -> Reply:
    """Moves a backorder on: promote reserves what is owed in its turn, cancel and close end it."""
    transition = call.path["transition"]
    if transition not in ("promote", *ENDS):
        detail = f"There is no transition {transition!r}; one of {('promote', *ENDS)}."
        raise problem("not_found", detail)
    before = await _find(call)
    if not call.caller.speaks_for(before.system):
        raise problem("forbidden_system", param="system")
    ask = MoveAsk()
    if call.body:
        require_json(call.headers)
        ask = decode(_MOVE, call.body)
    if transition == "promote":
        return await _promote(call, before, ask.reason)
    key = (before.system, before.order, before.line)
    done = await call.run(
        backorders.end, key, ENDS[transition], actor=f"key {call.caller.id}", reason=ask.reason
    )
    if not done:
        raise problem("already_closed", f"This is {before.state}.", param="transition")
    return reply(await _find(call))


async def _promote(call: Call, owed: BackorderView, reason: str) -> Reply:
    """Claims what there is of it in its turn, as bought; never more than is owed."""
    if not owed.owed:
        raise problem("already_closed", "Nothing of it is owed.", param="transition")
    request = Request(
        kind="reserve",
        document=own_document(call),
        system=owed.system,
        channel=owed.channel,
        order=owed.order,
        lines=[RequestLine(line=owed.line, sku=owed.sku, quantity=owed.owed)],
        mode="partial",
        confirmed=True,
        reason=reason,
    )
    refusal = admit(request, call.caller)
    if refusal is not None:
        raise refusal
    (outcome,) = await call.services.recorder.record([request])
    if STATUS[outcome.code] >= 400:
        raise refused(outcome, {"system": owed.system, "order": owed.order})
    return reply(await _find(call))


async def _find(call: Call) -> BackorderView:
    path = call.path
    key = (path["system"], path["order"], path["line"])
    found = await call.run(backorders.find, key)
    if found is None:
        raise problem("not_found", f"Nothing is owed to order {key[1]} line {key[2]} of {key[0]}.")
    return found

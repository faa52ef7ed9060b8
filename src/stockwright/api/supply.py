"""Expected supply: told, read, ended."""

from typing import Final, Literal

import msgspec

from stockwright.api.bodies import decode, require_json
from stockwright.api.call import Call
from stockwright.api.paging import PageQuery, page_of, position_of
from stockwright.api.problems import problem
from stockwright.api.reply import Reply, reply
from stockwright.api.told import Words, post_told
from stockwright.domain.supply import SupplyKind, SupplyState, SupplyTold
from stockwright.flow.telling import tell_supply
from stockwright.store import supplies
from stockwright.store.supplies import SupplyView

TRANSITIONS: Final[dict[str, SupplyState]] = {
    "cancel": "cancelled",
    "close": "closed",
    "reopen": "expected",
}
_TOP: Final = 2**63 - 1
_TOLD: Final = msgspec.json.Decoder(SupplyTold)


class SupplyQuery(PageQuery, kw_only=True, forbid_unknown_fields=True):
    """Which lines: what is still expected unless said otherwise."""

    state: SupplyState | Literal["all"] = "expected"
    sku: str = ""
    location: str = ""
    system: str = ""
    document: str = ""
    kind: SupplyKind | Literal[""] = ""


class EndAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why it ends, or is expected again."""

    reason: Words = ""


_END: Final = msgspec.json.Decoder(EndAsk)


async def post_supply(call: Call) -> Reply:
    """Takes in lines of purchase orders, ship notices and planned transfers; a result per line."""
    return await post_told(call, _TOLD, tell_supply)


async def get_supplies(call: Call) -> Reply:
    """Lines of expected supply, newest first, each with what is left of it."""
    query: SupplyQuery = call.query
    found = await call.run(
        supplies.page,
        sku=query.sku,
        location=query.location,
        system=query.system,
        document=query.document,
        kind=query.kind,
        state=query.state,
        before=position_of(query.cursor, int, _TOP),
        limit=query.limit + 1,
    )
    return reply(page_of(found, query.limit, lambda line: line.id))


async def get_supply(call: Call) -> Reply:
    """One line of supply, whatever became of it."""
    return reply(await _find(call))


async def post_supply_transition(call: Call) -> Reply:
    """Ends a line of supply, or expects it again: cancel, close or reopen."""
    transition = call.path["transition"]
    state = TRANSITIONS.get(transition)
    if state is None:
        raise problem(
            "not_found", f"There is no transition {transition!r}; one of {(*TRANSITIONS,)}."
        )
    ask = EndAsk()
    if call.body:
        require_json(call.headers)
        ask = decode(_END, call.body)
    before = await _find(call)
    if not call.caller.speaks_for(before.system):
        raise problem("forbidden_system", param="system")
    actor = f"key {call.caller.id}"
    if not await call.run(supplies.move, before.key, state, actor=actor, reason=ask.reason):
        raise problem("already_closed", f"This line is {before.state}.", param="transition")
    return reply(await _find(call))


async def _find(call: Call) -> SupplyView:
    path = call.path
    key = (path["system"], path["document"], path["line"], path["kind"])
    found = await call.run(supplies.find, key)
    if found is None:
        raise problem("not_found", f"There is no {key[3]} {key[1]} line {key[2]} of {key[0]}.")
    return found

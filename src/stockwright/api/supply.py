"""Expected supply: purchase orders, ship notices and planned transfers, line by line."""

from typing import Annotated, Final

import msgspec

from stockwright.api.bodies import decode, require_json
from stockwright.api.call import Call
from stockwright.api.paging import PageQuery, page_of, position_of
from stockwright.api.problems import problem
from stockwright.api.reply import Reply, reply
from stockwright.api.told import save_told
from stockwright.domain.supply import LineKey, ToldSupply
from stockwright.store import supply
from stockwright.store.supply import State, SupplyView


class SupplyQuery(PageQuery, kw_only=True, forbid_unknown_fields=True):
    """Which lines: open ones unless said otherwise, of a SKU, a location or a system."""

    state: State = "open"
    sku: str = ""
    location: str = ""
    system: str = ""


class CloseLineAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why it is closed."""

    why: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


_TOLD: Final = msgspec.json.Decoder(list[ToldSupply])
CLOSE: Final = msgspec.json.Decoder(CloseLineAsk)


async def post_supply(call: Call) -> Reply:
    """Tells lines of expected supply, up to 500; each is what it says last. Safe to repeat."""
    return await save_told(call, _TOLD, supply.save)


async def list_supply(call: Call) -> Reply:
    """Lines of expected supply, the latest told first."""
    query: SupplyQuery = call.query
    found = await call.run(
        supply.page,
        state=query.state,
        sku=query.sku,
        location=query.location,
        system=query.system,
        before=position_of(query.cursor, int, supply.TOP),
        limit=query.limit + 1,
    )
    return reply(page_of(found, query.limit, lambda one: one.id))


async def get_supply(call: Call) -> Reply:
    """One line of expected supply, and what came of it."""
    return reply(await _find(call, _key(call)))


async def close_supply(call: Call) -> Reply:
    """Closes a line of which no more is expected, and notes who did it and why."""
    require_json(call.headers)
    ask = decode(CLOSE, call.body)
    key = _key(call)
    await _find(call, key)
    actor = call.caller.actor
    if not await call.run(supply.close, key, actor=actor, why=ask.why):
        raise problem("already_closed", "This line of supply is closed.", param="line")
    return reply(await _find(call, key))


def _key(call: Call) -> LineKey:
    system = call.path["system"]
    if not call.caller.speaks_for(system):
        raise problem("forbidden_system", param="system")
    return (system, call.path["document"], call.path["line"])


async def _find(call: Call, key: LineKey) -> SupplyView:
    found = await call.run(supply.find, key)
    if found is None:
        raise problem("not_found", f"There is no line of supply {' '.join(key)}.")
    return found

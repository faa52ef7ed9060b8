"""Backorders: what order lines are owed until a reservation takes it over."""

from typing import Final

import msgspec

from stockwright.api.bodies import decode, require_json
from stockwright.api.call import Call
from stockwright.api.paging import PageQuery, page_of, position_of
from stockwright.api.problems import problem
from stockwright.api.reply import Reply, reply
from stockwright.api.supply import CLOSE
from stockwright.api.told import save_told
from stockwright.domain.backorders import DemandKey, ToldOwed
from stockwright.store import backorders
from stockwright.store.backorders import BackorderView, State


class BackorderQuery(PageQuery, kw_only=True, forbid_unknown_fields=True):
    """Which backorders: open ones unless said otherwise, of a SKU, a channel or a system."""

    state: State = "open"
    sku: str = ""
    channel: str = ""
    system: str = ""


_TOLD: Final = msgspec.json.Decoder(list[ToldOwed])


async def post_backorders(call: Call) -> Reply:
    """Tells what order lines are owed, up to 500; from then on others are granted less."""
    return await save_told(call, _TOLD, backorders.save)


async def list_backorders(call: Call) -> Reply:
    """Backorders, newest first."""
    query: BackorderQuery = call.query
    found = await call.run(
        backorders.page,
        state=query.state,
        sku=query.sku,
        channel=query.channel,
        system=query.system,
        before=position_of(query.cursor, int, backorders.TOP),
        limit=query.limit + 1,
    )
    return reply(page_of(found, query.limit, lambda one: one.id))


async def get_backorder(call: Call) -> Reply:
    """What one order line is or was owed."""
    return reply(await _find(call, _key(call)))


async def close_backorder(call: Call) -> Reply:
    """Closes what an order line is owed by hand, and notes who did it and why."""
    require_json(call.headers)
    ask = decode(CLOSE, call.body)
    key = _key(call)
    await _find(call, key)
    actor = call.caller.actor
    if not await call.run(backorders.close, key, actor=actor, why=ask.why):
        raise problem("already_closed", "Nothing is owed to this line.", param="line")
    return reply(await _find(call, key))


def _key(call: Call) -> DemandKey:
    system = call.path["system"]
    if not call.caller.speaks_for(system):
        raise problem("forbidden_system", param="system")
    return (system, call.path["order"], call.path["line"])


async def _find(call: Call, key: DemandKey) -> BackorderView:
    found = await call.run(backorders.find, key)
    if found is None:
        raise problem("not_found", f"Nothing was ever owed to {' '.join(key)}.")
    return found

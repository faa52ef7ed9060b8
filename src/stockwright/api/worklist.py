"""Work items: what a person must decide."""

from typing import Annotated, Final

import msgspec

from stockwright.api.bodies import decode, require_json
from stockwright.api.call import Call
from stockwright.api.paging import PageQuery, page_of, position_of
from stockwright.api.problems import problem
from stockwright.api.reply import Reply, reply
from stockwright.store import worklist
from stockwright.store.worklist import State, WorkItemView

_TOP: Final = 2**63 - 1


class WorkItemQuery(PageQuery, kw_only=True, forbid_unknown_fields=True):
    """Which work items: open ones unless said otherwise, of a kind or of a SKU."""

    state: State = "open"
    kind: str = ""
    sku: str = ""


class CloseAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why the work item is done."""

    why: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


_CLOSE: Final = msgspec.json.Decoder(CloseAsk)


async def get_work_items(call: Call) -> Reply:
    """Work items, newest first."""
    query: WorkItemQuery = call.query
    found = await call.run(
        worklist.work_items,
        state=query.state,
        kind=query.kind,
        sku=query.sku,
        before=position_of(query.cursor, int, _TOP),
        limit=query.limit + 1,
    )
    return reply(page_of(found, query.limit, lambda item: item.id))


async def get_work_item(call: Call) -> Reply:
    """One work item, open or closed."""
    return reply(await _find(call, number_in(call, "id")))


async def close_work_item(call: Call) -> Reply:
    """Closes an open work item, and notes who did it and why."""
    require_json(call.headers)
    ask = decode(_CLOSE, call.body)
    item_id = number_in(call, "id")
    await _find(call, item_id)
    actor = call.caller.actor
    if not await call.run(worklist.close_work_item, item_id, actor=actor, why=ask.why):
        raise problem("already_closed", f"The work item {item_id} is closed.", param="id")
    return reply(await _find(call, item_id))


async def _find(call: Call, item_id: int) -> WorkItemView:
    found = await call.run(worklist.find_work_item, item_id)
    if found is None:
        raise problem("not_found", f"There is no work item {item_id}.", param="id")
    return found


def number_in(call: Call, name: str) -> int:
    """A number in the address. Raises not_found where it is none that an id can be."""
    text = call.path[name]
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise problem("not_found", f"{name} is a number.", param=name)
    return int(text)

"""Work items: what a person must decide, who is at it, and why it is done."""

from typing import Annotated, Any, Final

import msgspec

from stockwright.api.bodies import decode, require_json
from stockwright.api.bound import not_own
from stockwright.api.call import Call, Handler
from stockwright.api.operations import Link, Operation
from stockwright.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, page_of, position_of
from stockwright.api.problems import problem
from stockwright.api.reply import Reply, reply
from stockwright.flow.steering import checked_reason
from stockwright.store import worklist
from stockwright.store.facets import Facets
from stockwright.store.worklist import State, Which, WorkItemView

_TOP: Final = 2**63 - 1
Why = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class WorkItemFilter(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which work items: open ones unless said otherwise. `text` is looked for in all they say."""

    state: State = "open"
    kind: str = ""
    sku: str = ""
    location: str = ""
    system: str = ""
    assigned_to: str = ""
    unassigned: bool = False
    text: str = ""


class WorkItemQuery(WorkItemFilter, kw_only=True, forbid_unknown_fields=True):
    """Which work items: open ones unless said otherwise. `text` is looked for in all they say."""

    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor = ""


class CloseAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why the work item is done."""

    why: Why


class ReopenAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why the work item is not done after all."""

    why: Why


class AssignAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Who is to decide it, by any name your house uses; empty for nobody."""

    assigned_to: Annotated[str, msgspec.Meta(max_length=128)]


_CLOSE: Final = msgspec.json.Decoder(CloseAsk)
_REOPEN: Final = msgspec.json.Decoder(ReopenAsk)
_ASSIGN: Final = msgspec.json.Decoder(AssignAsk)


async def get_work_items(call: Call) -> Reply:
    """Work items, newest first."""
    query: WorkItemQuery = call.query
    found = await call.run(
        worklist.work_items,
        _which(query),
        before=position_of(query.cursor, int, _TOP),
        limit=query.limit + 1,
    )
    return reply(page_of(found, query.limit, lambda item: item.id))


async def get_work_item_facets(call: Call) -> Reply:
    """How many work items pass a filter, by kind, system, location and person."""
    return reply(await call.run(worklist.work_item_facets, _which(call.query)))


async def get_work_item(call: Call) -> Reply:
    """One work item, open or closed."""
    return reply(await _find(call, number_in(call, "id")))


async def close_work_item(call: Call) -> Reply:
    """Closes an open work item, and notes who did it and why."""
    require_json(call.headers)
    ask = decode(_CLOSE, call.body)
    item_id = number_in(call, "id")
    await _find(call, item_id)
    why = checked_reason(ask.why)
    if not await call.run(worklist.close_work_item, item_id, actor=call.caller.actor, why=why):
        raise problem("already_closed", f"The work item {item_id} is closed.", param="id")
    return reply(await _find(call, item_id))


async def reopen_work_item(call: Call) -> Reply:
    """Opens a closed work item again, and notes who did it and why."""
    require_json(call.headers)
    ask = decode(_REOPEN, call.body)
    item_id = number_in(call, "id")
    await _find(call, item_id)
    why = checked_reason(ask.why)
    done = await call.run(worklist.reopen_work_item, item_id, actor=call.caller.actor, why=why)
    if done == "was_open":
        raise problem("already_open", f"The work item {item_id} is open.", param="id")
    if done == "came_up_again":
        detail = f"The cause of {item_id} came up again and has an open work item by now."
        raise problem("already_open", detail, param="id", next="Work on the open one.")
    return reply(await _find(call, item_id))


async def assign_work_item(call: Call) -> Reply:
    """Says who is to decide an open work item."""
    require_json(call.headers)
    ask = decode(_ASSIGN, call.body)
    item_id = number_in(call, "id")
    await _find(call, item_id)
    assigned_to = ask.assigned_to.strip()
    if not assigned_to.isprintable():
        raise problem("malformed", "A name has printable characters only.", param="assigned_to")
    if not await call.run(
        worklist.assign_work_item, item_id, actor=call.caller.actor, assigned_to=assigned_to
    ):
        raise problem("already_closed", f"The work item {item_id} is closed.", param="id")
    return reply(await _find(call, item_id))


def _which(query: WorkItemFilter) -> Which:
    return Which(**{name: getattr(query, name) for name in Which.__struct_fields__})


async def _find(call: Call, item_id: int) -> WorkItemView:
    found = await call.run(worklist.find_work_item, item_id)
    if found is None:
        raise problem("not_found", f"There is no work item {item_id}.", param="id")
    if not call.caller.speaks_for(found.system):
        raise not_own(call.caller, f"The work item {item_id} is not about it.", param="id")
    return found


def number_in(call: Call, name: str) -> int:
    """A number in the address. Raises not_found where it is none that an id can be."""
    text = call.path[name]
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise problem("not_found", f"{name} is a number.", param=name)
    return int(text)


def operations() -> list[Operation]:
    """The rows of the route table for work items."""
    return [
        Operation(
            method="GET",
            path="/v1/work-items",
            handler=get_work_items,
            tag="work",
            scope="work:read",
            query=WorkItemQuery,
            answers={200: Page[WorkItemView]},
            links=_links("$response.body#/items/0/id"),
        ),
        Operation(
            method="GET",
            path="/v1/work-items/facets",
            handler=get_work_item_facets,
            tag="work",
            scope="work:read",
            query=WorkItemFilter,
            answers={200: Facets},
        ),
        Operation(
            method="GET",
            path="/v1/work-items/{id}",
            handler=get_work_item,
            tag="work",
            scope="work:read",
            answers={200: WorkItemView},
            problems=("not_found",),
        ),
        _deciding("close", close_work_item, CloseAsk, "already_closed"),
        _deciding("reopen", reopen_work_item, ReopenAsk, "already_open"),
        _deciding("assign", assign_work_item, AssignAsk, "already_closed"),
    ]


def _deciding(verb: str, handler: Handler, body: Any, refusal: str) -> Operation:
    return Operation(
        method="POST",
        path=f"/v1/work-items/{{id}}/{verb}",
        handler=handler,
        tag="work",
        scope="work:write",
        body=body,
        answers={200: WorkItemView},
        problems=("not_found", refusal),
        stored=True,
        links=_links("$response.body#/id"),
    )


def _links(number: str) -> tuple[Link, ...]:
    verbs = ("get", "close", "reopen", "assign")
    return tuple(Link(to=f"{verb}_work_item", parameters={"id": number}) for verb in verbs)

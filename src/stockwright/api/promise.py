"""GET /v1/promise: what may be promised of a SKU by a date, and when a quantity may be."""

import datetime as dt
from typing import Annotated

import msgspec
from msgspec import Meta

from stockwright.api.bound import check_own
from stockwright.api.call import Call
from stockwright.api.reply import Reply, reply
from stockwright.domain.availability import Explanation
from stockwright.domain.codes import Code
from stockwright.domain.events import MAX_QUANTITY
from stockwright.flow.promising import promise_of


class PromiseQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of which SKU, through which channel or at which location; by when (now where it is left out),
    and for which quantity the earliest date is asked.
    """

    sku: Code
    channel: Annotated[str, Meta(max_length=128)] = ""
    location: Annotated[str, Meta(max_length=128)] = ""
    by: Annotated[dt.datetime, Meta(tz=True)] | None = None
    quantity: Annotated[int, Meta(ge=0, le=MAX_QUANTITY)] = 0


class PromiseAnswer(msgspec.Struct, kw_only=True):
    """What may be promised by a date, in base units; below zero where more is owed than there is.

    earliest is the first time by which `quantity` may be promised; null where known supply does
    not cover it, or no quantity was asked for.
    """

    sku: str
    channel: str
    location: str
    sequence: int
    by: dt.datetime
    available_to_promise: int
    quantity: int
    earliest: dt.datetime | None
    explained: Explanation


async def get_promise(call: Call) -> Reply:
    """What may be promised of a SKU by a date, step by step, and when a quantity may be."""
    query: PromiseQuery = call.query
    if query.channel:
        check_own(call.caller, "channel", query.channel)
    found = await call.run(
        promise_of,
        query.sku,
        channel=query.channel,
        location=query.location,
        by=query.by,
        quantity=query.quantity,
    )
    told = found.promise
    return reply(
        PromiseAnswer(
            sku=found.sku,
            channel=found.channel,
            location=found.location,
            sequence=found.sequence,
            by=told.by,
            available_to_promise=told.available_to_promise.result,
            quantity=told.quantity,
            earliest=told.earliest,
            explained=told.available_to_promise,
        )
    )

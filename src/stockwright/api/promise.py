"""POST /v1/promise: what can be promised for a date, and the earliest date for a quantity."""

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from stockwright.api.bodies import decode, require_json
from stockwright.api.call import Call
from stockwright.api.problems import KINDS
from stockwright.api.reply import Reply, reply
from stockwright.domain.availability import Explanation
from stockwright.domain.errors import Rejected
from stockwright.flow.promising import Promise, PromiseAsk, promises

MAX_ASKED: Final = 1_000


class PromisesAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Up to 1,000 questions; `explain` adds the steps to each number."""

    items: Annotated[list[PromiseAsk], msgspec.Meta(min_length=1, max_length=MAX_ASKED)]
    explain: bool = False


class PromiseAnswer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What can be promised by a date; earliest is null where the quantity is not in sight.

    Where a question makes no sense, code, param, detail and next say so, and there are no numbers.
    """

    sku: str | None = None
    listing: str | None = None
    channel: str | None = None
    location: str | None = None
    by: dt.datetime | None = None
    available_to_promise: int | None = None
    quantity: int | None = None
    earliest: dt.datetime | msgspec.UnsetType | None = msgspec.UNSET
    explained: Mapping[str, Explanation] = {}
    code: str = ""
    param: str = ""
    detail: str = ""
    next: str = ""


class PromisesAnswer(msgspec.Struct, kw_only=True):
    """One answer for each question, in the same order."""

    items: list[PromiseAnswer]


_ASK: Final = msgspec.json.Decoder(PromisesAsk)


async def post_promise(call: Call) -> Reply:
    """What can be promised by a date, of a pool or a place, and from when on a quantity can be."""
    require_json(call.headers)
    ask = decode(_ASK, call.body)
    found = await call.run(promises, ask.items)
    items = [
        _fault(one, told, place) if isinstance(told, Rejected) else _answer(one, told, ask.explain)
        for place, (one, told) in enumerate(zip(ask.items, found, strict=True))
    ]
    return reply(PromisesAnswer(items=items))


def _named(ask: PromiseAsk) -> PromiseAnswer:
    return PromiseAnswer(
        sku=ask.sku, listing=ask.listing, channel=ask.channel, location=ask.location
    )


def _answer(ask: PromiseAsk, told: Promise, explain: bool) -> PromiseAnswer:
    answer = _named(ask)
    answer.by = told.by
    answer.available_to_promise = told.available_to_promise.result
    if ask.quantity is not None:
        answer.quantity, answer.earliest = ask.quantity, told.earliest
    if explain:
        answer.explained = {"available_to_promise": told.available_to_promise}
    return answer


def _fault(ask: PromiseAsk, refusal: Rejected, place: int) -> PromiseAnswer:
    answer = _named(ask)
    answer.code, answer.param = refusal.reason, f"items[{place}].{refusal.field}"
    answer.detail, answer.next = refusal.message, KINDS[refusal.reason].next
    return answer

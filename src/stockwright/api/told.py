"""What supply and backorders have in common: lists of items told, each answered by itself."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec.structs import replace

from stockwright.api.bodies import decode, require_json
from stockwright.api.bound import why_not_owed
from stockwright.api.call import Call
from stockwright.api.problems import KINDS, problem
from stockwright.api.reply import Reply, reply
from stockwright.domain.errors import Rejected
from stockwright.store.connection import Connection
from stockwright.store.master import Saved

MAX_TOLD: Final = 500


T = TypeVar("T", bound=Any)
Saver = Callable[[Connection, Sequence[T], str], Sequence[Saved | Rejected]]


class ToldResult(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The answer to one item: new, changed or unchanged; else the code of a problem, and why."""

    status: int
    code: str
    param: str = ""
    detail: str = ""
    next: str = ""


class ToldAnswer(msgspec.Struct, kw_only=True):
    """One result for each item, in the same order."""

    items: list[ToldResult]


async def save_told(call: Call, decoder: "msgspec.json.Decoder[list[T]]", save: Saver[T]) -> Reply:
    """Saves what is told; those that may not be told under this key are answered in their place."""
    require_json(call.headers)
    told: list[T] = decode(decoder, call.body)
    if not told:
        raise problem("malformed", "The call holds no item.")
    if len(told) > MAX_TOLD:
        raise problem("too_many", f"A call holds at most {MAX_TOLD} items; this has {len(told)}.")
    results: list[ToldResult | None] = [None] * len(told)
    places, items = [], []
    for place, item in enumerate(told):
        item = item if item.system else replace(item, system=call.caller.system)
        refusal = _refusal(call, item)
        if refusal is None:
            places.append(place)
            items.append(item)
        else:
            results[place] = _result(refusal)
    if items:
        saved = await call.run(save, items, call.caller.actor)
        for place, one in zip(places, saved, strict=True):
            results[place] = _result(one)
    answers = [one for one in results if one is not None]
    answer = reply(ToldAnswer(items=answers), 207)
    answer.items = len(answers)
    answer.refused = sum(one.status >= 400 for one in answers)
    return answer


def _refusal(call: Call, item: Any) -> Rejected | None:
    if not item.system:
        return Rejected("malformed", "system", "Name the system that this comes from.")
    if not call.caller.speaks_for(item.system):
        message = f"This key is bound to the system {call.caller.system}."
        return Rejected("forbidden_system", "system", message)
    beyond = why_not_owed(call.caller, item)
    if beyond is not None:
        message = f"This key is bound to the system {call.caller.bound}. {beyond[1]}"
        return Rejected("forbidden_system", beyond[0], message)
    if not item.sku and not item.item:
        message = "Name the SKU, or the partner's own code in item."
        return Rejected("malformed", "sku", message)
    for name in item.__struct_fields__:
        value = getattr(item, name)
        if isinstance(value, str) and "\0" in value:
            return Rejected("malformed", name, "A code has no NUL character.")
    return None


def _result(one: Saved | Rejected) -> ToldResult:
    if not isinstance(one, Rejected):
        return ToldResult(status=201 if one == "new" else 200, code=one)
    kind = KINDS[one.reason]
    return ToldResult(
        status=kind.status, code=one.reason, param=one.field, detail=one.message, next=kind.next
    )

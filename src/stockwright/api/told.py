"""Statements that come one or many a call: decoded item by item, answered item by item."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated, Final, TypeVar

import msgspec

from stockwright.api.bodies import decode, explain, media_type, split_array, split_lines
from stockwright.api.call import Call
from stockwright.api.events import answer_batch, answer_single, item_result
from stockwright.api.problems import problem
from stockwright.api.reply import Reply
from stockwright.domain.codes import code_problem
from stockwright.domain.errors import Rejected
from stockwright.domain.events import Outcome
from stockwright.domain.owing import BackorderTold
from stockwright.domain.supply import SupplyTold
from stockwright.store.access import Caller
from stockwright.store.connection import Connection

MAX_ITEMS: Final = 1_000
_JSON: Final = (b"", b"application/json")
_LINES: Final = (b"application/x-ndjson", b"application/jsonl")

Words = Annotated[str, msgspec.Meta(max_length=1000, pattern=r"^[^\x00]*$")]
"""A remark of a person."""


T = TypeVar("T", SupplyTold, BackorderTold)


async def post_told(
    call: Call,
    decoder: "msgspec.json.Decoder[T]",
    tell: Callable[[Connection, Sequence[T]], Sequence[Outcome | Rejected]],
) -> Reply:
    """Takes in one statement or many; what is wrong with one keeps no other out."""
    decoded, batch = await _decoded(call, decoder)
    verdicts: list[Outcome | Rejected | None] = [
        item if isinstance(item, Rejected) else admit(item, call.caller) for item in decoded
    ]
    good = [
        item
        for item, verdict in zip(decoded, verdicts, strict=True)
        if verdict is None and not isinstance(item, Rejected)
    ]
    answers = iter(await call.run(tell, good) if good else ())
    results = [item_result(next(answers) if one is None else one) for one in verdicts]
    return answer_batch(results) if batch else answer_single(results[0])


def admit(item: SupplyTold | BackorderTold, caller: Caller) -> Rejected | None:
    """Why a statement may not come in under this key; None where it may, its system filled in."""
    if not item.system:
        if not caller.system:
            return Rejected("malformed", "system", "Name the system that this comes from.")
        item.system = caller.system
    elif not caller.speaks_for(item.system):
        message = f"This key is bound to the system {caller.system}."
        return Rejected("forbidden_system", "system", message)
    for name in item.__struct_fields__:
        value = getattr(item, name)
        if isinstance(value, str) and value and (fault := code_problem(value)):
            return Rejected("malformed", name, f"It {fault}.")
    return None


async def _decoded(
    call: Call, decoder: "msgspec.json.Decoder[T]"
) -> tuple[list[T | Rejected], bool]:
    kind = media_type(call.headers)
    if kind not in (*_JSON, *_LINES):
        detail = "Content-Type must be application/json or application/x-ndjson."
        raise problem("unsupported_media_type", detail, param="Content-Type")
    if kind in _JSON and not call.body.lstrip(b" \t\r\n").startswith(b"["):
        return [decode(decoder, call.body)], False
    split = split_array if kind in _JSON else split_lines
    found = await asyncio.to_thread(lambda: [_checked(decoder, item) for item in split(call.body)])
    if not found:
        raise problem("malformed", "The call holds no item.")
    if len(found) > MAX_ITEMS:
        detail = f"A call holds at most {MAX_ITEMS:,} items; this has {len(found):,}."
        raise problem("too_many", detail)
    return found, True


def _checked(decoder: "msgspec.json.Decoder[T]", item: bytes) -> T | Rejected:
    try:
        return decoder.decode(item)
    except (msgspec.MsgspecError, ValueError, RecursionError) as failure:
        return explain(failure, getattr(decoder.type, "__struct_fields__", ()))

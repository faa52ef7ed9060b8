"""POST /v1/events: facts in, one result per item out, aligned."""

from collections import Counter
from typing import Any, Final

import msgspec

from stockwright.api.bodies import decode_facts, media_type
from stockwright.api.call import Call
from stockwright.api.problems import KINDS, STATUS, problem
from stockwright.api.reply import Reply, encode_json, reply
from stockwright.domain.errors import Rejected
from stockwright.domain.events import Fact, Item, Outcome
from stockwright.store.access import Caller
from stockwright.store.handed_in import RawPayload

BULK_ITEMS: Final = 20
"""A call with more items than this lets interactive calls go first."""
_KEPT_HEADERS: Final = (b"content-type", b"idempotency-key", b"user-agent", b"x-request-id")


class ItemResult(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What became of one item. `index` is its place in the call, `status` what it would get alone.

    param names the field at fault, detail says what is wrong with it, next what to do.
    """

    index: int | None = None
    status: int
    code: str
    sequence: int = 0
    replay: bool = False
    param: str = ""
    detail: str = ""
    next: str = ""
    answer: dict[str, Any] | None = None


class BatchResult(msgspec.Struct, kw_only=True):
    """Results in the order of the items, and how many there are of each code."""

    results: list[ItemResult]
    counts: dict[str, int]


async def post_events(call: Call) -> Reply:
    """Records facts, each answered for itself; the body is kept as it came, in the same commit."""
    decoded, batch = await decode_facts(call.body, call.headers)
    items: list[Fact] = []
    places: list[int] = []
    outcomes: list[Outcome | Rejected | None] = []
    for index, item in enumerate(decoded):
        verdict = item if isinstance(item, Rejected) else admit(item, call.caller)
        outcomes.append(verdict)
        if verdict is None:
            items.append(item)  # type: ignore[arg-type]
            places.append(index)
    if items:
        raw = raw_payload(call, items[0].system)
        answered = await call.services.recorder.record(items, bulk=len(items) > BULK_ITEMS, raw=raw)
        for index, item, outcome in zip(places, items, answered, strict=True):
            outcomes[index] = located(item, outcome) if outcome.field else outcome
        call.services.received(items[0].system, "api", len(items))
    results = [item_result(verdict) for verdict in outcomes if verdict is not None]
    return answer_batch(results) if batch else _answer_single(results[0])


def admit(item: Item, caller: Caller) -> Rejected | None:
    """Why an item may not come in under this key; None where it may, its system filled in."""
    if not item.system:
        item.system = caller.system
        if not item.system:
            return Rejected("malformed", "system", "Name the system that this comes from.")
    elif not caller.speaks_for(item.system):
        message = f"This key is bound to the system {caller.system}."
        return Rejected("forbidden_system", "system", message)
    return None


def raw_payload(call: Call, system: str) -> RawPayload:
    """The call's body as it came, to be kept with its items."""
    headers = {
        name.decode(): call.headers[name].decode("latin-1")
        for name in _KEPT_HEADERS
        if name in call.headers
    }
    kind = media_type(call.headers).decode("latin-1") or "application/json"
    return RawPayload(system=system, door="api", content_type=kind, headers=headers, body=call.body)


def located(item: Item, outcome: Outcome) -> Outcome:
    """The outcome, its field named where the ledger only said that a text cannot be kept."""
    if outcome.code != "malformed" or outcome.field != "body":
        return outcome
    for name in item.__struct_fields__:
        value = getattr(item, name)
        if isinstance(value, str) and "\0" in value:
            outcome.field = name
    return outcome


def item_result(verdict: Outcome | Rejected) -> ItemResult:
    """The answer to one item: the ledger's outcome, or why it never got there."""
    if isinstance(verdict, Rejected):
        code = verdict.reason if verdict.reason in KINDS else "malformed"
        kind = KINDS[code]
        return ItemResult(
            status=kind.status,
            code=code,
            param=verdict.field,
            detail=verdict.message,
            next=kind.next,
        )
    if verdict.code == "recorded" and verdict.answer is None:
        # Nearly all are, and a call may hold ten thousand.
        return ItemResult(
            status=200, code="recorded", sequence=verdict.sequence, replay=verdict.replay
        )
    problematic = KINDS.get(verdict.code)
    return ItemResult(
        status=STATUS[verdict.code],
        code=verdict.code,
        sequence=verdict.sequence,
        replay=verdict.replay,
        param=verdict.field,
        detail=verdict.message or (problematic.title if problematic else ""),
        next=problematic.next if problematic else "",
        answer=verdict.answer,
    )


def answer_batch(results: list[ItemResult]) -> Reply:
    """207 with every result under its index."""
    for index, result in enumerate(results):
        result.index = index
    counts = Counter(result.code for result in results)
    answer = reply(BatchResult(results=results, counts=dict(counts)), 207)
    answer.items = len(results)
    answer.refused = sum(many for code, many in counts.items() if STATUS[code] >= 400)
    return answer


def _answer_single(result: ItemResult) -> Reply:
    if result.status < 400:
        return Reply(result.status, encode_json(result))
    raise problem(
        result.code,
        result.detail,
        param=result.param,
        outcome={"code": result.code, "sequence": result.sequence, "replay": result.replay},
    )


def refused(outcome: Outcome, context: dict[str, Any]) -> Exception:
    """The problem that answers a refused request, the ledger's answer inside it."""
    told = {"code": outcome.code, "sequence": outcome.sequence, "replay": outcome.replay}
    return problem(
        outcome.code,
        outcome.message,
        param=outcome.field,
        outcome={**context, **told, **(outcome.answer or {})},
    )

"""Idempotency-Key: the first answer is kept and given again, to the same request only."""

import hashlib
from collections.abc import Awaitable, Callable

from stockwright.api.call import Call
from stockwright.api.problems import ProblemRaised, as_problem, problem, retry_after
from stockwright.api.reply import Reply
from stockwright.domain.errors import StockwrightError
from stockwright.store import access
from stockwright.store.access import StoredAnswer

MAX_KEY = 128
_REPLAYED = ((b"idempotency-replayed", b"true"),)


async def answered_once(
    call: Call, method: str, path: str, handler: Callable[[Call], Awaitable[Reply]]
) -> Reply:
    """Runs the handler, unless an answer stands under the caller's Idempotency-Key.

    Without that header it just runs. An answer that may be different another time (429, 5xx) is
    not kept. A problem is an answer like any other.
    """
    header = call.headers.get(b"idempotency-key")
    if header is None:
        return await handler(call)
    key = _checked(header)
    request = b"\0".join((method.encode(), path.encode(), call.body))
    begun = await call.run(
        access.begin_answer, call.caller.id, key, hashlib.sha256(request).digest()
    )
    if isinstance(begun, StoredAnswer):
        return Reply(begun.status, begun.body, begun.content_type.encode(), _REPLAYED)
    if begun == "in_progress":
        raise problem("in_progress", param="Idempotency-Key", headers=retry_after(1))
    if begun == "other_request":
        raise problem("key_reused", param="Idempotency-Key")
    return await _answer(call, key, handler)


async def _answer(call: Call, key: str, handler: Callable[[Call], Awaitable[Reply]]) -> Reply:
    # Only what is answered for good is kept; in every other case the key is free again.
    answer: Reply | None = None
    raised: ProblemRaised | None = None
    try:
        answer = await handler(call)
    except StockwrightError as failure:
        raised = as_problem(failure)
        if raised.problem.status < 500 and raised.problem.status != 429:
            answer = raised.as_reply()
    finally:
        if answer is None:
            await call.run(access.drop_answer, call.caller.id, key)
    if answer is not None:
        kept = StoredAnswer(answer.status, answer.content_type.decode(), answer.body)
        await call.run(access.keep_answer, call.caller.id, key, kept)
    if raised is not None:
        raise raised
    assert answer is not None
    return answer


def _checked(header: bytes) -> str:
    try:
        key = header.decode("ascii")
    except UnicodeDecodeError:
        key = ""
    if not (0 < len(key) <= MAX_KEY and key.isprintable()):
        detail = f"An Idempotency-Key is 1 to {MAX_KEY} printable ASCII characters."
        raise problem("malformed", detail, param="Idempotency-Key")
    return key

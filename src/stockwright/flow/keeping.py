"""What a connector received, as it is kept."""

from typing import Final

from stockwright.domain.errors import Rejected
from stockwright.sdk.messages import Failure, Payload
from stockwright.store.payloads import NewPayload

MAX_BODY_BYTES: Final = 64 * 1024 * 1024


def new_payload(door: str, payload: Payload) -> NewPayload:
    """A connector's payload as it is kept. Raises Rejected (too_large) beyond MAX_BODY_BYTES."""
    if len(payload.body) > MAX_BODY_BYTES:
        raise Rejected("too_large", "body", f"send at most {MAX_BODY_BYTES} bytes at a time")
    problem = payload.problem or Failure(path="", reason="")
    return NewPayload(
        door=door,
        body=payload.body,
        content_type=payload.content_type,
        headers=payload.headers,
        raw_key=payload.raw_key,
        path=problem.path,
        reason=problem.reason,
        missing=problem.missing,
    )

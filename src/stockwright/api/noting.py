"""Hands calls that were answered to the API log. Nothing here waits, or looks into a body."""

import time
from typing import Final

from starlette.types import Scope

from stockwright.api.call import Heard
from stockwright.api.gate import ANYBODY
from stockwright.api.reply import Reply
from stockwright.flow.call_log import CallLog
from stockwright.flow.call_notes import Noted
from stockwright.store.access import Caller

OPEN: Final = "demo"
"""The caller where keys are switched off."""
_ADDRESS: Final = 1_000


class Notes:
    """Names calls, counts them, and notes those that are kept."""

    def __init__(self, log: CallLog) -> None:
        self._log = log

    def name(self, answer: Reply) -> bytes:
        """Gives the answer the header by which its caller can ask about it."""
        request_id = self._log.new_id()
        answer.headers = (*answer.headers, (b"request-id", request_id))
        return request_id

    def note(
        self,
        request_id: bytes,
        scope: Scope,
        method: str,
        route: str,
        answer: Reply,
        heard: Heard,
        took_s: float,
        patience_s: float,
    ) -> None:
        """Counts a call and, where it is to be kept, notes it. patience_s: it was asked to wait."""
        key = (method, route, answer.status)
        kept = self._log.count(key, took_s - patience_s, answer.refused)
        if kept is None:
            return
        query = scope["query_string"]
        path = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape")
        self._log.keep(
            Noted(
                request_id=request_id.decode(),
                at=time.time() - took_s,
                kept=kept,
                method=method,
                route=route,
                address=(path + b"?" + query if query else path)[:_ADDRESS],
                status=answer.status,
                caller=_named(heard.caller),
                peer=scope["client"][0] if scope.get("client") else "",
                took_s=took_s,
                bytes_in=len(heard.body),
                bytes_out=len(answer.body),
                items=answer.items,
                refused=answer.refused,
                body=heard.body,
                answer=answer.body,
            )
        )


def _named(caller: Caller | None) -> str:
    if caller is None:
        return ""
    return OPEN if caller is ANYBODY else caller.actor

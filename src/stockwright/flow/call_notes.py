"""What is written down of one call: read from its answer, and freed of secrets."""

import datetime as dt
import re
from typing import Any, Final, NamedTuple

import msgspec

from stockwright.domain.call_log import Kept
from stockwright.flow.hiding import clean, clean_in, hide_in_body, hide_in_text, hide_in_value
from stockwright.store.call_log import CallRow

MOST_SHOWN: Final = 20
"""Events, and refused items, that one call's page names."""
_MOST_TEXT: Final = 1_000
_PROBLEM: Final = "urn:stockwright:problem:"
_SEQUENCE: Final = re.compile(rb'"sequence":([1-9][0-9]{0,18})\b')
_RECORDING: Final = ("/v1/events", "/v1/counts", "/v1/reservations")
"""Routes whose answers name the events that they recorded."""


class Noted(NamedTuple):
    """One call as the event loop saw it: nothing of it is looked into yet. Sizes are in bytes."""

    request_id: str
    at: float
    kept: Kept
    method: str
    route: str
    address: bytes
    status: int
    caller: str
    peer: str
    took_s: float
    bytes_in: int
    bytes_out: int
    items: int
    refused: int
    body: bytes
    answer: bytes
    body_note: str = ""

    @property
    def weight(self) -> int:
        """Bytes that it holds in memory, beside a few."""
        return len(self.body) + len(self.answer)


def row_of(noted: Noted) -> CallRow:
    """The call as it is written down."""
    told = _decoded(noted.answer)
    found = _safe(told) if str(told.get("type", "")).startswith(_PROBLEM) else {}
    sequences = _sequences(noted)
    items = max(noted.items, noted.refused, 1 if sequences else 0)
    refusals = _refusals(told) if noted.refused else []
    first: dict[str, Any] = refusals[0] if refusals else {}
    code = str(found.get("type", "")).removeprefix(_PROBLEM) or str(first.get("code", ""))
    return CallRow(
        request_id=noted.request_id,
        at=dt.datetime.fromtimestamp(noted.at, dt.UTC),
        kept=noted.kept,
        method=noted.method,
        route=noted.route,
        address=_text(noted.address.decode("utf-8", "replace")),
        status=noted.status,
        caller=noted.caller,
        peer=noted.peer,
        took_ms=round(noted.took_s * 1000, 3),
        bytes_in=noted.bytes_in,
        bytes_out=noted.bytes_out,
        items=items,
        refused=noted.refused,
        code=code,
        param=_text(str(found.get("param") or first.get("param", ""))),
        problem=found or None,
        refusals=refusals,
        sequences=sequences,
        body=hide_in_body(noted.body) if noted.body else None,
        body_note=noted.body_note,
    )


def _text(text: str) -> str:
    return clean(hide_in_text(text[:_MOST_TEXT]))


def _decoded(answer: bytes) -> dict[str, Any]:
    """An answer's JSON object; empty where it is something else."""
    if answer[:1] != b"{":
        return {}
    try:
        told = msgspec.json.decode(answer)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _safe(told: dict[str, Any]) -> dict[str, Any]:
    """The same without secrets, as the database can hold it."""
    return dict(clean_in(hide_in_value(told)))


def _refusals(told: dict[str, Any]) -> list[dict[str, Any]]:
    """The first items of a batch that were refused, each with its place in the call."""
    results = told.get("results", told.get("items", []))
    if not isinstance(results, list):
        return []
    refused = (
        {"index": place, **one}
        for place, one in enumerate(results)
        if isinstance(one, dict) and isinstance(one.get("status"), int) and one["status"] >= 400
    )
    return [_safe(one) for one, _ in zip(refused, range(MOST_SHOWN), strict=False)]


def _sequences(noted: Noted) -> list[int]:
    if noted.method == "GET" or not noted.route.startswith(_RECORDING):
        return []
    found = (int(text) for text in _SEQUENCE.findall(noted.answer))
    return list(dict.fromkeys(found))[:MOST_SHOWN]

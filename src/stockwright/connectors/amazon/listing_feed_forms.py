"""Levels as Amazon's feed of listings holds them, and what its report says of each."""

from collections.abc import Sequence
from typing import Final

import msgspec

from stockwright.connectors.amazon.declaration import AmazonSettings
from stockwright.connectors.amazon.listings import patch_of
from stockwright.sdk.messages import Applied, InDoubt, LevelKey, LevelToSend, PublishResult, Refused

FEED_TYPE: Final = "JSON_LISTINGS_FEED"
CONTENT: Final = "application/json; charset=UTF-8"


class _Issue(msgspec.Struct, rename="camel"):
    severity: str
    message: str
    code: str = ""
    message_id: int = 0


class _Counts(msgspec.Struct, rename="camel"):
    messages_processed: int
    messages_accepted: int


class _Report(msgspec.Struct):
    issues: list[_Issue]
    summary: _Counts


def document_of(levels: Sequence[LevelToSend], settings: AmazonSettings) -> bytes:
    """The document of a feed: a message for each level, numbered from 1."""
    document = {
        "header": {"sellerId": settings.seller_id, "version": "2.0"},
        "messages": [
            {
                "messageId": n,
                "sku": level.listing,
                "operationType": "PATCH",
                "productType": settings.product_type,
                "patches": patch_of(level, settings),
            }
            for n, level in enumerate(levels, 1)
        ],
    }
    return msgspec.json.encode(document)


def results_of(rows: Sequence[LevelKey], told: bytes | None) -> dict[LevelKey, PublishResult]:
    """A result for each message. Where the report counts other than we do, silence is doubt."""
    try:
        report = msgspec.json.decode(told or b"", type=_Report)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return dict.fromkeys(rows, InDoubt(reason="the feed's report cannot be read"))
    refused: dict[int, Refused] = {}
    for issue in report.issues:
        if issue.severity == "ERROR" and 0 <= issue.message_id <= len(rows):
            refusal = Refused(reason=issue.code or "invalid", message=issue.message)
            refused.setdefault(issue.message_id, refusal)
    counted = report.summary
    whole = refused.pop(0, None)
    rest: PublishResult = Applied()
    if whole is not None and not counted.messages_accepted:
        rest = whole
    elif counted.messages_accepted != len(rows) - len(refused):
        rest = InDoubt(reason="the feed's report does not tell of every message")
    return {key: refused.get(n, rest) for n, key in enumerate(rows, 1)}

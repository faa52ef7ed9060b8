"""The forms of the protocol: what is sent, and what a partner's answer says level by level."""

from typing import Any, Final, Literal

import msgspec

from stockwright.sdk.messages import (
    Applied,
    InDoubt,
    LevelKey,
    LevelToSend,
    PublishResult,
    Refused,
    Retry,
    ShownLevel,
)
from stockwright.sdk.transports import LONGEST_RETRY_AFTER_S

DEFAULT_RETRY_S: Final = 5.0


class LevelResult(msgspec.Struct):
    """What the partner says about one level of a batch."""

    listing: str
    status: Literal["applied", "refused", "retry"]
    location: str = ""
    reason: str = ""
    retry_after_s: float = DEFAULT_RETRY_S
    quantity: int | None = None
    version: int | None = None


class LevelResults(msgspec.Struct):
    """The partner's answer to a batch, in any order; each is read alone."""

    results: list[msgspec.Raw]


class ShownLevels(msgspec.Struct):
    """The partner's answer to the question what it shows."""

    levels: list[ShownLevel]
    next: str = ""


class OrderPage(msgspec.Struct):
    """The partner's answer to a poll. orders stay the bytes they came as."""

    orders: list[msgspec.Raw]
    next: str
    more: bool = False


def wire_of(level: LevelToSend) -> dict[str, Any]:
    """One level as it is sent."""
    wire: dict[str, Any] = {
        "listing": level.listing,
        "quantity": level.quantity,
        "version": level.version,
    }
    return wire | {"location": level.location} if level.location else wire


def per_level(levels: list[LevelToSend], body: bytes) -> list[PublishResult]:
    """The results by name: partners answer in any order, twice, or not for all."""
    try:
        results = msgspec.json.decode(body, type=LevelResults).results
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return [InDoubt(reason="the partner's answer cannot be read")] * len(levels)
    by_key: dict[LevelKey, LevelResult] = {}
    for raw in results:
        try:
            answer = msgspec.json.decode(raw, type=LevelResult)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            continue  # its level stays unanswered, and so in doubt
        by_key[LevelKey(listing=answer.listing, location=answer.location)] = answer
    return [result_of(by_key.get(level.key)) for level in levels]


def result_of(answer: LevelResult | None) -> PublishResult:
    """What we make of one result; None: the answer does not name the level."""
    if answer is None:
        return InDoubt(reason="the partner's answer does not name this level")
    if answer.status == "applied":
        return Applied(shown=answer.quantity, version=answer.version)
    if answer.status == "refused":
        return Refused(reason=answer.reason or "refused")
    wait_s = min(max(answer.retry_after_s, 0.0), LONGEST_RETRY_AFTER_S)
    return Retry(retry_after_s=wait_s, reason=answer.reason, shown=answer.quantity)


def excerpt_of(body: bytes) -> str:
    """The beginning of an answer, for a message to people."""
    return body[:200].decode("utf-8", "replace")

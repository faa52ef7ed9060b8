"""What is said to a partner, and what its silence and its failures mean."""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog
from msgspec.structs import replace

from stockwright import telemetry
from stockwright.domain.codes import storable
from stockwright.domain.errors import Misconfigured, StockwrightError, Throttled, Transient
from stockwright.domain.events import MAX_QUANTITY
from stockwright.domain.levels import Level
from stockwright.flow.calls import Call, Failed, Link
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
from stockwright.sdk.pacing import NothingToSpare
from stockwright.sdk.transports import Meter
from stockwright.sdk.verbs import Publishes, ReadsBack

MAX_VERSION: Final = 2**53
"""Far above any version of ours, which follow the clock; no JSON reader keeps more."""
MAX_REASON: Final = 200
MAX_WORDS: Final = 500
_log = structlog.get_logger(__name__)


async def send(connection: Publishes, link: Link, call: Call) -> Sequence[PublishResult] | Failed:
    """Carries a call to its partner; one answer per level, or why nothing was done.

    What the connector does not tell is in doubt: silence, a fault of its own, answers that do not
    match the question.
    """
    try:
        async with asyncio.timeout(_patience_s(link)):
            answer = list(await connection.publish([_message(level) for level in call.levels]))
    except (Transient, Misconfigured) as failure:
        return _failed(failure)
    except TimeoutError:
        return _doubt(call, "no answer in time")
    except Exception as failure:  # noqa: BLE001  a fault of the connector: nobody knows what was sent
        tell(link.system, failure)
        return _doubt(call, f"the connector failed: {_words(failure)}")
    if len(answer) != len(call.levels):
        return _doubt(call, f"{len(answer)} answers to {len(call.levels)} levels")
    return [_kept(result) for result in answer]


def on_the_whole(
    answer: Sequence[PublishResult] | Failed, meter: Meter, *, own_plans: bool
) -> Sequence[PublishResult] | Failed:
    """The answers, or why the whole call failed: a connector tells level by level that nothing was
    done, though no call of it reached the partner, or it was asked for silence. That is no fault of
    a level, and concerns those that were not in the call as well. own_plans: the connection keeps
    a plan for each of its operations, so that a silence is of one of them alone.
    """
    if isinstance(answer, Failed) or not meter.calls or meter.served:
        return answer
    waits = [one for one in answer if isinstance(one, Retry) and one.shown is None]
    if len(waits) < len(answer):
        return answer
    if not meter.hushed:
        return Failed(waits[0].reason)
    longest_s = max(one.retry_after_s for one in waits)
    return answer if own_plans else Failed(waits[0].reason, retry_after_s=longest_s)


async def ask_back(
    connection: ReadsBack, link: Link, levels: Sequence[Level]
) -> Sequence[ShownLevel | None] | Failed:
    """What the partner shows of these levels, aligned, or why it could not be told."""
    keys = [LevelKey(listing=level.listing, location=level.location) for level in levels]
    try:
        async with asyncio.timeout(_patience_s(link)):
            answer = list(await connection.read_back(keys))
    except TimeoutError:
        return Failed("no answer in time when read back")
    except NothingToSpare as failure:
        return Failed(_words(failure))
    except Exception as failure:  # noqa: BLE001  nothing was changed; told, and asked another time
        tell(link.system, failure)
        return _failed(failure)
    if len(answer) != len(keys):
        return Failed(f"{len(answer)} answers to {len(keys)} levels read back")
    return [one if one is not None and is_number(one.quantity) else None for one in answer]


def tell(system: str, failure: Exception) -> None:
    """Counts and logs a failed step of publication; it is tried again."""
    telemetry.STEP_FAILURES.labels("publication").inc()
    known = isinstance(failure, StockwrightError)
    _log.warning(
        "publication step failed", system=system, error=_words(failure), exc_info=not known
    )


def _patience_s(link: Link) -> float:
    # A connector keeps its own timeout; this is the net under it, and still ends before the lease.
    return link.limits.timeout_s + min(1.0, link.lease_margin_s / 4)


def _message(level: Level) -> LevelToSend:
    assert level.sent is not None
    assert level.sent_version is not None
    known = level.doubt_until is None and not level.is_forced
    return LevelToSend(
        channel=level.channel,
        listing=level.listing,
        location=level.location,
        quantity=level.sent,
        version=level.sent_version,
        expected=level.acknowledged if known else None,
    )


def is_number(quantity: int | None) -> bool:
    """Whether a number that a partner told may be one of pieces; None is none that it told."""
    return quantity is None or abs(quantity) <= MAX_QUANTITY


def _kept(result: object) -> PublishResult:
    """A result as it can be kept: one that cannot would leave a whole call without its answers."""
    match result:
        case Applied(shown=shown, version=version):
            if is_number(shown) and (version is None or 0 <= version <= MAX_VERSION):
                return result
            return InDoubt(reason="the partner answered a number that cannot be")
        case Retry(shown=shown, reason=reason):
            told = shown if is_number(shown) else None
            return replace(result, shown=told, reason=storable(reason, MAX_WORDS))
        case Refused(reason=reason, message=message):
            words = storable(telemetry.hide_secrets(message), MAX_WORDS)
            return replace(result, reason=storable(reason, MAX_REASON), message=words)
        case InDoubt(reason=reason):
            return replace(result, reason=storable(reason, MAX_WORDS))
        case _:
            return InDoubt(reason=f"the connector answered {type(result).__name__}")


def _doubt(call: Call, reason: str) -> list[PublishResult]:
    return [InDoubt(reason=reason) for _ in call.levels]


def _failed(failure: Exception) -> Failed:
    match failure:
        case Throttled():
            return Failed(_words(failure), retry_after_s=failure.retry_after_s)
        case Misconfigured():
            return Failed(_words(failure), setting=failure.setting)
        case _:
            return Failed(_words(failure))


def _words(failure: Exception) -> str:
    return storable(telemetry.hide_secrets(str(failure) or type(failure).__name__), MAX_WORDS)

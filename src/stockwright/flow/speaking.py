"""What is said to a partner, and what its silence and its failures mean."""

import asyncio
from collections.abc import Sequence

import structlog

from stockwright import telemetry
from stockwright.domain.errors import Misconfigured, StockwrightError, Throttled, Transient
from stockwright.domain.levels import Level
from stockwright.flow.calls import Call, Failed, Link
from stockwright.sdk.messages import InDoubt, LevelKey, LevelToSend, PublishResult, ShownLevel
from stockwright.sdk.verbs import Publishes, ReadsBack

_log = structlog.get_logger(__name__)


async def send(connection: Publishes, link: Link, call: Call) -> Sequence[PublishResult] | Failed:
    """Carries a call to its partner; one answer per level, or why nothing was done.

    What the connector does not tell is in doubt: silence, a fault of its own, answers that do not
    match the question.
    """
    try:
        async with asyncio.timeout(_patience_s(link)):
            answer = await connection.publish([_message(level) for level in call.levels])
    except (Transient, Misconfigured) as failure:
        return _failed(failure)
    except TimeoutError:
        return _doubt(call, "no answer in time")
    except Exception as failure:  # noqa: BLE001  a fault of the connector: nobody knows what was sent
        tell(link.system, failure)
        return _doubt(call, f"the connector failed: {_words(failure)}")
    if len(answer) != len(call.levels):
        return _doubt(call, f"{len(answer)} answers to {len(call.levels)} levels")
    return answer


async def ask_back(
    connection: ReadsBack, link: Link, levels: Sequence[Level]
) -> Sequence[ShownLevel | None] | Failed:
    """What the partner shows of these levels, aligned, or why it could not be told."""
    keys = [LevelKey(listing=level.listing, location=level.location) for level in levels]
    try:
        async with asyncio.timeout(_patience_s(link)):
            answer = await connection.read_back(keys)
    except TimeoutError:
        return Failed("no answer in time when read back")
    except Exception as failure:  # noqa: BLE001  nothing was changed; told, and asked another time
        tell(link.system, failure)
        return _failed(failure)
    if len(answer) != len(keys):
        return Failed(f"{len(answer)} answers to {len(keys)} levels read back")
    return answer


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
    return telemetry.hide_secrets(str(failure) or type(failure).__name__)[:500]

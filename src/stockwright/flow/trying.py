"""Tries a channel's exposure policies before they hold, and puts them in force.

What a trial asks for is computed aside, one computation at a time, by whichever process takes it:
it may take minutes, and goes on in another process where the first one ends.
"""

import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import structlog
from msgspec.structs import replace

from stockwright.domain.errors import Rejected, StockwrightError, Transient
from stockwright.domain.network import Channel, ExposurePolicy, Network
from stockwright.domain.network_changes import Difference
from stockwright.domain.policies import PolicySet
from stockwright.flow import configuring
from stockwright.flow.configuring import Applied
from stockwright.flow.preview import Progress, preview
from stockwright.flow.replaying import replay_policies
from stockwright.store import policy_trials
from stockwright.store.connection import Connection, Pool
from stockwright.store.history import Said
from stockwright.store.network import read_network
from stockwright.store.policy_trials import Taken, Trial
from stockwright.store.session import session

SHOWN: Final = 100
"""Effects that a preview of a trial keeps, the largest ones."""
DAYS: Final = 30.0
BEAT_S: Final = 1.0
MOST_ATTEMPTS: Final = 3
_log = structlog.get_logger(__name__)


class Stopped(Exception):
    """Nobody wants to know any more."""


def begin(
    connection: Connection,
    channel: str,
    rules: Sequence[ExposurePolicy],
    *,
    owner: str,
    revision: int,
    reason: str = "",
) -> int:
    """Keeps rules planned on a revision and asks what they would change; the trial's id.

    Raises Throttled where too many computations wait already.
    """
    trial = policy_trials.make(
        connection, channel, rules, owner=owner, revision=revision, reason=reason
    )
    policy_trials.ask(connection, trial, "preview")
    return trial


def run_next(pool: Pool, *, beat_s: float = BEAT_S) -> bool:
    """Carries out the computation that waits longest; False where none does.

    A failure of the database leaves it to whoever asks next, a few times. Raises Transient.
    """
    with session(pool) as connection:
        taken = policy_trials.take(connection)
    if taken is None:
        return False
    if taken.attempt > MOST_ATTEMPTS:
        _end(pool, taken, error=f"It did not come to an end in {MOST_ATTEMPTS} tries.")
        return True
    try:
        with session(pool) as connection:
            result = _compute(connection, taken, _Beat(pool, taken, beat_s))
        _end(pool, taken, result)
    except Stopped:
        pass
    except Transient:
        raise
    except StockwrightError as failure:
        _end(pool, taken, error=str(failure))
    except Exception:  # noqa: BLE001  logged and told; what waits behind it goes on
        _log.exception("a trial of policies failed", trial=taken.trial, kind=taken.kind)
        _end(pool, taken, error="It failed in a way that nobody foresaw; the log says how.")
    return True


def _compute(connection: Connection, taken: Taken, progress: Progress) -> Any:
    candidate = msgspec.convert(
        {"channels": {taken.channel: msgspec.to_builtins(taken.rules)}}, PolicySet
    )
    if taken.kind == "preview":
        return preview(connection, candidate, limit=SHOWN, progress=progress)
    return replay_policies(connection, candidate, days=DAYS, progress=progress)


def _end(pool: Pool, taken: Taken, result: Any = None, error: str = "") -> None:
    with session(pool) as connection:
        policy_trials.finish(connection, taken, result, error=error)


class _Beat:
    """Says from time to time that a computation goes on, and stops it where nobody wants it."""

    def __init__(self, pool: Pool, taken: Taken, every_s: float) -> None:
        self._pool = pool
        self._taken = taken
        self._every_s = every_s
        self._last = time.monotonic()

    def __call__(self, seen: int) -> None:
        if time.monotonic() - self._last < self._every_s:
            return
        self._last = time.monotonic()
        try:
            with session(self._pool) as connection:
                wanted = policy_trials.beat(connection, self._taken, seen)
        except Transient:
            return  # the next beat may come through
        if not wanted:
            raise Stopped


def differences(connection: Connection, trial: Trial) -> Sequence[Difference]:
    """What a trial would change in the rules as they are now."""
    return configuring.plan_edits(connection, _edits(connection, trial))


def apply(connection: Connection, trial: Trial, said: Said) -> Applied:
    """Puts a trial's rules in force, by a revision of the configuration.

    Raises Rejected (outdated) where the configuration is no longer what they were planned on.
    """
    edits = _edits(connection, trial)
    applied = configuring.apply_edits(connection, edits, said, if_revision=trial.revision)
    if applied.revision is not None:
        policy_trials.mark_applied(connection, trial.id, applied.revision, said.reason)
    return applied


def _edits(connection: Connection, trial: Trial) -> Network:
    channel = channel_of(read_network(connection), trial.channel)
    return Network(channels=(replace(channel, policies=tuple(trial.rules)),))


def channel_of(network: Network, code: str) -> Channel:
    """The channel of a code. Raises Rejected (not_found)."""
    found = next((one for one in network.channels if one.code == code), None)
    if found is None:
        raise Rejected("not_found", "channel", f"There is no channel {code}. Go back to the list.")
    return found

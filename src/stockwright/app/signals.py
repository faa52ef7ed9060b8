"""Feeds the catalogue of signals: what the recorder does, and what waits in the house."""

from collections import Counter
from collections.abc import Callable, Sequence

from stockwright import telemetry
from stockwright.domain.events import Outcome
from stockwright.flow.recording import Recorder
from stockwright.store import processes, subscriptions
from stockwright.store.connection import Connection


def watch(recorder: Recorder) -> None:
    """Counts every batch of the recorder from now on."""
    # Looked up once: a batch may come every millisecond.
    counted: dict[str, Callable[[float], None]] = {}

    def observe(outcomes: Sequence[Outcome], seconds: float) -> None:
        telemetry.COMMIT.observe(seconds)
        telemetry.QUEUE.set(recorder.queued)
        if not outcomes:
            return
        telemetry.BATCH.observe(len(outcomes))
        for code, count in Counter([outcome.code for outcome in outcomes]).items():
            if code not in counted:
                counted[code] = telemetry.OUTCOMES.labels(code).inc
            counted[code](count)

    recorder.observers.append(observe)
    recorder.listeners.append(telemetry.SEQUENCE.set)


def measure(connection: Connection) -> None:
    """Sets every gauge of what waits: marks, levels, subscribers, parked payloads, work items."""
    telemetry.PROJECTION_WAITING.set(processes.marks(connection))
    for channel, (count, age_s) in processes.backlog_by_channel(connection).items():
        telemetry.BACKLOG.labels(channel).set(count)
        telemetry.OLDEST_UNPUBLISHED.labels(channel).set(age_s)
    lags = subscriptions.lags(connection)
    telemetry.SUBSCRIPTION_BEHIND.clear()
    telemetry.SUBSCRIPTION_LAG.clear()
    for name, (behind, age_s) in lags.items():
        telemetry.SUBSCRIPTION_BEHIND.labels(name).set(behind)
        telemetry.SUBSCRIPTION_LAG.labels(name).set(age_s)
    parked = processes.parked_by_system(connection)
    work = processes.work_by_kind(connection)
    # What nobody waits for any more must not stand there with its last count.
    telemetry.PARKED.clear()
    telemetry.WORK_ITEMS.clear()
    for system, count in parked.items():
        telemetry.PARKED.labels(system).set(count)
    for kind, count in work.items():
        telemetry.WORK_ITEMS.labels(kind).set(count)

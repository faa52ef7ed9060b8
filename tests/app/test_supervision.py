"""Parts that fail are told, and run again."""

import asyncio
import threading

import pytest

from stockwright.app import supervision
from stockwright.app.supervision import Supervisor


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(supervision, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(supervision, "LONGEST_PAUSE_S", 0.004)


def test_a_part_that_fails_is_run_again_and_the_failure_is_shown():
    runs: list[int] = []
    third = threading.Event()

    def run(stop: threading.Event) -> None:
        runs.append(1)
        if len(runs) < 3:
            raise RuntimeError(f"password=hunter2 number {len(runs)}")
        third.set()
        stop.wait()

    parts = Supervisor()
    parts.add("flaky", run)
    parts.start()
    assert third.wait(30)
    (view,) = parts.views()
    assert (view.name, view.state, view.failures) == ("flaky", "running", 2)
    assert "number 2" in view.error
    assert "hunter2" not in view.error
    assert parts.stop() == []
    assert parts.views()[0].state == "stopped"
    assert len(runs) == 3


def test_a_failing_part_leaves_the_others_alone():
    steady_runs: list[int] = []
    failed_often = threading.Event()
    failures: list[int] = []

    def steady(stop: threading.Event) -> None:
        steady_runs.append(1)
        stop.wait()

    def failing(_stop: threading.Event) -> None:
        failures.append(1)
        if len(failures) == 5:
            failed_often.set()
        raise ValueError

    parts = Supervisor()
    parts.add("steady", steady)
    parts.add("failing", failing)
    parts.start()
    assert failed_often.wait(30)
    assert parts.stop() == []
    assert len(steady_runs) == 1


def test_a_part_that_waits_for_its_pause_stops_at_once(monkeypatch):
    monkeypatch.setattr(supervision, "FIRST_PAUSE_S", 3600.0)
    monkeypatch.setattr(supervision, "LONGEST_PAUSE_S", 3600.0)
    failed = threading.Event()

    def run(_stop: threading.Event) -> None:
        failed.set()
        raise ValueError

    parts = Supervisor()
    parts.add("failing", run)
    parts.start()
    assert failed.wait(30)
    assert parts.stop(timeout_s=30) == []


def test_a_part_with_its_own_event_loop_hears_the_stop():
    heard: list[bool] = []
    began = threading.Event()

    async def run(stop: asyncio.Event) -> None:
        began.set()
        await stop.wait()
        heard.append(True)

    parts = Supervisor()
    parts.add_async("loop", run)
    parts.start()
    assert began.wait(30)
    assert parts.stop(timeout_s=30) == []
    assert heard == [True]


def test_a_part_whose_loop_has_just_ended_is_told_to_stop_without_harm():
    """Else the stop of the whole process broke off there, and the other parts ran on."""
    asks: list[object] = []
    ended = threading.Event()

    async def run(_stop: asyncio.Event) -> None:
        asks.append(part.when_asked)
        ended.set()

    parts = Supervisor()
    part = parts.add_async("short", run)
    parts.start()
    assert ended.wait(30)
    assert parts.stop(timeout_s=30) == []
    part.when_asked = asks[0]
    part.ask_to_stop()


def test_a_part_that_does_not_end_is_named():
    began, release = threading.Event(), threading.Event()

    def deaf(_stop: threading.Event) -> None:
        began.set()
        release.wait()

    parts = Supervisor()
    parts.add("deaf", deaf)
    parts.start()
    assert began.wait(30)
    assert parts.stop(timeout_s=0.05) == ["deaf"]
    release.set()
    assert parts.stop(timeout_s=30) == []

"""Keeps the parts of a process running: each in a thread, restarted with backoff when it fails."""

import asyncio
import datetime as dt
import random
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import structlog

from stockwright import telemetry
from stockwright.store.processes import PartView

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
HEALTHY_AFTER_S: Final = 60.0
"""A part that ran this long begins again with the shortest pause when it fails."""
_log = structlog.get_logger(__name__)

Run = Callable[[threading.Event], None]


class Part:
    """One loop of the process: `run(stop)` returns once stop is set, or raises."""

    def __init__(self, name: str, run: Run) -> None:
        self.view = PartView(name=name, state="stopped")
        self._run = run
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.when_asked: Callable[[], None] | None = None

    def start(self) -> None:
        """Starts the loop in a thread of its own."""
        assert self._thread is None
        self._thread = threading.Thread(target=self._keep_running, name=self.view.name)
        self._thread.daemon = True
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Tells the loop to end; returns at once."""
        self._stop.set()
        ask = self.when_asked  # read once: its loop may end at this moment, and take it away
        if ask is not None:
            ask()

    def join(self, timeout_s: float) -> bool:
        """Waits for the loop's end; False where it did not come in time."""
        if self._thread is None:
            return True
        self._thread.join(max(0.0, timeout_s))
        return not self._thread.is_alive()

    def _keep_running(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stop.is_set():
            self._set("running")
            started = time.monotonic()
            try:
                self._run(self._stop)
            except Exception as failure:  # noqa: BLE001  told to the log and to status, then again
                if time.monotonic() - started > HEALTHY_AFTER_S:
                    pause_s = FIRST_PAUSE_S
                self._tell(failure, pause_s)
                # Unequal pauses, so that parts that failed together do not come back together.
                self._stop.wait(pause_s * random.uniform(0.5, 1.0))
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            else:
                self._stop.wait(FIRST_PAUSE_S)
        self._set("stopped")

    def _set(self, state: str) -> None:
        self.view.state = state  # type: ignore[assignment]
        self.view.since = dt.datetime.now(dt.UTC)

    def _tell(self, failure: Exception, pause_s: float) -> None:
        telemetry.STEP_FAILURES.labels(self.view.name).inc()
        self.view.failures += 1
        self.view.error = telemetry.hide_secrets(str(failure) or type(failure).__name__)[:500]
        self._set("failed")
        _log.error(
            "part failed, will run again",
            part=self.view.name,
            again_within_s=pause_s,
            exc_info=failure,
        )


class Supervisor:
    """All parts of a process."""

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self.told: dict[str, PartView] = {}
        """How things are doing that are no loop of their own, by name: connections."""

    def add(self, name: str, run: Run) -> Part:
        """Adds a part; it starts with the others."""
        part = Part(name, run)
        self._parts.append(part)
        return part

    def add_async(self, name: str, run: Callable[[asyncio.Event], Awaitable[None]]) -> Part:
        """Adds a part that runs in an event loop of its own."""
        part = self.add(name, lambda stop: asyncio.run(_until(part, stop, run)))
        return part

    def start(self) -> None:
        """Starts every part."""
        for part in self._parts:
            part.start()

    def stop(self, timeout_s: float = 20.0) -> list[str]:
        """Ends every part and waits for them; names of those that did not end in time."""
        deadline = time.monotonic() + timeout_s
        for part in self._parts:
            part.ask_to_stop()
        late = [p.view.name for p in self._parts if not p.join(deadline - time.monotonic())]
        if late:
            _log.warning("parts did not end in time", parts=late)
        return late

    def views(self) -> list[PartView]:
        """How each part is doing."""
        return [*(part.view for part in self._parts), *self.told.copy().values()]


async def _until(
    part: Part, stop: threading.Event, run: Callable[[asyncio.Event], Awaitable[None]]
) -> None:
    """Runs a coroutine whose stop event follows the part's."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask() -> None:
        with suppress(RuntimeError):  # the loop has ended by itself
            loop.call_soon_threadsafe(stopping.set)

    part.when_asked = ask
    try:
        if not stop.is_set():
            await run(stopping)
    finally:
        part.when_asked = None

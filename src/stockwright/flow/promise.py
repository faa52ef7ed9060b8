"""A promise of one group's outcomes: what a caller waits on, made thousands of times a second."""

import threading
from typing import Final

from stockwright.domain.events import Outcome

_LOCK: Final = threading.Lock()


class Promise:
    """Kept once, by the recorder's thread. Waiting costs something only where it is not kept yet.

    `concurrent.futures.Future` builds a lock and a condition for each call; that was a tenth of all
    the interpreter's work at full speed.
    """

    __slots__ = ("_event", "_fault", "_outcomes")

    def __init__(self) -> None:
        self._event: threading.Event | None = None
        self._outcomes: list[Outcome] | None = None
        self._fault: BaseException | None = None

    def done(self) -> bool:
        """True once it is kept or broken."""
        return self._outcomes is not None or self._fault is not None

    def result(self, timeout_s: float | None = None) -> list[Outcome]:
        """The outcomes. Raises what broke the promise, and TimeoutError after `timeout_s`."""
        if not self.done():
            with _LOCK:
                if self._event is None:
                    self._event = threading.Event()
                event = self._event
            if not self.done() and not event.wait(timeout_s):
                raise TimeoutError(f"not recorded within {timeout_s} s; it may still be")
        if self._outcomes is None:
            assert self._fault is not None
            raise self._fault
        return self._outcomes

    def keep(self, outcomes: list[Outcome]) -> None:
        """Gives the outcomes to whoever waits."""
        self._outcomes = outcomes
        self._wake()

    def break_with(self, fault: BaseException) -> None:
        """Tells whoever waits that nothing may have been recorded."""
        self._fault = fault
        self._wake()

    def _wake(self) -> None:
        # Without the lock: who makes the event looks once more whether the promise is kept by now.
        event = self._event
        if event is not None:
            event.set()

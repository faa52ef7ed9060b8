"""Carries out trials of policies beside the pages: on one thread, which ends when nothing waits."""

import threading

import structlog

from stockwright.console.reading import Reader
from stockwright.domain.errors import Transient
from stockwright.flow.trying import run_next

_log = structlog.get_logger(__name__)


class Trier:
    """Works while something waits. Whoever asks for a trial, or looks at an open one, wakes it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._mutex = threading.Lock()
        self._asked = False
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Sees to it that what waits is carried out; returns at once."""
        with self._mutex:
            self._asked = True
            if self._thread is None:
                # A daemon: a process that ends leaves its trial to the next one.
                self._thread = threading.Thread(
                    target=self._work, name="policy trials", daemon=True
                )
                self._thread.start()

    def _work(self) -> None:
        while self._goes_on():
            try:
                while run_next(self._reader.services.pool):
                    pass
            except Transient as failure:
                _log.warning("a trial of policies waits for the database", reason=str(failure))
            except Exception:  # noqa: BLE001  logged; whoever asks next is served
                _log.exception("trials of policies stopped")

    def _goes_on(self) -> bool:
        with self._mutex:
            if not self._asked:
                self._thread = None
            asked, self._asked = self._asked, False
            return asked

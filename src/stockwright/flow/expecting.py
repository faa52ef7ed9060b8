"""Follows what was expected and owed: documents that receipts have served, flags nobody needs."""

import threading
from typing import Final

import structlog

from stockwright import telemetry
from stockwright.domain.errors import StockwrightError
from stockwright.store import backorders, supplies
from stockwright.store.connection import Pool
from stockwright.store.session import session

NAMES_AT_ONCE: Final = 500
EVERY_S: Final = 1.0
FLAGS_EVERY: Final = 600
"""Steps between two looks for SKUs of which nothing is owed any more."""
_log = structlog.get_logger(__name__)


class Expecting:
    """Settles expected documents for what the ledger has received. Safe to run twice."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._steps = 0

    def step(self, limit: int = NAMES_AT_ONCE) -> int:
        """Settles at most `limit` names that receipts gave; how many."""
        with session(self._pool) as connection:
            names = supplies.settle_received(connection, limit)
        if self._steps % FLAGS_EVERY == 0:
            with session(self._pool) as connection:
                backorders.unflag(connection)
        self._steps += 1
        return names

    def run(self, stop: threading.Event) -> None:
        """Steps every second, at once where there is more, until `stop`.

        A failed step is told, and run again: it left nothing half done.
        """
        while not stop.is_set():
            names = 0
            try:
                names = self.step()
            except StockwrightError as failure:
                telemetry.STEP_FAILURES.labels("expecting").inc()
                _log.warning("settling supply failed, will run again", error=str(failure))
            if names < NAMES_AT_ONCE:
                stop.wait(EVERY_S)

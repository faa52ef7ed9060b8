"""Writes down what would be sent to connections in shadow, where a publisher would send it.

It works from present state like the publisher: a level that is due is written down once for each
number, and stays due, so that going live sends what is true then.
"""

import threading
from typing import Final

from stockwright.store import connecting
from stockwright.store.connection import Connection, Pool
from stockwright.store.session import session

AT_ONCE: Final = 1_000
EVERY_S: Final = 2.0
_MOST: Final = 1_000
"""Steps in one go: a million levels."""


def note(connection: Connection, limit: int = AT_ONCE) -> int:
    """Writes down at most `limit` levels that are due and were not written down yet; how many."""
    return len(connecting.note_shadow(connection, limit))


def note_all(pool: Pool) -> int:
    """Writes down all that is due, in transactions of AT_ONCE levels; how many."""
    noted = 0
    for _ in range(_MOST):
        with session(pool) as connection:
            some = note(connection)
        noted += some
        if some < AT_ONCE:
            break
    return noted


def run(pool: Pool, stop: threading.Event) -> None:
    """Writes down what becomes due, until `stop`."""
    while not stop.is_set():
        note_all(pool)
        stop.wait(EVERY_S)

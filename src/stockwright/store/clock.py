"""The database's clock, where it was set back: what was due by the wrong time must not wait for it.

The ledger's own times never go back, so nothing is recorded in another order; see
docs/explanation/the-ledger.md.
"""

from typing import Final

from stockwright.store.connection import Connection
from stockwright.store.queries import load

LEAST_S: Final = 300.0
"""A smaller step is waited for. No lease lasts half as long, so that one that does is of before."""
_SQL: Final = load("clock")
# Any number that no other advisory lock of ours has ("swclock!" in bytes).
_LOCK: Final = int.from_bytes(b"swclock!", "big", signed=True)


def follow(connection: Connection) -> float:
    """Puts right what a clock that was set back left behind; by how many seconds it was, else 0.

    For each beat of a process, before it says that it lives. Of several that find it, one puts it
    right: twice as much would be too early.
    """
    if not set_back_s(connection):
        return 0.0
    connection.execute(_SQL["lock"], {"lock": _LOCK})
    set_s = set_back_s(connection)
    if set_s:
        put_right(connection, set_s)
    return set_s


def set_back_s(connection: Connection) -> float:
    """By how many seconds the clock was set back since a process was last seen; 0 where by fewer
    than LEAST_S.
    """
    row = connection.execute(_SQL["behind"]).fetchone()
    behind_s = float(row[0]) if row is not None and row[0] is not None else 0.0
    return behind_s if behind_s >= LEAST_S else 0.0


def put_right(connection: Connection, set_s: float) -> None:
    """Brings all times that lie ahead to where they would be; in the caller's transaction.

    For one at a time: what still lies ahead would come nearer once more.
    """
    for name in _SQL:
        if name not in ("behind", "lock"):
            connection.execute(_SQL[name], {"set_s": set_s})

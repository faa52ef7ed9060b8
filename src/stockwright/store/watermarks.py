"""Up to when a channel's orders are in its levels, and asking for them."""

import datetime as dt
from collections.abc import Sequence
from typing import Final

import msgspec

from stockwright.domain.watermark import Progress, Seen
from stockwright.store.arrays import texts
from stockwright.store.connection import Connection
from stockwright.store.queries import load

_SQL: Final = load("watermarks")


def progress(connection: Connection, system: str) -> Progress:
    """How far a system's orders have come. Read levels in a later statement."""
    row = connection.execute(_SQL["progress"], {"system": system}).fetchone()
    assert row is not None
    return Progress(**dict(zip(Progress.__struct_fields__, row, strict=True)))


def keep(connection: Connection, system: str, seen: Seen) -> None:
    """Keeps how far a system's orders have come; lock its connection first."""
    connection.execute(_SQL["keep"], msgspec.structs.asdict(seen) | {"system": system})


def increases(
    connection: Connection, channels: Sequence[str], until: dt.datetime, now: dt.datetime
) -> tuple[bool, bool]:
    """Whether increases of these channels are due since before `until`, and whether later ones."""
    arguments = {"channels": texts(channels), "until": until, "now": now}
    row = connection.execute(_SQL["standing"], arguments).fetchone()
    assert row is not None
    return bool(row[0]), bool(row[1])


def ask_for_orders(connection: Connection, system: str, gap_s: float) -> bool:
    """Makes a system's next poll due now; False where one is under way, fails or was just made.

    gap_s: the least time between two such polls.
    """
    return connection.execute(_SQL["ask"], {"system": system, "gap_s": gap_s}).rowcount > 0

"""A borrowed connection whose failures are the house's own, for floors that know no driver."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from stockwright.domain.errors import Rejected, Throttled
from stockwright.store.connection import Connection, Pool
from stockwright.store.errors import DatabaseUnavailable

_RACES: Final = frozenset({"work_item_open"})
_BY_TIME: Final = "history"
"""The schema whose keys are times: the next try has another one."""
_COLUMNS: Final = re.compile(r"\((?P<names>[^()]+)\)=\(")
"""The columns of a key, in whatever language the server tells the rest."""


@contextmanager
def session(pool: Pool, timeout_s: float | None = None) -> Iterator[Connection]:
    """Lends a connection as `Pool.connection` does, and raises what `translated` does."""
    with translated(), pool.connection(timeout_s) as connection:
        yield connection


@contextmanager
def translated() -> Iterator[None]:
    """Turns what the driver raises inside the block into branches of the house's error tree.

    DatabaseUnavailable: the server went away or is stopping. Throttled: it was too busy to finish
    in time, two transactions stood in each other's way, or we stood still in one for too long.
    Rejected: a value the database cannot hold, or a second row of a key; callers check what they
    let in, so this is the net below them.
    """
    try:
        yield
    except (
        psycopg.errors.QueryCanceled,
        psycopg.errors.LockNotAvailable,
        psycopg.errors.DeadlockDetected,
        psycopg.errors.SerializationFailure,
    ) as failure:
        raise _too_busy("database") from failure
    except psycopg.errors.IdleInTransactionSessionTimeout as failure:
        raise _too_busy("machine") from failure
    except psycopg.errors.UniqueViolation as failure:
        raise (
            _too_busy("database") if _was_a_race(failure) else _there_already(failure)
        ) from failure
    except (psycopg.OperationalError, psycopg.InterfaceError) as failure:
        raise DatabaseUnavailable("The database went away. Send the same again.") from failure
    except (psycopg.DataError, UnicodeEncodeError) as failure:
        # UnicodeEncodeError: halves of surrogate pairs, as Python reads an argument in Latin-1.
        message = (
            "A value is not one the database can hold: a NUL character, bytes that are not UTF-8,"
            " or out of range."
        )
        raise Rejected("malformed", "", message) from failure


def _too_busy(what: str) -> Throttled:
    message = f"The {what} was too busy to answer in time. Send the same again."
    return Throttled(message, retry_after_s=1.0)


def _was_a_race(failure: psycopg.errors.UniqueViolation) -> bool:
    """Whether two wrote the same at once: the second finds what the first wrote when it comes
    again. All other rows are written under a lock, or as `on conflict` says.
    """
    told = failure.diag
    return told.schema_name == _BY_TIME or told.constraint_name in _RACES


def _there_already(failure: psycopg.errors.UniqueViolation) -> Rejected:
    """The refusal of a second row of a key, by the last of its columns. Its values are not told:
    they may be a secret's.
    """
    found = _COLUMNS.search(failure.diag.message_detail or "")
    columns = found["names"].replace('"', "") if found else ""
    what = (failure.diag.table_name or "row").replace("_", " ")
    message = f"There is a {what} of this {columns or 'key'} already. Change that one instead."
    return Rejected("conflict", columns.rpartition(", ")[2], message)

"""A borrowed connection whose failures are the house's own, for floors that know no driver."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from stockwright.domain.errors import Rejected, Throttled
from stockwright.store.connection import Connection, Pool
from stockwright.store.errors import DatabaseUnavailable


@contextmanager
def session(pool: Pool, timeout_s: float | None = None) -> Iterator[Connection]:
    """Lends a connection as `Pool.connection` does, and raises what `translated` does."""
    with translated(), pool.connection(timeout_s) as connection:
        yield connection


@contextmanager
def translated() -> Iterator[None]:
    """Turns what the driver raises inside the block into branches of the house's error tree.

    DatabaseUnavailable: the server went away or is stopping. Throttled: it was too busy to finish
    in time, or two transactions stood in each other's way. Rejected: a value the database cannot
    hold; callers check what they let in, so this is the net below them.
    """
    try:
        yield
    except (
        psycopg.errors.QueryCanceled,
        psycopg.errors.LockNotAvailable,
        psycopg.errors.DeadlockDetected,
        psycopg.errors.SerializationFailure,
        psycopg.errors.UniqueViolation,
    ) as failure:
        message = "The database was too busy to answer in time. Send the same again."
        raise Throttled(message, retry_after_s=1.0) from failure
    except (psycopg.OperationalError, psycopg.InterfaceError) as failure:
        raise DatabaseUnavailable("The database went away. Send the same again.") from failure
    except (psycopg.DataError, UnicodeEncodeError) as failure:
        # UnicodeEncodeError: halves of surrogate pairs, as Python reads an argument in Latin-1.
        message = (
            "A value is not one the database can hold: a NUL character, bytes that are not UTF-8,"
            " or out of range."
        )
        raise Rejected("malformed", "", message) from failure

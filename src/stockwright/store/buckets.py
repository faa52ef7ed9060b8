"""The buckets of partners that give each operation a plan of its own."""

from typing import Final, TypeVar

import msgspec

from stockwright.sdk.pacing import Bucket, Change
from stockwright.store.connection import Connection
from stockwright.store.queries import load

_SQL: Final = load("buckets")
T = TypeVar("T")


def change_bucket(connection: Connection, system: str, operation: str, change: Change[T]) -> T:
    """Puts what `change` makes of a bucket in its place; what it says besides.

    Under the bucket's lock until the transaction ends. The time is seconds of the database's clock.
    """
    names = {"system": system, "operation": operation}
    while True:
        row = connection.execute(_SQL["lock"], names).fetchone()
        (now,) = connection.execute(_SQL["clock"]).fetchone() or (0.0,)
        rate, burst, tokens, at = row or (0.0, 0.0, 0.0, 0.0)
        before = Bucket(rate=rate, burst=burst, tokens=tokens, at=at) if row else None
        after, told = change(before, now)
        if after == before:
            return told
        query = _SQL["write" if row else "make"]
        if connection.execute(query, names | msgspec.structs.asdict(after)).rowcount:
            return told

"""Keeps partners' plans of single operations for all processes that speak to one account."""

import asyncio
from typing import TypeVar

from stockwright.sdk.pacing import Change
from stockwright.store.buckets import change_bucket
from stockwright.store.connection import Pool
from stockwright.store.session import session

T = TypeVar("T")


class SharedBuckets:
    """The buckets of one system, in the database."""

    def __init__(self, pool: Pool, system: str) -> None:
        self._pool = pool
        self._system = system

    async def change(self, operation: str, change: Change[T]) -> T:
        """See sdk.pacing.Buckets. Raises Transient where the database is away."""
        return await asyncio.to_thread(self._change, operation, change)

    def _change(self, operation: str, change: Change[T]) -> T:
        with session(self._pool) as connection:
            return change_bucket(connection, self._system, operation, change)

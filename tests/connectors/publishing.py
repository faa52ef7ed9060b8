"""Levels handed to brokers that come and go."""

import asyncio

from stockwright.sdk.messages import Applied, LevelToSend, PublishResult
from stockwright.sdk.queue_connection import QueueConnection
from stockwright.sdk.queues import Away


async def published(connection: QueueConnection, level: LevelToSend) -> PublishResult | Away:
    """What became of one level; Away where the broker could not be reached."""
    try:
        (found,) = await connection.publish([level])
    except Away as away:
        return away
    return found


async def until_applied(connection: QueueConnection, level: LevelToSend) -> None:
    """Publishes until it is taken: a broker needs its time, and one call has little of it."""
    async with asyncio.timeout(60):
        while await published(connection, level) != Applied():
            pass

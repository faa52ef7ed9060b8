"""Whether the process lives, whether it can serve, and its metrics."""

from typing import Final

import msgspec

from stockwright import __version__, telemetry
from stockwright.api.call import Call
from stockwright.api.problems import problem
from stockwright.api.reply import Reply, reply
from stockwright.store.connection import Connection

METRICS: Final = {telemetry.METRICS_CONTENT_TYPE: None}


class Health(msgspec.Struct, kw_only=True):
    """The process answers."""

    status: str = "ok"
    version: str = __version__


async def get_healthz(_call: Call) -> Reply:
    """The process lives; asks nobody else, so that a slow database gets no process killed."""
    return reply(Health())


async def get_readyz(call: Call) -> Reply:
    """The process can serve: the database answers, and the ledger's thread runs."""
    if not call.services.recorder.alive:
        raise problem("unavailable", "The ledger's thread ended; this process is restarting.")
    await call.run(_select_one)
    return reply(Health())


def _select_one(connection: Connection) -> None:
    connection.execute("SELECT 1")


async def get_metrics(_call: Call) -> Reply:
    """Every metric in the text format of Prometheus."""
    return Reply(200, telemetry.exposition(), telemetry.METRICS_CONTENT_TYPE.encode())

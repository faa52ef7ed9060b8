"""A bare SELECT behind the same web server, with a pool of 32 connections.

    python -m bench.select_server DATABASE_URL

It reads one row by its key and writes it as JSON: no keys, no channels, no explanation. Prints its
port when it is up.
"""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator

import msgspec
import psycopg
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stockwright.api.http import HttpConnection
from stockwright.store.baseline import PLACE

POOL = 32
_SELECT = (
    "select sellable, reserved, allocated, picked from balance "
    f"where sku = %s and location = '{PLACE}' and lot = ''"
)


class Ask(msgspec.Struct):
    sku: str


class Answer(msgspec.Struct):
    sku: str
    sellable: int
    free: int


_decode = msgspec.json.Decoder(Ask).decode
_encode = msgspec.json.Encoder().encode


def build(url: str) -> Starlette:
    idle: asyncio.Queue[psycopg.AsyncConnection] = asyncio.Queue()

    @contextlib.asynccontextmanager
    async def connected(_app: Starlette) -> AsyncIterator[None]:
        for _ in range(POOL):
            connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
            connection.prepare_threshold = 0
            idle.put_nowait(connection)
        yield
        while not idle.empty():
            await idle.get_nowait().close()

    async def stock(request: Request) -> Response:
        ask = _decode(await request.body())
        connection = await idle.get()
        try:
            cursor = await connection.execute(_SELECT, (ask.sku,), binary=True)
            row = await cursor.fetchone()
        finally:
            idle.put_nowait(connection)
        assert row is not None
        sellable, reserved, allocated, picked = row
        answer = Answer(ask.sku, sellable, sellable - reserved - allocated - picked)
        return Response(_encode(answer), media_type="application/json")

    return Starlette(routes=[Route("/stock", stock, methods=["POST"])], lifespan=connected)


def main(url: str) -> None:
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(
        build(url), loop="uvloop", http=HttpConnection, access_log=False, log_level="error"
    )
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main(sys.argv[1])

"""`http_proc`: the stored procedure behind the same web server, with a pool of 32 connections;
and a bare SELECT of one SKU's stock.

    python -m bench.proc_server DATABASE_URL

It does nothing but that: no keys, no checks beyond the body's shape. Prints its port when it is up.
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

POOL = 32
_CALL = "select proc_reserve_v1(%s, %s, %s, %s, %s, %s)"


_SELECT = (
    "select sum(sellable + inspection + quarantined + damaged)::bigint, "
    "sum(sellable - reserved - allocated - picked)::bigint from balance where sku = %s"
)


class Which(msgspec.Struct):
    skus: list[str]


class Stock(msgspec.Struct):
    sku: str
    on_hand: int
    free: int


class Line(msgspec.Struct):
    sku: str
    quantity: int
    location: str


class Ask(msgspec.Struct):
    document: str
    system: str
    lines: list[Line]


class Answer(msgspec.Struct):
    system: str
    document: str
    code: str


_decode = msgspec.json.Decoder(Ask).decode
_decode_which = msgspec.json.Decoder(Which).decode
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

    async def reserve(request: Request) -> Response:
        body = await request.body()
        ask = _decode(body)
        line = ask.lines[0]
        connection = await idle.get()
        try:
            cursor = await connection.execute(
                _CALL,
                (ask.system, ask.document, line.sku, line.location, line.quantity, body.decode()),
            )
            row = await cursor.fetchone()
        finally:
            idle.put_nowait(connection)
        assert row is not None
        answer = Answer(ask.system, ask.document, row[0])
        return Response(
            _encode(answer), 201 if row[0] == "granted" else 409, media_type="application/json"
        )

    async def available(request: Request) -> Response:
        (sku,) = _decode_which(await request.body()).skus
        connection = await idle.get()
        try:
            row = await (await connection.execute(_SELECT, (sku,))).fetchone()
        finally:
            idle.put_nowait(connection)
        assert row is not None
        return Response(_encode(Stock(sku, *row)), 200, media_type="application/json")

    routes = [
        Route("/reserve", reserve, methods=["POST"]),
        Route("/available", available, methods=["POST"]),
    ]
    return Starlette(routes=routes, lifespan=connected)


def main(url: str) -> None:
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(
        build(url), loop="uvloop", http=HttpConnection, access_log=False, log_level="error"
    )
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main(sys.argv[1])

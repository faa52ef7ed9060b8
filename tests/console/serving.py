"""The console behind a real HTTP server, and a client of ten lines for it."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette

from stockwright.console import routes
from stockwright.store.connection import Pool


@dataclass(frozen=True)
class Services:
    pool: Pool
    threads: ThreadPoolExecutor


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    cookies: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Served:
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connection(self, timeout_s: float = 20) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)

    def send(self, method: str, path: str, body: str = "", **headers: str) -> Answer:
        connection = self.connection()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body:
            named.setdefault("content-type", "application/x-www-form-urlencoded")
        connection.request(method, path, body or None, named)
        answer = connection.getresponse()
        cookies = {}
        for name, value in answer.getheaders():
            if name.lower() == "set-cookie":
                key, _, rest = value.partition("=")
                cookies[key] = rest.split(";")[0]
        lowered = {name.lower(): value for name, value in answer.getheaders()}
        found = Answer(answer.status, lowered, answer.read(), cookies)
        connection.close()
        return found

    def get(self, path: str, **headers: str) -> Answer:
        return self.send("GET", path, **headers)


@contextmanager
def serve(url: str, *, open_to_all: bool, port: int = 0) -> Iterator[Served]:
    """Runs the console on a port, or a free one, until the block ends."""
    pool = Pool(url)
    threads = ThreadPoolExecutor(4)
    app = Starlette(routes=routes(Services(pool, threads), open_to_all=open_to_all))
    listening = socket.create_server(("127.0.0.1", port))
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield Served(listening.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()
        threads.shutdown()
        pool.close()

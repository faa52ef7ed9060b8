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

from stockwright.config import Connections
from stockwright.console import routes
from stockwright.flow.intake import Intake
from stockwright.flow.recording import Recorder
from stockwright.store.connection import Pool


class Services:
    """What the console is given. The recorder starts when it is first asked for."""

    def __init__(self, url: str) -> None:
        self.pool = Pool(url)
        self.threads = ThreadPoolExecutor(4)
        self.consumer_networks: list[str] = []
        self.nameable = Connections()
        self._url = url
        self._recorder: Recorder | None = None

    @property
    def recorder(self) -> Recorder:
        if self._recorder is None:
            self._recorder = Recorder(self._url)
            self._recorder.start()
        return self._recorder

    @property
    def intake(self) -> Intake:
        return Intake(self.pool, self.recorder, {}, worker="test")

    def close(self) -> None:
        if self._recorder is not None:
            self._recorder.stop()
        self.threads.shutdown()
        self.pool.close()


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
def serve(url: str, *, open_to_all: bool, port: int = 0, base: str = "") -> Iterator[Served]:
    """Runs the console on a port, or a free one, until the block ends."""
    services = Services(url)
    app = Starlette(routes=routes(services, open_to_all=open_to_all, base=base))
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
        thread.join(60)
        listening.close()
        services.close()

"""Runs the door under uvicorn, inside this process, and drains it when asked to stop."""

import contextlib
import ipaddress
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Final

import uvicorn
from starlette.routing import BaseRoute

from stockwright.api.door import Door
from stockwright.api.http import HttpConnection
from stockwright.api.operations import Operation
from stockwright.api.routes import TABLE
from stockwright.app import Services
from stockwright.domain.errors import Misconfigured

DRAIN_S: Final = 15
"""Seconds that calls under way have to end once the process is asked to stop."""
_BACKLOG: Final = 2048


class WebServer:
    """The HTTP server of a process. `port` 0 takes any free one; `port` then tells which."""

    def __init__(
        self,
        services: Services,
        *,
        host: str,
        port: int,
        open_to_all: bool = False,
        routes: Sequence[BaseRoute] = (),
        table: Sequence[Operation] = TABLE,
    ) -> None:
        if open_to_all and not is_loopback(host):
            raise Misconfigured(
                "server.host",
                f"Without API keys the server only listens on this machine, and {host} is not it. "
                "Use 127.0.0.1, or leave the open demo mode and create a key.",
            )
        self.door = Door(services, open_to_all=open_to_all, routes=routes, table=table)
        self.host = host
        self._socket = _bind(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._server = _Server(
            uvicorn.Config(
                self.door,
                loop="uvloop",
                http=HttpConnection,
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,
                backlog=_BACKLOG,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=DRAIN_S,
            )
        )
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where a client on this machine reaches it."""
        host = "127.0.0.1" if self.host in ("", "0.0.0.0", "::") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def serving(self) -> bool:
        """True while it takes calls."""
        return self._thread is not None and self._thread.is_alive()

    def ask_to_stop(self) -> None:
        """Takes no more calls and lets those under way end; returns at once. For any thread."""
        self._server.should_exit = True
        self.door.let_go()

    def start(self) -> None:
        """Serves in a thread of its own, and returns once it answers."""
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="web server"
        )
        self._thread.start()
        self._server.answers.wait()

    def stop(self) -> None:
        """Drains and ends what `start` started. Safe to repeat."""
        self.ask_to_stop()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._socket.close()

    def __enter__(self) -> "WebServer":
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()


class _Server(uvicorn.Server):
    """Signals are the command's affair; readiness is told to whoever waits in another thread."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answers = threading.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the process's signal handlers alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to listen, then says so."""
        await super().startup(sockets)
        self.answers.set()


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address; a name counts where all it means does."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host or "0.0.0.0", None)
    except OSError:
        return False
    return all(ipaddress.ip_address(entry[4][0]).is_loopback for entry in found)


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OverflowError:
        bound.close()
        raise Misconfigured("server.port", f"Ports are from 0 to 65535, not {port}.") from None
    except OSError as failure:
        bound.close()
        raise Misconfigured(
            "server.port",
            f"Cannot listen on {host} port {port}: {failure.strerror or failure}. "
            "Stop what uses it, or choose another port.",
        ) from None
    bound.set_inheritable(False)
    return bound

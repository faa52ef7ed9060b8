"""A real RabbitMQ on loopback, that a test may kill and start again over what it stored."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import aio_pika
import pytest

from tests.connectors.certificates import Certificates
from tests.e2e.loopback_postgres import free_port

PROGRAMS_VARIABLE = "STOCKWRIGHT_E2E_RABBITMQ"
_DEBIAN = Path("/usr/lib/rabbitmq/bin")
USER = PASSWORD = "guest"


def _programs() -> Path:
    """The folder with rabbitmq-server. Fails naming what is missing."""
    folder = Path(os.environ.get(PROGRAMS_VARIABLE, _DEBIAN))
    if not (folder / "rabbitmq-server").is_file():
        pytest.fail(
            f"{folder} has no rabbitmq-server: install RabbitMQ (the package rabbitmq-server of"
            f" Debian and Ubuntu), or name the folder of its programs in {PROGRAMS_VARIABLE}"
        )
    if shutil.which("epmd") is None:
        pytest.fail("RabbitMQ needs Erlang's epmd on the PATH")
    return folder


_TLS = """
listeners.ssl.1 = 127.0.0.1:{port}
ssl_options.cacertfile = {told.authority}
ssl_options.certfile = {told.chain}
ssl_options.keyfile = {told.key}
ssl_options.verify = verify_none
ssl_options.fail_if_no_peer_cert = false
"""


class RabbitServer:
    """One server over one folder, with a port mapper of its own: it knows no other RabbitMQ. It
    speaks TLS on a port beside.
    """

    def __init__(self, folder: Path) -> None:
        self._programs = _programs()
        self._folder = folder
        self._mapped = free_port()
        self._mapper: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.port, self.tls_port = free_port(), free_port()
        self.certificates = Certificates(folder / "tls")
        told = _TLS.format(port=self.tls_port, told=self.certificates)
        (folder / "rabbitmq.conf").write_text(told)
        self._environment = {
            **os.environ,
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(self._mapped),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"stockwright{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        }

    def start(self) -> None:
        """Returns once it takes connections; about ten seconds."""
        if self._mapper is None:
            self._mapper = self._run("epmd", "-port", str(self._mapped))
        self._process = self._run(str(self._programs / "rabbitmq-server"))
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 1),
            ):
                return
            assert self._process.poll() is None, f"RabbitMQ ended at its start: see {self._folder}"
            time.sleep(0.1)
        raise AssertionError(f"RabbitMQ did not start: see {self._folder}")

    def kill(self) -> None:
        """Ends it as a crash would. Safe to repeat."""
        if self._process is not None:
            # A session of its own: the server, and the helpers that it started.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def end(self) -> None:
        """Ends it for good, with its port mapper."""
        self.kill()
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait()
            self._mapper = None

    def control(self, *command: str) -> None:
        """What an operator tells it by rabbitmqctl."""
        program = str(self._programs / "rabbitmqctl")
        subprocess.run(
            [program, "--quiet", *command],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            check=True,
        )

    def _run(self, *command: str) -> "subprocess.Popen[bytes]":
        self._folder.mkdir(exist_ok=True)
        with (self._folder / "output.txt").open("ab") as output:
            return subprocess.Popen(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    async def client(self) -> Any:
        """A connection of the test's own, to be closed by it."""
        async with asyncio.timeout(30):
            while True:
                try:
                    return await aio_pika.connect(
                        host="127.0.0.1", port=self.port, login=USER, password=PASSWORD
                    )
                except (aio_pika.exceptions.AMQPError, OSError):
                    await asyncio.sleep(0.2)

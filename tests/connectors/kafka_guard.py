"""A door before a broker that knows neither TLS nor passwords, on loopback.

It speaks TLS where it has certificates, asks for a user and password by SASL PLAIN where it has
one, and puts its own address in place of the broker's, so that clients come back to it.
"""

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.connectors.certificates import Certificates

_HANDSHAKE, _VERSIONS, _AUTHENTICATE = 17, 18, 36
_REFUSED = 58
_ADDRESS = b"127.0.0.1"


class KafkaGuard:
    """`user` and `password` empty: everybody is let in. seen counts who was, and who was not."""

    def __init__(self, broker: str, user: str = "", password: str = "") -> None:
        host, _, port = broker.rpartition(":")
        self._broker = (host, int(port))
        self._wanted = [user.encode(), password.encode()] if user else []
        self.port = 0
        self.let_in = self.kept_out = 0
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @asynccontextmanager
    async def open(self, certificates: Certificates | None) -> AsyncIterator["KafkaGuard"]:
        context = None
        if certificates is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates.chain, certificates.key)
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for serving in self._serving:
                serving.cancel()
            if self._serving:
                await asyncio.wait(self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_broker, to_broker = await asyncio.open_connection(*self._broker)
        told: set[int] = set()
        both = (
            asyncio.create_task(self._there(reader, writer, to_broker, told)),
            asyncio.create_task(self._back(from_broker, writer, told)),
        )
        self._serving.update(both)
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for one in both:
            one.cancel()
        await asyncio.wait(both)
        self._serving.difference_update(both)
        for end in (to_broker, writer):
            end.close()

    async def _there(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        to_broker: asyncio.StreamWriter,
        told: set[int],
    ) -> None:
        """Answers what is about who comes in, and hands on what those who are in ask for."""
        is_in = not self._wanted
        async for frame in _frames(reader):
            key, version, correlation = struct.unpack_from(">hhi", frame)
            if key == _HANDSHAKE:
                _send(writer, struct.pack(">ihih", correlation, 0, 1, 5) + b"PLAIN")
            elif key == _AUTHENTICATE:
                # Whom they act for, who they are, and the password that proves it.
                is_in = frame.split(b"\0")[-2:] == self._wanted
                self.let_in, self.kept_out = self.let_in + is_in, self.kept_out + (not is_in)
                error = 0 if is_in else _REFUSED
                lifetime = b"\0" * 8 if version else b""
                _send(writer, struct.pack(">ihhi", correlation, error, -1, 0) + lifetime)
            elif is_in or key == _VERSIONS:
                if key == _VERSIONS:
                    told.add(correlation)
                _send(to_broker, frame)
            else:
                return

    async def _back(
        self, from_broker: asyncio.StreamReader, writer: asyncio.StreamWriter, told: set[int]
    ) -> None:
        own = _ADDRESS + struct.pack(">i", self.port)
        theirs = _ADDRESS + struct.pack(">i", self._broker[1])
        async for frame in _frames(from_broker):
            (correlation,) = struct.unpack_from(">i", frame)
            if correlation in told:
                told.discard(correlation)
                error, count = struct.unpack_from(">hi", frame, 4)
                more = struct.pack(">6h", _HANDSHAKE, 0, 1, _AUTHENTICATE, 0, 1)
                listed = frame[10 : 10 + 6 * count]
                frame = struct.pack(">ihi", correlation, error, count + 2) + listed + more
            _send(writer, frame.replace(theirs, own))


async def _frames(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """What comes, message by message, until the connection ends."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            (size,) = struct.unpack(">i", await reader.readexactly(4))
            yield await reader.readexactly(size)


def _send(writer: asyncio.StreamWriter, frame: bytes) -> None:
    writer.write(struct.pack(">i", len(frame)) + frame)

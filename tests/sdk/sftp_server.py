"""A real SFTP server on loopback, whose folder the tests look into."""

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh

from stockwright.sdk.secrets import Secret

USER, PASSWORD = "hub", "s3cret"


class Door(asyncssh.SSHServer):
    """Lets one user in, by password or by a key."""

    def __init__(self, server: "SftpServer") -> None:
        self._server = server

    def connection_made(self, conn):
        self._server.connections.append(conn)

    def begin_auth(self, username):
        return True

    def password_auth_supported(self):
        return True

    def validate_password(self, username, password):
        return (username, password) == (USER, PASSWORD)

    def public_key_auth_supported(self):
        return True

    def validate_public_key(self, username, key):
        return username == USER and key == self._server.client_key.convert_to_public()


class Folder(asyncssh.SFTPServer):
    """The server's folder; `before` of the server may spoil any call."""

    def __init__(self, chan, server: "SftpServer") -> None:
        super().__init__(chan, chroot=str(server.root).encode())
        self._sw = server

    async def _before(self, what, path):
        await self._sw.before(what, path.decode("utf-8", "surrogateescape"))

    async def open(self, path, pflags, attrs):
        await self._before("open", path)
        return super().open(path, pflags, attrs)

    async def rename(self, oldpath, newpath):
        await self._before("rename", newpath)
        return super().rename(oldpath, newpath)

    async def posix_rename(self, oldpath, newpath):
        await self._before("posix_rename", newpath)
        result = super().posix_rename(oldpath, newpath)
        await self._before("posix_renamed", newpath)
        return result


class SftpServer:
    """Settings of a connection to it, and what it does to calls."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.client_key = asyncssh.generate_private_key("ssh-ed25519")
        self.connections: list[asyncssh.SSHServerConnection] = []
        self.port = 0
        self.faults: dict[str, object] = {}

    async def before(self, what, path):
        """Raises or waits as `faults` says for this call."""
        fault = self.faults.get(what)
        if isinstance(fault, BaseException):
            raise fault
        if isinstance(fault, float):
            await asyncio.sleep(fault)
        if callable(fault):
            await fault(path)

    def settings(self, **more):
        given = {
            "sftp_host": "127.0.0.1",
            "sftp_port": self.port,
            "sftp_user": USER,
            "sftp_host_key": self.host_key.export_public_key().decode(),
            "sftp_password": Secret(PASSWORD),
            "timeout_s": 20.0,
            "outbox": "/out",
            "inbox": "/in",
        }
        return {**given, **more}


@asynccontextmanager
async def serving(root: Path, host_key=None):
    """The server, with the folders `in` and `out`, until the end of the block."""
    server = SftpServer(root)
    server.host_key = host_key or server.host_key
    for name in ("in", "out"):
        (root / name).mkdir(exist_ok=True)
    listener = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=lambda: Door(server),
        server_host_keys=[server.host_key],
        sftp_factory=lambda chan: Folder(chan, server),
    )
    server.port = listener.get_port()
    try:
        yield server
    finally:
        listener.close()
        for connection in server.connections:
            connection.abort()
        await listener.wait_closed()
        for connection in server.connections:
            await connection.wait_closed()

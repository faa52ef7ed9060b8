"""Folders of an SFTP server, by asyncssh (extra `sftp`).

The server is known by its pinned host key or not spoken to. Nothing of this machine's own SSH
set-up is used: no agent, no configuration, no known_hosts file, no default keys.
"""

import asyncio
import datetime as dt
import posixpath
import secrets
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Literal, TypeVar

import msgspec

from stockwright.domain.errors import Misconfigured, Transient
from stockwright.sdk.files.places import Entry, shown
from stockwright.sdk.secrets import Secret
from stockwright.sdk.transports import NotSent, Unanswered

try:
    import asyncssh
except ImportError as error:
    raise Misconfigured(
        "sftp_host", "SFTP needs asyncssh: install Stockwright with its extra, stockwright[sftp]"
    ) from error

T = TypeVar("T")
LOCK_S: Final = 180.0
"""Seconds after which the lock of a dead or frozen process is taken: longer than any call lasts."""
_GONE: Final = (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath)


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """Which server, and as whom. host_key: its public key, or several, a line each.

    timeout_s is for one question to the server, and for connecting to it.
    """

    host: str
    user: str
    host_key: str
    port: int = 22
    password: Secret | None = None
    key: Secret | None = None
    passphrase: Secret | None = None
    timeout_s: float = 15.0


class SftpPlace:
    """One connection to one server, opened when it is needed. Belongs to one event loop."""

    def __init__(self, server: Server, clock: Callable[[], dt.datetime]) -> None:
        self._server = server
        self._clock = clock
        self._at = f"{server.host}:{server.port}"
        self._token = secrets.token_hex(4)
        self._opening = asyncio.Lock()
        self._connection: asyncssh.SSHClientConnection | None = None
        self._client: asyncssh.SFTPClient | None = None

    # ---------------------------------------------------------------- the seam

    async def has_folder(self, path: str) -> bool:
        """Whether a folder is there."""
        return await self._asked(path, lambda client: client.isdir(_raw(path)))

    async def entries(self, folder: str) -> list[Entry]:
        """All names in a folder."""

        async def listed(client: asyncssh.SFTPClient) -> list[Entry]:
            return [_entry(found) async for found in client.scandir(_raw(folder))]

        found = await self._asked(folder, listed)
        return [entry for entry in found if "/" not in entry.name and entry.name not in (".", "..")]

    async def read(self, path: str, limit: int) -> bytes:
        """The first `limit` bytes of a file."""

        async def content(client: asyncssh.SFTPClient) -> bytes:
            async with client.open(_raw(path), "rb", encoding=None) as file:
                size = (await file.stat()).size or 0
                body: Any = await file.read(min(limit, size))
                return bytes(body)

        return await self._asked(path, content)

    async def write(self, path: str, body: bytes) -> None:
        """Uploads under a temporary name, flushes, renames."""
        folder, name = posixpath.split(path)
        draft = f"{folder}/.{name}.{self._token}.tmp"

        async def upload(client: asyncssh.SFTPClient) -> None:
            async with client.open(_raw(draft), "wb", encoding=None) as file:
                await file.write(body)
                with suppress(asyncssh.SFTPOpUnsupported):
                    await file.fsync()

        try:
            await self._asked(draft, upload)
        except Unanswered as error:
            # A draft that is only half there is seen by nobody.
            raise NotSent(str(error)) from None
        try:
            await self._asked(path, lambda client: _replace(client, draft, path))
        except Unanswered:
            raise
        except Transient:
            with suppress(Transient):
                await self.remove(draft)
            raise

    async def move(self, source: str, target: str) -> bool:
        """Renames; False where the source is gone."""

        async def renamed(client: asyncssh.SFTPClient) -> bool:
            if await client.lexists(_raw(target)):
                raise FileExistsError(target)
            try:
                await client.rename(_raw(source), _raw(target))
            except _GONE:
                return False
            except asyncssh.SFTPError:
                # Servers of the common version 3 call almost everything a failure.
                if not await client.lexists(_raw(source)):
                    return False
                if await client.lexists(_raw(target)):
                    raise FileExistsError(target) from None
                raise
            return True

        return await self._asked(source, renamed)

    async def remove(self, path: str) -> None:
        """Takes a file away."""
        with suppress(FileNotFoundError):
            await self._asked(path, lambda client: client.remove(_raw(path)))

    async def make_folder(self, path: str) -> None:
        """Makes a folder."""

        async def made(client: asyncssh.SFTPClient) -> None:
            if await client.isdir(_raw(path)):
                return
            try:
                await client.mkdir(_raw(path))
            except asyncssh.SFTPError:
                if not await client.isdir(_raw(path)):
                    raise

        await self._asked(path, made)

    async def remove_folder(self, path: str) -> None:
        """Takes an empty folder away."""

        async def removed(client: asyncssh.SFTPClient) -> None:
            with suppress(asyncssh.SFTPError):
                await client.rmdir(_raw(path))

        await self._asked(path, removed)

    @asynccontextmanager
    async def locked(self, path: str) -> AsyncIterator[bool]:
        """A file that only one can make. Where it is not known what the server still carries out
        for us, it is left to grow old: the next turn comes after that.
        """
        ours = f"{self._now_s():.3f} {self._token}".encode()
        if not await self._take_lock(path, ours):
            yield False
            return
        try:
            yield True
        except (Unanswered, asyncio.CancelledError):
            self._drop()
            raise
        except BaseException:
            await self._free_lock(path, ours)
            raise
        await self._free_lock(path, ours)

    async def close(self) -> None:
        """Ends the connection; the next call opens another."""
        connection = self._connection
        self._drop()
        if connection is not None:
            await connection.wait_closed()

    # ---------------------------------------------------------------- locks

    def _now_s(self) -> float:
        return self._clock().timestamp()

    async def _take_lock(self, path: str, ours: bytes) -> bool:
        async def made(client: asyncssh.SFTPClient, *, again: bool = True) -> bool:
            try:
                async with client.open(_raw(path), "xb", encoding=None) as file:
                    await file.write(ours)
            except asyncssh.SFTPError:
                if await client.lexists(_raw(path)):
                    return False
                if not again:
                    raise
                # It was there, and its holder has given it back meanwhile.
                return await made(client, again=False)
            return True

        if await self._asked(path, made):
            return True
        if await self._lock_is_old(path) and await self._take_aside(path):
            return await self._asked(path, made)
        return False

    async def _lock_is_old(self, path: str) -> bool:
        try:
            begun = float((await self.read(path, 100)).split()[0])
        except FileNotFoundError:
            return False
        except (ValueError, IndexError):
            # Its maker ended before its first byte: the server's own time must do.
            stats = await self._asked(path, lambda client: client.stat(_raw(path)))
            begun = float(stats.mtime or 0)
        return self._now_s() - begun > LOCK_S

    async def _take_aside(self, path: str) -> bool:
        """Takes an old lock away; True for one of those who try."""
        aside = f"{path}.{self._token}.old"
        try:
            won = await self.move(path, aside)
        except FileExistsError:
            won = True
        await self.remove(aside)
        return won

    async def _free_lock(self, path: str, ours: bytes) -> None:
        with suppress(Transient, FileNotFoundError):
            if await self.read(path, 100) == ours:
                await self.remove(path)

    # ---------------------------------------------------------------- the connection

    async def _asked(self, path: str, ask: Callable[[asyncssh.SFTPClient], Awaitable[T]]) -> T:
        """What the server answers to one question; errors as the seam tells them."""
        client = await self._opened()
        try:
            async with asyncio.timeout(self._server.timeout_s):
                return await ask(client)
        except _GONE:
            raise FileNotFoundError(path) from None
        except FileExistsError:
            raise
        except (asyncssh.SFTPPermissionDenied, asyncssh.SFTPWriteProtect):
            who = f"{self._server.user} at {self._at}"
            raise Misconfigured("sftp_user", f"{who} may not work on {shown(path)}") from None
        except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection) as error:
            self._drop()
            raise Unanswered(f"{self._at} broke off: {error.reason}") from None
        except asyncssh.SFTPError as error:
            raise Transient(f"{self._at} refused {shown(path)}: {error.reason}") from None
        except TimeoutError:
            self._drop()
            wait = f"{self._server.timeout_s:g} s"
            raise Unanswered(f"{self._at} did not answer within {wait}") from None
        except (asyncssh.Error, OSError) as error:
            self._drop()
            raise Unanswered(f"{self._at} broke off: {error}") from None

    async def _opened(self) -> asyncssh.SFTPClient:
        async with self._opening:
            if self._connection is not None and self._connection.is_closed():
                self._drop()
            if self._client is None:
                await self._open()
            assert self._client is not None
            return self._client

    async def _open(self) -> None:
        server = self._server
        try:
            async with asyncio.timeout(server.timeout_s):
                self._connection = await self._connect()
                self._client = await self._connection.start_sftp_client(path_encoding=None)
        except asyncssh.HostKeyNotVerifiable:
            raise self._other_key() from None
        except asyncssh.KeyExchangeFailed as error:
            if "host key" in str(error.reason):
                raise self._other_key() from None
            raise NotSent(f"{self._at} and we share no way to encrypt: {error.reason}") from None
        except asyncssh.PermissionDenied:
            self._drop()
            setting = "sftp_key" if server.key else "sftp_password"
            why = f"{self._at} does not let {server.user} in with the {setting} given"
            raise Misconfigured(setting, why) from None
        except TimeoutError:
            self._drop()
            raise NotSent(f"{self._at} did not answer within {server.timeout_s:g} s") from None
        except (asyncssh.Error, OSError) as error:
            self._drop()
            raise NotSent(f"{self._at} cannot be reached: {error}") from None

    async def _connect(self) -> asyncssh.SSHClientConnection:
        server = self._server
        key = _private_key(server)
        return await asyncssh.connect(
            server.host,
            server.port,
            username=server.user,
            password=server.password.reveal() if server.password else None,
            client_keys=[key] if key else None,
            known_hosts=(_host_keys(server.host_key), [], []),
            config=None,
            agent_path=None,
            gss_host=None,
            x509_trusted_certs=None,
            keepalive_interval=15,
            connect_timeout=server.timeout_s,
            login_timeout=server.timeout_s,
        )

    def _other_key(self) -> Misconfigured:
        self._drop()
        pinned = ", ".join(key.get_fingerprint() for key in _host_keys(self._server.host_key))
        why = (
            f"{self._at} does not prove itself by the pinned key {pinned}: nothing was sent. Ask "
            "the partner whether its key has changed, and set sftp_host_key to the new one"
        )
        return Misconfigured("sftp_host_key", why)

    def _drop(self) -> None:
        connection, self._connection, self._client = self._connection, None, None
        if connection is not None:
            connection.abort()


async def _replace(client: asyncssh.SFTPClient, draft: str, path: str) -> None:
    try:
        await client.posix_rename(_raw(draft), _raw(path))
    except asyncssh.SFTPOpUnsupported:
        # Such a server cannot replace at once: for a moment there is no file, never half of one.
        with suppress(*_GONE):
            await client.remove(_raw(path))
        await client.rename(_raw(draft), _raw(path))


def _raw(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _entry(found: asyncssh.SFTPName) -> Entry:
    name = found.filename
    text = name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name
    attrs = found.attrs
    stamp = float(attrs.mtime or 0) + (attrs.mtime_ns or 0) / 1e9
    return Entry(text, attrs.size or 0, stamp, _kind(attrs))


def _kind(attrs: asyncssh.SFTPAttrs) -> Literal["file", "folder", "other"]:
    mode = attrs.permissions or 0
    if attrs.type == asyncssh.FILEXFER_TYPE_REGULAR or stat.S_ISREG(mode):
        return "file"
    folder = attrs.type == asyncssh.FILEXFER_TYPE_DIRECTORY or stat.S_ISDIR(mode)
    return "folder" if folder else "other"


def _host_keys(text: str) -> list[asyncssh.SSHKey]:
    try:
        return [asyncssh.import_public_key(line) for line in text.splitlines() if line.strip()]
    except asyncssh.KeyImportError as error:
        raise Misconfigured("sftp_host_key", f"sftp_host_key is no public key: {error}") from None


def _private_key(server: Server) -> asyncssh.SSHKey | None:
    if server.key is None:
        return None
    passphrase = server.passphrase.reveal() if server.passphrase else None
    try:
        return asyncssh.import_private_key(server.key.reveal(), passphrase)
    except (asyncssh.KeyEncryptionError, asyncssh.KeyImportError) as error:
        setting = "sftp_key_passphrase" if passphrase else "sftp_key"
        raise Misconfigured(setting, f"sftp_key cannot be opened: {error}") from None

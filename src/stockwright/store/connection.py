"""Connections: opened the same way everywhere, bounded, and never with a password in a message."""

import re
import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from stockwright.domain.errors import Misconfigured
from stockwright.store.errors import DatabaseUnavailable, PoolExhausted

Connection = psycopg.Connection[tuple[Any, ...]]

# A frozen process that holds the ledger's lane must not stop the house (DESIGN 3.9).
IDLE_IN_TRANSACTION_S = 2.0
STATEMENT_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 10
# What the server answers when waiting will not help; it has no other code at this point.
_FINAL_ANSWERS = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|does not exist|"
    r"permission denied for database"
)
_URL_PASSWORD = re.compile(r"^(\w+://[^/?#]*?):.*@(?=[^@]*$)")
_NAMED_PASSWORD = re.compile(
    r"\b((?:ssl)?password)\s*=\s*('(?:\\.|[^'\\])*'|[^\s&]*)", re.IGNORECASE
)


def redact_url(url: str) -> str:
    """The same address with `***` in place of any password, for messages and logs."""
    return _NAMED_PASSWORD.sub(r"\1=***", _URL_PASSWORD.sub(r"\1:***@", url))


def connect(
    url: str,
    *,
    application_name: str = "stockwright",
    autocommit: bool = False,
    idle_in_transaction_s: float = IDLE_IN_TRANSACTION_S,
    statement_timeout_s: float = STATEMENT_TIMEOUT_S,
) -> Connection:
    """Opens one connection, in UTC, that cannot sit in a transaction or a statement for ever.

    The limits are in seconds, 0 switches one off. Raises DatabaseUnavailable when the server does
    not answer (try again) and Misconfigured when it answers that it will not have us, or when the
    address cannot be read. Neither shows the password.
    """
    parameters = _parameters(url)
    limits = (
        f"-c idle_in_transaction_session_timeout={int(idle_in_transaction_s * 1000)} "
        f"-c statement_timeout={int(statement_timeout_s * 1000)} -c timezone=UTC"
    )
    parameters["options"] = f"{parameters.get('options') or ''} {limits}".strip()
    parameters["application_name"] = application_name
    parameters.setdefault("connect_timeout", CONNECT_TIMEOUT_S)
    try:
        return psycopg.connect(make_conninfo("", **parameters), autocommit=autocommit)
    except psycopg.OperationalError as failure:
        raise _explained(url, str(failure), parameters.get("password")) from None


def _parameters(url: str) -> dict[str, Any]:
    try:
        return dict(conninfo_to_dict(url))
    except psycopg.ProgrammingError:
        # The driver's own message would quote parts of the address.
        raise Misconfigured(
            "database.url",
            "The database address cannot be read. It looks like "
            "postgresql://user:password@host:5432/database, with special characters in the "
            "password percent-encoded.",
        ) from None


def _explained(url: str, answer: str, password: object) -> Exception:
    answer = answer.strip()
    if password:
        answer = answer.replace(str(password), "***")
    message = f"The database at {redact_url(url)} cannot be reached: {answer}"
    if _FINAL_ANSWERS.search(answer):
        return Misconfigured("database.url", message)
    return DatabaseUnavailable(message)


class Pool:
    """At most `size` connections shared by threads; a caller waits `timeout_s` for one.

    Connections are opened when needed and thrown away when broken, so a database that restarts
    costs its users one failed transaction and no more.
    """

    def __init__(
        self,
        url: str,
        *,
        size: int = 10,
        timeout_s: float = 5.0,
        application_name: str = "stockwright",
        autocommit: bool = False,
        idle_in_transaction_s: float = IDLE_IN_TRANSACTION_S,
        statement_timeout_s: float = STATEMENT_TIMEOUT_S,
    ) -> None:
        assert size > 0
        self._url = url
        self._size = size
        self._timeout_s = timeout_s
        self._options: dict[str, Any] = {
            "application_name": application_name,
            "autocommit": autocommit,
            "idle_in_transaction_s": idle_in_transaction_s,
            "statement_timeout_s": statement_timeout_s,
        }
        self._free_places = threading.BoundedSemaphore(size)
        self._idle: list[Connection] = []  # the most recently used last, and taken first
        self._mutex = threading.Lock()
        self._closed = False

    def __repr__(self) -> str:
        return f"Pool({redact_url(self._url)!r}, size={self._size})"

    @contextmanager
    def connection(self, timeout_s: float | None = None) -> Iterator[Connection]:
        """Lends a connection: commits at the end of the block, rolls back on an exception.

        Raises PoolExhausted (with `retry_after_s`) and what `connect` raises.
        """
        wait_s = self._timeout_s if timeout_s is None else timeout_s
        if not self._free_places.acquire(timeout=wait_s):
            raise PoolExhausted(
                f"All {self._size} database connections were in use for {wait_s:g} s.",
                retry_after_s=max(wait_s, 0.1),
            )
        try:
            connection = self._take() or connect(self._url, **self._options)
            try:
                yield connection
                connection.commit()
            except BaseException:
                _roll_back(connection)
                raise
            finally:
                self._give_back(connection)
        finally:
            self._free_places.release()

    def close(self) -> None:
        """Closes the idle connections, and each lent one when it comes back. Repeatable."""
        with self._mutex:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _take(self) -> Connection | None:
        while True:
            with self._mutex:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if _is_alive(connection):
                return connection
            connection.close()

    def _give_back(self, connection: Connection) -> None:
        with self._mutex:
            if not self._closed and not connection.closed:
                self._idle.append(connection)
                return
        connection.close()


def _is_alive(connection: Connection) -> bool:
    """An idle connection with something to read was closed by the server, or is about to be."""
    return not connection.closed and not select.select([connection.fileno()], [], [], 0)[0]


def _roll_back(connection: Connection) -> None:
    try:
        connection.rollback()
    except psycopg.Error:
        connection.close()


class Listener:
    """Waits for NOTIFY on some channels, over a connection of its own that it opens again if lost.

    A notification is a hint and no more: those sent while the connection was down are gone, so
    callers look at the database after every `wait`, whatever it answers. For one thread.
    """

    def __init__(self, url: str, *channels: str, application_name: str = "stockwright") -> None:
        assert channels
        self._url = url
        self._channels = channels
        self._application_name = f"{application_name} listener"
        self._connection: Connection | None = None

    def wait(self, timeout_s: float) -> list[tuple[str, str]]:
        """What was notified within the time, as (channel, payload) in order; empty if nothing.

        Returns at the first notification together with all that are there by then. A lost
        connection answers empty, at the latest when the time is over.
        """
        deadline = time.monotonic() + timeout_s
        try:
            connection = self._connected()
            first = list(connection.notifies(timeout=timeout_s, stop_after=1))
            more = list(connection.notifies(timeout=0)) if first else []
            return [(note.channel, note.payload) for note in first + more]
        except (DatabaseUnavailable, psycopg.OperationalError):
            self.close()
            time.sleep(max(0.0, min(deadline - time.monotonic(), 1.0)))
            return []

    def close(self) -> None:
        """Closes the connection; a later `wait` opens it again."""
        connection, self._connection = self._connection, None
        if connection:
            connection.close()

    def __enter__(self) -> "Listener":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _connected(self) -> Connection:
        if self._connection is None:
            connection = connect(
                self._url, application_name=self._application_name, autocommit=True
            )
            for channel in self._channels:
                connection.execute(
                    psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(channel))
                )
            self._connection = connection
        return self._connection


def listen(
    url: str, *channels: str, stop: threading.Event, timeout_s: float = 1.0
) -> Iterator[list[tuple[str, str]]]:
    """Wake-ups until `stop` is set: yields after every notification and after `timeout_s` without.

    What it yields is what `Listener.wait` answers. The first comes at once, so that a caller
    sees what happened before it listened.
    """
    with Listener(url, *channels) as listener:
        yield listener.wait(0)
        while not stop.is_set():
            yield listener.wait(timeout_s)

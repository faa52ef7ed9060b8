"""A connection that sends ahead: statements go out without waiting for the answers of earlier ones.

The driver's own pipeline fetches all that is under way whenever one answer is wanted. Here an
answer is waited for by itself, so that a batch can be on its way to the server while the commit of
the one before it still is. Built on libpq's pipeline mode, and for one thread.
"""

import os
import re
import select
import socket
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

import psycopg
from psycopg import pq
from psycopg.adapt import PyFormat, Transformer

from stockwright.store.connection import Connection

Row = tuple[Any, ...]
_PLACE: Final = re.compile(r"%(?:(%)|s|\((\w+)\)s)")
SEND_BUFFER: Final = 1 << 20
_LOOK_AGAIN_MS: Final = 1000
_AUTO: Final = [PyFormat.AUTO] * 100
_FATAL: Final = pq.ExecStatus.FATAL_ERROR
_SYNC: Final = pq.ExecStatus.PIPELINE_SYNC
_ABORTED: Final = pq.ExecStatus.PIPELINE_ABORTED


class Answer:
    """What one statement will have brought; fetching waits for it.

    Raises psycopg.Error, of this statement or of the one before it that made it void.
    """

    __slots__ = ("_result", "_wire", "arrived", "fault")

    def __init__(self, wire: "Wire") -> None:
        self._wire = wire
        self._result: pq.abc.PGresult | None = None
        self.arrived = False
        self.fault: psycopg.Error | None = None

    def put(self, result: pq.abc.PGresult) -> None:
        """Keeps what came for it."""
        self._result = result

    @property
    def empty(self) -> bool:
        """True while nothing came for it."""
        return self._result is None and self.fault is None

    def wait(self) -> None:
        """Returns once it has arrived."""
        if not self.arrived:
            self._wire.wait_for(self)
        if self.fault is not None:
            raise self.fault

    def fetchall(self) -> list[Row]:
        """All rows."""
        self.wait()
        assert self._result is not None
        return self._wire.rows(self._result)

    def fetchone(self) -> Row | None:
        """The first row, or None."""
        rows = self.fetchall()
        return rows[0] if rows else None

    def __iter__(self) -> Iterator[Row]:
        return iter(self.fetchall())


class Wire:
    """Statements out, answers in, in the same order. It takes over a connection of its own.

    `execute` reads like a connection's; nothing is sure until an answer was waited for. After a
    fault everything up to the next `sync` is void.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pg = connection.pgconn
        self._dump = Transformer(connection)
        self._load = Transformer(connection)
        self._texts: dict[str, tuple[bytes, tuple[str, ...]]] = {}
        self._prepared: dict[tuple[str, tuple[int, ...]], bytes] = {}
        self._preparing: dict[Answer, tuple[str, tuple[int, ...]]] = {}
        self._named = 0
        self._under_way: deque[Answer] = deque()
        self._fault: psycopg.Error | None = None
        _widen(self._pg.socket)
        self._pg.nonblocking = 1
        self._pg.enter_pipeline_mode()

    @property
    def closed(self) -> bool:
        """True once the connection is gone."""
        return self._connection.closed

    def close(self) -> None:
        """Lets the connection go; a transaction under way is rolled back by the server."""
        self._connection.close()

    def execute(self, query: str, parameters: Any = ()) -> Answer:
        """Sends a statement, prepared on first use; `%s` and `%(name)s` stand for parameters."""
        text, names = self._texts.get(query) or self._parse(query)
        values = [parameters[name] for name in names] if names else parameters
        if values:
            sent = self._dump.dump_sequence(values, _AUTO[: len(values)])
            types, formats = self._dump.types or (), self._dump.formats
        else:
            sent, types, formats = (), (), None
        name = self._prepared.get((query, types))
        if name is None:
            self._named += 1
            name = self._prepared[query, types] = b"s%d" % self._named
            self._pg.send_prepare(name, text, types)
            preparing = Answer(self)
            self._preparing[preparing] = (query, types)
            self._under_way.append(preparing)
        self._pg.send_query_prepared(name, sent, formats)
        answer = Answer(self)
        self._under_way.append(answer)
        return answer

    def flush(self) -> bool:
        """Hands what was sent to the network, as far as it takes it without waiting.

        False where some of it is left: flush again once the network takes more.
        """
        return not self._pg.flush()

    @property
    def socket(self) -> int:
        """The file descriptor answers come by, for an event loop that waits for them."""
        return self._pg.socket

    def hear(self) -> None:
        """Takes what has come, without waiting.

        Raises psycopg.Error where the connection is lost.
        """
        self._pg.consume_input()
        self._take()

    def sync(self) -> Answer:
        """Ends what a fault makes void. Its answer comes when all before it is done."""
        self._pg.pipeline_sync()
        self._pg.flush()
        answer = Answer(self)
        self._under_way.append(answer)
        return answer

    def settle(self) -> None:
        """Waits for all that is under way. Raises the first fault in it."""
        before = list(self._under_way)
        self.drain()
        for answer in before:
            if answer.fault is not None:
                raise answer.fault

    def drain(self) -> None:
        """Waits for all that is under way, whatever became of it."""
        self.sync().wait()

    def wait_for(self, answer: Answer) -> None:
        """Reads until this answer is there, sending meanwhile what is left to be sent."""
        self._pg.send_flush_request()
        waiting = select.poll()
        while not answer.arrived:
            unsent = self._pg.flush()
            if not self._take():
                both = select.POLLIN | (select.POLLOUT if unsent else 0)
                waiting.register(self._pg.socket, both)
                waiting.poll(_LOOK_AGAIN_MS)
                self._pg.consume_input()

    def rows(self, result: pq.abc.PGresult) -> list[Row]:
        """The rows of a result, as Python values."""
        self._load.set_pgresult(result)
        return self._load.load_rows(0, result.ntuples, tuple)

    # ------------------------------------------------------------ reading

    def _take(self) -> bool:
        """Takes what has come without waiting; False where there was nothing."""
        took = False
        while self._under_way and not self._pg.is_busy():
            result = self._pg.get_result()
            answer = self._under_way[0]
            took = True
            if result is None:
                if answer.empty:  # nothing more comes: not even a word about it
                    lost = psycopg.OperationalError("the connection to the database is lost")
                    answer.fault = self._fault or lost
                self._arrive()
            elif result.status == _SYNC:
                self._fault = None
                self._arrive()
            elif result.status == _FATAL:
                self._fault = answer.fault = psycopg.errors.error_from_result(result)
            elif result.status == _ABORTED:
                answer.fault = self._fault
            else:
                answer.put(result)
        return took

    def _arrive(self) -> None:
        answer = self._under_way.popleft()
        answer.arrived = True
        prepared = self._preparing.pop(answer, None) if self._preparing else None
        if prepared is not None and answer.fault is not None:
            del self._prepared[prepared]  # the server does not know it: next time again

    # ------------------------------------------------------------ statements

    def _parse(self, query: str) -> tuple[bytes, tuple[str, ...]]:
        """The statement with $1, $2, ... and, where its parameters have names, those in order."""
        names: list[str] = []
        count = 0

        def number(found: re.Match[str]) -> str:
            nonlocal count
            if found[1]:
                return "%"
            if found[2]:
                if found[2] not in names:
                    names.append(found[2])
                return f"${names.index(found[2]) + 1}"
            count += 1
            return f"${count}"

        numbered = _PLACE.sub(number, query)
        parsed = self._texts[query] = (numbered.encode(), tuple(names))
        return parsed


def _widen(number: int) -> None:
    """As large a send buffer as the system grants: the server works while we decide the next."""
    with socket.socket(fileno=os.dup(number)) as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)

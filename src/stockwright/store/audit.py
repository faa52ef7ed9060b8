"""Reads that prove the books: one snapshot, the ledger rolled up once, one query per proof."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from stockwright.store.connection import Connection
from stockwright.store.queries import load

_PREFIX = "check_"


class Findings(NamedTuple):
    """What one proof saw: rows looked at, how many findings, the first of them in words."""

    rows: int
    wrong: int
    examples: list[str]


class Image(NamedTuple):
    """A table in canonical text form: how many bytes and rows, and their SHA-256."""

    rows: int
    size: int
    sha256: str


@contextmanager
def snapshot(connection: Connection) -> Iterator[None]:
    """Runs the block on one snapshot in which the ledger is rolled up; leaves nothing behind.

    The connection must not be in a transaction. Writers go on meanwhile.
    """
    queries = load("audit")
    with connection.transaction():
        for name in ("begin", "limits", "roll_up_flows", "roll_up_claims", "rebuild_balances"):
            connection.execute(queries[name])
        yield


def check_names() -> list[str]:
    """Names of all proofs, in the order to run them."""
    return [name.removeprefix(_PREFIX) for name in load("audit") if name.startswith(_PREFIX)]


def meaning_of(check: str) -> str:
    """What a proof proves, as one sentence."""
    return load("audit").answers[_PREFIX + check]


def run_check(connection: Connection, check: str) -> Findings:
    """One proof, inside `snapshot`."""
    row = connection.execute(load("audit")[_PREFIX + check]).fetchone()
    assert row is not None
    return Findings(*row)


def image(connection: Connection, name: str) -> Image:
    """The canonical text of `stored_balances` or `rebuilt_balances`, streamed and hashed.

    The text is what COPY writes: one line a row, tab-separated, the same bytes for the same rows.
    """
    digest = hashlib.sha256()
    rows = size = 0
    with (
        connection.cursor() as cursor,
        cursor.copy(f"copy ({load('audit')[name]}) to stdout") as lines,
    ):
        for block in lines:
            digest.update(block)
            rows += bytes(block).count(b"\n")
            size += len(block)
    return Image(rows, size, digest.hexdigest())

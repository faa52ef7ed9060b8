"""The audit: proves on one snapshot that the books add up, and rebuilds them from the ledger."""

from collections.abc import Callable

import msgspec

from stockwright.store import audit as proofs
from stockwright.store.connection import Connection

Progress = Callable[[str, int, int], None]
"""Called before each check with its name, its number from 1, and how many there are."""


class Check(msgspec.Struct, frozen=True):
    """One proof: how many rows it looked at, and where it failed the first findings in words."""

    name: str
    ok: bool
    rows: int
    detail: str


class AuditReport(msgspec.Struct, frozen=True):
    """All proofs of one audit; ok where every one of them holds."""

    ok: bool
    checks: list[Check]


def run_audit(
    connection: Connection, progress: Progress | None = None, *, rebuild: bool = False
) -> AuditReport:
    """Proves the ledger, its balances, claims, demand lines and transfers against each other.

    All on one consistent snapshot, beside running writers; changes nothing. With `rebuild` the
    balances are also built anew from the ledger and compared with the stored ones byte for byte.
    The connection must not be in a transaction.
    """
    names = proofs.check_names()
    total = len(names) + rebuild
    checks = []
    with proofs.snapshot(connection):
        for number, name in enumerate(names, 1):
            if progress:
                progress(name, number, total)
            checks.append(_prove(connection, name))
        if rebuild:
            if progress:
                progress("rebuild", total, total)
            checks.append(_rebuild(connection))
    return AuditReport(all(check.ok for check in checks), checks)


def _prove(connection: Connection, name: str) -> Check:
    found = proofs.run_check(connection, name)
    if not found.wrong:
        return Check(name, True, found.rows, proofs.meaning_of(name))
    more = found.wrong - len(found.examples)
    rest = f"; and {more} more" if more else ""
    return Check(name, False, found.rows, "; ".join(found.examples) + rest)


def _rebuild(connection: Connection) -> Check:
    stored = proofs.image(connection, "stored_balances")
    rebuilt = proofs.image(connection, "rebuilt_balances")
    if stored == rebuilt:
        detail = f"{stored.size} bytes rebuilt from the ledger are the stored ones: {stored.sha256}"
        return Check("rebuild", True, stored.rows, detail)
    first = proofs.run_check(connection, "balances").examples
    detail = (
        f"stored {stored.rows} rows {stored.sha256}, rebuilt {rebuilt.rows} rows {rebuilt.sha256}: "
    )
    return Check("rebuild", False, stored.rows, detail + "; ".join(first))

"""Expected supply: lines as told, what is left of them, and what may be counted on."""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from stockwright.domain.events import Outcome
from stockwright.domain.supply import (
    Dated,
    Left,
    Name,
    SupplyKind,
    SupplyLine,
    SupplyState,
    UnderWay,
    dated,
    left_of,
)
from stockwright.store.access import log_change
from stockwright.store.arrays import numbers, texts
from stockwright.store.connection import Connection
from stockwright.store.queries import load

_SQL = load("supply")
# Any number will do that no other advisory lock of ours has ("swsupply" in bytes).
LOCK: Final = int.from_bytes(b"swsupply", "big", signed=True)

Key = tuple[str, str, str, str]
"""(system, document, line, kind)"""


class SupplyRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line as the database has it."""

    id: int
    system: str
    document: str
    line: str
    kind: SupplyKind
    revision: int
    sku: str
    location: str
    quantity: int
    due_at: dt.datetime
    of_system: str
    of_document: str
    of_line: str
    state: SupplyState = "expected"
    reason: str = ""
    told_at: dt.datetime | None = None

    @property
    def key(self) -> Key:
        """Its natural key."""
        return (self.system, self.document, self.line, self.kind)

    @property
    def said(self) -> tuple[Any, ...]:
        """What a revision says: two that say the same are one."""
        of = (self.of_system, self.of_document, self.of_line)
        return (self.sku, self.location, self.quantity, self.due_at, of)


class SupplyView(SupplyRow, frozen=True, kw_only=True):
    """One line, and what is left of it.

    left: base units still to come under its own name. overdue: they are late beyond what their
    place allows for, and nothing is promised on them any more.
    """

    left: int
    overdue: bool


def tell(connection: Connection, rows: Sequence[SupplyRow]) -> list[Outcome]:
    """Takes lines in, in the caller's transaction; one outcome per line, aligned.

    recorded where a line is new or its revision higher, and as a replay where it was told before;
    superseded, where a higher revision was; conflict, where the same revision said otherwise.
    """
    connection.execute(_SQL["lock_supply"], {"lock": LOCK})
    known = by_key(connection, [row.key for row in rows])
    told: dict[Key, SupplyRow] = {}
    outcomes = []
    for row in rows:
        outcome = _judge(row, told.get(row.key) or known.get(row.key))
        if outcome.code == "recorded" and not outcome.replay:
            told[row.key] = row
        outcomes.append(outcome)
    if told:
        connection.execute(_SQL["write"], {"rows": msgspec.json.encode([*told.values()]).decode()})
        skus = {row.sku for row in told.values()}
        skus |= {known[key].sku for key in told if key in known}
        _follow(connection, sorted(skus), [row.key[:3] for row in told.values()])
    return outcomes


def _judge(row: SupplyRow, known: SupplyRow | None) -> Outcome:
    if known is None or row.revision > known.revision:
        return Outcome(code="recorded")
    if row.revision < known.revision:
        message = f"revision {known.revision} of this line was recorded before"
        return Outcome(code="superseded", field="revision", message=message)
    if row.said == known.said:
        return Outcome(code="recorded", replay=True)
    message = f"revision {known.revision} of this line said otherwise; send a higher revision"
    return Outcome(code="conflict", field="revision", message=message)


def _follow(connection: Connection, skus: Sequence[str], names: Sequence[Name]) -> None:
    """After a change: brings the states of what belongs together up to date, and marks levels."""
    settle(connection, skus, names)
    connection.execute(_SQL["mark_presold"], {"skus": texts(skus)})


def by_key(connection: Connection, keys: Collection[Key]) -> dict[Key, SupplyRow]:
    """The lines with these natural keys, as far as there are any."""
    asked = _columns(keys, "systems", "documents", "lines", "kinds")
    rows = connection.execute(_SQL["by_key"], asked)
    return {row.key: row for row in map(_row, rows)}


def page(
    connection: Connection,
    *,
    sku: str = "",
    location: str = "",
    system: str = "",
    document: str = "",
    kind: str = "",
    state: str = "expected",
    before: int = 2**63 - 1,
    limit: int = 100,
) -> list[SupplyView]:
    """Lines with an id below `before`, newest first, at most `limit`."""
    asked = {
        "sku": sku,
        "location": location,
        "system": system,
        "document": document,
        "kind": kind,
        "state": state,
        "before": before,
        "limit": limit,
    }
    return _views(connection, [_row(row) for row in connection.execute(_SQL["page"], asked)])


def find(connection: Connection, key: Key) -> SupplyView | None:
    """One line, whatever became of it; None where there is none."""
    found = _views(connection, list(by_key(connection, [key]).values()))
    return found[0] if found else None


def move(connection: Connection, key: Key, state: SupplyState, *, actor: str, reason: str) -> bool:
    """Ends a line (cancelled, closed) or expects it again, and notes who said so.

    False where it is in that state, or was ended before.
    """
    connection.execute(_SQL["lock_supply"], {"lock": LOCK})
    row = by_key(connection, [key]).get(key)
    ended = row is not None and row.state in ("cancelled", "closed")
    if row is None or ended == (state != "expected"):
        return False
    connection.execute(_SQL["set_state"], {"id": row.id, "state": state, "reason": reason})
    _follow(connection, [row.sku], [key[:3]])
    log_change(connection, actor, f"supply.{state}", " ".join(key), {"reason": reason})
    return True


def expected(
    connection: Connection, skus: Sequence[str], now: dt.datetime
) -> dict[str, list[Dated]]:
    """By SKU the supply that may be counted on now, soonest first."""
    grace = {
        code: dt.timedelta(seconds=seconds) for code, seconds in connection.execute(_SQL["grace"])
    }
    known = _read(connection, skus, ())
    return {
        sku: dated(known.lines.get(sku, ()), known.received.get(sku, {}), under_way, grace, now)
        for sku in skus
        if (under_way := known.under_way.get(sku, ())) or sku in known.lines
    }


def settle(connection: Connection, skus: Sequence[str], names: Collection[Name] = ()) -> list[str]:
    """Moves lines between expected and done as follows from what came; SKUs of which one moved.

    names: of documents whose lines may be done already, and not be any more.
    """
    known = _read(connection, skus, names)
    moved: dict[int, str] = {}
    for left in known.left():
        state = "done" if left.done else "expected"
        if left.line.stands and left.line.state != state:
            moved[known.ids[left.line.key]] = state
    if not moved:
        return []
    rows = connection.execute(
        _SQL["set_states"], {"ids": numbers(list(moved)), "states": texts(list(moved.values()))}
    )
    return sorted({sku for (sku,) in rows})


def settle_received(connection: Connection, limit: int) -> int:
    """Settles documents for receipts that named them, and transfers that began; how many names."""
    rows = connection.execute(_SQL["unsettled"], {"limit": limit}).fetchall()
    begun = [sku for (sku,) in connection.execute(_SQL["transfers_begun"], {"limit": limit})]
    skus = sorted({row[3] for row in rows} | set(begun))
    if skus:
        connection.execute(_SQL["lock_supply"], {"lock": LOCK})
        moved = settle(connection, skus, [row[:3] for row in rows])
        if moved:
            connection.execute(_SQL["mark_presold"], {"skus": texts(moved)})
    if rows:
        systems, documents, lines, told, received = zip(*rows, strict=True)
        connection.execute(
            _SQL["settled"],
            {
                "systems": texts(systems),
                "documents": texts(documents),
                "lines": texts(lines),
                "skus": texts(told),
                "received": numbers(received),
            },
        )
    return len(rows)


# ---------------------------------------------------------------- reading what belongs together


class _Known(msgspec.Struct):
    """By SKU all that decides what is left of its supply; ids of the lines by natural key."""

    lines: dict[str, list[SupplyLine]]
    received: dict[str, dict[Name, int]]
    under_way: dict[str, list[UnderWay]]
    ids: dict[Key, int]

    def left(self) -> Iterable[Left]:
        for sku, lines in self.lines.items():
            yield from left_of(lines, self.received.get(sku, {}), self.under_way.get(sku, ()))


def _read(connection: Connection, skus: Sequence[str], names: Collection[Name]) -> _Known:
    known = _Known({}, {}, {}, {})
    asked = {"skus": texts(skus), **_columns(names, "systems", "documents", "lines")}
    documents, named = set(), set()
    for row in connection.execute(_SQL["lines_of_skus"], asked):
        line = _line(row)
        known.lines.setdefault(line.sku, []).append(line)
        known.ids[line.key] = row[0]
        named |= {line.name, line.of}
        if line.kind == "transfer":
            documents.add(line.document)
    asked = {"skus": texts(skus), **_columns(named, "systems", "documents", "lines")}
    for sku, system, document, name, units in connection.execute(_SQL["received"], asked):
        known.received.setdefault(sku, {})[system, document, name] = units
    wanted = {"skus": texts(skus), "documents": texts(sorted(documents))}
    for sku, document, location, eta, sent, units, excess in connection.execute(
        _SQL["under_way"], wanted
    ):
        known.under_way.setdefault(sku, []).append(
            UnderWay(
                document=document, location=location, eta=eta, sent=sent, units=units, excess=excess
            )
        )
    return known


def _line(row: tuple[Any, ...]) -> SupplyLine:
    _, system, document, line, kind, sku, location, quantity, due_at, *of, state = row
    return SupplyLine(
        system=system,
        document=document,
        line=line,
        kind=kind,
        sku=sku,
        location=location,
        quantity=quantity,
        due_at=due_at,
        of=(of[0], of[1], of[2]),
        state=state,
    )


def _row(row: tuple[Any, ...]) -> SupplyRow:
    return SupplyRow(**dict(zip(SupplyRow.__struct_fields__, row, strict=True)))


def _views(connection: Connection, rows: Sequence[SupplyRow]) -> list[SupplyView]:
    if not rows:
        return []
    skus = sorted({row.sku for row in rows})
    left = _left_by_key(connection, skus, [row.key[:3] for row in rows])
    told = connection.execute(_SQL["clock"]).fetchone()
    assert told is not None
    now = told[0]
    grace: Mapping[str, float] = dict(connection.execute(_SQL["grace"]).fetchall())
    return [
        SupplyView(
            **msgspec.structs.asdict(row),
            left=left.get(row.key, 0),
            overdue=bool(left.get(row.key, 0))
            and row.due_at + dt.timedelta(seconds=grace[row.location]) <= now,
        )
        for row in rows
    ]


def _left_by_key(
    connection: Connection, skus: Sequence[str], names: Collection[Name]
) -> dict[Key, int]:
    known = _read(connection, skus, names)
    return {one.line.key: one.units for one in known.left()}


def _columns(keys: Collection[tuple[str, ...]], *names: str) -> dict[str, str]:
    columns = list(zip(*keys, strict=True)) or [()] * len(names)
    return {name: texts(column) for name, column in zip(names, columns, strict=True)}

"""What a partner knows of items and of expected supply, asked for when an operator wants it.

Items go the way of an import: each row is judged by itself, and each refusal is reported.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from stockwright.domain.errors import Rejected
from stockwright.domain.items import Binding, Sku, Unit
from stockwright.flow.csv_report import ImportReport
from stockwright.flow.csv_rows import Line
from stockwright.flow.ndjson_master import line_of
from stockwright.flow.row_import import Candidate, Importer, Refused, RowImport
from stockwright.sdk.verbs import Expects, ListsItems
from stockwright.store import payloads, supply
from stockwright.store.connection import Connection
from stockwright.store.kinds import KINDS, tidy
from stockwright.store.master import read

WHY_CLOSED: Final = "the partner expects it no more"
_KINDS: Final[Mapping[type, str]] = {Sku: "skus", Unit: "units", Binding: "bindings"}
"""What items fill, in the order in which one may refer to those before it."""
_AT_ONCE: Final = 500


class SupplyPulled(msgspec.Struct, kw_only=True):
    """What became of the lines of supply that a partner expects."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    closed: int = 0
    refused: list[str] = []


async def pull_items(
    connection: Connection,
    partner: ListsItems,
    *,
    importer: Importer,
    refused: Refused | None = None,
) -> list[ImportReport]:
    """Imports a partner's items page by page: a report for each kind of row. Safe to repeat.

    An item that an operator bound to another SKU stays as it is bound, and makes no SKU.
    """
    imports = {
        kind: RowImport(connection, kind, importer, refused=refused, chunk_rows=_AT_ONCE)
        for kind in _KINDS.values()
    }
    known = set(partner.sku_fields)
    imports["skus"].kept = tuple(name for name in Sku.__struct_fields__ if name not in known)
    number = 0
    async for page in partner.items():
        for row in _ours(connection, page):
            number += 1
            _add(imports[_KINDS[type(row)]], row, number)
        for rows in imports.values():
            rows.flush()
    return [rows.report for rows in imports.values()]


def _ours(
    connection: Connection, page: Sequence[Sku | Unit | Binding]
) -> list[Sku | Unit | Binding]:
    """The rows of a page without what an operator decided otherwise."""
    told = [row for row in page if isinstance(row, Binding)]
    key_of = KINDS["bindings"].key_of
    bound = read(connection, "bindings", [key_of(row) for row in told])
    elsewhere = set()
    for row in told:
        found = bound.get(key_of(row))
        if isinstance(found, Binding) and found.code != row.code:
            elsewhere.add(row.code)
    return [
        row
        for row in page
        if _sku_of(row) not in elsewhere and not (isinstance(row, Binding) and key_of(row) in bound)
    ]


def _sku_of(row: Sku | Unit | Binding) -> str:
    return row.sku if isinstance(row, Unit) else row.code


def _add(rows: RowImport, row: Sku | Unit | Binding, number: int) -> None:
    line = Line(number, [line_of(_KINDS[type(row)], row, tagged=True).decode().strip()])
    rows.count()
    try:
        checked = tidy(msgspec.convert(msgspec.to_builtins(row), type(row)))
    except msgspec.ValidationError as failure:
        what, _, path = str(failure).partition(" - at `$")
        rows.refuse([line], path.strip("`.") or "row", what)
        return
    rows.add(Candidate(checked, [line]))


async def pull_supply(
    connection: Connection, partner: Expects, system: str, actor: str
) -> SupplyPulled:
    """Keeps what a partner expects, and closes its open lines that are no longer among them.

    Safe to repeat. Lines of the system that were told otherwise are closed as well.
    """
    told = list({(one.document, one.line): one for one in await partner.expected()}.values())
    result = SupplyPulled()
    places = payloads.places_of(connection, system, sorted({one.location for one in told}))
    lines = [replace(one, location=places.get(one.location, one.location)) for one in told]
    for start in range(0, len(lines), _AT_ONCE):
        some = lines[start : start + _AT_ONCE]
        with connection.transaction():
            saved = supply.save(connection, some, actor)
        for line, one in zip(some, saved, strict=True):
            if isinstance(one, Rejected):
                result.refused.append(f"{line.document} line {line.line}: {one.message}")
            else:
                setattr(result, one, getattr(result, one) + 1)
    expected = {(one.document, one.line) for one in told}
    gone = [key for key in _open(connection, system) if key[1:] not in expected]
    for start in range(0, len(gone), _AT_ONCE):
        with connection.transaction():
            for key in gone[start : start + _AT_ONCE]:
                result.closed += supply.close(connection, key, actor=actor, why=WHY_CLOSED)
    return result


def _open(connection: Connection, system: str) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    before = supply.TOP
    while page := supply.page(connection, system=system, before=before, limit=_AT_ONCE):
        found += [(one.system, one.document, one.line) for one in page]
        before = page[-1].id
    return found

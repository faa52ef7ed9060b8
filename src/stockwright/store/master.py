"""The item master: saving rows of every kind, reading them in pages, binding partners' codes."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, Generic, Literal, TypeVar, cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from stockwright.domain.errors import Rejected
from stockwright.domain.items import Binding, Kit, Listing, Sku, Subject, Unit
from stockwright.domain.network import Location
from stockwright.store import kinds, queries
from stockwright.store.connection import Connection
from stockwright.store.faults import FAULTS
from stockwright.store.history import LOCK
from stockwright.store.kinds import KINDS, Key, Kind, Row, tidy

Saved = Literal["new", "changed", "unchanged"]
Result = Saved | Rejected
R = TypeVar("R", Sku, Unit, Binding, Kit, Listing, Location)

MAX_PAGE: Final = 1_000
_SQL: Final = queries.load("master")


class Page(Struct, Generic[R], frozen=True):
    """Rows in the order of their keys. next_cursor is the key to go on after; None at the end."""

    items: tuple[R, ...]
    next_cursor: Key | None = None


def lock_master(connection: Connection) -> None:
    """Waits until nobody else changes master data, until the end of this transaction."""
    connection.execute(_SQL["lock_master"], {"lock": LOCK})


def raise_revision(connection: Connection) -> int:
    """Tells every process, at commit, that its copy of master data is old; the new revision."""
    row = connection.execute(_SQL["raise_revision"]).fetchone()
    assert row is not None
    return int(row[0])


def revision(connection: Connection) -> int:
    """The revision of the master data; any change of it, or of a policy, raises it."""
    row = connection.execute(_SQL["revision"]).fetchone()
    assert row is not None
    return int(row[0])


def save(
    connection: Connection, kind: str, rows: Sequence[Row], kept: Collection[str] = ()
) -> list[Result]:
    """Writes rows of one kind, in the caller's transaction; one result per row, aligned.

    A row that cannot stand (an unknown SKU, a kit within itself, a key given twice with different
    content) is answered with the Rejected that says why, and the others are written. kept names
    fields that an existing row keeps. Safe to repeat: the second time all is unchanged.
    """
    lock_master(connection)
    shape = KINDS[kind]
    keys = [shape.key_of(row) for row in rows]
    before = read(connection, kind, keys)
    merged = [tidy(_keep(row, before.get(key), kept)) for key, row in zip(keys, rows, strict=True)]
    faults = FAULTS[kind](connection, merged)
    results: list[Result] = []
    given: dict[Key, Row] = {}
    for key, row, fault in zip(keys, merged, faults, strict=True):
        results.append(fault or _judge(shape, key, row, before.get(key), given))
    written = {key: row for key, row in given.items() if before.get(key) != row}
    if written:
        _write(connection, shape, before, written)
    assert len(results) == len(rows)
    return results


def save_one(connection: Connection, kind: str, row: Row) -> Saved:
    """As `save`, for one row. Raises Rejected."""
    (result,) = save(connection, kind, [row])
    if isinstance(result, Rejected):
        raise result
    return result


def read(connection: Connection, kind: str, keys: Sequence[Key]) -> dict[Key, Row]:
    """The rows with these keys, as far as there are any."""
    if not keys:
        return {}
    shape = KINDS[kind]
    rows = connection.execute(_SQL[f"read_{kind}"], _columns(keys))
    found = (shape.from_row(row) for row in rows)
    return {shape.key_of(row): row for row in found}


def _columns(keys: Collection[Key]) -> dict[str, Any]:
    """Keys as the arrays k0, k1, ... of their parts."""
    unique = sorted(set(keys))
    return {f"k{n}": list(column) for n, column in enumerate(zip(*unique, strict=True))}


def _keep(row: Row, old: Row | None, kept: Collection[str]) -> Row:
    if old is None or not kept:
        return row
    return replace(row, **{name: getattr(old, name) for name in kept})


def _judge(shape: Kind, key: Key, row: Row, old: Row | None, given: dict[Key, Row]) -> Result:
    """Decides one row on the rows before it, and notes it: the first of a key counts."""
    first = given.setdefault(key, row)
    if first is not row:
        if first == row:
            return "unchanged"
        message = f"{shape.label(key)} was given before with other content; keep one of the two"
        return Rejected("duplicate", shape.key[-1], message)
    if old == row:
        return "unchanged"
    return "changed" if old else "new"


def _write(
    connection: Connection, shape: Kind, before: Mapping[Key, Row], written: Mapping[Key, Row]
) -> None:
    for query in shape.clears:
        connection.execute(_SQL[query], _columns(list(written)))
    ordered = [written[key] for key in sorted(written)]
    for query in shape.writes:
        connection.execute(_SQL[query], {"rows": msgspec.json.encode(ordered).decode()})
    touched = {sku for key, row in written.items() for sku in shape.touched(before.get(key), row)}
    if touched:
        connection.execute(_SQL["mark_skus"], {"skus": sorted(touched)})
    if shape is kinds.LOCATIONS:
        _mark_pools(connection, before, written)
    raise_revision(connection)


def _mark_pools(
    connection: Connection, before: Mapping[Key, Row], written: Mapping[Key, Row]
) -> None:
    """A place that joins or leaves a group changes what the pools with that group hold."""
    moved: set[str] = set()
    for key, row in written.items():
        old = before.get(key)
        moved |= set(cast(Location, row).groups) ^ set(cast(Location, old).groups if old else ())
    if moved:
        connection.execute(_SQL["mark_pools"], {"members": sorted(moved)})


def bind(
    connection: Connection,
    system: str,
    subject: Subject,
    partner_code: str,
    code: str,
    unit: str = "",
) -> Saved:
    """Ties a partner's code to one of ours; what waited for it may be resumed. Raises Rejected."""
    row = Binding(system=system, subject=subject, partner_code=partner_code, code=code, unit=unit)
    return save_one(connection, "bindings", row)


def unbind(connection: Connection, system: str, subject: Subject, partner_code: str) -> bool:
    """Unties a partner's code; False where it was not bound."""
    lock_master(connection)
    key = {"system": system, "subject": subject, "partner_code": partner_code}
    row = connection.execute(_SQL["remove_binding"], key).fetchone()
    if row is None:
        return False
    if subject == "item":
        connection.execute(_SQL["mark_skus"], {"skus": [row[0]]})
    raise_revision(connection)
    return True


def list_all(connection: Connection, channel: str) -> int:
    """Lists every active SKU on a channel under its own code; how many were not listed before.

    Raises Rejected for an unknown channel.
    """
    lock_master(connection)
    if ("channel", channel) not in known_codes(connection, [channel]):
        message = f"there is no channel {channel}; name one of the configuration"
        raise Rejected("unknown_channel", "channel", message)
    row = connection.execute(_SQL["list_all"], {"channel": channel}).fetchone()
    listed = int(row[0]) if row else 0
    if listed:
        raise_revision(connection)
    return listed


def known_codes(connection: Connection, codes: Collection[str]) -> set[tuple[str, str]]:
    """Which of these codes are known, as ("system" | "channel" | "location" | "group", code)."""
    found = connection.execute(_SQL["known_codes"], {"codes": list(codes)})
    return {(kind, code) for kind, code in found}


def list_skus(
    connection: Connection, after: Key | None = None, limit: int = 100, sku_group: str | None = None
) -> Page[Sku]:
    """SKUs by code, of one group where it is given."""
    return _page(connection, "skus", after, limit, sku_group=sku_group)


def list_units(
    connection: Connection, after: Key | None = None, limit: int = 100, sku: str | None = None
) -> Page[Unit]:
    """Units of measure by SKU and code, of one SKU where it is given."""
    return _page(connection, "units", after, limit, sku=sku)


def list_bindings(
    connection: Connection,
    after: Key | None = None,
    limit: int = 100,
    system: str | None = None,
    code: str | None = None,
) -> Page[Binding]:
    """Bindings by system, subject and partner code; of one system or one of our codes."""
    return _page(connection, "bindings", after, limit, system=system, code=code)


def list_kits(connection: Connection, after: Key | None = None, limit: int = 100) -> Page[Kit]:
    """Kits by SKU."""
    return _page(connection, "kits", after, limit)


def list_listings(
    connection: Connection, after: Key | None = None, limit: int = 100, channel: str | None = None
) -> Page[Listing]:
    """Listings by channel and code, of one channel where it is given."""
    return _page(connection, "listings", after, limit, channel=channel)


def list_locations(
    connection: Connection, after: Key | None = None, limit: int = 100
) -> Page[Location]:
    """Locations by code; their authorities are not included."""
    return _page(connection, "locations", after, limit)


def fix_snapshot(connection: Connection) -> None:
    """All that this connection reads from here on is of one moment, until it commits."""
    connection.commit()
    connection.execute(_SQL["fix_snapshot"])


def page(connection: Connection, kind: str, after: Key | None, limit: int) -> Page[Any]:
    """The rows of a kind after a key, in the order of their keys."""
    filters = {"skus": ["sku_group"], "units": ["sku"], "listings": ["channel"]}
    unset = dict.fromkeys([*filters.get(kind, ()), *(["system", "code"] * (kind == "bindings"))])
    return _page(connection, kind, after, limit, **unset)


def iterate(connection: Connection, kind: str) -> Iterator[Row]:
    """Every row of a kind in the order of its keys, read page by page."""
    cursor: Key | None = None
    while True:
        some = page(connection, kind, cursor, MAX_PAGE)
        yield from some.items
        if some.next_cursor is None:
            return
        cursor = some.next_cursor


def _page(
    connection: Connection, kind: str, after: Key | None, limit: int, **filters: str | None
) -> Page[Any]:
    """One page; a cursor that is no key of this kind is Rejected."""
    shape = KINDS[kind]
    start = after or ("",) * len(shape.key)
    if len(start) != len(shape.key):
        raise Rejected("bad_cursor", "cursor", "this cursor is not one we gave; begin without one")
    bounded = max(1, min(limit, MAX_PAGE))
    place: dict[str, Any] = {f"after{n}": part for n, part in enumerate(start)}
    place |= {"after": start[0], "limit": bounded, **filters}
    rows = connection.execute(_SQL[f"page_{kind}"], place)
    items = tuple(shape.from_row(row) for row in rows)
    more = shape.key_of(items[-1]) if len(items) == bounded else None
    return Page(items, more)

"""The item master: items, units, kits, listings, bindings and locations, each by its key."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from zoneinfo import available_timezones

import msgspec
from msgspec.structs import fields

from stockwright.api.bodies import decode, explain, require_json
from stockwright.api.bound import shows_row
from stockwright.api.call import Call, Handler
from stockwright.api.operations import Link, Operation
from stockwright.api.paging import Page, PageQuery, cursor_of, position_of
from stockwright.api.problems import problem
from stockwright.api.reply import Reply, reply
from stockwright.domain.errors import Rejected
from stockwright.domain.items import Binding
from stockwright.domain.network import Location
from stockwright.store import master
from stockwright.store.access import log_change
from stockwright.store.connection import Connection
from stockwright.store.history import MAX_REASON, Said, said_by
from stockwright.store.kinds import KINDS, Key, Row

REASON: Final = b"change-reason"
"""The header that says why; it is kept with the revision."""


class SavedAnswer(msgspec.Struct, kw_only=True):
    """What a PUT did."""

    saved: master.Saved
    resumed: int = 0


class ItemQuery(PageQuery, kw_only=True, forbid_unknown_fields=True):
    """Which items."""

    sku_group: str | None = None


class UnitQuery(PageQuery, kw_only=True, forbid_unknown_fields=True):
    """Which units of measure."""

    sku: str | None = None


class BindingQuery(PageQuery, kw_only=True, forbid_unknown_fields=True):
    """Which bindings: of a system, of one of our codes."""

    system: str | None = None
    code: str | None = None


class ListingQuery(PageQuery, kw_only=True, forbid_unknown_fields=True):
    """Which listings."""

    channel: str | None = None


class _Shelf(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of row as the API shows it: its address, its list, what is kept out of a body."""

    kind: str
    name: str
    collection: str
    parts: Mapping[str, str]
    pages: Callable[..., master.Page[Any]]
    query: type[PageQuery] = PageQuery
    closed: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The address of one row."""
        return self.collection + "".join(f"/{{{part}}}" for part in self.parts.values())


SHELVES: Final = (
    _Shelf(
        kind="skus",
        name="item",
        collection="/v1/items",
        parts={"code": "sku"},
        pages=master.list_skus,
        query=ItemQuery,
    ),
    _Shelf(
        kind="units",
        name="unit",
        collection="/v1/units",
        parts={"sku": "sku", "code": "unit"},
        pages=master.list_units,
        query=UnitQuery,
    ),
    _Shelf(
        kind="kits",
        name="kit",
        collection="/v1/kits",
        parts={"sku": "sku"},
        pages=master.list_kits,
    ),
    _Shelf(
        kind="listings",
        name="listing",
        collection="/v1/listings",
        parts={"channel": "channel", "code": "listing"},
        pages=master.list_listings,
        query=ListingQuery,
    ),
    _Shelf(
        kind="bindings",
        name="binding",
        collection="/v1/bindings",
        parts={"system": "system", "subject": "subject", "partner_code": "partner_code"},
        pages=master.list_bindings,
        query=BindingQuery,
    ),
    _Shelf(
        kind="locations",
        name="location",
        collection="/v1/locations",
        parts={"code": "location"},
        pages=master.list_locations,
        # Whose word counts at a place is decided in the configuration file alone.
        closed=("authority",),
    ),
)


def operations() -> list[Operation]:
    """The rows of the route table for every kind: the list, one, and PUT of one."""
    return [operation for shelf in SHELVES for operation in _operations(shelf)]


def _operations(shelf: _Shelf) -> list[Operation]:
    struct = KINDS[shelf.kind].struct
    body = body_of(struct, tuple(shelf.parts), shelf.closed)
    return [
        Operation(
            method="GET",
            path=shelf.collection,
            handler=_named(_lister(shelf), f"list_{shelf.name}s", f"The {shelf.name}s, by key."),
            tag="master",
            scope="master:read",
            query=shelf.query,
            answers={200: Page[struct]},  # type: ignore[valid-type]
        ),
        Operation(
            method="GET",
            path=shelf.path,
            handler=_named(_getter(shelf), f"get_{shelf.name}", f"One {shelf.name}."),
            tag="master",
            scope="master:read",
            answers={200: struct},
            problems=("not_found",),
        ),
        Operation(
            method="PUT",
            path=shelf.path,
            handler=_named(
                _putter(shelf, body),
                f"put_{shelf.name}",
                f"Makes the {shelf.name} what the body says; safe to repeat.",
            ),
            tag="master",
            scope="master:write",
            reasoned=True,
            body=body,
            answers={200: SavedAnswer, 201: SavedAnswer},
            problems=("bad_path",),
            links=_links(shelf),
        ),
    ]


def _links(shelf: _Shelf) -> tuple[Link, ...]:
    """What was put can be got, and shows elsewhere where it is an item."""
    key = {part: f"$request.path.{part}" for part in shelf.parts.values()}
    links = [Link(to=f"get_{shelf.name}", parameters=key)]
    if shelf.kind == "skus":
        links += [Link(to=to, parameters=key) for to in ("get_stock_of_sku", "get_ledger")]
    return tuple(links)


def _named(handler: Handler, name: str, doc: str) -> Handler:
    handler.__name__, handler.__doc__ = name, doc
    return handler


def body_of(
    struct: type[Row], keys: tuple[str, ...], closed: tuple[str, ...]
) -> type[msgspec.Struct]:
    """The type of a PUT body: the row; the address has its key, so the body need not."""
    kept: list[Any] = []
    for field in fields(struct):
        if field.name in closed:
            continue
        if field.name in keys:
            kept.append((field.name, field.type | None, None))
        elif field.required:
            kept.append((field.name, field.type))
        else:
            kept.append((field.name, field.type, field.default))
    return msgspec.defstruct(
        f"{struct.__name__}Body", kept, kw_only=True, forbid_unknown_fields=True
    )


def _lister(shelf: _Shelf) -> Handler:
    async def handler(call: Call) -> Reply:
        query = call.query
        filters = {
            field: getattr(query, field)
            for field in query.__struct_fields__
            if field not in PageQuery.__struct_fields__
        }
        after = position_of(query.cursor, Key, ()) or None
        page = await call.run(shelf.pages, after=after, limit=query.limit, **filters)
        cursor = cursor_of(page.next_cursor) if page.next_cursor else None
        items = [row for row in page.items if shows_row(call.caller, row)]
        return reply(Page(items=items, next_cursor=cursor))

    return handler


def _getter(shelf: _Shelf) -> Handler:
    async def handler(call: Call) -> Reply:
        key = _key(call, shelf)
        found = await call.run(master.read, shelf.kind, [key])
        if key not in found:
            raise problem("not_found", f"There is no {shelf.name} {' '.join(key)}.")
        return reply(found[key])

    return handler


def _putter(shelf: _Shelf, body: type[msgspec.Struct]) -> Handler:
    decoder = msgspec.json.Decoder(body)
    struct = KINDS[shelf.kind].struct

    async def handler(call: Call) -> Reply:
        require_json(call.headers)
        told = msgspec.structs.asdict(decode(decoder, call.body))
        for name, value in zip(shelf.parts, _key(call, shelf), strict=True):
            if told[name] not in (None, value):
                message = f"The address says {value!r}; leave the field out, or make them agree."
                raise Rejected("malformed", name, message)
            told[name] = value
        row = _valid(struct, told, shelf)
        saved = await call.run(_save, shelf.kind, row, _said(call))
        resumed = 0
        if isinstance(row, Binding) and saved != "unchanged":
            missing = f"{row.subject}:{row.partner_code}"
            resumed = await call.block(call.services.intake.resume, missing, row.system)
        return reply(SavedAnswer(saved=saved, resumed=resumed), 201 if saved == "new" else 200)

    return handler


def _valid(struct: type[Row], told: dict[str, Any], shelf: _Shelf) -> Row:
    """The row, checked as a whole; the parts of its key came by the address."""
    try:
        row = msgspec.convert(told, struct)
    except msgspec.ValidationError as failure:
        rejected = explain(failure)
        if rejected.field in shelf.parts:
            raise problem("bad_path", rejected.message, param=rejected.field) from None
        raise rejected from None
    if isinstance(row, Location) and row.time_zone not in available_timezones():
        message = f"There is no time zone {row.time_zone!r}; use an IANA name, Europe/Berlin."
        raise Rejected("malformed", "time_zone", message)
    return row


def _key(call: Call, shelf: _Shelf) -> Key:
    return tuple(call.path[part] for part in shelf.parts.values())


def _said(call: Call) -> Said:
    reason = call.headers.get(REASON, b"").decode("utf-8", "replace").replace("\0", "")
    return Said(actor=call.caller.actor, source="api", reason=reason[:MAX_REASON])


def _save(connection: Connection, kind: str, row: Row, said: Said) -> master.Saved:
    said_by(connection, said)
    key = KINDS[kind].key_of(row)
    before = master.read(connection, kind, [key]).get(key)
    saved = master.save_one(connection, kind, row)
    if saved != "unchanged":
        told = {"before": msgspec.to_builtins(before), "after": msgspec.to_builtins(row)}
        if said.reason:
            told["reason"] = said.reason
        log_change(connection, said.actor, f"{kind}.put", " ".join(key), told)
    return saved

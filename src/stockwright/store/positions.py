"""What an item's page shows: its books by place, its levels by channel, and how both came about.

Read only. Every function takes a connection and reads at its moment; quantities are base units
unless they belong to a level, which counts pieces of its listing.
"""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec

from stockwright.domain.availability import Stock
from stockwright.store.arrays import texts
from stockwright.store.connection import Connection
from stockwright.store.queries import load
from stockwright.store.stock import TOP, LedgerRow

ENTRIES_BY_KIND: Final = 5_000

Account = Literal[
    "sellable", "inspection", "quarantined", "damaged", "reserved", "allocated", "picked"
]
ACCOUNTS: Final[Sequence[Account]] = (
    "sellable",
    "inspection",
    "quarantined",
    "damaged",
    "reserved",
    "allocated",
    "picked",
)


class ItemRow(msgspec.Struct, frozen=True):
    """One line of the list of items, over all places."""

    sku: str
    description: str
    group: str
    on_hand: int
    promised: int
    free: int


class ItemCard(msgspec.Struct, frozen=True):
    """What the item master says of a SKU."""

    sku: str
    description: str
    group: str
    unit_cost: Decimal
    currency: str
    base_unit: str
    control: str
    active: bool
    units: Sequence[str]
    partner_codes: Sequence[str]


class Place(msgspec.Struct, frozen=True):
    """The two books of one SKU at one location, lots together."""

    location: str
    name: str
    sellable: int
    inspection: int
    quarantined: int
    damaged: int
    reserved: int
    allocated: int
    picked: int

    @property
    def on_hand(self) -> int:
        """The goods at the place, in every bucket."""
        return self.sellable + self.inspection + self.quarantined + self.damaged

    @property
    def free(self) -> int:
        """Sellable goods that nobody was promised; below zero is a shortage."""
        return self.sellable - self.reserved - self.allocated - self.picked


class ShownLevel(msgspec.Struct, frozen=True):
    """Desired, sent, acknowledged and verified of one listing, of which a piece takes `quantity`
    base units.

    verified is what the channel was found to show when it was read back last, at verified_at; None
    with a time where it showed nothing.
    """

    channel: str
    listing: str
    location: str
    quantity: int
    desired: int
    version: int
    sequence: int
    projected_at: dt.datetime
    sent: int | None
    sent_version: int | None
    sent_at: dt.datetime | None
    acknowledged: int | None
    acknowledged_version: int | None
    acknowledged_at: dt.datetime | None
    doubt_until: dt.datetime | None
    state: str
    waiting_since: dt.datetime
    attempts: int
    last_error: str
    verified: int | None
    verified_at: dt.datetime | None


class KindSum(msgspec.Struct, frozen=True):
    """What the events of one kind moved into (or out of) one account; '' is all older ones."""

    kind: str
    units: int
    entries: int
    last_at: dt.datetime


class OpenClaim(msgspec.Struct, frozen=True):
    """A demand line that holds a promise."""

    system: str
    order: str
    line: str
    channel: str
    state: str
    reserved: int
    allocated: int
    picked: int
    expires_at: dt.datetime | None


class UnderWay(msgspec.Struct, frozen=True):
    """What a transfer document has under way between two places."""

    document: str
    units: int
    entries: int
    last_at: dt.datetime


class Attempt(msgspec.Struct, frozen=True):
    """One try to bring a number to a channel; outcome None is not known yet."""

    call: int
    version: int
    value: int
    started_at: dt.datetime
    finished_at: dt.datetime | None
    outcome: str | None
    detail: str


def read_one_moment(connection: Connection) -> None:
    """Lets the transaction that begins here see one moment only, and change nothing.

    It may stand still for longer than one that others wait for.
    """
    connection.execute(load("positions")["read_one_moment"].encode())


def plan_for_its_values(connection: Connection) -> None:
    """Plans each query of this transaction for its own values: what is right for a SKU that nobody
    buys is wrong for one that everybody does.
    """
    connection.execute(load("positions")["plan_for_its_values"].encode())


def moment(connection: Connection) -> dt.datetime:
    """The database's clock."""
    row = connection.execute("select clock_timestamp()").fetchone()
    assert row is not None
    now: dt.datetime = row[0]
    return now


def items(
    connection: Connection, *, after: str = "", text: str = "", limit: int = 50
) -> list[ItemRow]:
    """SKUs in order of code after a code, whose code, description or partner code contains text."""
    return [
        ItemRow(*row)
        for row in _rows(
            connection, "items", after=after, pattern=_contains(text), limit=min(limit, 500)
        )
    ]


def sku_of(connection: Connection, text: str) -> str | None:
    """The SKU that a SKU code or a partner's code means; None where none or several do."""
    found = _row(connection, "sku_of", text=text)
    return str(found[0]) if found else None


def item(connection: Connection, sku: str) -> ItemCard | None:
    """The item master's card of a SKU, None where there is no such SKU."""
    found = _row(connection, "item", sku=sku)
    return ItemCard(*found) if found else None


def matrix(connection: Connection, sku: str) -> list[Place]:
    """Every location that has or had any of the SKU, in order of the location's priority."""
    return [Place(*row) for row in _rows(connection, "matrix", sku=sku)]


def places(connection: Connection, stocks: Sequence[Stock]) -> list[Place]:
    """What is known of some locations as the matrix tells it, in order of priority."""
    known = {stock.location: stock for stock in stocks}
    return [
        Place(code, name, *(getattr(known[code], account) for account in ACCOUNTS))
        for code, name in _rows(connection, "places", codes=texts(list(known)))
    ]


def in_transit(connection: Connection, sku: str, upto: int = TOP) -> int:
    """Units on the way between locations, in nobody's on_hand, as of a sequence number."""
    found = _row(connection, "in_transit", sku=sku, upto=upto)
    return int(found[0]) if found else 0


def under_way(connection: Connection, sku: str, upto: int = TOP) -> list[UnderWay]:
    """The same by transfer document, as the ledger's entries say, largest first."""
    return [UnderWay(*row) for row in _rows(connection, "under_way", sku=sku, upto=upto)]


def shown_levels(connection: Connection, sku: str) -> list[ShownLevel]:
    """The levels of every listing that contains the SKU, sorted by channel and listing."""
    return [ShownLevel(*row) for row in _rows(connection, "levels", sku=sku)]


def unpublished_listings(connection: Connection, sku: str) -> list[tuple[str, str]]:
    """(channel, listing) of the SKU that no level was ever computed for."""
    return [(row[0], row[1]) for row in _rows(connection, "unpublished_listings", sku=sku)]


def account_by_kind(
    connection: Connection, sku: str, location: str, account: Account, upto: int = TOP
) -> list[KindSum]:
    """How one balance came about up to a sequence number, by kind of event; the units sum to it.

    Beyond the newest ENTRIES_BY_KIND entries, the older ones are one sum without a kind.
    """
    found = _rows(
        connection,
        "account_by_kind",
        sku=sku,
        location=location,
        account=account,
        newest=ENTRIES_BY_KIND,
        upto=upto,
    )
    return [KindSum(*row[:4]) for row in found]


def account_entries(
    connection: Connection,
    sku: str,
    accounts: Sequence[str],
    location: str = "",
    upto: int = TOP,
    *,
    limit: int = 20,
) -> list[LedgerRow]:
    """The newest entries that moved units into or out of some accounts, at one place or at all."""
    found = _rows(
        connection,
        "account_entries",
        sku=sku,
        accounts=texts(accounts),
        location=location,
        upto=upto,
        limit=limit,
    )
    return [LedgerRow(*row) for row in found]


def open_claims(
    connection: Connection, sku: str, location: str, *, limit: int = 50
) -> list[OpenClaim]:
    """The largest promises of the SKU at a location."""
    found = _rows(connection, "open_claims", sku=sku, location=location, limit=limit)
    return [OpenClaim(*row) for row in found]


def attempts(
    connection: Connection,
    channel: str,
    listing: str,
    at: dt.datetime,
    location: str = "",
    *,
    limit: int = 20,
) -> list[Attempt]:
    """The newest attempts to publish one level, as they were known at a time."""
    found = _rows(
        connection,
        "attempts",
        channel=channel,
        listing=listing,
        location=location,
        at=at,
        limit=limit,
    )
    return [Attempt(*row) for row in found]


def newest_mark(connection: Connection, sku: str) -> str:
    """Changes whenever anything on the SKU's page may have; equal marks mean an equal page."""
    found = _row(connection, "newest_sequence", sku=sku)
    assert found is not None
    return "|".join(str(part) for part in found)


def _contains(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%" if text else "%"


def _rows(connection: Connection, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
    return connection.execute(load("positions")[query].encode(), parameters).fetchall()


def _row(connection: Connection, query: str, **parameters: Any) -> tuple[Any, ...] | None:
    return connection.execute(load("positions")[query].encode(), parameters).fetchone()

"""A small world with balances set by hand, and a partner that misbehaves on demand."""

import asyncio
import datetime as dt
import random
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from stockwright.domain.errors import Misconfigured, Throttled, Transient
from stockwright.flow.calls import Link
from stockwright.flow.projection import Projection
from stockwright.sdk.declaration import Limits
from stockwright.sdk.messages import (
    Applied,
    InDoubt,
    LevelToSend,
    PublishResult,
    Refused,
    Retry,
)

FAST = Limits(
    batch_size=50,
    calls_per_s=10_000.0,
    burst=10_000,
    concurrency=4,
    timeout_s=2.0,
    longest_apply_delay_s=0.05,
)


TELLERS = ("ERP", "WMS")
"""Systems that sell nothing themselves."""


class World:
    """One warehouse and some channels over a database; the ledger is played by SQL."""

    def __init__(self, url: str, channels: Sequence[str] = ("WEB",), skus: int = 3) -> None:
        self.url = url
        self.channels = tuple(channels)
        self.skus = [f"SKU-{n:03}" for n in range(skus)]
        with psycopg.connect(url) as db:
            for location in ("MAIN", "STORE"):
                db.execute("insert into location (code) values (%s)", [location])
            for system in TELLERS:
                db.execute("insert into system (code, role) values (%s, 'wms')", [system])
            for sku in self.skus:
                db.execute("insert into sku (code) values (%s)", [sku])
            for channel in self.channels:
                self._add_channel(db, channel)

    def _add_channel(self, db, channel: str) -> None:
        db.execute(
            "insert into system (code, role, connector) values (%s, 'shop', 'fake')", [channel]
        )
        db.execute(
            "insert into channel (code, system, pool) values (%s, %s, '{MAIN,STORE}')",
            [channel, channel],
        )
        for sku in self.skus:
            self.list_item(channel, sku, {sku: 1}, db=db)

    def list_item(self, channel: str, listing: str, parts: dict[str, int], db=None) -> None:
        if db is None:
            with psycopg.connect(self.url) as own:
                return self.list_item(channel, listing, parts, db=own)
        db.execute("insert into listing (channel, code) values (%s, %s)", [channel, listing])
        for sku, quantity in parts.items():
            db.execute(
                "insert into listing_component values (%s, %s, %s, %s)",
                [channel, listing, sku, quantity],
            )
        return None

    def policy(self, channel: str, position: int = 1, **rules) -> None:
        names = ["channel", "position", *rules]
        with psycopg.connect(self.url) as db:
            db.execute(
                f"insert into exposure_policy ({', '.join(names)}) "
                f"values ({', '.join(['%s'] * len(names))})",
                [channel, position, *rules.values()],
            )
            db.execute("update master_revision set revision = revision + 1")

    def stock(self, sku: str, sellable: int, *, location: str = "MAIN", reserved: int = 0) -> int:
        """The ledger records a new balance; answers its sequence number."""
        with psycopg.connect(self.url) as db:
            sequence = _one(
                db,
                "update ledger_head set sequence = sequence + 1, recorded_at = clock_timestamp() "
                "where lane = 0 returning sequence",
            )
            db.execute(
                "insert into balance (sku, location, sellable, reserved) values (%s, %s, %s, %s) "
                "on conflict (sku, location, lot) do update "
                "set sellable = excluded.sellable, reserved = excluded.reserved",
                [sku, location, sellable, reserved],
            )
            db.execute("insert into dirty (sku, sequence) values (%s, %s)", [sku, sequence])
        return sequence

    def rows(self, sql: str, *parameters) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as db:
            return db.execute(sql, parameters or None).fetchall()

    def run(self, sql: str, *parameters) -> None:
        with psycopg.connect(self.url, autocommit=True) as db:
            db.execute(sql, parameters or None)

    def level(self, listing: str = "SKU-000", channel: str = "WEB") -> dict[str, Any]:
        with psycopg.connect(self.url, row_factory=psycopg.rows.dict_row) as db:
            found = db.execute(
                "select * from level where channel = %s and listing = %s", [channel, listing]
            ).fetchone()
        assert found is not None, f"no level for {channel} {listing}"
        return found

    def levels(self, channel: str = "WEB") -> dict[str, int]:
        rows = self.rows("select listing, desired from level where channel = %s", channel)
        return dict(rows)

    def unsettled(self) -> list[tuple[Any, ...]]:
        return self.rows(
            "select channel, listing, state, desired, acknowledged, due_at, last_error "
            "from level where state <> 'settled'"
        )


def _one(db: psycopg.Connection, sql: str) -> int:
    found = db.execute(sql).fetchone()
    assert found is not None
    return int(found[0])


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC)

    def __call__(self) -> dt.datetime:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += dt.timedelta(seconds=seconds)


Behaviour = Callable[["Shop", list[LevelToSend]], "Sequence[PublishResult]"]


class Shop:
    """A channel: what it shows, every call it got, and how it treats the next ones.

    `behave` takes behaviours for the next calls, in order; afterwards it is honest.
    """

    def __init__(self) -> None:
        self.shows: dict[str, int] = {}
        self.versions: dict[str, int] = {}
        self.calls: list[list[LevelToSend]] = []
        self.next: list[Behaviour] = []
        self.gate: asyncio.Event | None = None
        self.at_once = 0
        self.most_at_once = 0

    def behave(self, *behaviours: Behaviour) -> None:
        self.next.extend(behaviours)

    async def publish(self, levels: Sequence[LevelToSend]) -> Sequence[PublishResult]:
        self.calls.append(list(levels))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            behaviour = self.next.pop(0) if self.next else honest
            if self.gate is not None:
                await self.gate.wait()
            else:
                await asyncio.sleep(0)
            return behaviour(self, list(levels))
        finally:
            self.at_once -= 1

    def apply(self, level: LevelToSend) -> PublishResult:
        self.shows[level.listing] = level.quantity
        self.versions[level.listing] = level.version
        return Applied()

    @property
    def sent(self) -> list[tuple[str, int]]:
        return [(level.listing, level.quantity) for call in self.calls for level in call]


def honest(shop: Shop, levels: list[LevelToSend]) -> Sequence[PublishResult]:
    return [shop.apply(level) for level in levels]


def in_doubt(shop: Shop, levels: list[LevelToSend]) -> Sequence[PublishResult]:
    """500, and nothing was applied."""
    return [InDoubt(reason="500") for _ in levels]


def applied_but_500(shop: Shop, levels: list[LevelToSend]) -> Sequence[PublishResult]:
    """500, and all was applied."""
    honest(shop, levels)
    return [InDoubt(reason="500") for _ in levels]


def half(shop: Shop, levels: list[LevelToSend]) -> Sequence[PublishResult]:
    """Every other level is applied; the rest must come again."""
    return [
        shop.apply(level) if n % 2 == 0 else Retry(retry_after_s=0.0, reason="locked")
        for n, level in enumerate(levels)
    ]


def refuse(reason: str) -> Behaviour:
    return lambda shop, levels: [Refused(reason=reason, message=reason) for _ in levels]


def unreachable(shop: Shop, levels: list[LevelToSend]) -> Sequence[PublishResult]:
    raise Transient("connection refused")


def throttle(shop: Shop, levels: list[LevelToSend]) -> Sequence[PublishResult]:
    raise Throttled("too many requests", retry_after_s=7.0)


def misconfigured(shop: Shop, levels: list[LevelToSend]) -> Sequence[PublishResult]:
    raise Misconfigured("systems.WEB.settings.token", "the token was refused")


def crash(shop: Shop, levels: list[LevelToSend]) -> Sequence[PublishResult]:
    honest(shop, levels)
    raise RuntimeError("a bug in the connector")


def link(
    *channels: str,
    limits: Limits = FAST,
    clock: Callable[[], dt.datetime] | None = None,
    seed: int = 7,
    lease_margin_s: float = 5.0,
    system: str = "",
) -> Link:
    return Link(
        system=system or (channels[0] if channels else "WEB"),
        channels=channels or ("WEB",),
        limits=limits,
        chance=random.Random(seed).random,
        clock=clock,
        lease_margin_s=lease_margin_s,
    )


def set_stock(world: World, projection: Projection, **units: int) -> None:
    """New balances for some SKUs, projected; SKU_000 names SKU-000."""
    for sku, quantity in units.items():
        world.stock(sku.replace("_", "-"), quantity)
    projection.step()


async def until(condition: Callable[[], bool], limit_s: float = 120.0) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + limit_s
    while not condition():
        assert loop.time() < end, "it never came to be"
        await asyncio.sleep(0.02)

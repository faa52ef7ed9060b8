"""Rows as a running hub leaves them, written by SQL: the console only reads."""

import datetime as dt
import json
import random
from typing import Any

import psycopg

SYSTEMS = {
    "erp": ("erp", "json_http", "high"),
    "wms": ("wms", "json_http", "high"),
    "webshop": ("shop", "json_http", "high"),
    "b2b": ("shop", "json_http", "normal"),
    "market-a": ("shop", "json_http", "normal"),
    "market-b": ("shop", "json_http", "normal"),
    "dropship": ("shop", "csv_drop", "low"),
}
CHANNELS = ("webshop", "b2b", "market-a", "market-b", "dropship")
LOCATIONS = {"LON": "London", "BER": "Berlin", "SHOP": "Shop, Covent Garden"}
ITEMS = (
    ("85123A", "White hanging heart T-light holder", "home"),
    ("21212", "Pack of 72 retrospot cake cases", "kitchen"),
    ("22423", "Regency cakestand 3 tier", "kitchen"),
    ("47566", "Party bunting", "party"),
    ("84879", "Assorted colour bird ornament", "home"),
    ("20725", "Lunch bag red retrospot", "bags"),
    ("22720", "Set of 3 cake tins pantry design", "kitchen"),
    ("23203", "Jumbo bag vintage doily", "bags"),
)
HOT = "85123A"


class Seed:
    """Writes to one database; every method may be called again."""

    def __init__(self, url: str, *, now: dt.datetime | None = None) -> None:
        self.connection = psycopg.connect(url, autocommit=True)
        row = self.connection.execute("select now()").fetchone()
        assert row is not None
        self.now = now or row[0]
        self.sequence = 0
        self.call = 0

    def close(self) -> None:
        self.connection.close()

    def ago(self, seconds: float) -> dt.datetime:
        return self.now - dt.timedelta(seconds=seconds)

    def system(self, code: str, role: str = "shop", connector: str = "json_http") -> None:
        self._run(
            "insert into system (code, role, connector) values (%s, %s, %s) on conflict do nothing",
            code, role, connector,
        )  # fmt: skip

    def channel(self, code: str, system: str, *pool: str) -> None:
        self._run(
            "insert into channel (code, system, pool) values (%s, %s, %s)", code, system, list(pool)
        )

    def location(self, code: str, name: str = "") -> None:
        self._run("insert into location (code, name) values (%s, %s)", code, name)

    def sku(self, code: str, description: str = "", group: str = "") -> None:
        self._run(
            "insert into sku (code, description, sku_group, unit_cost, currency)"
            " values (%s, %s, %s, 2.55, 'GBP')",
            code, description, group,
        )  # fmt: skip

    def binding(self, system: str, partner_code: str, sku: str) -> None:
        self._run(
            "insert into binding (system, subject, partner_code, code) values (%s, 'item', %s, %s)",
            system, partner_code, sku,
        )  # fmt: skip

    def listing(self, channel: str, code: str, sku: str, quantity: int = 1) -> None:
        self._run("insert into listing (channel, code) values (%s, %s)", channel, code)
        self._run(
            "insert into listing_component values (%s, %s, %s, %s)", channel, code, sku, quantity
        )

    def balance(self, sku: str, location: str, **buckets: int) -> None:
        names = list(buckets)
        self._run(
            f"insert into balance (sku, location, {', '.join(names)})"
            f" values (%s, %s, {', '.join(['%s'] * len(names))})",
            sku, location, *buckets.values(),
        )  # fmt: skip

    def event(
        self,
        kind: str,
        sku: str,
        quantity: int,
        move: tuple[str, str],
        *,
        location: str = "LON",
        system: str = "wms",
        document: str = "D-1",
        order: str = "",
        seconds_ago: float = 60,
    ) -> int:
        """Records one event with one entry; answers its sequence."""
        self.sequence += 1
        at = self.ago(seconds_ago)
        body: dict[str, Any] = {"kind": kind, "document": document, "quantity": quantity}
        if order:
            body["order"] = order
        self._run(
            "insert into event values (%s, %s, %s, %s, %s, %s, null, 'recorded', %s, null)",
            self.sequence, kind, system, at - dt.timedelta(seconds=2),
            at - dt.timedelta(milliseconds=4), at, json.dumps(body),
        )  # fmt: skip
        self._run(
            "insert into entry (sequence, n, sku, lot, from_account, from_location, to_account,"
            " to_location, quantity, occurred_at) values (%s, 1, %s, '', %s, %s, %s, %s, %s, %s)",
            self.sequence, sku, move[0], location, move[1], location, quantity, at,
        )  # fmt: skip
        self._run("insert into batch values (%s, %s, %s)", self.sequence, self.sequence, at)
        self._run(
            "update ledger_head set sequence = %s, recorded_at = %s where lane = 0",
            self.sequence, at,
        )  # fmt: skip
        return self.sequence

    def change(self, channel: str, listing: str, value: int, seconds_ago: float) -> int:
        """Notes a desired number; answers its version."""
        at = self.ago(seconds_ago)
        version = int(at.timestamp() * 1000)
        self._run(
            "insert into level_change (channel, listing, location, sequence, since_sequence,"
            " version, value, projected_at, after_sequence)"
            " values (%s, %s, '', %s, %s, %s, %s, %s, %s)",
            channel, listing, self.sequence, self.sequence - 1, version, value, at, self.sequence,
        )  # fmt: skip
        return version

    def attempt(
        self, channel: str, listing: str, value: int, version: int, *,
        latency_s: float = 0.2, outcome: str | None = "acknowledged", detail: str = "",
    ) -> None:  # fmt: skip
        self.call += 1
        started = dt.datetime.fromtimestamp(version / 1000, dt.UTC)
        done = started + dt.timedelta(seconds=latency_s)
        self._run(
            "insert into attempt values (%s, 1, %s, %s, '', %s, %s, %s, %s, %s, %s, %s, %s)",
            self.call, channel, listing, version, value, started, done, done,
            done if outcome else None, outcome, detail,
        )  # fmt: skip

    def level(
        self, channel: str, listing: str, desired: int, *, seconds_ago: float = 60,
        acknowledged: int | None = None, state: str = "settled", last_error: str = "",
        attempts: int = 0,
    ) -> None:  # fmt: skip
        at = self.ago(seconds_ago)
        version = int(at.timestamp() * 1000)
        self._run(
            "insert into level (channel, listing, desired, version, sequence, projected_at,"
            " acknowledged, acknowledged_version, acknowledged_at, state, lane, due_at,"
            " waiting_since, attempts, last_error)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'decrease', %s, %s, %s, %s)",
            channel, listing, desired, version, self.sequence, at,
            acknowledged, None if acknowledged is None else version - (acknowledged != desired),
            None if acknowledged is None else at, state, at, at, attempts, last_error,
        )  # fmt: skip

    def rules_since(self, seconds_ago: float) -> None:
        """Lets the rules and the item master be as they are since then."""
        self._run("update revision set at = %s where at > %s", *[self.ago(seconds_ago)] * 2)

    def told(
        self, system: str, sku: str, location: str, quantity: int, difference: int | None,
        *, seconds_ago: float = 60, kind: str = "snapshot", outcome: str = "observed", **body: Any,
    ) -> int:  # fmt: skip
        """A count or snapshot as the ledger keeps one that moved nothing; answers its sequence."""
        self.sequence += 1
        at = self.ago(seconds_ago)
        fact = {"kind": kind, "document": f"N-{self.sequence}", "quantity": quantity, **body}
        fact |= {"sku": sku} if "item" not in body else {}
        fact |= {"location": location}
        answer = None if difference is None else {"difference": difference}
        self._run(
            "insert into event values (%s, %s, %s, %s, %s, %s, null, %s, %s, %s)",
            self.sequence, kind, system, at, at, at, outcome, json.dumps(fact),
            json.dumps({"answer": answer, "field": "", "message": ""}),
        )  # fmt: skip
        self._run("insert into batch values (%s, %s, %s)", self.sequence, self.sequence, at)
        self._run("update ledger_head set sequence = %s where lane = 0", self.sequence)
        return self.sequence

    def connection_state(self, system: str, **columns: Any) -> None:
        self._run("insert into connection_state (system) values (%s)", system)
        for name, value in columns.items():
            self._run(f"update connection_state set {name} = %s where system = %s", value, system)

    def _run(self, statement: str, *parameters: Any) -> None:
        self.connection.execute(statement.encode(), parameters)


def seed_wholesaler(seed: Seed) -> None:
    """A small wholesaler at work: links in every state, one hot SKU with a past of 20 minutes."""
    # In one go: two thousand statements, each waiting for its own answer, take a second.
    with seed.connection.transaction(), seed.connection.pipeline():
        _seed_everything(seed)


def _seed_everything(seed: Seed) -> None:
    for code, (role, connector, _) in SYSTEMS.items():
        seed.system(code, role, connector)
    for code, name in LOCATIONS.items():
        seed.location(code, name)
    for channel in CHANNELS:
        seed.channel(channel, channel, *LOCATIONS)
    for index, (sku, description, group) in enumerate(ITEMS):
        seed.sku(sku, description, group)
        seed.binding("market-a", f"MA-{sku}", sku)
        for channel in CHANNELS:
            seed.listing(channel, sku, sku)
        if sku != HOT:
            seed.balance(sku, "LON", sellable=140 + 37 * index, reserved=index)
            seed.balance(sku, "BER", sellable=20 * index, damaged=index % 3)
    _seed_hot(seed)
    _seed_links(seed)
    for number in range(3):
        seed._run(
            "insert into work_item (kind, subject, sku) values ('shortage', %s, %s)",
            f"{HOT}@{number}", HOT,
        )  # fmt: skip
    seed._run(
        "insert into payload (system, door, body, state, path, missing)"
        " values ('erp', 'webhook', '{}', 'parked', '$.sku', 'item:A-99')"
    )


def _seed_hot(seed: Seed) -> None:
    chance = random.Random(5)
    free = 620
    seed.event("receipt", HOT, 620, ("supplier", "sellable"), document="PO-77", seconds_ago=1260)
    _show(seed, free, 1259, chance)
    second, reserved = 1200.0, 0
    while second > 4:
        if free < 15:
            seed.event("receipt", HOT, 380, ("supplier", "sellable"), system="erp",
                       document=f"PO-{int(second)}", seconds_ago=second)  # fmt: skip
            free += 380
        elif chance.random() < 0.7:
            quantity = min(chance.choice((1, 2, 2, 4, 6, 12)), free)
            seed.event("reserve", HOT, quantity, ("unclaimed", "reserved"), system="webshop",
                       document=f"W-{int(second)}", order=f"W-{int(second)}",
                       seconds_ago=second)  # fmt: skip
            free -= quantity
            reserved += quantity
        else:
            quantity = min(chance.randint(1, 5), free)
            seed.event("pos_sale", HOT, quantity, ("sellable", "customer"), system="erp",
                       document=f"T-{int(second)}", seconds_ago=second)  # fmt: skip
            free -= quantity
        _show(seed, free, second - 0.2, chance)
        second -= chance.uniform(3, 14)
    seed.balance(HOT, "LON", sellable=free + reserved, reserved=reserved)
    seed.balance(HOT, "BER", sellable=0, inspection=12, damaged=2, quarantined=4)
    seed.level("webshop", HOT, free, seconds_ago=3, acknowledged=free)
    seed.level("b2b", HOT, free, seconds_ago=3, acknowledged=free)
    seed.level("market-a", HOT, max(free - 5, 0), seconds_ago=3, acknowledged=free + 9,
               state="due", attempts=4, last_error="503 Service Unavailable")  # fmt: skip
    seed.level("dropship", HOT, max(free - 20, 0), seconds_ago=640, acknowledged=free + 61,
               state="due")  # fmt: skip


def _show(seed: Seed, free: int, second: float, chance: random.Random) -> None:
    for channel, held, latency_s in (("webshop", 0, 0.12), ("b2b", 0, 0.2), ("market-a", 5, 0.3)):
        value = max(free - held, 0)
        version = seed.change(channel, HOT, value, second)
        seed.attempt(channel, HOT, value, version, latency_s=latency_s * chance.uniform(0.5, 4))


def _seed_links(seed: Seed) -> None:
    seed.connection_state("webshop", last_success=seed.ago(2))
    seed.connection_state("b2b", last_success=seed.ago(3))
    seed.connection_state(
        "market-a", failures=4, retry_at=seed.ago(-48), last_success=seed.ago(130),
        last_failure=seed.ago(12), last_error="503 Service Unavailable", circuit="open",
    )  # fmt: skip
    seed.connection_state("market-b", last_success=seed.ago(4210))
    seed.connection_state("dropship", paused=True, last_success=seed.ago(900))
    seed._run(
        "insert into change_log (actor, action, subject, changed_at)"
        " values ('a.keller', 'connection.pause', 'dropship', %s)",
        seed.ago(800),
    )

"""Shops over real HTTP and the hub that serves them, moved step by step on one clock.

Ledger, intake, polls, projection and publication are the product's own. A test decides what
happens next, so that a failing run can be repeated.
"""

import datetime as dt
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from stockwright.connectors.json_http import CONNECTOR, Sandbox
from stockwright.connectors.json_http.client import PolledJsonHttpConnection
from stockwright.domain.events import Fact
from stockwright.flow.calls import Call, Link, claim
from stockwright.flow.intake import Intake
from stockwright.flow.polling import Poller
from stockwright.flow.projection import Projection
from stockwright.flow.publication import Publisher
from stockwright.flow.recording import Recorder
from stockwright.flow.speaking import send
from stockwright.sdk.connector import Opening, utc_now
from stockwright.sdk.webhooks import signed
from stockwright.store import attempts
from stockwright.store.connection import Pool
from tests.flow.channels import Clock, World

APPLY_DELAY_S = 30.0
SETTINGS = {
    "timeout_s": 0.25,
    "longest_apply_delay_s": APPLY_DELAY_S,
    "calls_per_s": 1_000.0,
    "burst": 10_000,
    "batch_size": 3,
    "page_size": 2,
}


class RoughShop(Sandbox):
    """A sandbox that may keep no versions, and may say yes without doing anything."""

    def __init__(self, clock: Clock, *, keeps_versions: bool = True) -> None:
        super().__init__(clock=clock)
        self.keeps_versions = keeps_versions
        self.pretends = 0

    def _take(self, level: dict[str, Any]) -> dict[str, Any]:
        if self.pretends > 0:
            self.pretends -= 1
            return {"listing": level["listing"], "location": "", "status": "applied"}
        if self.keeps_versions:
            return super()._take(level)
        self._levels.pop((level["listing"], level.get("location", "")), None)
        answer = super()._take(level)
        return {name: value for name, value in answer.items() if name != "version"}


class Late(NamedTuple):
    """A call whose publisher was killed: its bytes may still arrive, until then."""

    call: Call
    until: dt.datetime


class Partner:
    """One shop, how the hub speaks to it, and what was told of it by whom."""

    def __init__(self, house: "House", system: str, shop: RoughShop) -> None:
        self.house = house
        self.system = system
        self.shop = shop
        self.told: list[bytes] = []
        self.late: list[Late] = []
        settings = CONNECTOR.declaration.parse_settings(shop.settings() | SETTINGS, str)
        connection = CONNECTOR.open(Opening(system=system, clock=house.clock), settings)
        assert isinstance(connection, PolledJsonHttpConnection)
        self.connection = connection
        self.link = Link(
            system=system,
            channels=(system,),
            limits=self.connection.limits,
            chance=house.chance.random,
            clock=house.clock,
            order_watermark=True,
        )
        self.workers = [Publisher(house.pool, self.connection, self.link) for _ in range(2)]

    async def sell(self, listing: str, units: int) -> None:
        """A customer buys what the shop shows; nobody is asked."""
        house = self.house
        house.sold[listing] += units
        number = f"{self.system}-{house.sold.total()}"
        body = await self.shop.sell(number, [(listing, units)], occurred_at=house.clock())
        self.told.append(body)

    async def poll(self) -> None:
        """The hub asks for the shop's orders, as often as the last one was cut in pages."""
        await self.house.poller.poll(self.system, self.connection, now=True)

    def hear(self, body: bytes) -> None:
        """A webhook arrives."""
        headers = signed(self.shop.secret, "msg", body, utc_now())
        payload = self.connection.receive(headers, body)
        self.house.intake.accept(self.system, "webhook", payload)

    async def publish(self) -> None:
        """Workers send what may go, until nothing may."""
        for _ in range(100):
            if not await self.workers[0].step():
                return

    def claim(self) -> Call | None:
        """A worker takes levels along and is not heard of any more."""
        with self.house.pool.connection() as connection:
            attempts.ensure_connection(connection, self.system, self.link.limits.burst)
            call = claim(connection, self.link).call
        if call is not None:
            until = call.deadline + dt.timedelta(seconds=APPLY_DELAY_S)
            self.late.append(Late(call, until))
        return call

    async def arrive(self, one: Late) -> None:
        """The bytes of a killed worker arrive; nobody hears the answer."""
        self.late.remove(one)
        await send(self.connection, self.link, one.call)

    @property
    def shows(self) -> dict[str, int | None]:
        """What it shows now, by listing."""
        return {listing: self.shop.shown(listing) for listing in self.house.world.skus}


class House:
    """The hub and its shops. received and sold are the test's own count, by SKU."""

    def __init__(self, url: str, pool: Pool, recorder: Recorder, world: World, seed: int) -> None:
        self.url, self.pool, self.world = url, pool, world
        self.chance = random.Random(seed)
        self.clock = Clock()
        self.recorder = recorder
        self.partners: dict[str, Partner] = {}
        self.connections: dict[str, Any] = {}
        self.intake = Intake(pool, recorder, self.connections, worker="w1")
        self.poller = Poller(pool, worker="w1")
        self.projection = Projection(pool, clock=self.clock)
        self.received: Counter[str] = Counter()
        self.sold: Counter[str] = Counter()
        self._versions: dict[tuple[str, str], tuple[int, int]] = {}

    def receive(self, sku: str, units: int) -> None:
        """Goods come in."""
        self.received[sku] += units
        fact = Fact(
            kind="receipt",
            system="WMS",
            document=f"GR-{sku}-{self.received[sku]}",
            sku=sku,
            quantity=units,
            location="MAIN",
        )
        (outcome,) = self.recorder.submit([fact]).result(60)
        assert outcome.code == "recorded"

    def record(self) -> None:
        """What was kept is recorded."""
        while self.intake.step().payloads:
            pass

    def project(self) -> None:
        """What was recorded is computed."""
        while self.projection.step().marks:
            pass

    async def round(self) -> None:
        """One round of everything the workers do."""
        for partner in self.partners.values():
            await partner.poll()
        self.record()
        self.project()
        for partner in self.partners.values():
            await partner.publish()

    def pass_s(self, seconds: float) -> list[Late]:
        """Time passes; answers what can no longer arrive by then."""
        self.clock.pass_s(seconds)
        gone = []
        for partner in self.partners.values():
            gone += [one for one in partner.late if one.until <= self.clock.now]
            partner.late = [one for one in partner.late if one.until > self.clock.now]
        return gone

    def true(self, sku: str) -> int:
        """What every channel should show of a SKU."""
        return max(0, self.received[sku] - self.sold[sku])

    # ---------------------------------------------------------------- what must hold

    def check_versions(self) -> None:
        """Neither the version that is wanted nor the one that was taken ever goes back."""
        for channel, listing, *found in self.world.rows(
            "select channel, listing, version, coalesce(acknowledged_version, 0) from level"
        ):
            before = self._versions.get((channel, listing), (0, 0))
            assert all(new >= old for new, old in zip(found, before, strict=True)), listing
            self._versions[channel, listing] = (found[0], found[1])

    def check_attempts(self) -> None:
        """Versions left in order, and each stood for one number."""
        rows = self.world.rows("select channel, listing, version, value from attempt order by call")
        numbers: dict[tuple[str, str, int], int] = {}
        last: dict[tuple[str, str], int] = {}
        for channel, listing, version, value in rows:
            assert version >= last.get((channel, listing), 0), "an older version left later"
            assert numbers.setdefault((channel, listing, version), value) == value
            last[channel, listing] = version

    def check_books(self) -> None:
        """Every sale is in the ledger once, and no other."""
        told = self.world.rows(
            "select sku, sum(ordered)::bigint from demand_line group by sku having sum(ordered) > 0"
        )
        assert dict(told) == {sku: units for sku, units in self.sold.items() if units}

    def unverified(self) -> list[tuple[Any, ...]]:
        """Levels that are not proven to show what they should."""
        return self.world.rows(
            "select channel, listing, state, desired, acknowledged, verified, last_error from level"
            " where state <> 'settled' or verified is distinct from desired"
            " or verified_at < acknowledged_at"
        )


@asynccontextmanager
async def trading(
    url: str,
    *,
    systems: tuple[str, ...] = ("WEB",),
    skus: int = 4,
    seed: int = 1,
    keeps_versions: bool = True,
) -> AsyncIterator[House]:
    """The hub over a fresh database, and a shop for every system."""
    world = World(url, systems, skus=skus)
    for system in systems:
        for sku in world.skus:
            world.run(
                "insert into binding (system, subject, partner_code, code)"
                " values (%s, 'item', %s, %s)",
                system,
                sku,
                sku,
            )
    world.run("update master_revision set revision = revision + 1")
    with Pool(url, size=6) as pool, Recorder(url) as recorder:
        house = House(url, pool, recorder, world, seed)
        shops = [RoughShop(house.clock, keeps_versions=keeps_versions) for _ in systems]
        try:
            for system, shop in zip(systems, shops, strict=True):
                await shop.start()
                house.partners[system] = Partner(house, system, shop)
                house.connections[system] = house.partners[system].connection
            yield house
        finally:
            for partner in house.partners.values():
                await partner.connection.close()
            for shop in shops:
                await shop.stop()


async def until_verified(house: House, rounds: int = 10) -> None:
    """The shops behave from now on, an operator closes what asks for one, and time passes."""
    for partner in house.partners.values():
        partner.shop.faults.clear()
        partner.shop.pretends = 0
        while partner.late:
            await partner.arrive(partner.late[0])
    for _ in range(rounds):
        house.world.run(
            "update work_item set closed_at = now(), closed_by = 'op', closed_why = 'seen'"
            " where kind = 'publication_refused' and closed_at is null"
        )
        house.pass_s(3_700)
        await house.round()
        for partner in house.partners.values():
            while (await partner.workers[1].verify()).read:
                pass
        house.check_versions()
        if not house.unverified():
            return
    raise AssertionError(f"not verified after {rounds} rounds: {house.unverified()}")

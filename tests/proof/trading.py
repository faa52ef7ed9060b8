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

from stockwright.domain.events import Fact
from stockwright.flow.calls import Call, Link, claim
from stockwright.flow.intake import Intake
from stockwright.flow.polling import Poller
from stockwright.flow.projection import Projection
from stockwright.flow.publication import Publisher
from stockwright.flow.recording import Recorder
from stockwright.flow.speaking import send
from stockwright.sdk.hostile import Faults
from stockwright.store import attempts
from stockwright.store.connection import Pool
from tests.flow.channels import Clock, World
from tests.proof import shops
from tests.proof.shops import APPLY_DELAY_S, KINDS, Kind, Mailbox


class Late(NamedTuple):
    """A call whose publisher was killed: its bytes may still arrive, until then."""

    call: Call
    until: dt.datetime


class Partner:
    """One shop, how the hub speaks to it, and what was told of it by whom.

    Each worker has a connection of its own, as in processes of their own; the third one is that of
    workers who are killed.
    """

    def __init__(self, house: "House", system: str, shop: Any, kind: Kind) -> None:
        self.house = house
        self.system = system
        self.shop = shop
        self.faults: Faults = shop.faults
        self.faults.remember = True
        self.mailbox = Mailbox()
        self.late: list[Late] = []
        self.orders: list[tuple[Any, str, int]] = []
        self.connections = [kind.open(system, shop, house.clock) for _ in range(3)]
        self.connection = self.connections[0]
        declaration = kind.connector.declaration
        self.link = Link(
            system=system,
            channels=(system,),
            limits=self.connection.limits,
            patience=declaration.patience,
            chance=house.chance.random,
            clock=house.clock,
            order_watermark=declaration.capabilities.order_watermark and not kind.is_gross,
        )
        self.workers = [Publisher(house.pool, one, self.link) for one in self.connections[:2]]

    async def open(self) -> None:
        """Its webhooks are heard from now on."""
        await self.mailbox.start()
        self.shop.webhook_url = self.mailbox.url

    async def close(self) -> None:
        """Ends all that speaks to it."""
        for connection in self.connections:
            await connection.close()
        await self.mailbox.stop()

    async def sell(self, listing: str, units: int) -> None:
        """A customer buys what the shop shows; nobody is asked."""
        house = self.house
        house.sold[listing] += units
        house.sales += 1
        order = await shops.sell(self.shop, f"{self.system}-{house.sales}", listing, units)
        self.orders.append((order, listing, units))

    async def cancel(self, order: Any, listing: str, units: int) -> None:
        """A customer takes back a whole order."""
        self.orders.remove((order, listing, units))
        self.house.sold[listing] -= units
        await shops.cancel(self.shop, order, listing, units)

    async def poll(self) -> None:
        """The hub asks for the shop's orders, as often as the last one was cut in pages."""
        await self.house.poller.poll(self.system, self.connection, now=True)

    def hear(self, headers: dict[str, str], body: bytes) -> None:
        """A webhook arrives."""
        payload = self.connection.receive(headers, body)
        assert payload is not None
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
        await send(self.connections[2], self.link, one.call)

    @property
    def shows(self) -> dict[str, int | None]:
        """What its customers may buy now, by listing."""
        return {listing: shops.for_sale(self.shop, listing) for listing in self.house.world.skus}


class House:
    """The hub and its shops. received and sold are the test's own count, by SKU; what was
    cancelled is sold no more.
    """

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
        self.facts = self.sales = 0
        self._versions: dict[tuple[str, str], tuple[int, int]] = {}

    def receive(self, sku: str, units: int) -> None:
        """Goods come in."""
        self.received[sku] += units
        self._tell("receipt", sku, units)

    def lose(self, sku: str, units: int) -> None:
        """Goods are found broken."""
        self.received[sku] -= units
        self._tell("adjustment", sku, -units)

    def _tell(self, kind: Any, sku: str, units: int) -> None:
        self.facts += 1
        fact = Fact(
            kind=kind,
            system="WMS",
            document=f"{kind}-{self.facts}",
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
        """Time passes, and shops do what they had put off; answers what can no longer arrive."""
        self.clock.pass_s(seconds)
        gone = []
        for partner in self.partners.values():
            assert partner.shows
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
        """Every sale that was not taken back is in the ledger once, and no other."""
        told = self.world.rows(
            "select sku, sum(ordered - cancelled)::bigint from demand_line group by sku"
            " having sum(ordered - cancelled) <> 0"
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
    kind: str = "json_http",
) -> AsyncIterator[House]:
    """The hub over a fresh database, and a shop of a kind for every system."""
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
    if KINDS[kind].is_gross:
        world.run("update system set levels_are = 'gross' where code = any (%s)", list(systems))
    world.run("update master_revision set revision = revision + 1")
    with Pool(url, size=6) as pool, Recorder(url) as recorder:
        house = House(url, pool, recorder, world, seed)
        made = [KINDS[kind].make(world.skus, house.clock) for _ in systems]
        try:
            for system, shop in zip(systems, made, strict=True):
                await shop.start()
                partner = house.partners[system] = Partner(house, system, shop, KINDS[kind])
                house.connections[system] = partner.connection
                await partner.open()
            yield house
        finally:
            for partner in house.partners.values():
                await partner.close()
            for shop in made:
                await shop.stop()


async def until_verified(house: House, rounds: int = 10) -> None:
    """The shops behave from now on, an operator closes what asks for one, and time passes."""
    for partner in house.partners.values():
        partner.faults.clear()
        partner.shop.refused.clear()
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

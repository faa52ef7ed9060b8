"""Whatever a shop and our own workers do: once it behaves, every level is proven right.

Random worlds from a seed, over every sandbox that shows levels: sales behind our back, orders taken
back, receipts, webhooks twice, late or never, polls cut short, every fault of the hostile partner,
batches taken in part, numbers it never wrote down, old answers, edits by hand, publishers killed
before, in and after a call, with bytes that arrive behind those of their successor.
"""

import os
import random

import pytest

from stockwright.sdk.hostile import Fault
from tests.proof.shops import KINDS
from tests.proof.trading import House, Partner, trading, until_verified

CYCLES = int(os.environ.get("STOCKWRIGHT_CYCLES", "20"))
SEEDS = range(max(1, CYCLES // 20))
DEEDS = 60
FAULTS = (
    Fault(kind="throttled", seconds=5.0),
    Fault(kind="server_error"),
    Fault(kind="applied_then_error"),
    Fault(kind="dropped"),
    Fault(kind="applied_then_dropped"),
    Fault(kind="swallowed"),
    Fault(kind="garbage"),
    Fault(kind="applied_then_garbage"),
    Fault(kind="poisoned"),
    Fault(kind="redirected"),
    Fault(kind="unauthorized"),
    Fault(kind="malformed_request"),
)
LIES = (Fault(kind="not_applied"), Fault(kind="stale"))
SLOW = Fault(kind="slow", seconds=0.5)
"""Longer than the hub waits; it costs real time, so it is rare."""


async def sell(house: House, shop: Partner) -> None:
    shown = [(sku, units) for sku, units in shop.shows.items() if units and units > 0]
    if shown:
        sku, units = house.chance.choice(shown)
        # A shop may date an order earlier than it writes it down.
        early_s = house.chance.choice((0, 0, 0, 4))
        house.clock.pass_s(-early_s)
        await shop.sell(sku, house.chance.randint(1, min(3, units)))
        house.clock.pass_s(early_s)


async def cancel(house: House, shop: Partner) -> None:
    if shop.orders:
        await shop.cancel(*house.chance.choice(shop.orders))


async def receive(house: House, shop: Partner) -> None:
    house.receive(house.chance.choice(house.world.skus), house.chance.randint(1, 6))


async def hear(house: House, shop: Partner) -> None:
    if shop.mailbox.told:
        headers, body = house.chance.choice(shop.mailbox.told)
        for _ in range(house.chance.randint(1, 2)):
            shop.hear(headers, body)


async def poll(house: House, shop: Partner) -> None:
    await shop.poll()


async def record(house: House, shop: Partner) -> None:
    house.record()


async def project(house: House, shop: Partner) -> None:
    house.project()


async def publish(house: House, shop: Partner) -> None:
    await house.chance.choice(shop.workers).step()


async def work(house: House, shop: Partner) -> None:
    """All stations have their turn, but for those that are slow today."""
    for station in (poll, record, project, publish, publish):
        if house.chance.random() < 0.8:
            await station(house, shop)


async def verify(house: House, shop: Partner) -> None:
    await house.chance.choice(shop.workers).verify()


async def misbehave(house: House, shop: Partner) -> None:
    shop.faults.plan(SLOW if house.chance.random() < 0.05 else house.chance.choice(FAULTS))


async def lie(house: House, shop: Partner) -> None:
    """The shop says yes to what it does not keep, or tells what it showed long ago."""
    shop.faults.plan(*[house.chance.choice(LIES)] * house.chance.randint(1, 3))


async def edit(house: House, shop: Partner) -> None:
    """Somebody types another number into the shop."""
    shop.shop.show(house.chance.choice(house.world.skus), house.chance.randint(0, 20))


async def refuse(house: House, shop: Partner) -> None:
    """The shop takes a batch in part: one listing is refused from now on, or taken again."""
    refused, sku = shop.shop.refused, house.chance.choice(house.world.skus)
    if refused.pop(sku, None) is None:
        refused[sku] = "delisted"


async def kill(house: House, shop: Partner) -> None:
    """A worker dies with a call in its hands: before, or just after, its bytes have left."""
    house.project()
    if shop.claim() is not None and house.chance.random() < 0.3:
        await shop.arrive(shop.late[-1])


async def arrive(house: House, shop: Partner) -> None:
    """The bytes of a dead worker arrive, behind those of whoever went on."""
    if shop.late:
        await shop.arrive(house.chance.choice(shop.late))


async def wait(house: House, shop: Partner) -> None:
    house.pass_s(house.chance.choice((0.2, 1.0, 5.0, 40.0, 200.0)))


HOLD_OFF = frozenset({"json_http"})
"""Kinds of shops that take no older number over a newer one: by the version of the level."""
DEED_OFTEN = (
    *(sell, work, wait, misbehave) * 4,
    *(work, lie, edit, cancel, refuse) * 2,
    *(receive, hear, poll, record, project, publish, kill, arrive, verify),
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", SEEDS)
async def test_once_the_partner_behaves_every_level_is_verified_and_no_sale_lost_or_doubled(
    database_url: str, seed: int, kind: str
) -> None:
    async with trading(database_url, seed=seed, kind=kind) as house:
        shop = house.partners["WEB"]
        for sku in house.world.skus:
            house.receive(sku, 8)
        await house.round()
        chance = random.Random(f"{kind} {seed}")
        for _ in range(DEEDS):
            await chance.choice(DEED_OFTEN)(house, shop)
            house.check_versions()
        await until_verified(house)
        house.check_attempts()
        house.check_books()
        assert shop.shows == {sku: house.true(sku) for sku in house.world.skus}
        assert shop.faults.spoilt, "nothing went wrong: that proves nothing"


@pytest.mark.parametrize("kind", KINDS)
async def test_the_bytes_of_a_killed_worker_arrive_behind_those_of_its_successor(
    database_url: str, kind: str
) -> None:
    """Told as a story. Where nothing holds them off, they stay until the hub asserts its own."""
    async with trading(database_url, skus=1, kind=kind) as house:
        shop, (sku,) = house.partners["WEB"], house.world.skus
        house.receive(sku, 10)
        house.project()
        await shop.poll()
        house.pass_s(1)
        await shop.poll()
        assert shop.claim() is not None
        house.pass_s(shop.link.lease.total_seconds() + 1)
        await until_shown(house, 10)
        house.lose(sku, 7)
        await until_shown(house, 3)
        (late,) = shop.late
        await shop.arrive(late)
        house.pass_s(2)
        assert shop.shows == {sku: 3 if kind in HOLD_OFF else 10}, "seven of them are broken"
        house.pass_s(31)
        await until_shown(house, 3)
        await until_verified(house)
        house.check_books()


@pytest.mark.parametrize("kind", ["shopify", "woocommerce"])
async def test_units_that_a_shop_puts_back_on_sale_by_itself_are_off_again_before_long(
    database_url: str, kind: str
) -> None:
    """They lie somewhere, looked at by nobody. No number of ours changes, so that nothing is due:
    the shop would sell them until it is read back by the clock, an hour later.
    """
    async with trading(database_url, skus=1, kind=kind) as house:
        web, (sku,) = house.partners["WEB"], house.world.skus
        house.receive(sku, 2)
        await until_shown(house, 2)
        await web.sell(sku, 2)
        await until_shown(house, 0)
        house.lose(sku, 1)
        house.project()
        while (await web.workers[1].verify()).read:
            pass
        ((order, _, _),) = web.orders
        if kind == "shopify":
            (line,) = web.shop.shop.orders[order]["lines"]
            await web.shop.pay_back(order, [(line["id"], 1)], restock="RETURN")
        else:
            (line,) = web.shop.orders[order]["line_items"]
            await web.shop.pay_back(order, [(line["id"], 1)])
            web.shop.show(sku, 1)
        assert web.shows == {sku: 1}
        house.pass_s(5)
        await house.round()
        done = await web.workers[1].verify()
        assert (done.read, done.wrong) == (1, 1)
        await web.publish()
        assert web.shows == {sku: 0}


async def until_shown(house: House, units: int) -> None:
    """Workers go on for a few seconds, until customers may buy so many."""
    (shop,) = house.partners.values()
    for _ in range(5):
        await house.round()
        house.pass_s(1)
        if set(shop.shows.values()) == {units}:
            return
    raise AssertionError(f"{shop.shows}, not {units}")

"""Increases wait until the channel's orders are known; decreases never do."""

import asyncio
import datetime as dt

import msgspec
import pytest

from stockwright.config import connectors
from stockwright.flow.projection import Projection
from stockwright.flow.publication import Publisher
from stockwright.sdk.declaration import Patience
from stockwright.sdk.messages import InDoubt, Retry, ShownLevel
from stockwright.store import windows
from tests.flow.channels import FAST, Clock, Shop, World, in_doubt, link, set_stock

PATIENCE = Patience(increase_wait_s=60.0)


def gated(clock, limits=FAST):
    """A connection whose polls prove that no order before their start is unseen."""
    return msgspec.structs.replace(
        link(clock=clock, limits=limits), order_watermark=True, patience=PATIENCE
    )


class House:
    """One gated channel whose polls a test makes by hand, in the time of its clock."""

    def __init__(self, url, pool):
        self.world = World(url)
        self.clock = Clock()
        self.shop = Shop()
        self.projection = Projection(pool, clock=self.clock)
        self.link = gated(self.clock)
        self.publisher = Publisher(pool, self.shop, self.link)
        self.world.run(
            "insert into poll_cursor (connection, due_at) values"
            " ('WEB', clock_timestamp() + interval '1 hour')"
        )

    def stock(self, **units):
        set_stock(self.world, self.projection, **units)

    def polled(self):
        """A complete poll begins and ends now."""
        self.world.run(
            "update poll_cursor set watermark = %s, last_success_at = clock_timestamp(),"
            " due_at = clock_timestamp() + interval '1 hour'",
            self.clock.now,
        )

    def poll_is_due(self):
        (found,) = self.world.rows("select due_at <= clock_timestamp() from poll_cursor")[0]
        return found

    def step(self):
        return asyncio.run(self.publisher.step())

    def settle(self, **units):
        """These numbers are shown, and their orders known."""
        self.stock(**units)
        self.polled()
        while self.step():
            pass
        assert self.world.unsettled() == []
        self.clock.pass_s(1)
        self.shop.calls.clear()

    def items(self):
        return self.world.rows(
            "select subject, closed_at is null from work_item where kind = 'orders_unseen'"
        )


@pytest.fixture
def house(database_url, pool):
    return House(database_url, pool)


def test_an_increase_waits_for_a_poll_that_began_after_it_and_asks_for_it(house):
    house.settle(SKU_000=10)
    house.world.run("update poll_cursor set last_success_at = clock_timestamp() - interval '1 min'")
    house.stock(SKU_000=15)
    assert house.step() == 0
    assert house.poll_is_due(), "it was asked for"
    house.clock.pass_s(2)
    house.polled()
    assert house.step() == 1
    assert house.shop.sent == [("SKU-000", 15)]


def test_polls_are_not_asked_for_again_and_again(house, pool):
    patience = msgspec.structs.replace(PATIENCE, orders_every_s=3_600.0)
    publisher = Publisher(pool, house.shop, msgspec.structs.replace(house.link, patience=patience))
    house.settle(SKU_000=10)
    house.stock(SKU_000=15)
    assert asyncio.run(publisher.step()) == 0
    assert not house.poll_is_due(), "one was made a moment ago"


def test_polls_that_fail_are_not_asked_for(house):
    house.settle(SKU_000=10)
    house.world.run(
        "update poll_cursor set failures = 1, last_success_at = now() - interval '1 min'"
    )
    house.stock(SKU_000=15)
    assert house.step() == 0
    assert not house.poll_is_due(), "they have a pause of their own"


def test_whoever_polls_is_told_at_once(house, pool):
    told = []
    own = msgspec.structs.replace(house.link, ask_for_orders=lambda: told.append("WEB"))
    publisher = Publisher(pool, house.shop, own)
    house.settle(SKU_000=10)
    house.world.run("update poll_cursor set last_success_at = clock_timestamp() - interval '1 min'")
    house.stock(SKU_000=15)
    asyncio.run(publisher.step())
    assert told == ["WEB"]


def test_decreases_and_zeroes_never_wait(house):
    house.settle(SKU_000=10, SKU_001=10)
    house.stock(SKU_000=9, SKU_001=0)
    assert house.step() == 2


def test_a_sale_that_the_poll_brings_is_in_the_number_before_it_goes(house):
    """Ten are shown and two are sold there; five come in. 13 goes out, never 15."""
    house.settle(SKU_000=10)
    house.shop.shows["SKU-000"] = 8
    house.stock(SKU_000=15)
    assert house.step() == 0
    house.clock.pass_s(1)
    house.world.run(
        "insert into payload (system, door, body) values ('WEB', 'poll', 'an order of two')"
    )
    house.polled()
    assert house.step() == 0, "the order is kept, and not recorded yet"
    house.world.stock("SKU-000", 13)
    house.world.run("update payload set state = 'recorded'")
    assert house.step() == 0, "recorded, and not projected yet"
    house.projection.step()
    assert house.step() == 1
    assert house.shop.sent == [("SKU-000", 13)]


def test_an_order_behind_a_parked_one_waits_for_a_person_and_no_increase_for_it(house):
    house.settle(SKU_000=10)
    house.stock(SKU_000=15)
    house.world.run(
        "insert into payload (system, door, body, raw_key, state) values"
        " ('WEB', 'poll', 'x', 'O-1', 'parked'), ('WEB', 'poll', 'x', 'O-1', 'received')"
    )
    house.clock.pass_s(1)
    house.polled()
    assert house.step() == 1


def test_marks_that_never_end_do_not_hold_the_gate(house):
    """New marks come all the time; only those from before the orders were recorded matter."""
    house.settle(SKU_000=10)
    house.stock(SKU_000=15)
    house.clock.pass_s(1)
    house.world.stock("SKU-001", 7)
    house.polled()
    assert house.step() == 0
    house.world.stock("SKU-002", 7)
    house.projection.step()
    house.world.stock("SKU-002", 8)
    house.step()
    assert ("SKU-000", 15) in house.shop.sent


def test_after_the_limit_an_increase_goes_less_a_buffer_and_says_so(house):
    house.settle(SKU_000=10)
    house.stock(SKU_000=30)
    house.clock.pass_s(59)
    assert house.step() == 0
    house.clock.pass_s(2)
    assert house.step() == 1
    assert house.shop.sent == [("SKU-000", 24)]
    level = house.world.level()
    assert (level["acknowledged"], level["state"], level["held"]) == (24, "due", 6)
    assert level["last_error"] == "6 held back until the channel's orders are known"
    assert house.world.rows("select value, held from attempt order by call desc limit 1") == [
        (24, 6)
    ]
    assert house.items() == [("WEB", True)]
    house.clock.pass_s(30)
    house.polled()
    assert house.step() == 1
    assert house.shop.sent[-1] == ("SKU-000", 30)
    assert house.items() == [("WEB", False)], "it closes by itself"
    assert house.world.unsettled() == []
    versions = house.world.rows("select version, value from attempt order by call")
    assert len({version for version, _ in versions}) == len(versions)
    assert versions == sorted(versions)


def test_the_last_piece_is_not_shown_again_while_orders_are_unknown(house):
    house.settle(SKU_000=0)
    house.stock(SKU_000=1)
    house.clock.pass_s(61)
    assert house.step() == 0
    assert house.world.level()["last_error"] == "held back until the channel's orders are known"
    house.clock.pass_s(10)
    house.polled()
    assert house.step() == 1
    assert house.shop.sent == [("SKU-000", 1)]


def test_one_that_is_not_worth_a_call_does_not_stand_before_one_that_is(house, pool):
    one = msgspec.structs.replace(FAST, batch_size=1)
    house.publisher = Publisher(pool, house.shop, gated(house.clock, one))
    house.settle(SKU_000=0, SKU_001=0)
    house.stock(SKU_000=1)
    house.clock.pass_s(1)
    house.stock(SKU_001=40)
    house.clock.pass_s(61)
    assert [house.step(), house.step()] == [0, 1]
    assert house.shop.sent == [("SKU-001", 32)]


def test_a_number_that_keeps_changing_is_not_held_for_ever(house):
    """Each poll is older than the newest change; the increase has waited since before it."""
    house.settle(SKU_000=10)
    for units in range(11, 51, 4):
        house.stock(SKU_000=units)
        house.clock.pass_s(1)
        house.polled()
        house.clock.pass_s(1)
        house.stock(SKU_000=units + 2)
        house.step()
    assert [quantity for _, quantity in house.shop.sent] == list(range(13, 53, 4))


def test_an_old_watermark_proves_nothing(house):
    house.settle(SKU_000=10)
    house.stock(SKU_000=30)
    house.polled()
    house.clock.pass_s(61)
    assert house.step() == 1
    assert house.shop.sent == [("SKU-000", 24)]


def test_what_is_asserted_again_waits_too(house):
    house.settle(SKU_000=10)
    house.world.run(
        "update level set resend = true, state = 'due', lane = 'increase', due_at = %s",
        house.clock.now,
    )
    assert house.step() == 0
    house.clock.pass_s(1)
    house.polled()
    assert house.step() == 1


def test_what_became_of_a_job_is_asked_without_another_poll(house):
    house.settle(SKU_000=10)
    house.stock(SKU_000=30)
    house.polled()
    job = InDoubt(reason="the feed is at work", retry_after_s=30.0, taken=True)
    house.shop.behave(lambda shop, levels: [job for _ in levels])
    assert house.step() == 1
    house.clock.pass_s(31)
    assert house.step() == 1
    assert house.shop.sent == [("SKU-000", 30), ("SKU-000", 30)]


def test_a_failed_comparison_sends_an_increase_back_behind_the_orders(house):
    """The channel sold in between: the increase is dropped, and computed anew from its orders."""
    house.settle(SKU_000=10)
    house.stock(SKU_000=15)
    house.clock.pass_s(1)
    house.polled()
    house.shop.behave(lambda shop, levels: [Retry(retry_after_s=0.0, reason="stale", shown=8)])
    assert house.step() == 1
    house.clock.pass_s(5)
    assert house.step() == 0, "an order is on its way"
    house.stock(SKU_000=13)
    house.polled()
    assert house.step() == 1
    assert house.shop.sent[-1] == ("SKU-000", 13)
    assert house.shop.calls[-1][0].expected == 8


def test_a_number_in_doubt_is_sent_again_once_the_orders_are_known(house):
    house.settle(SKU_000=10)
    house.stock(SKU_000=15)
    house.polled()
    house.shop.behave(in_doubt)
    assert house.step() == 1
    house.clock.pass_s(30)
    assert house.step() == 0
    house.polled()
    assert house.step() == 1
    assert house.world.unsettled() == []


def test_a_channel_that_shows_less_is_put_right_after_a_poll_without_an_order(house, pool):
    class Window(Shop):
        async def read_back(self, keys):
            return [ShownLevel(listing=k.listing, quantity=self.shows[k.listing]) for k in keys]

    house.shop = Window()
    house.publisher = Publisher(pool, house.shop, house.link)
    house.settle(SKU_000=10)
    house.shop.shows["SKU-000"] = 7
    assert asyncio.run(house.publisher.verify()).wrong == 1
    house.clock.pass_s(1)
    assert house.step() == 0, "it may have sold three"
    house.polled()
    assert house.step() == 1
    assert house.shop.shows == {"SKU-000": 10}


def test_what_waited_for_orders_does_not_make_the_channel_blinder(house, pool):
    """Buffers are reckoned by how late a decrease is; an increase waits by intention."""
    house.settle(SKU_000=10)
    house.world.run("delete from attempt")
    house.stock(SKU_000=15)
    house.clock.pass_s(1)
    house.polled()
    house.step()
    house.world.run("update attempt set finished_at = clock_timestamp()")
    with pool.connection() as connection:
        assert windows.latencies(connection) == {}
    house.stock(SKU_000=3)
    house.step()
    house.world.run("update attempt set finished_at = clock_timestamp()")
    with pool.connection() as connection:
        assert len(windows.latencies(connection)["WEB"]) == 1


def test_a_channel_without_such_polls_is_told_at_once(database_url, pool):
    world, clock, shop = World(database_url), Clock(), Shop()
    publisher = Publisher(pool, shop, link(clock=clock))
    set_stock(world, Projection(pool, clock=clock), SKU_000=10)
    assert asyncio.run(publisher.step()) == 1


def test_the_wait_is_longer_than_the_delay_of_the_partner():
    for name in connectors.connector_names():
        found = connectors.find_connector(name)
        assert found is not None
        patience = found.declaration.patience
        assert dt.timedelta(seconds=patience.increase_wait_s) > dt.timedelta(
            seconds=found.declaration.limits.timeout_s + patience.orders_every_s
        ), name

"""Publication and intake as plain functions of a database; each fails where its rule is gone.

The tests run them as they are; the planted bugs must make them fail.
"""

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import NamedTuple
from unittest.mock import patch

import msgspec
import psycopg

from stockwright.domain.events import Item
from stockwright.domain.wellformed import prepare
from stockwright.flow.calls import Call, Link, claim
from stockwright.flow.projection import Projection
from stockwright.flow.publication import Publisher
from stockwright.flow.settling import settle
from stockwright.sdk.messages import Applied
from stockwright.store import attempts
from stockwright.store.connection import Pool
from stockwright.store.handed_in import BatchInterrupted, Settlement
from stockwright.store.ledger import Ledger
from tests.flow.channels import Clock, Shop, World, honest, link
from tests.proof.stage import now, receipt, rows

LISTING = "SKU-000"


class Stage(NamedTuple):
    """One channel with one listing, its shop, and a clock to move."""

    world: World
    shop: Shop
    clock: Clock
    pool: Pool
    link: Link
    projection: Projection

    def stock(self, units: int) -> None:
        """The ledger holds so many, and the projection has seen it."""
        self.world.stock(LISTING, units)
        while self.projection.step().marks:
            pass

    def publish(self) -> None:
        """A worker sends what is due, until nothing is."""
        publisher = Publisher(self.pool, self.shop, self.link)
        for _ in range(10):
            asyncio.run(publisher.step())

    def claim(self) -> Call:
        """A worker takes a level along, and is not heard of for a while."""
        with self.pool.connection() as connection:
            attempts.ensure_connection(connection, self.link.system, self.link.limits.burst)
            call = claim(connection, self.link).call
        assert call is not None
        return call


@contextmanager
def stage(url: str) -> Iterator[Stage]:
    clock, shop = Clock(), Shop()
    with Pool(url, size=4) as pool:
        world = World(url, skus=1)
        yield Stage(world, shop, clock, pool, link(clock=clock), Projection(pool, clock=clock))


def the_sent_version_is_acknowledged(url: str) -> None:
    """Ten are sent; while they travel three are left: ten are acknowledged, three are sent."""
    with stage(url) as on:
        on.stock(10)
        sent = on.world.level()["version"]

        def meanwhile(shop, levels):
            on.stock(3)
            return honest(shop, levels)

        on.shop.behave(meanwhile)
        asyncio.run(Publisher(on.pool, on.shop, on.link).step())
        level = on.world.level()
        assert (level["acknowledged"], level["acknowledged_version"]) == (10, sent)
        on.publish()
        assert on.shop.shows == {LISTING: 3}
        assert on.world.unsettled() == []


def a_late_write_is_written_over(url: str) -> None:
    """A worker that was lost for a while writes its old number over the newer one: it goes."""
    with stage(url) as on:
        on.stock(10)
        late = on.claim()
        on.clock.pass_s(60)
        on.stock(3)
        on.publish()
        assert on.shop.shows == {LISTING: 3}
        on.shop.shows[LISTING] = 10
        with on.pool.connection() as connection:
            settle(connection, on.link, late, [Applied()])
        assert on.world.level()["acknowledged"] == 3
        on.clock.pass_s(60)
        on.publish()
        assert on.shop.shows == {LISTING: 3}
        assert on.world.unsettled() == []


def a_dead_senders_level_is_taken_over(url: str) -> None:
    """A worker dies with a level in its hands; the next one sends it when the lease is over."""
    with stage(url) as on:
        on.stock(10)
        on.claim()
        on.publish()
        assert on.shop.shows == {}, "the lease still holds"
        on.clock.pass_s(60)
        on.publish()
        assert on.shop.shows == {LISTING: 10}


def a_sale_of_the_channel_is_not_put_back_on_sale(url: str) -> None:
    """Ten are shown and four sold there; five come in before that is known. Eleven, never 15."""
    with stage(url) as on:
        watched = msgspec.structs.replace(on.link, order_watermark=True)
        on = on._replace(link=watched)
        rows(url, "insert into poll_cursor (connection) values ('WEB') returning connection")

        def orders_are_polled() -> None:
            on.world.run(
                "update poll_cursor set watermark = %s, last_success_at = clock_timestamp()",
                on.clock.now,
            )

        on.stock(10)
        orders_are_polled()
        on.publish()
        on.clock.pass_s(1)
        on.shop.shows[LISTING] = 6
        on.stock(15)
        on.publish()
        assert on.shop.shows == {LISTING: 6}
        on.clock.pass_s(1)
        orders_are_polled()
        on.stock(11)
        on.publish()
        assert on.shop.shows == {LISTING: 11}


def mark_and_events_stand_together(url: str) -> None:
    """A crash before the commit leaves a payload waiting, and its second try records it whole."""
    rows(
        url,
        "insert into payload (id, system, door, body) values (7, 'wms', 'hook', 'x') returning id",
    )
    items: list[Item] = [receipt("first", 1), receipt("second", 2)]
    done = Settlement(payload_id=7, items_done=2, final=True)
    told = "select state, (select count(*) from event) from payload where id = 7"

    def crash(*_):
        raise psycopg.OperationalError("the server is gone")

    with closing(Ledger(url)) as own:
        with patch("stockwright.store.ledger._decide_and_write", crash), suppress(BatchInterrupted):
            own.record([prepare(item, now()) for item in items], settlements=[done])
        assert rows(url, told) == [("received", 0)]
        own.record([prepare(item, now()) for item in items], settlements=[done])
    assert rows(url, told) == [("recorded", 2)]

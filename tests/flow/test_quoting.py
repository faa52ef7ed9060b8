"""Quotes answer as `explaining.quantities` does, with fewer trips, and never by old rules."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from stockwright.domain.errors import Rejected
from stockwright.flow import quoting
from stockwright.flow.explaining import quantities
from stockwright.flow.quoting import Quotes
from stockwright.store import stock
from stockwright.store.connection import Pool

COMPANY = """
insert into listing (channel, code) values ('web', 'a'), ('web', 'set'), ('b2b', 'a');
insert into listing (channel, code, active) values ('web', 'gone', false);
insert into listing_component (channel, listing, sku, quantity) values
    ('web', 'a', 'A', 1), ('web', 'set', 'A', 2), ('web', 'set', 'B', 1), ('b2b', 'a', 'A', 6),
    ('web', 'gone', 'B', 1);
insert into balance (sku, location, sellable, damaged, reserved) values
    ('A', 'EAST', 30, 1, 4), ('A', 'WEST', 5, 0, 0), ('B', 'EAST', 7, 0, 0);
insert into demand_line (id, system, order_ref, line, sku, channel, state) values
    (1, 'b2b', 'o', '1', 'A', 'b2b', 'reserved');
insert into claim (line_id, location, sku, reserved) values (1, 'EAST', 'A', 4);
insert into exposure_policy (channel, position, sku, safety, ring_fence, cap) values
    ('web', 1, 'A', 2, 0, 20), ('b2b', 1, 'A', 0, 9, null);
update master_revision set revision = revision + 1;
"""


@pytest.fixture
def quotes(database):
    with psycopg.connect(database) as connection:
        connection.execute(COMPANY)
    with Pool(database, size=2, autocommit=True) as pool, ThreadPoolExecutor(2) as threads:
        yield Quotes(pool, threads)


def plain(found):
    """What both ways of asking know: the number a channel acknowledged, not the whole level."""
    return [one and (one.sku, one.sequence, one.on_hand, one.free, channels(one)) for one in found]


def channels(one):
    return [(told.channel, told.grantable, listings(told)) for told in one.channels]


def listings(told):
    return [(one.listing, one.available_to_sell, one.published) for one in told.listings]


@pytest.mark.parametrize("channel", [None, "web", "b2b"])
async def test_quotes_are_the_quantities_of_the_long_way(quotes, database, channel):
    skus = ["A", "nobody", "B", "A", "L"]
    asked = await quotes.ask(skus, channel)
    with psycopg.connect(database) as connection:
        assert plain(asked) == plain(quantities(connection, skus, channel))
    assert asked[1] is None
    assert asked[0].channels[0].listings


async def test_a_rule_that_changed_counts_for_the_next_question(quotes, database):
    def shown(answer):
        return answer[0].channels[0].listings[0].available_to_sell.result

    assert shown(await quotes.ask(["A"], "web")) == 20
    with psycopg.connect(database) as connection:
        connection.execute("update exposure_policy set cap = 3 where channel = 'web'")
        connection.execute("update master_revision set revision = revision + 1")
    assert shown(await quotes.ask(["A"], "web")) == 3


async def test_who_asks_at_the_same_time_shares_a_trip(quotes, monkeypatch):
    trips = []
    real = stock.quantities

    def counted(connection, skus, channel, *, fenced):
        trips.append(len(skus))
        return real(connection, skus, channel, fenced=fenced)

    monkeypatch.setattr(stock, "quantities", counted)
    await quotes.ask(["A"])
    trips.clear()
    answers = await asyncio.gather(*(quotes.ask([sku]) for sku in ["A", "B", "L", "N"] * 10))
    assert [answer[0].sku for answer in answers] == ["A", "B", "L", "N"] * 10
    assert len(trips) <= quoting.RUNNERS + 1
    assert max(trips) == 4


async def test_a_wrong_channel_is_the_asker_s_own_fault(quotes):
    good, bad = await asyncio.gather(
        quotes.ask(["A"], "web"), quotes.ask(["A"], "wob"), return_exceptions=True
    )
    assert good[0].sku == "A"
    assert isinstance(bad, Rejected)
    assert (bad.reason, bad.field) == ("unknown_channel", "channel")

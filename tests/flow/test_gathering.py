"""Questions asked at the same time are read together, and each gets its own answer."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from stockwright.domain.errors import Rejected
from stockwright.flow import explaining, gathering
from stockwright.flow.gathering import Gatherer
from stockwright.store.connection import Pool, connect
from stockwright.store.errors import DatabaseUnavailable
from tests.flow.channels import World


@pytest.fixture
def world(database_url):
    return World(database_url, channels=("WEB", "B2B"))


@pytest.fixture
def pool(world, database_url):
    with Pool(database_url, size=4) as pool:
        yield pool


@pytest.fixture
def gatherer(pool):
    with ThreadPoolExecutor(4) as threads:
        yield Gatherer(pool, threads)


@pytest.fixture
def readings(monkeypatch):
    """How many SKUs each reading was about."""
    real, seen = explaining.quantities, []

    def counted(connection, skus, *rest, **named):
        seen.append(len(skus))
        return real(connection, skus, *rest, **named)

    monkeypatch.setattr(explaining, "quantities", counted)
    return seen


async def test_each_caller_gets_what_it_would_get_alone(gatherer, database_url):
    asked = [["SKU-000"], ["SKU-001", "SKU-000"], ["nobody"], ["SKU-000", "SKU-000"]]
    answers = await asyncio.gather(*(gatherer.quantities(skus) for skus in asked))
    with connect(database_url, autocommit=True) as connection:
        alone = [explaining.quantities(connection, skus, with_levels=False) for skus in asked]
    assert answers == alone
    assert answers[2] == [None]


async def test_those_who_come_while_a_reading_is_under_way_share_the_next(gatherer, readings):
    asks = [gatherer.quantities([f"SKU-{n % 3:03}"]) for n in range(60)]
    await asyncio.gather(*asks)
    assert len(readings) < 20
    assert max(readings) <= 3


async def test_a_wrong_channel_is_refused_to_whoever_named_it_alone(gatherer):
    answers = await asyncio.gather(
        gatherer.quantities(["SKU-000"], "WEB"),
        gatherer.quantities(["SKU-000"], "WEV"),
        gatherer.quantities(["SKU-000"]),
        return_exceptions=True,
    )
    assert isinstance(answers[1], Rejected)
    assert answers[1].field == "channel"
    assert [one.channel for one in answers[0][0].channels] == ["WEB"]
    assert [one.channel for one in answers[2][0].channels] == ["B2B", "WEB"]


async def test_a_caller_that_gave_up_does_not_disturb_the_others(gatherer):
    leaving = asyncio.create_task(gatherer.quantities(["SKU-000"]))
    staying = asyncio.create_task(gatherer.quantities(["SKU-000"]))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying)[0].sku == "SKU-000"


async def test_where_the_database_is_away_every_caller_is_told_and_the_next_is_served(
    pool, gatherer, monkeypatch
):
    def away(*_arguments, **_named):
        raise DatabaseUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(gathering, "session", away)
        asks = [gatherer.quantities(["SKU-000"]) for _ in range(5)]
        answers = await asyncio.gather(*asks, return_exceptions=True)
        assert [type(one) for one in answers] == [DatabaseUnavailable] * 5
    assert (await gatherer.quantities(["SKU-000"]))[0].sku == "SKU-000"


async def test_no_more_than_a_few_readings_are_under_way_at_one_time(pool, monkeypatch):
    under_way, most = 0, 0
    real = gathering._told

    def watched(connection, asks):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        try:
            return real(connection, asks)
        finally:
            under_way -= 1

    monkeypatch.setattr(gathering, "_told", watched)
    with ThreadPoolExecutor(8) as threads:
        gatherer = Gatherer(pool, threads)
        await asyncio.gather(*(gatherer.quantities(["SKU-000"]) for _ in range(300)))
    assert 1 <= most <= gathering.READINGS

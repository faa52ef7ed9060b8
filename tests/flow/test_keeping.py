"""Many payloads at once share a commit; each gets its own answer."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from stockwright.domain.errors import Rejected, Transient
from stockwright.flow import keeping
from stockwright.flow.keeping import Keeper
from stockwright.store.connection import Pool
from stockwright.store.payloads import NewPayload
from tests.flow.partners import rows, set_up


@pytest.fixture
def database(database_url):
    with set_up(database_url) as connection:
        yield connection


@pytest.fixture
def pool(database_url, database):
    with Pool(database_url, size=2) as pool:
        yield pool


def payload(text):
    return NewPayload(system="shop", door="webhook", body=text.encode())


def keep_all(keeper, texts):
    """Keeps every text from a thread of its own; the number or the error of each."""

    def one(text):
        try:
            return keeper.keep(payload(text))
        except (Rejected, Transient) as error:
            return error

    with ThreadPoolExecutor(len(texts)) as threads:
        return list(threads.map(one, texts))


def test_each_of_many_callers_gets_the_number_of_its_own_payload(pool, database):
    texts = [f"body {n}" for n in range(60)]
    numbers = keep_all(Keeper(pool), texts)
    found = dict(rows(database, "select id, convert_from(body, 'UTF8') from payload"))
    assert [found[number] for number in numbers] == texts


def test_what_waits_while_one_commit_runs_shares_the_next(pool, database, monkeypatch):
    batches = []
    first_runs, all_wait = threading.Event(), threading.Event()

    def slow(connection, payloads):
        batches.append(len(payloads))
        first_runs.set()
        assert all_wait.wait(10)
        return real(connection, payloads)

    real = keeping.keep
    monkeypatch.setattr(keeping, "keep", slow)
    keeper = Keeper(pool)
    with ThreadPoolExecutor(30) as threads:
        futures = [threads.submit(keeper.keep, payload("first"))]
        assert first_runs.wait(10)
        futures += [threads.submit(keeper.keep, payload(f"{n}")) for n in range(20)]
        while len(keeper._queue) < 20:
            threading.Event().wait(0.001)
        all_wait.set()
        assert len({future.result() for future in futures}) == 21
    assert batches == [1, 20]


def test_a_payload_the_database_refuses_is_told_alone(pool, database, monkeypatch):
    real = keeping.keep

    def picky(connection, payloads):
        if any(one.body == b"bad" for one in payloads):
            raise Rejected("malformed", "", "bad")
        return real(connection, payloads)

    monkeypatch.setattr(keeping, "keep", picky)
    answers = keep_all(Keeper(pool), ["a", "b", "bad", "c", "d"])
    assert [isinstance(answer, Rejected) for answer in answers] == [
        False,
        False,
        True,
        False,
        False,
    ]
    assert rows(database, "select count(*) from payload") == [(4,)]


def test_a_database_that_is_away_is_told_to_everyone_who_waits(pool, database, monkeypatch):
    def away(connection, payloads):
        raise Transient("away")

    with monkeypatch.context() as broken:
        broken.setattr(keeping, "keep", away)
        keeper = Keeper(pool)
        assert all(isinstance(one, Transient) for one in keep_all(keeper, ["a", "b", "c"]))
    assert keeper.keep(payload("later")) > 0
    assert rows(database, "select count(*) from payload") == [(1,)]


def test_no_payload_is_acknowledged_before_its_commit(pool, database, monkeypatch):
    seen = []
    real = keeping.keep

    def looking(connection, payloads):
        real(connection, payloads)
        seen.append(rows(database, "select count(*) from payload"))
        raise Transient("broken before the commit")

    monkeypatch.setattr(keeping, "keep", looking)
    with pytest.raises(Transient):
        Keeper(pool).keep(payload("a"))
    assert seen == [[(0,)]]
    assert rows(database, "select count(*) from payload") == [(0,)]


async def keep_soon(keeper, texts):
    """Keeps every text from a coroutine of its own; the number or the error of each."""
    with ThreadPoolExecutor(2) as threads:
        coroutines = [keeper.keep_soon(payload(text), threads) for text in texts]
        return await asyncio.gather(*coroutines, return_exceptions=True)


async def test_coroutines_share_commits_and_each_gets_its_own_number(pool, database, monkeypatch):
    batches = []
    real = keeping.keep

    def counting(connection, payloads):
        batches.append(len(payloads))
        return real(connection, payloads)

    monkeypatch.setattr(keeping, "keep", counting)
    keeper = Keeper(pool)
    for _ in range(2):  # the second time its thread has ended once
        texts = [f"body {n}" for n in range(150)]
        numbers = await keep_soon(keeper, texts)
        found = dict(rows(database, "select id, convert_from(body, 'UTF8') from payload"))
        assert [found[number] for number in numbers] == texts
    assert sum(batches) == 300
    assert len(batches) <= 10, "they share their commits"


async def test_a_coroutine_is_told_alone_what_the_database_refuses(pool, database, monkeypatch):
    real = keeping.keep

    def picky(connection, payloads):
        if any(one.body == b"bad" for one in payloads):
            raise Rejected("malformed", "", "bad")
        return real(connection, payloads)

    monkeypatch.setattr(keeping, "keep", picky)
    answers = await keep_soon(Keeper(pool), ["a", "bad", "b"])
    assert [isinstance(answer, Rejected) for answer in answers] == [False, True, False]
    assert rows(database, "select count(*) from payload") == [(2,)]


@pytest.mark.parametrize("fault", [Transient("away"), ZeroDivisionError("a fault of ours")])
async def test_coroutines_are_told_of_a_fault_and_the_next_are_kept(
    pool, database, monkeypatch, fault
):
    def away(connection, payloads):
        raise fault

    keeper = Keeper(pool)
    with monkeypatch.context() as broken:
        broken.setattr(keeping, "keep", away)
        assert all(isinstance(one, Transient) for one in await keep_soon(keeper, ["a", "b"]))
    (number,) = await keep_soon(keeper, ["later"])
    assert number > 0
    assert rows(database, "select count(*) from payload") == [(1,)]


async def test_a_coroutine_that_gave_up_spoils_nothing_for_the_others(pool, database, monkeypatch):
    runs, go = threading.Event(), threading.Event()
    real = keeping.keep

    def slow(connection, payloads):
        runs.set()
        assert go.wait(10)
        return real(connection, payloads)

    monkeypatch.setattr(keeping, "keep", slow)
    keeper = Keeper(pool)
    with ThreadPoolExecutor(1) as threads:
        gone, stays = (
            asyncio.create_task(keeper.keep_soon(payload(text), threads)) for text in "ab"
        )
        await asyncio.to_thread(runs.wait, 10)
        gone.cancel()
        go.set()
        assert await stays > 0
    assert rows(database, "select count(*) from payload") == [(2,)], "it was kept nevertheless"


async def test_a_hub_that_stops_keeps_nothing_more(pool, database):
    threads = ThreadPoolExecutor(1)
    threads.shutdown()
    keeper = Keeper(pool)
    with pytest.raises(Transient, match="stopping"):
        await keeper.keep_soon(payload("late"), threads)
    assert rows(database, "select count(*) from payload") == [(0,)]

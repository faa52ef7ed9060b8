"""Many payloads at once share a commit; each gets its own answer."""

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

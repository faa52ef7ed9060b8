"""Reservations of one event loop's callers: decided in that loop, or by the thread, never lost."""

import asyncio
import os
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import uvloop

from stockwright.domain.events import Outcome
from stockwright.flow import driving
from stockwright.flow.recording import Recorder
from stockwright.store import wire
from stockwright.store.handed_in import RawPayload
from stockwright.store.ledger import LANE, Ledger
from tests.flow.test_ahead import audited
from tests.flow.test_recording import receipt, reserve, rows

END = (
    "select pg_terminate_backend(pid) from pg_stat_activity "
    "where application_name = %s and datname = current_database()"
)


@pytest.fixture
def recorder(database: str) -> Iterator[Recorder]:
    """A recorder that knows A in EAST: a thousand units, of which nothing is promised."""
    with Recorder(database) as own:
        own.submit([receipt("R1", 1000), receipt("R2", 1, location="WEST")]).result()
        own.submit([reserve("K", 1, hold_s=60)]).result()
        own.submit([reserve("L", 1, hold_s=60)]).result()
        yield own


@pytest.fixture
def by_thread(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the thread had to record, by the name of who did."""
    counted: Counter[str] = Counter()
    record = Ledger.record

    def noted(own: Ledger, *args: Any) -> list[Outcome]:
        counted[threading.current_thread().name] += 1
        return record(own, *args)

    monkeypatch.setattr(Ledger, "record", noted)
    return counted


async def ask(recorder: Recorder, *names: str) -> list[Outcome]:
    answers = await asyncio.gather(*(recorder.record([reserve(name, 1)]) for name in names))
    return [one for (one,) in answers]


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{n}" for n in range(count)]


async def test_an_event_loop_decides_for_its_callers_without_the_thread(
    recorder: Recorder, by_thread: Counter[str], database: str
):
    answers = await ask(recorder, *names("F", 300))
    assert {one.code for one in answers} == {"granted"}
    assert len({one.sequence for one in answers}) == 300
    assert not by_thread
    assert audited(database)


async def test_stock_is_never_promised_twice_between_loop_and_thread(
    recorder: Recorder, database: str
):
    asked = [recorder.submit([reserve(f"T{n}", 1)]) for n in range(700)]
    answers = await ask(recorder, *names("F", 700))
    by_thread = [(await asyncio.to_thread(one.result, 30))[0] for one in asked]
    codes = Counter(one.code for one in (*answers, *by_thread))
    assert codes == {"granted": 999, "insufficient": 401}
    assert audited(database)


async def test_what_has_to_be_read_is_read_by_the_thread_and_the_loop_goes_on(
    recorder: Recorder, by_thread: Counter[str]
):
    await ask(recorder, *names("F", 30))
    (again,) = await ask(recorder, "F7")  # an identity breaks: all that was sent is recorded anew
    assert again.replay
    assert set(by_thread) == {"recorder"}
    by_thread.clear()
    for n in range(8):
        await ask(recorder, f"G{n}")
    await ask(recorder, *names("H", 50))
    assert by_thread["recorder"] <= 8


async def test_a_repetition_in_flight_takes_its_neighbours_to_the_thread_with_it(
    recorder: Recorder, database: str
):
    twice = [f"F{n % 40}" for n in range(160)]
    random.Random(3).shuffle(twice)
    answers = await ask(recorder, *twice)
    first: dict[str, int] = {}
    for name, answer in zip(twice, answers, strict=True):
        assert answer.code == "granted"
        assert first.setdefault(name, answer.sequence) == answer.sequence
    assert sum(not one.replay for one in answers) == 40
    assert audited(database)


@pytest.mark.parametrize("quantities", [(), (0,), (0, 1), (-1, 0)])
async def test_what_never_gets_past_the_door_is_answered_though_nothing_else_waits(
    recorder: Recorder, quantities: tuple[int, ...]
):
    for turn in range(3):
        asked = [reserve(f"F{turn}-{n}", quantity) for n, quantity in enumerate(quantities)]
        answers = await asyncio.wait_for(recorder.record(asked), 30)
        codes = ["granted" if quantity > 0 else "malformed" for quantity in quantities]
        assert [one.code for one in answers] == codes


async def test_bulk_and_bodies_come_between_and_all_is_answered(recorder: Recorder, database: str):
    raw = RawPayload("wms", "api", "application/json", {}, b"{}")
    bulk = recorder.record([receipt(f"B{n}", 1) for n in range(1500)], bulk=True)
    kept = recorder.record([receipt("with a body", 1)], raw=raw)
    reserved, recorded, (one,) = await asyncio.gather(ask(recorder, *names("F", 200)), bulk, kept)
    assert {code.code for code in reserved} == {"granted"}
    assert {code.code for code in (*recorded, one)} == {"recorded"}
    assert rows(database, "select state from payload") == [("recorded",)]
    assert audited(database)


async def test_a_lost_connection_leaves_every_caller_answered_and_recorded_once(
    recorder: Recorder, database: str
):
    async def end_connections() -> None:
        for _ in range(5):
            await asyncio.sleep(0.02)
            await asyncio.to_thread(rows, database, END, "stockwright-ledger")

    ending = asyncio.create_task(end_connections())
    answers: list[Outcome] = []
    for turn in range(10):
        answers += await ask(recorder, *names(f"F{turn}-", 40))
        await asyncio.sleep(0.01)
    await ending
    assert Counter(one.code for one in answers) == {"granted": 400}
    assert not any(one.replay for one in answers)
    assert rows(database, "select sum(reserved)::bigint from balance") == [(402,)]
    assert audited(database)


@pytest.mark.parametrize("count", [1, 150])
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_connection_that_ends_without_a_word_leaves_nobody_waiting(
    recorder: Recorder, database: str, run: Callable[..., list[Outcome]], count: int
):
    async def cut_off() -> list[Outcome]:
        await ask(recorder, "before")
        with psycopg.connect(database) as holder:
            holder.execute("select pg_advisory_xact_lock(%s)", (LANE,))
            asking = asyncio.create_task(ask(recorder, *names("F", count)))
            await asyncio.sleep(0.1)
            number = recorder._ledger.socket
            assert number is not None
            with socket.socket(fileno=os.dup(number)) as theirs:
                theirs.shutdown(socket.SHUT_RDWR)
            await asyncio.sleep(0.1)
        return await asyncio.wait_for(asking, 30)

    assert {one.code for one in run(cut_off())} == {"granted"}
    assert audited(database)


async def test_more_than_the_network_takes_at_once_is_sent_when_it_does(
    database: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(wire, "SEND_BUFFER", 4096)
    monkeypatch.setattr(driving, "WORTH_A_BATCH", 1)
    with Recorder(database) as recorder:
        recorder.submit([receipt("R1", 1000), reserve("K", 1)]).result()
        recorder.submit([reserve("L", 1)]).result()
        with psycopg.connect(database) as holder:
            holder.execute("select pg_advisory_xact_lock(%s)", (LANE,))
            asking = asyncio.create_task(ask(recorder, *names("F", 400)))
            began = time.monotonic()
            await asyncio.sleep(0.3)
            assert time.monotonic() - began < 20, "the loop stood still while the lane was taken"
            assert not asking.done()
        assert {one.code for one in await asking} == {"granted"}
    assert audited(database)


def test_an_event_loop_that_ends_in_the_middle_leaves_the_ledger_to_others(
    recorder: Recorder, database: str
):
    async def leave() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask(recorder, *names("F", 50)), 0.05)

    with psycopg.connect(database) as holder:
        holder.execute("select pg_advisory_xact_lock(%s)", (LANE,))
        asyncio.run(leave())
    (after,) = recorder.submit([reserve("after", 1)]).result(30)
    assert after.code == "granted"
    assert {one.code for one in asyncio.run(ask(recorder, *names("F", 50)))} == {"granted"}
    assert rows(database, "select sum(reserved)::bigint from balance") == [(53,)]
    assert audited(database)


def test_two_event_loops_share_one_ledger(recorder: Recorder, database: str):
    answers: list[Outcome] = []

    def caller(prefix: str) -> None:
        async def calls() -> None:
            for turn in range(8):
                answers.extend(await ask(recorder, *names(f"{prefix}{turn}-", 50)))

        asyncio.run(calls())

    threads = [threading.Thread(target=caller, args=(name,)) for name in "XYZ"]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert Counter(one.code for one in answers) == {"granted": 999, "insufficient": 201}
    assert audited(database)


@pytest.mark.parametrize("where", ["in its loop", "in another thread"])
async def test_stopping_records_what_an_event_loop_has_under_way(database: str, where: str):
    with Recorder(database) as recorder:
        recorder.submit([receipt("R1", 1000), reserve("K", 1)]).result()
        recorder.submit([reserve("L", 1)]).result()
        asking = asyncio.create_task(ask(recorder, *names("F", 250)))
        for _ in range(2):  # one round to begin the callers, one for them to queue
            await asyncio.sleep(0)
        assert recorder.queued == 250
        if where == "in its loop":
            recorder.stop()
        else:
            await asyncio.to_thread(recorder.stop)
        assert {one.code for one in await asking} == {"granted"}
    assert rows(database, "select sum(reserved)::bigint from balance") == [(252,)]


@pytest.mark.parametrize("seed", range(4))
async def test_whoever_drives_every_item_has_one_answer_and_the_books_add_up(
    recorder: Recorder, database: str, seed: int
):
    """Loop, threads, bulk, repetitions, another process and lost connections, as they come."""
    chance = random.Random(seed)
    waiting: list[asyncio.Future[list[Outcome]]] = []
    with Recorder(database) as other:
        for n in range(150):
            what = chance.random()
            count = chance.choice((1, 2, 40))
            some = [reserve(f"D{chance.randint(0, 400)}", 1) for _ in range(count)]
            if what < 0.6:
                waiting += [asyncio.ensure_future(recorder.record([one])) for one in some]
            elif what < 0.75:
                promise = recorder.submit(some)
                waiting.append(asyncio.ensure_future(asyncio.to_thread(promise.result, 60)))
            elif what < 0.85:
                waiting.append(asyncio.ensure_future(other.record(some)))
            elif what < 0.95:
                receipts = [receipt(f"B{n}-{i}", 1) for i in range(count)]
                waiting.append(asyncio.ensure_future(recorder.record(receipts, bulk=True)))
            else:
                await asyncio.to_thread(rows, database, END, "stockwright-ledger")
            if chance.random() < 0.4:
                await asyncio.sleep(chance.choice((0, 0.002, 0.02)))
        answers = [one for some in await asyncio.gather(*waiting) for one in some]
    assert {one.code for one in answers} <= {"granted", "recorded"}
    orders = rows(database, "select count(*) from demand_line where order_ref like 'D%%'")
    numbers = {one.sequence for one in answers if one.code == "granted"}
    assert orders == [(len(numbers),)]
    assert audited(database)

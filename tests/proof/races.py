"""Races as plain functions of a furnished database: each asserts what must hold whoever wins.

The tests run them as they are; the planted bugs must make them fail.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

import psycopg

from stockwright.domain.events import Item, Outcome
from stockwright.domain.ledger import decide
from stockwright.domain.wellformed import prepare
from stockwright.flow.recording import Recorder
from stockwright.store.connection import connect
from stockwright.store.ledger import Ledger
from tests.proof.stage import (
    assert_audited,
    cell,
    move_on,
    now,
    receipt,
    reserve,
    rows,
    transitions,
    wait_until,
)

CLIENTS = 64
STOCK = 500
ATTEMPTS = 2_000
ANSWER_S = 60.0
"""Only keeps a broken test from hanging."""
ROOT = Path(__file__).parents[2]


def record(recorder: Recorder, *items: Item) -> list[Outcome]:
    """Records items in one call and waits for their answers."""
    return recorder.submit(items).result(ANSWER_S)


def at_once(work: Sequence[Callable[[], None]]) -> None:
    """Runs every piece of work in a thread of its own, all let go together."""
    gate = threading.Barrier(len(work))

    def run(piece: Callable[[], None]) -> None:
        gate.wait()
        piece()

    with ThreadPoolExecutor(len(work)) as threads:
        for done in [threads.submit(run, piece) for piece in work]:
            done.result(ANSWER_S)


def exactly_what_there_is_is_granted(url: str) -> None:
    """64 clients, 2,000 attempts on one SKU with 500 in stock: 500 granted, 1,500 refused."""
    codes: Counter[str] = Counter()
    with Recorder(url) as recorder:
        record(recorder, receipt("opening", STOCK))

        def client(number: int) -> Callable[[], None]:
            orders = range(number, ATTEMPTS, CLIENTS)

            def run() -> None:
                for order in orders:
                    (outcome,) = record(recorder, reserve(f"O{order}", ("HOT", 1)))
                    codes[outcome.code] += 1

            return run

        at_once([client(number) for number in range(CLIENTS)])
    assert codes == {"granted": STOCK, "insufficient": ATTEMPTS - STOCK}
    assert cell(url, "HOT") == (STOCK, STOCK, 0, 0)
    assert_audited(url)


def the_same_sku_twice_is_summed(url: str) -> None:
    """97 and 23 of 108: never both, be it two lines of a request, or two requests of a batch."""
    with Recorder(url) as recorder:
        record(recorder, receipt("opening", 108, "A"), receipt("opening-b", 108, "B"))
        (both,) = record(recorder, reserve("twice", ("A", 97), ("A", 23)))
        assert (both.code, cell(url, "A").reserved) == ("insufficient", 0)
        first, second = record(recorder, reserve("first", ("B", 97)), reserve("second", ("B", 23)))
        assert (first.code, second.code) == ("granted", "insufficient")
        (some,) = record(recorder, reserve("some", ("A", 97), ("A", 23), mode="partial"))
        assert some.code == "partial"
        assert some.answer is not None
        assert [line["granted"] for line in some.answer["lines"]] == [97, 11]
    assert (cell(url, "A").reserved, cell(url, "B").reserved) == (108, 97)
    assert_audited(url)


def equal_places_are_not_one(url: str) -> None:
    """Two places with ten each are twenty units, and no order that may not be split gets 11."""
    with Recorder(url) as recorder:
        for place in ("EAST", "WEST"):
            record(recorder, receipt(f"opening {place}", 10, location=place))
        codes: Counter[str] = Counter()
        (unsplit,) = record(recorder, reserve("whole", ("HOT", 11), channel="b2b"))
        assert unsplit.code == "insufficient"

        def client(number: int) -> Callable[[], None]:
            def run() -> None:
                (outcome,) = record(recorder, reserve(f"O{number}", ("HOT", 1)))
                codes[outcome.code] += 1

            return run

        at_once([client(number) for number in range(32)])
    assert codes == {"granted": 20, "insufficient": 12}
    places = rows(url, "select location, reserved from balance where sku = 'HOT' order by 1")
    assert places == [("EAST", 10), ("WEST", 10)]
    assert_audited(url)


def confirm_or_expiry_but_not_both(url: str) -> None:
    """Holds that run out while they are confirmed and their stock is wanted: each sold once."""
    holds = 40
    chance = random.Random(3)
    with Recorder(url) as recorder, Recorder(url) as rival:
        record(recorder, receipt("opening", holds))
        wanted = [reserve(f"H{n}", ("HOT", 1), hold_s=1) for n in range(holds)]
        assert {one.code for one in record(recorder, *wanted)} == {"granted"}
        began = time.monotonic()
        confirmed: dict[str, str] = {}
        taken: list[str] = []

        def confirm(order: str, at_s: float) -> Callable[[], None]:
            def run() -> None:
                time.sleep(max(0.0, began + at_s - time.monotonic()))
                (outcome,) = record(recorder, move_on("confirm", order))
                confirmed[order] = outcome.code

            return run

        def take(n: int, at_s: float) -> Callable[[], None]:
            def run() -> None:
                time.sleep(max(0.0, began + at_s - time.monotonic()))
                (outcome,) = record(rival, reserve(f"R{n}", ("HOT", 1), confirmed=True))
                taken.append(outcome.code)

            return run

        work = [confirm(f"H{n}", chance.uniform(0.8, 1.3)) for n in range(holds)]
        work += [take(n, chance.uniform(0.8, 1.3)) for n in range(holds // 2)]
        at_once(work)
    kept = [order for order, code in confirmed.items() if code in ("done", "regranted")]
    assert set(confirmed.values()) <= {"done", "regranted", "expired"}
    assert len(kept) + taken.count("granted") == cell(url, "HOT").reserved <= holds
    for order, states in transitions(url).items():
        expected = {
            "done": ["open", "confirmed"],
            "regranted": ["open", "expired", "confirmed"],
            "expired": ["open", "expired"],
        }
        assert order.startswith("R") or states == expected[confirmed[order]], order
    assert_audited(url)


def released_once(url: str) -> None:
    """Two keys release the same order at the same moment: its units come back once."""
    orders = 24
    with Recorder(url) as recorder, Recorder(url) as other:
        record(recorder, receipt("opening", orders))
        record(recorder, *[reserve(f"O{n}", ("HOT", 1)) for n in range(orders)])

        def release(who: Recorder, key: str, order: str) -> Callable[[], None]:
            def run() -> None:
                (outcome,) = record(who, move_on("release", order, key))
                assert outcome.code == "done"

            return run

        at_once(
            [
                release(who, f"{key} O{n}", f"O{n}")
                for n in range(orders)
                for who, key in ((recorder, "one"), (other, "two"))
            ]
        )
        assert cell(url, "HOT") == (orders, 0, 0, 0)
        (again,) = record(recorder, reserve("all", ("HOT", orders)))
        (more,) = record(recorder, reserve("more", ("HOT", 1)))
    assert (again.code, more.code) == ("granted", "insufficient")
    states = transitions(url)
    assert all(states[f"O{n}"] == ["open", "released"] for n in range(orders))
    assert_audited(url)


def told_twice_counts_once(url: str) -> None:
    """The same items in one batch, in the next one and through another process's door."""
    items: list[Item] = [receipt("R", 10), reserve("O", ("HOT", 4))]
    with Recorder(url) as recorder, Recorder(url) as other:
        first = record(recorder, *items, *items)
        answers = [first, record(recorder, *items), record(other, *items)]
    told = [(one.code, one.sequence) for one in first[:2]]
    assert [code for code, _ in told] == ["recorded", "granted"]
    for answer in answers:
        assert [(one.code, one.sequence) for one in answer[-2:]] == told
        assert [one.replay for one in answer[-2:]] == [True, True]
    assert cell(url, "HOT") == (10, 4, 0, 0)
    assert rows(url, "select count(*) from event") == [(2,)]
    assert_audited(url)


# ------------------------------------------------------------ several processes


class Follower(threading.Thread):
    """A reader of the ledger that asks for `sequence > last`, again and again."""

    def __init__(self, url: str) -> None:
        super().__init__(name="follower")
        self.seen: list[int] = []
        self._url = url
        self._over = threading.Event()

    def run(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while True:
                last_look = self._over.is_set()
                after = self.seen[-1] if self.seen else 0
                found = connection.execute(
                    "select sequence from event where sequence > %s order by sequence", [after]
                )
                self.seen += [sequence for (sequence,) in found]
                if last_look:
                    return
                time.sleep(0.002)

    def end(self) -> list[int]:
        """Looks a last time and answers every number it saw."""
        self._over.set()
        self.join()
        return self.seen


@contextmanager
def child(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A process of `tests.proof.hammer`, killed at the end if it still runs."""
    command = [sys.executable, "-m", "tests.proof.hammer", *arguments]
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield running
    finally:
        if running.poll() is None:
            running.kill()
        running.communicate()


def two_processes_are_exact(url: str, attempts: int = 600) -> None:
    """Two processes hammer the same SKUs, half of their documents being the same ones.

    Exact grants, one answer per document whoever asked, no deadlock, no batch that the other
    process interrupts, and a reader that misses and repeats nothing.
    """
    with Recorder(url) as recorder:
        record(recorder, receipt("opening-a", 200, "A"), receipt("opening-b", 150, "B"))
    follower = Follower(url)
    follower.start()
    with (
        child(url, "hammer", "x", str(attempts)) as x,
        child(url, "hammer", "y", str(attempts)) as y,
    ):
        told = [json.loads(one.communicate(timeout=ANSWER_S)[0]) for one in (x, y)]
    seen = follower.end()
    for document in told[0]["answers"].keys() & told[1]["answers"].keys():
        assert told[0]["answers"][document] == told[1]["answers"][document], document
    answers = told[0]["answers"] | told[1]["answers"]
    granted = Counter(one[0] for one in answers.values())
    assert set(granted) == {"granted", "insufficient"}
    assert (cell(url, "A").reserved, cell(url, "B").reserved) == (200, 150)
    assert granted["granted"] == 350
    (head,) = rows(url, "select sequence from ledger_head where lane = 0")[0]
    assert seen == list(range(1, head + 1))
    deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
    assert rows(url, deadlocks) == [(0,)]
    assert [one["crossed"] for one in told] == [0, 0], "the lane did not keep them apart"
    assert_audited(url)


def a_late_commit_is_not_skipped(url: str) -> None:
    """One writer stands still between its numbers and its commit while another wants to go on.

    Neither interrupts the other, and a reader sees both.
    """
    stands, go_on = threading.Event(), threading.Event()

    def slowly(items, books):
        decision = decide(items, books)
        if any(one.item.document == "slow" for one in items):
            stands.set()
            go_on.wait(ANSWER_S)
        return decision

    follower = Follower(url)
    with (
        closing(Ledger(url)) as slow,
        closing(Ledger(url)) as quick,
        patch("stockwright.store.ledger.decide", slowly),
        # The slow one may take all the time of a machine that stands still.
        patch("stockwright.store.ledger.connect", partial(connect, idle_in_transaction_s=0)),
        ThreadPoolExecutor(2) as threads,
    ):
        first = threads.submit(_persist, slow, receipt("slow", 1, "A"))
        assert stands.wait(ANSWER_S)
        second = threads.submit(_persist, quick, receipt("quick", 1, "B"))
        follower.start()
        # With the lane the quick one waits in line; without, it is there, and seen, by now.
        wait_until(lambda: second.done() or _waits_for_the_lane(url), "it neither waits nor ends")
        if second.done() and not second.exception():
            wait_until(lambda: second.result() in follower.seen, "the reader does not see it")
        go_on.set()
        seen: set[int] = set()
        try:
            numbers = {first.result(ANSWER_S), second.result(ANSWER_S)}
        finally:
            seen.update(follower.end())
    assert seen == numbers


def _waits_for_the_lane(url: str) -> bool:
    waiting = (
        "select count(*) from pg_locks l join pg_database d on d.oid = l.database "
        "where l.locktype = 'advisory' and not l.granted and d.datname = current_database()"
    )
    return rows(url, waiting) != [(0,)]


def _persist(own: Ledger, item: Item) -> int:
    return own.record([prepare(item, now())])[0].sequence


def a_frozen_process_lets_the_lane_go(url: str, where: str) -> None:
    """A process stopped (SIGSTOP) while it holds the lane does not stop the house.

    `where`: `reading`, before it writes anything, or `writing`, half of its rows being sent.
    """
    with child(url, "freeze", where) as frozen:
        _wait_until_stopped(frozen.pid)
        with Recorder(url) as recorder:
            (outcome,) = record(recorder, receipt("others go on", 3))
            assert outcome.code == "recorded"
        os.kill(frozen.pid, signal.SIGCONT)
        thawed = json.loads(frozen.communicate(timeout=ANSWER_S)[0])
    assert thawed["codes"] == {"recorded": 200}
    assert thawed["interrupted"] >= 1
    assert cell(url, "HOT").sellable == 203
    assert rows(url, "select count(*) from event") == [(201,)]
    assert_audited(url)


def _wait_until_stopped(pid: int) -> None:
    def stopped() -> bool:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    wait_until(stopped, "it never came to take the lane")

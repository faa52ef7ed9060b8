"""`availability_single`, `availability_bulk`: explained quantities over HTTP, one SKU and many."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.ground import generate, process
from bench.load import Answers
from bench.measure import TURN_S, Measure, in_turns
from bench.product import CONFIG, Product, running
from stockwright.store.baseline import PLACE, SYSTEM, MeasurementFailed, scratch_database
from stockwright.store.connection import connect
from stockwright.store.master import list_all

ITEMS = 10_000
CONNECTIONS = 64
BULK = 1_000
CALLERS = 1
READY_S = 120

SELLING = f"""{CONFIG}
[channels.{SYSTEM}]
system = "{SYSTEM}"
pool = ["{PLACE}"]
[[channels.{SYSTEM}.policies]]
safety = 5
buffer = 2
"""


def single(server: str) -> Iterator[Measure]:
    """One SKU a call, explained, 64 connections, against a bare SELECT behind the same server."""
    with _selling(server) as (url, product), process("-m", "bench.select_server", url) as select:
        assert select.stdout is not None
        port = int(select.stdout.readline())

        def theirs(turn: int) -> float:
            answers = generate(
                port=port,
                path="/stock",
                call="select",
                turn=f"s{turn}",
                items=ITEMS,
                connections=CONNECTIONS,
                seconds=TURN_S,
            )
            _all(answers, "sellable", answers.answered)
            return answers.per_s

        def ours(turn: int) -> float:
            return _ask(product, turn=f"o{turn}", batch=1, connections=CONNECTIONS)

        yield in_turns("availability_single", theirs, ours, target=0.7)


def bulk(server: str) -> Iterator[Measure]:
    """1,000 SKUs a call, explained, against the same caller asking for one SKU after the other."""
    with _selling(server) as (_, product):
        yield in_turns(
            "availability_bulk",
            lambda turn: _ask(product, turn=f"b{turn}", batch=1, connections=CALLERS),
            lambda turn: _ask(product, turn=f"o{turn}", batch=BULK, connections=CALLERS),
            target=30,
            unit="SKUs/s",
        )


@contextmanager
def _selling(server: str) -> Iterator[tuple[str, Product]]:
    """The product with one channel that lists every SKU, once each has its level."""
    with scratch_database(server, items=ITEMS) as url, running(url, SELLING) as product:
        with connect(url, autocommit=True) as connection:
            list_all(connection, SYSTEM)
            deadline = time.monotonic() + READY_S
            while connection.execute("select count(*) from level").fetchone() != (ITEMS,):
                if time.monotonic() > deadline:
                    raise MeasurementFailed("the projection did not come to its end")
                time.sleep(0.2)
            connection.execute("vacuum analyze")
        yield url, product


def _ask(product: Product, *, turn: str, batch: int, connections: int) -> float:
    """SKUs answered a second."""
    answers = generate(
        port=product.port,
        path="/v1/availability",
        call="availability",
        turn=turn,
        items=ITEMS,
        batch=batch,
        connections=connections,
        seconds=TURN_S,
        authorization=product.authorization,
    )
    _all(answers, "sequence", answers.answered * batch)
    return answers.per_s * batch


def _all(answers: Answers, word: str, expected: int) -> None:
    """Like is compared with like only where every call was answered well."""
    if answers.outcomes.get(word) != expected or answers.statuses.get("200") != answers.answered:
        raise MeasurementFailed(f"answers were {answers.statuses} with {answers.outcomes}")

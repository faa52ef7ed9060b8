"""`availability_bulk` and `availability_single`: what a caller learns of SKUs a second."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench.ground import generate, process
from bench.load import Answers
from bench.measure import TURN_S, Measure, in_turns
from bench.product import CONFIG, Product, running
from stockwright.store.baseline import PLACE, SYSTEM, MeasurementFailed, scratch_database
from stockwright.store.connection import connect

ITEMS = 10_000
BULK = 1_000
CONNECTIONS = 64
CHANNEL = "web"
SELLING = f"""{CONFIG}
[channels.{CHANNEL}]
system = "{SYSTEM}"
pool = ["{PLACE}"]
"""


def bulk(server: str) -> Iterator[Measure]:
    """One caller on one connection: 1,000 SKUs a call with explanations, against one a call."""
    with _selling(server) as (_, product):

        def ask(turn: str, batch: int) -> float:
            answers = _ask(product, turn=turn, batch=batch, call="explained", connections=1)
            return answers.per_s * batch

        yield in_turns(
            "availability_bulk",
            lambda turn: ask(f"one{turn}", 1),
            lambda turn: ask(f"all{turn}", BULK),
            target=30.0,
            unit="SKUs/s",
        )


def single(server: str) -> Iterator[Measure]:
    """One SKU a call on 64 connections, against a bare SELECT behind the same web server."""
    with (
        _selling(server) as (url, product),
        process("-m", "bench.proc_server", url) as bare,
    ):
        assert bare.stdout is not None
        port = int(bare.stdout.readline())

        def theirs(turn: int) -> float:
            answers = generate(
                port=port,
                path="/available",
                call="available",
                turn=f"b{turn}",
                items=ITEMS,
                connections=CONNECTIONS,
                seconds=TURN_S,
            )
            return _good(answers).per_s

        def ours(turn: int) -> float:
            answers = _ask(
                product, turn=f"s{turn}", batch=1, call="available", connections=CONNECTIONS
            )
            return answers.per_s

        yield in_turns("availability_single", theirs, ours, target=0.7)


@contextmanager
def _selling(server: str) -> Iterator[tuple[str, Product]]:
    """A database whose every SKU is listed on one channel, and the product on it."""
    with scratch_database(server, items=ITEMS) as url, running(url, SELLING) as product:
        with connect(url) as connection:
            connection.execute(
                "insert into listing (channel, code) select %s, code from sku", (CHANNEL,)
            )
            connection.execute(
                "insert into listing_component (channel, listing, sku, quantity) "
                "select %s, code, code, 1 from sku",
                (CHANNEL,),
            )
            connection.execute("analyze listing")
            connection.execute("analyze listing_component")
        yield url, product


def _ask(product: Product, *, turn: str, batch: int, call: str, connections: int) -> Answers:
    return _good(
        generate(
            port=product.port,
            path="/v1/availability",
            call=call,
            batch=batch,
            connections=connections,
            turn=turn,
            items=ITEMS,
            seconds=TURN_S,
            authorization=product.authorization,
        )
    )


def _good(answers: Answers) -> Answers:
    """Like is compared with like only where every call was answered, with a number for each SKU."""
    if answers.statuses != {"200": answers.answered} or "unknown_sku" in answers.outcomes:
        raise MeasurementFailed(f"answers were {answers.statuses} with {answers.outcomes}")
    return answers

"""`http_spread`, `http_hot`, `http_bulk_events`: the product behind HTTP against the procedure."""

from collections.abc import Iterator

from bench.ground import generate, process
from bench.load import Answers
from bench.measure import TURN_S, Measure, in_turns, measured
from bench.product import Product, running
from stockwright.store.baseline import MeasurementFailed, calls_per_s, scratch_database

ITEMS = 10_000
CONNECTIONS = 64
STOCK = 500
ATTEMPTS = 2_000
BULK = 1_000
BULK_CONNECTIONS = 4


def spread(server: str) -> Iterator[Measure]:
    """Single reservations over HTTP on 64 connections, over 10,000 SKUs."""
    yield _single("http_spread", server, items=ITEMS, target=2.0)


def hot(server: str) -> Iterator[Measure]:
    """The same on one SKU; and 2,000 attempts on a stock of 500 grant exactly 500."""
    yield _single("http_hot", server, items=1, target=4.0)
    yield _exact(server)


def bulk_events(server: str) -> Iterator[Measure]:
    """Receipts, 1,000 a call, authenticated, raw body kept, against the procedure by pgbench."""
    with scratch_database(server, items=ITEMS) as url, running(url) as product:

        def ours(turn: int) -> float:
            answers = generate(
                port=product.port,
                path="/v1/events",
                call="receipt",
                batch=BULK,
                connections=BULK_CONNECTIONS,
                turn=f"bulk{turn}",
                items=ITEMS,
                seconds=TURN_S,
                authorization=product.authorization,
            )
            _all(answers, "recorded", "207", answers.answered * BULK)
            return answers.per_s * BULK

        yield in_turns(
            "http_bulk_events",
            lambda _turn: calls_per_s(url, "receipt", items=ITEMS, seconds=TURN_S),
            ours,
            target=2.0,
        )


def _single(name: str, server: str, *, items: int, target: float) -> Measure:
    with (
        scratch_database(server, items=ITEMS) as url,
        running(url) as product,
        process("-m", "bench.proc_server", url) as proc,
    ):
        assert proc.stdout is not None
        proc_port = int(proc.stdout.readline())

        def theirs(turn: int) -> float:
            answers = generate(
                port=proc_port,
                path="/reserve",
                turn=f"p{turn}",
                items=items,
                connections=CONNECTIONS,
                seconds=TURN_S,
            )
            _all(answers, "granted", "201", answers.answered)
            return answers.per_s

        def ours(turn: int) -> float:
            answers = _reserve(product, turn=f"o{turn}", items=items, seconds=TURN_S)
            _all(answers, "granted", "201", answers.answered)
            return answers.per_s

        return in_turns(name, theirs, ours, target=target)


def _exact(server: str) -> Measure:
    with scratch_database(server, items=1, stock=STOCK) as url, running(url) as product:
        answers = _reserve(product, turn="x", items=1, requests=ATTEMPTS)
        granted = answers.outcomes.get("granted", 0)
        refused = answers.outcomes.get("insufficient", 0)
        if granted + refused != ATTEMPTS:
            raise MeasurementFailed(f"{ATTEMPTS} attempts were answered {answers.outcomes}")
        return measured("http_hot_granted_of_500", granted, target=STOCK, unit="reservations")


def _reserve(
    product: Product, *, turn: str, items: int, seconds: float = 0, requests: int = 0
) -> Answers:
    return generate(
        port=product.port,
        path="/v1/reservations",
        turn=turn,
        items=items,
        connections=CONNECTIONS,
        seconds=seconds,
        requests=requests,
        authorization=product.authorization,
    )


def _all(answers: Answers, outcome: str, status: str, expected: int) -> None:
    """Like is compared with like only where every call was answered well."""
    if (
        answers.outcomes.get(outcome) != expected
        or answers.statuses.get(status) != answers.answered
    ):
        raise MeasurementFailed(f"answers were {answers.statuses} with {answers.outcomes}")

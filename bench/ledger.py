"""`ledger_spread`, `ledger_hot`, `ledger_grown`: reservations recorded by one process, no HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench.measure import TURN_S, Measure, in_turns, tell
from stockwright.flow.interpreter import settle_interpreter
from stockwright.flow.measuring import reservations_per_s
from stockwright.flow.recording import Recorder
from stockwright.store.baseline import calls_per_s, grow, scratch_database

ITEMS = 10_000
GROWN_ENTRIES = 5_000_000
WARM_S = 3


def spread(server: str) -> Iterator[Measure]:
    """Reservations of one line over 10,000 SKUs, in process, against the procedure."""
    with _warm(server) as (url, recorder):
        yield _compare("ledger_spread", url, recorder, items=ITEMS, target=2.5)


def hot(server: str) -> Iterator[Measure]:
    """The same on one SKU."""
    with _warm(server) as (url, recorder):
        yield _compare("ledger_hot", url, recorder, items=1, target=15.0)


def grown(server: str) -> Iterator[Measure]:
    """`ledger_spread` after five million ledger entries, against the empty ledger."""
    with _warm(server) as (_, empty), scratch_database(server, items=ITEMS) as url:
        tell(f"ledger_grown: recording a past of {GROWN_ENTRIES:,} entries")
        told = 0

        def advance(entries: int) -> None:
            nonlocal told
            told += entries
            if told % 1_000_000 == 0:
                tell(f"ledger_grown: {told:,} entries")

        grow(url, GROWN_ENTRIES, ITEMS, advance)
        with Recorder(url) as recorder:
            reservations_per_s(recorder, turn="warm", items=ITEMS, seconds=WARM_S)
            yield in_turns(
                "ledger_grown",
                lambda turn: _rate(empty, f"empty{turn}", ITEMS),
                lambda turn: _rate(recorder, f"grown{turn}", ITEMS),
                target=0.9,
            )


@contextmanager
def _warm(server: str) -> Iterator[tuple[str, Recorder]]:
    with scratch_database(server, items=ITEMS) as url, Recorder(url) as recorder:
        settle_interpreter()  # as `stockwright up` does
        reservations_per_s(recorder, turn="warm", items=ITEMS, seconds=WARM_S)
        calls_per_s(url, "reserve", items=ITEMS, seconds=WARM_S)
        yield url, recorder


def _compare(name: str, url: str, recorder: Recorder, *, items: int, target: float) -> Measure:
    return in_turns(
        name,
        lambda _turn: calls_per_s(url, "reserve", items=items, seconds=TURN_S),
        lambda turn: _rate(recorder, f"turn{turn}", items),
        target=target,
    )


def _rate(recorder: Recorder, turn: str, items: int) -> float:
    return reservations_per_s(recorder, turn=turn, items=items, seconds=TURN_S)

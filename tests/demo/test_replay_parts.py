"""The virtual clock, the closed loop, the latency meter and the warehouse, each by itself."""

import asyncio
import datetime as dt

import pytest

from stockwright.demo.clock import ClosedLoop, VirtualClock
from stockwright.demo.happenings import Move
from stockwright.demo.latency import LatencyMeter, percentile
from stockwright.demo.warehouse import Promise, Warehouse
from stockwright.domain.errors import StockwrightError

NINE = dt.datetime(2011, 12, 5, 9, tzinfo=dt.UTC)


def after(seconds: float) -> dt.datetime:
    return NINE + dt.timedelta(seconds=seconds)


class Real:
    """A real clock moved by hand."""

    s: float = 1_000.0

    def __call__(self) -> float:
        return self.s


def test_the_clock_runs_at_real_speed_between_jumps():
    real = Real()
    clock = VirtualClock(NINE, real)
    real.s += 2
    assert clock.now() == after(2)
    clock.jump(after(3600))
    real.s += 0.5
    assert clock.now() == after(3600.5)


def test_a_real_moment_keeps_its_virtual_moment_after_later_jumps():
    real = Real()
    clock = VirtualClock(NINE, real)
    real.s += 1
    clock.jump(after(600))
    real.s += 1
    clock.jump(after(6000))
    assert clock.at(1_000.5) == after(0.5)
    assert clock.at(1_001.25) == after(600.25)


def test_the_clock_never_jumps_backwards():
    clock = VirtualClock(NINE, Real())
    clock.jump(after(-10))
    assert clock.now() == NINE


async def test_the_loop_leaves_out_idle_time_and_keeps_the_order():
    seen: list[tuple[str, float]] = []
    clock = VirtualClock(NINE)

    async def at_rest() -> bool:
        return True

    def note(name: str):
        async def action() -> None:
            seen.append((name, round((clock.now() - NINE).total_seconds())))

        return action

    loop = ClosedLoop(clock, at_rest)
    loop.at(after(7200), note("put off"))
    steps = [
        (after(0), note("first")),
        (after(3600), note("second")),
        (after(90_000), note("last")),
    ]
    await loop.run(iter(steps))
    assert seen == [("first", 0), ("second", 3600), ("put off", 7200), ("last", 90_000)]


async def test_what_an_action_puts_off_comes_before_the_next_step_of_the_world():
    seen: list[tuple[str, float]] = []
    clock = VirtualClock(NINE)

    async def at_rest() -> bool:
        return True

    def note(name: str):
        seen.append((name, round((clock.now() - NINE).total_seconds())))

    loop = ClosedLoop(clock, at_rest)

    async def told() -> None:
        note("told")

    async def sold() -> None:
        await asyncio.sleep(0.02)
        note("sold")
        loop.at(after(15), told)

    async def asked() -> None:
        note("asked")
        loop.at(after(300), told)

    await loop.run(iter([(after(0), sold), (after(240), asked)]))
    assert seen == [("sold", 0), ("told", 15), ("asked", 240), ("told", 300)]


async def test_an_action_whose_moment_comes_before_rest_starts_beside_the_one_under_way():
    order: list[str] = []
    clock = VirtualClock(NINE)
    second_began = asyncio.Event()

    async def at_rest() -> bool:
        return True

    async def slow() -> None:
        order.append("slow began")
        await second_began.wait()
        order.append("slow ended")

    async def second() -> None:
        order.append("second began")
        second_began.set()

    loop = ClosedLoop(clock, at_rest)
    await loop.run(iter([(after(0), slow), (after(0.05), second)]))
    assert order == ["slow began", "second began", "slow ended"]


async def test_the_clock_does_not_jump_while_the_pipeline_is_busy():
    clock = VirtualClock(NINE)
    looks = iter([False, False, False])
    rests: list[float] = []
    started: list[bool] = []

    async def at_rest() -> bool:
        return next(looks, True)

    async def action() -> None:
        started.append(next(looks, None) is None)

    loop = ClosedLoop(clock, at_rest, rested=lambda: rests.append(1))
    await loop.run(iter([(after(0), action), (after(3600), action)]))
    assert started[1]
    assert rests


async def test_a_failing_action_ends_the_replay_with_its_own_reason():
    async def at_rest() -> bool:
        return True

    async def failing() -> None:
        raise StockwrightError("the seller hung up")

    loop = ClosedLoop(VirtualClock(NINE), at_rest)
    with pytest.raises(StockwrightError, match="hung up"):
        await loop.run(iter([(after(0), failing), (after(60), failing)]))


def test_latency_counts_from_the_oldest_change_not_shown_yet():
    meter = LatencyMeter(["a", "b"])
    meter.sent(["X", "Y"], at=10.0)
    meter.sent(["X"], at=10.5)
    meter.shown("a", "X", at=11.0)
    meter.shown("b", "Y", at=10.25)
    meter.shown("b", "unknown", at=10.25)
    assert meter.samples == {"a": [1.0], "b": [0.25]}
    assert meter.all() == [0.25, 1.0]


def test_a_change_that_no_number_needed_is_not_measured_later():
    meter = LatencyMeter(["a"])
    meter.sent(["X"], at=10.0)
    meter.rested()
    meter.shown("a", "X", at=99.0)
    assert meter.all() == []


@pytest.mark.parametrize(
    ("share", "value"), [(0.5, 50.0), (0.99, 99.0), (0.001, 1.0), (1.0, 100.0)]
)
def test_percentiles_are_real_samples_by_nearest_rank(share, value):
    assert percentile([float(n) for n in range(1, 101)], share) == value


def test_without_a_sample_there_is_no_percentile():
    with pytest.raises(StockwrightError, match="no latency"):
        percentile([], 0.5)


def promise(minute: int, quantity: int, order="1", sku="A") -> Promise:
    return Promise(NINE + dt.timedelta(minutes=minute), "bazaar", order, "1", sku, sku, quantity)


def wave(warehouse: Warehouse, minute: int) -> tuple[list[str], list[str]]:
    done = warehouse.wave(NINE + dt.timedelta(minutes=minute))
    return [line.order for line in done.picked], [line.order for line in done.shipped]


def test_a_line_is_picked_in_one_wave_and_shipped_in_the_next():
    warehouse = Warehouse({"A": 10})
    warehouse.promise([promise(0, 4)])
    assert wave(warehouse, 10) == ([], [])
    assert wave(warehouse, 30) == (["1"], [])
    assert warehouse.shelf["A"] == 10
    assert wave(warehouse, 60) == ([], ["1"])
    assert warehouse.shelf["A"] == 6
    assert not warehouse.busy


def test_what_is_not_on_the_shelf_waits_for_the_next_receipt():
    warehouse = Warehouse({"A": 5})
    warehouse.promise([promise(0, 4, "1"), promise(1, 4, "2"), promise(2, 1, "3")])
    assert wave(warehouse, 30) == (["1", "3"], [])
    warehouse.move(Move(NINE, "receipt", "PO", "1", "A", "A", 4))
    assert wave(warehouse, 60) == (["2"], ["1", "3"])
    assert warehouse.open_units == {"A": 4}
    assert wave(warehouse, 90) == ([], ["2"])
    assert warehouse.shelf["A"] == 0


def test_a_count_tells_what_lies_on_the_shelf_and_never_less_than_nothing():
    warehouse = Warehouse({"A": 5})
    assert warehouse.move(Move(NINE, "count", "1", "1", "A", "A", -2)) == 3
    assert warehouse.move(Move(NINE, "count", "2", "1", "A", "A", -4)) is None
    assert warehouse.shelf["A"] == -1

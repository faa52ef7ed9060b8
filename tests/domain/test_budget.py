"""What one connection may ask of its partner, and when it holds off."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockwright.domain import budget as budgets
from stockwright.domain.budget import Budget

NOON = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC)


def after(seconds: float) -> dt.datetime:
    return NOON + dt.timedelta(seconds=seconds)


def budget(**given) -> Budget:
    return Budget(**{"refilled_at": NOON, "tokens": 5.0, **given})


@pytest.mark.parametrize(
    ("given", "under_way", "wait_s"),
    [
        ({}, 0, 0.0),
        ({"tokens": 0.5}, 0, 0.25),
        ({"paused": True}, 0, None),
        ({"retry_at": after(3)}, 0, 3.0),
        ({"retry_at": after(-3)}, 0, 0.0),
        ({}, 3, 0.0),
        ({}, 4, None),
        # A circuit that is not closed lets one probe through.
        ({"circuit": "open", "retry_at": after(-1)}, 0, 0.0),
        ({"circuit": "half_open"}, 1, None),
    ],
)
def test_when_the_next_call_may_start(given, under_way, wait_s):
    asked = budgets.wait_s(budget(**given), NOON, 2.0, 4, under_way)
    assert asked == wait_s


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=60))
def test_no_window_gets_more_calls_than_burst_and_rate_allow(steps):
    one = budget(tokens=3.0)
    now, started = NOON, []
    for pause_s, back in steps:
        now += dt.timedelta(seconds=-pause_s / 10 if back else pause_s)
        budgets.refill(one, now, 2.0, 3.0)
        if budgets.wait_s(one, now, 2.0, 99, 0) == 0.0:
            budgets.take_call(one)
            started.append(one.refilled_at)
    for n, first in enumerate(started):
        for m, last in enumerate(started[n:], 1):
            assert m <= 3 + 2.0 * (last - first).total_seconds() + 1e-6


@pytest.mark.parametrize(
    ("failures", "low", "high"), [(1, 0.25, 0.5), (2, 0.5, 1.0), (7, 15.0, 30.0), (99, 15.0, 30.0)]
)
def test_waits_double_up_to_a_bound_and_half_is_chance(failures, low, high):
    assert budgets.backoff_s(failures, 0.0) == low
    assert budgets.backoff_s(failures, 1.0) == high


def test_a_few_failures_open_the_circuit_and_one_success_closes_it():
    one = budget()
    states = []
    for _ in range(4):
        budgets.failed(one, NOON, "503", 0.5)
        states.append(one.circuit)
    assert states == ["closed", "closed", "open", "open"]
    budgets.take_call(one)
    assert one.circuit == "half_open"
    budgets.failed(one, NOON, "503", 0.5)
    assert one.circuit == "open", "a failed probe opens it again"
    budgets.succeeded(one, after(9))
    assert (one.circuit, one.failures, one.retry_at, one.last_error) == ("closed", 0, None, "")
    assert one.last_success == after(9)


def test_a_partner_that_asks_for_silence_has_not_failed_and_gets_no_burst_afterwards():
    one = budget(tokens=50.0)
    budgets.throttled(one, NOON, "429", 12.0)
    assert (one.failures, one.circuit) == (0, "closed")
    assert budgets.wait_s(one, NOON, 2.0, 4, 0) == 12.0
    assert one.tokens == 1.0


@pytest.mark.parametrize(
    ("given", "waited"),
    [
        ({"circuit": "open", "failures": 5, "retry_at": after(20)}, True),
        ({"circuit": "open", "failures": 5, "retry_at": after(-1)}, False),
        ({"circuit": "open", "failures": 5}, False),
        # The probe is under way, or the partner answered it and asked for silence.
        ({"circuit": "half_open", "failures": 5, "retry_at": after(20)}, False),
        ({"circuit": "closed", "retry_at": after(20)}, False),
    ],
)
def test_only_the_wait_of_an_open_circuit_is_ended_when_somebody_wants_it(given, waited):
    one = budget(**given)
    assert budgets.retry_at_once(one, NOON) == waited
    at_once = budgets.wait_s(one, NOON, 2.0, 4, 0) == 0.0
    assert at_once == (waited or given.get("retry_at") in (None, after(-1)))


def test_a_silence_that_is_asked_for_while_the_circuit_is_open_is_not_ended():
    one = budget(circuit="open", failures=5, retry_at=after(20))
    budgets.throttled(one, NOON, "429", 12.0)
    assert not budgets.retry_at_once(one, NOON)
    assert budgets.wait_s(one, NOON, 2.0, 4, 0) == 12.0


def answered(one):
    budgets.succeeded(one, after(1))


def broke_off(one):
    budgets.failed(one, after(1), "503", 0.5)


def refused_the_token(one):
    budgets.misconfigured(one, after(1), "the token was refused")


def asked_for_less(one):
    budgets.throttled(one, after(1), "429", 5.0)


@pytest.mark.parametrize(
    "answers",
    [
        [answered],
        [broke_off],
        [refused_the_token],
        [asked_for_less],
        [broke_off] * 4,
        [broke_off, answered],
    ],
)
@pytest.mark.parametrize("circuit", ["closed", "open"])
def test_a_silence_outlasts_the_answers_to_calls_that_left_before_it(circuit, answers):
    one = budget(circuit=circuit, failures=5 if circuit == "open" else 0, retry_at=None)
    budgets.throttled(one, NOON, "429", 60.0)
    for answer in answers:
        answer(one)
    assert budgets.wait_s(one, after(2), 2.0, 4, 0) == 58.0
    assert not budgets.retry_at_once(one, after(2))
    assert budgets.wait_s(one, after(60), 2.0, 4, 0) == 0.0
    budgets.take_call(one)
    budgets.succeeded(one, after(61))
    assert (one.circuit, one.failures, one.retry_at) == ("closed", 0, None)


def test_a_failure_after_a_silence_holds_off_for_its_own_time():
    one = budget()
    budgets.throttled(one, NOON, "429", 1.0)
    budgets.misconfigured(one, after(2), "the token was refused")
    assert one.circuit == "open"
    assert budgets.wait_s(one, after(2), 2.0, 4, 0) == budgets.LONGEST_WAIT_S
    assert budgets.retry_at_once(one, after(2)), "that is no silence"


def test_a_wrong_setting_is_probed_rarely():
    one = budget()
    budgets.misconfigured(one, NOON, "the token was refused")
    assert one.circuit == "open"
    assert budgets.wait_s(one, NOON, 2.0, 4, 0) == budgets.LONGEST_WAIT_S


@pytest.mark.parametrize("batch_size", [1, 10, 500])
@pytest.mark.parametrize("beside_jobs", [True, False])
def test_increases_are_owed_a_tenth_and_unused_credit_does_not_pile_up(batch_size, beside_jobs):
    one = budget()
    carried = aged = 0
    for _ in range(200):
        due = budgets.owed_to_increases(one, batch_size, beside_jobs=beside_jobs)
        budgets.credit_increases(one, batch_size, due, batch_size)
        carried, aged = carried + batch_size, aged + due
    assert aged == pytest.approx(carried * budgets.INCREASE_SHARE, rel=0.1)
    for _ in range(200):
        budgets.credit_increases(one, batch_size, 0, batch_size)
    assert one.increase_credit <= max(1.0, batch_size)
    assert budgets.owed_to_increases(one, batch_size, beside_jobs=False) <= max(1, batch_size // 10)


def test_beside_jobs_increases_come_in_batches_worth_a_call_of_their_own():
    """Of 500 levels 450 were asked about, and 50 were sent in three calls more."""
    one = budget()
    carried = []
    for _ in range(21):
        owed = budgets.owed_to_increases(one, 500, beside_jobs=True)
        budgets.credit_increases(one, 500, owed, 500)
        carried.append(owed)
    assert carried == [0] * 10 + [500] + [0] * 9 + [500]


@pytest.mark.parametrize(
    ("tokens", "burst", "wait_s"),
    [(5.0, 8, 0.0), (2.0, 8, 0.0), (1.0, 8, 0.5), (-3.0, 8, 2.5), (1.0, 1, 0.0), (0.5, 1, 0.25)],
)
def test_a_long_poll_leaves_a_call_for_levels_where_the_burst_holds_two(tokens, burst, wait_s):
    assert budgets.spare_wait_s(budget(tokens=tokens), 2.0, burst) == wait_s


def test_calls_beyond_those_taken_are_earned_before_the_next():
    one = budget(tokens=1.0)
    budgets.take_call(one)
    budgets.charge(one, 3, 2.0, 5)
    assert budgets.wait_s(one, NOON, 2.0, 4, 0) == 2.0


@pytest.mark.parametrize(
    ("tokens", "calls", "calls_per_s", "burst", "owed"),
    [
        (0.0, 10_000, 5.0, 10, 300.0),
        (0.0, 10_000, 0.01, 4, 4.0),
        (-290.0, 20, 5.0, 10, 300.0),
        (-310.0, 20, 5.0, 10, 310.0),
    ],
)
def test_what_is_owed_keeps_no_zero_waiting_for_minutes(tokens, calls, calls_per_s, burst, owed):
    """Two batches that asked once for each of a thousand items would have been a zero's wait."""
    one = budget(tokens=tokens)
    budgets.charge(one, calls, calls_per_s, burst)
    assert one.tokens == -owed

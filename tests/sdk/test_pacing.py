"""A partner never gets more calls than its declared plan."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockwright.sdk.pacing import full_bucket, hold_off, take


def test_a_burst_goes_at_once_and_the_rest_at_the_rate():
    bucket = full_bucket(rate=2, burst=3, now=0)
    waits = []
    for _ in range(6):
        bucket, wait = take(bucket, now=0)
        waits.append(wait)
    assert waits == [0, 0, 0, 0.5, 1.0, 1.5]


def test_a_rest_earns_no_more_than_the_burst():
    bucket = full_bucket(rate=10, burst=2, now=0)
    bucket, _ = take(bucket, now=1000, calls=2)
    assert take(bucket, now=1000)[1] == pytest.approx(0.1)


def test_a_partner_that_asks_for_silence_gets_it():
    bucket = hold_off(full_bucket(rate=10, burst=5, now=0), now=0, seconds=30)
    assert take(bucket, now=0)[1] == pytest.approx(30)
    assert take(bucket, now=30)[1] == 0


def test_a_clock_that_steps_back_gives_nothing_away():
    bucket, _ = take(full_bucket(rate=1, burst=1, now=100), now=100)
    bucket, wait = take(bucket, now=50)
    assert wait == 1
    assert take(bucket, now=101)[1] == 1


@given(
    rate=st.floats(0.1, 50),
    burst=st.integers(1, 20),
    pauses=st.lists(st.floats(0, 5), min_size=1, max_size=60),
)
def test_no_window_has_more_calls_than_burst_plus_rate_times_its_length(rate, burst, pauses):
    bucket, now, made = full_bucket(rate=rate, burst=burst, now=0), 0.0, []
    for pause in pauses:
        now += pause
        bucket, wait = take(bucket, now)
        made.append(now + wait)
    for first in range(len(made)):
        for last in range(first, len(made)):
            calls = last - first + 1
            assert calls <= burst + rate * (made[last] - made[first]) + 1e-6

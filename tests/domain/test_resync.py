"""When a channel may be sent everything once more, and how long that takes."""

import pytest

from stockwright.domain.errors import Rejected
from stockwright.domain.resync import Pace, Standings, check, estimate

PACE = Pace(batch_size=50, calls_per_s=2.0, burst=10, concurrency=2)


@pytest.mark.parametrize(
    ("standings", "words"),
    [
        (Standings(), "No active listing"),
        (Standings(unlisted=9), "No active listing"),
        # Listings were imported, and nothing is computed yet, or not all of it.
        (Standings(listings=3, uncomputed=3), "3 of 3 active listings have no computed level"),
        (Standings(listings=3, uncomputed=1, again=2), "1 of 3 active listings"),
        # Computed, from books that nobody filled.
        (Standings(listings=3, unfounded=3), "No stock was ever recorded"),
        (Standings(listings=3, again=3, zeroes=3), "All 3 levels to send are 0"),
        (Standings(listings=3, again=2, zeroes=2, unfounded=1), "All 2 levels to send are 0"),
        (Standings(listings=3, again=2, zeroes=2, waiting=1), "All 2 levels to send are 0"),
        (Standings(listings=3, waiting=3), "Nothing to send again"),
        (Standings(listings=3, refused=3), "Nothing to send again"),
    ],
)
def test_a_channel_that_could_be_emptied_is_not_resynced(standings, words):
    with pytest.raises(Rejected, match=words) as refused:
        check(standings)
    assert (refused.value.reason, refused.value.field) == ("incomplete", "channel")


@pytest.mark.parametrize(
    "standings",
    [
        Standings(listings=3, again=3),
        Standings(listings=3, again=3, zeroes=2),
        # What sells is on its way, as after a resync that was cut short.
        Standings(listings=9, again=2, zeroes=2, waiting=3, stocked=1),
        Standings(listings=9, again=2, zeroes=1, waiting=3, refused=1, unfounded=3, unlisted=4),
    ],
)
def test_a_complete_channel_is_resynced(standings):
    check(standings)


def test_what_is_left_alone_is_counted_by_reason():
    found = Standings(listings=9, again=2, waiting=3, unlisted=4).left_alone
    assert found == {"on their way already": 3, "listing inactive or gone": 4}


@pytest.mark.parametrize(
    ("levels", "changed", "calls", "seconds"),
    [
        (0, {}, 0, 0.0),
        (1, {}, 1, 0.5),
        (50, {}, 1, 0.5),
        (51, {}, 2, 1.0),
        (10_000, {}, 200, 100.0),
        # Calls that may start at once, since the connection rested, take no time.
        (10_000, {"tokens": 10.0}, 200, 95.0),
        (100, {"tokens": 10.0}, 2, 0.0),
        # What waits already goes with it or before.
        (10_000, {"ahead": 5_000}, 200, 150.0),
        # The last answer is waited for.
        (10_000, {"call_s": 0.4}, 200, 100.4),
        # A partner that takes longer than its limit allows sets the pace: 200 calls, two at once.
        (10_000, {"call_s": 3.0}, 200, 300.0),
        (10_000, {"call_s": 3.0, "ahead": 5_000}, 200, 450.0),
    ],
)
def test_the_time_follows_from_the_limits_and_from_how_long_calls_take(
    levels, changed, calls, seconds
):
    known = {name: getattr(PACE, name) for name in PACE.__struct_fields__}
    found = estimate(levels, Pace(**{**known, **changed}))
    assert (found.levels, found.calls) == (levels, calls)
    assert found.seconds == pytest.approx(seconds)


def test_without_limits_nothing_is_promised():
    found = estimate(10, None)
    assert (found.levels, found.calls, found.seconds) == (10, None, None)

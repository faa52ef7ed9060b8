"""What can happen to one level, and that no order of it loses the number a channel should show."""

import datetime as dt

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stockwright.domain import levels
from stockwright.domain.levels import Level

NOON = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC)
DELAY = dt.timedelta(seconds=10)
LEASE = dt.timedelta(seconds=30)


def after(seconds: float) -> dt.datetime:
    return NOON + dt.timedelta(seconds=seconds)


def new_level() -> Level:
    return Level(
        channel="WEB",
        listing="0042",
        location="",
        desired=0,
        version=0,
        sequence=0,
        projected_at=NOON,
        due_at=NOON,
        waiting_since=NOON,
    )


def settled(value: int) -> Level:
    level = new_level()
    levels.desire(level, value, 1, NOON)
    levels.start(level, 1, NOON, LEASE)
    levels.applied(level, NOON, NOON, None, None)
    assert level.state == "settled"
    return level


@pytest.mark.parametrize(
    ("acknowledged", "sent", "doubt", "desired", "lane"),
    [
        (10, None, None, 9, "decrease"),
        (10, None, None, 11, "increase"),
        (10, None, None, 0, "decrease"),
        # What is under way or in doubt counts as well.
        (10, 20, None, 15, "decrease"),
        (10, None, (3, 20), 15, "decrease"),
        (10, None, (3, 12), 15, "increase"),
        # A first number: only a zero is urgent.
        (None, None, None, 15, "increase"),
        (None, None, None, 0, "decrease"),
        (None, None, (20, 20), 15, "decrease"),
    ],
)
def test_it_is_a_decrease_where_the_channel_may_be_showing_more(
    acknowledged, sent, doubt, desired, lane
):
    level = new_level()
    level.desired, level.acknowledged, level.sent = desired, acknowledged, sent
    if doubt:
        level.doubt_low, level.doubt_high = doubt
    assert levels.lane_of(level) == lane


def test_a_settled_level_is_sent_again_once_and_settles_by_any_number_the_channel_takes():
    level = settled(10)
    assert levels.send_again(level, after(60))
    assert (level.state, level.lane, level.is_resent) == ("due", "increase", True)
    assert not levels.send_again(level, after(61)), "it is on its way"
    levels.start(level, 2, after(62), LEASE)
    levels.applied(level, after(63), after(64), None, None)
    assert (level.state, level.resend, level.acknowledged) == ("settled", False, 10)


def test_a_number_that_changes_while_it_is_sent_again_goes_in_its_own_lane():
    level = settled(10)
    levels.send_again(level, after(60))
    levels.desire(level, 8, 2, after(61))
    assert (level.state, level.lane, level.is_resent) == ("due", "decrease", False)
    levels.desire(level, 10, 3, after(62))
    assert (level.state, level.is_resent) == ("due", True), "it came back, and is still asked for"


def test_what_was_not_applied_is_still_to_be_sent_again():
    for what in ("retry", "doubtful", "abandoned", "refused"):
        level = settled(10)
        levels.send_again(level, after(60))
        levels.start(level, 2, after(61), LEASE)
        if what == "retry":
            levels.retry(level, after(70), "locked")
        elif what == "doubtful":
            levels.doubtful(level, after(70), after(80), "500")
        elif what == "abandoned":
            levels.abandoned(level, after(95), DELAY)
        else:
            levels.refused(level, after(62), "unknown listing")
        assert level.state == ("refused" if what == "refused" else "due"), what
        assert level.resend, what


def test_the_version_follows_the_clock_and_never_goes_back():
    level = new_level()
    for value, second, expected in ((1, 0, 0), (2, 0, 1), (3, -50, 2), (4, 60, 60_000)):
        assert levels.desire(level, value, 1, after(second))
        assert level.version == int(NOON.timestamp() * 1000) + expected


def test_an_older_ledger_never_lowers_the_sequence_a_level_reflects():
    level = settled(5)
    levels.desire(level, 5, 9, NOON)
    levels.desire(level, 4, 7, NOON)
    assert level.sequence == 9


def test_a_newer_number_does_not_wait_out_the_failure_of_an_increase_it_makes_urgent():
    level = settled(10)
    levels.desire(level, 20, 2, NOON)
    levels.start(level, 2, NOON, LEASE)
    levels.retry(level, after(300), "locked")
    levels.desire(level, 15, 3, after(1))
    assert (level.lane, level.due_at) == ("increase", after(300))
    levels.desire(level, 2, 4, after(2))
    assert (level.lane, level.due_at) == ("decrease", after(2))


def test_the_same_number_twice_in_doubt_and_then_acknowledged_leaves_no_doubt():
    level = settled(10)
    levels.desire(level, 4, 2, NOON)
    levels.start(level, 2, NOON, LEASE)
    levels.doubtful(level, NOON, after(60), "500")
    levels.start(level, 3, after(1), LEASE)
    levels.applied(level, after(2), after(2), None, None)
    assert level.state == "settled"


def test_a_decrease_acknowledged_while_an_increase_is_in_doubt_is_asserted_again():
    level = settled(10)
    levels.desire(level, 40, 2, NOON)
    levels.start(level, 2, NOON, LEASE)
    levels.doubtful(level, NOON, after(60), "no answer in time")
    levels.desire(level, 4, 3, after(1))
    levels.start(level, 3, after(1), LEASE)
    levels.applied(level, after(2), after(2), None, None)
    assert (level.acknowledged, level.state, level.lane) == (4, "due", "decrease")
    assert level.due_at == after(60)
    levels.start(level, 4, after(61), LEASE)
    levels.applied(level, after(62), after(62), None, None)
    assert level.state == "settled"
    assert level.doubt_until is None


def test_a_number_the_channel_is_at_work_on_is_in_doubt_without_a_failed_try():
    level = settled(10)
    levels.desire(level, 40, 2, NOON)
    levels.start(level, 2, NOON, LEASE)
    levels.doubtful(level, after(30), after(60), "the feed is at work", failed=False)
    assert (level.attempts, level.doubt_high, level.doubt_until) == (0, 40, after(60))
    assert (level.state, level.due_at) == ("due", after(30))


def test_a_number_that_changes_all_the_time_keeps_its_place_among_those_that_wait():
    level = settled(10)
    for second in range(1, 30):
        levels.desire(level, 10 + second, second + 1, after(second))
    assert (level.lane, level.due_at) == ("increase", after(1))
    levels.desire(level, 3, 90, after(40))
    assert (level.lane, level.due_at) == ("decrease", after(40)), "another lane, another place"
    levels.desire(level, 2, 91, after(41))
    assert level.due_at == after(40)
    levels.desire(level, 12, 92, after(42))
    assert (level.lane, level.due_at) == ("increase", after(42))


def test_a_number_that_is_held_back_has_a_version_of_its_own_and_the_rest_follows():
    level = settled(4)
    levels.desire(level, 10, 2, after(1))
    desired = level.version
    levels.start(level, 2, after(2), LEASE, held=2)
    assert (level.sent, level.sent_version, level.version) == (8, desired + 1, desired + 2)
    levels.applied(level, after(3), after(5), None, None)
    assert (level.acknowledged, level.acknowledged_version) == (8, desired + 1)
    assert (level.state, level.lane, level.due_at) == ("due", "increase", after(5))
    assert level.last_error == "2 held back until the channel's orders are known"
    levels.start(level, 3, after(6), LEASE)
    assert (level.sent, level.sent_version) == (10, desired + 2)
    levels.applied(level, after(7), after(8), None, None)
    assert (level.state, level.held, level.last_error) == ("settled", 0, "")


def test_a_decrease_whose_comparisons_fail_goes_without_one_after_three_tries():
    level = settled(20)
    levels.desire(level, 12, 2, after(1))
    for n, shown in enumerate((19, 17, 16)):
        assert not level.is_forced
        levels.start(level, n + 2, after(n + 2), LEASE)
        levels.retry(level, after(n + 3), "stale", shown)
    assert level.is_forced
    assert (level.acknowledged, level.slipped, level.doubted) == (16, 4, False)
    levels.start(level, 9, after(9), LEASE, held=4)
    assert level.doubted, "what was forced is read back"
    levels.applied(level, after(10), after(11), None, None)
    assert (level.stale, level.slipped, level.acknowledged) == (0, 0, 8)


def test_an_increase_whose_comparisons_fail_is_never_forced():
    level = settled(20)
    levels.desire(level, 40, 2, after(1))
    for n in range(6):
        levels.start(level, n + 2, after(n + 2), LEASE)
        levels.retry(level, after(n + 3), "stale", 19 - n)
    assert not level.is_forced
    assert level.due_at == after(8), "it becomes due anew: the orders behind it come first"


def test_a_listing_rests_between_two_calls_however_urgent():
    level = settled(10)
    minute = dt.timedelta(minutes=1)
    levels.desire(level, 20, 2, NOON)
    levels.start(level, 2, NOON, LEASE, rest=minute)
    levels.applied(level, after(1), after(1), None, None)
    assert level.state == "settled"
    levels.desire(level, 0, 3, after(2))
    assert (level.lane, level.due_at) == ("decrease", after(60))
    levels.desire(level, 5, 4, after(70))
    assert level.due_at == after(60)


def test_a_channel_that_shows_less_is_put_right_once_an_hour_where_orders_are_seen():
    level = settled(10)
    assert not levels.read_back(level, 8, after(1))
    assert levels.read_back(level, 8, after(2), orders_are_seen=True)
    assert (level.state, level.lane, level.acknowledged) == ("due", "increase", 8)
    levels.start(level, 2, after(3), LEASE)
    levels.applied(level, after(4), after(4), None, None)
    assert not levels.read_back(level, 8, after(60), orders_are_seen=True)
    assert levels.read_back(level, 8, after(3_700), orders_are_seen=True)


def test_a_channel_that_shows_less_settles_by_the_order_that_explains_it():
    level = settled(10)
    levels.read_back(level, 8, after(2), orders_are_seen=True)
    levels.desire(level, 8, 2, after(3))
    assert level.state == "settled"


def test_a_job_is_marked_while_the_partner_is_at_work_on_the_desired_number():
    level = settled(10)
    levels.desire(level, 40, 2, NOON)
    levels.start(level, 2, NOON, LEASE)
    levels.doubtful(level, after(30), after(60), "the feed is at work", failed=False)
    assert (level.job, level.doubted) == (True, False)
    levels.desire(level, 50, 3, after(1))
    assert not level.job, "that is another number, which has to wait for the orders"


class OneLevel(RuleBasedStateMachine):
    """A level against a channel that applies what it was sent when it likes, within the delay."""

    def __init__(self) -> None:
        super().__init__()
        self.level = new_level()
        self.now = NOON
        self.call = 0
        self.shown: int | None = None
        # Numbers that left and may still be applied: (value, until).
        self.flying: list[tuple[int, dt.datetime]] = []
        self.versions: list[int] = []
        self.numbers: dict[int, int | None] = {}

    @initialize(value=st.integers(0, 9))
    def first(self, value: int) -> None:
        self.want(value)

    @rule(value=st.integers(0, 9))
    def want(self, value: int) -> None:
        if levels.desire(self.level, value, self.level.sequence + 1, self.now):
            self.versions.append(self.level.version)

    @rule(seconds=st.sampled_from([0.5, 5, 11, 45]))
    def time_passes(self, seconds: float) -> None:
        self.now += dt.timedelta(seconds=seconds)
        self.flying = [one for one in self.flying if one[1] > self.now]

    @rule(chance=st.randoms(use_true_random=False))
    @precondition(lambda self: self.flying)
    def a_doubtful_number_is_applied_after_all(self, chance) -> None:
        self.shown = chance.choice(self.flying)[0]

    @rule(held=st.integers(0, 2))
    @precondition(lambda self: self.level.state == "due" and self.level.due_at <= self.now)
    def send(self, held: int = 0) -> None:
        self.call += 1
        levels.start(self.level, self.call, self.now, LEASE, held=min(held, self.level.desired))
        assert self.level.sent_version is not None
        carried = self.numbers.setdefault(self.level.sent_version, self.level.sent)
        assert carried == self.level.sent, "a version stands for one number"

    @rule(answered=st.booleans(), took=st.booleans())
    @precondition(lambda self: self.level.state == "sending")
    def answer(self, answered: bool, took: bool) -> None:
        sent, version = self.level.sent, self.level.sent_version
        assert sent is not None
        if answered and took:
            self.shown = sent
            levels.applied(self.level, self.now, self.now, None, None)
            assert self.level.acknowledged_version == version
        elif answered:
            levels.retry(self.level, self.now, "locked")
        else:
            if took:
                self.shown = sent
            self.flying.append((sent, self.now + DELAY))
            levels.doubtful(self.level, self.now, self.now + DELAY, "500")

    @rule(took=st.booleans())
    @precondition(lambda self: self.level.state == "sending")
    def the_sender_dies(self, took: bool) -> None:
        sent, lease = self.level.sent, self.level.lease_until
        assert sent is not None
        assert lease is not None
        if took:
            self.shown = sent
        self.flying.append((sent, lease + DELAY))
        self.now = max(self.now, lease)
        self.flying = [one for one in self.flying if one[1] > self.now]
        levels.abandoned(self.level, self.now, DELAY)

    @invariant()
    def what_is_shown_is_known_to_be_possible(self) -> None:
        if self.shown is not None and self.level.acknowledged is not None:
            extremes = levels.possible(self.level)
            assert min(extremes) <= self.shown <= max(extremes)

    @invariant()
    def settled_means_that_the_channel_shows_it_for_good(self) -> None:
        if self.level.state == "settled":
            assert self.shown == self.level.desired
            assert all(value == self.level.desired for value, _ in self.flying)

    @invariant()
    def versions_only_rise(self) -> None:
        assert self.versions == sorted(set(self.versions))
        acknowledged = self.level.acknowledged_version
        assert acknowledged is None or acknowledged in self.numbers

    def teardown(self) -> None:
        """A channel that behaves from now on ends showing the desired number."""
        for _ in range(6):
            if self.level.state == "sending":
                self.answer(answered=True, took=True)
            if self.level.state == "due":
                self.time_passes(max(0.0, (self.level.due_at - self.now).total_seconds()))
                self.send(held=0)
        if self.level.version:
            assert self.level.state == "settled"
            assert self.shown == self.level.desired


TestOneLevel = OneLevel.TestCase


def in_doubt_then_acknowledged() -> Level:
    """Acknowledged as desired, and asserted again once an older 9 can no longer be applied."""
    level = settled(9)
    levels.desire(level, 9, 2, NOON)
    levels.desire(level, 5, 2, NOON)
    levels.start(level, 2, NOON, LEASE)
    levels.doubtful(level, after(1), after(10), "a feed is at work", failed=False)
    levels.desire(level, 3, 3, after(1))
    levels.start(level, 3, after(2), LEASE)
    levels.applied(level, after(2), after(2), None, None)
    assert (level.acknowledged, level.state, level.due_at) == (3, "due", after(10))
    levels.start(level, 4, after(10), LEASE)
    return level


def test_a_job_that_only_asserts_a_number_is_asked_about_as_any_other():
    level = in_doubt_then_acknowledged()
    levels.doubtful(level, after(11), after(20), "a feed is at work", failed=False)
    assert (level.job, level.due_at) == (True, after(11)), "not when its own doubt ends"


def test_a_job_handed_over_after_all_doubts_ended_settles_the_level():
    """Its own number is in doubt for longer, which is no reason to assert it for ever."""
    level = in_doubt_then_acknowledged()
    for n in (11, 12):
        levels.doubtful(level, after(n), after(n + 10), "a feed is at work", failed=False)
        levels.start(level, n, after(n), LEASE)
    levels.applied(level, after(13), after(13), None, None)
    assert (level.state, level.doubt_until) == ("settled", None)


@pytest.mark.parametrize("asked_again", [False, True])
def test_a_job_handed_over_while_something_was_in_doubt_does_not_settle_the_level(asked_again):
    level = settled(9)
    levels.desire(level, 5, 2, NOON)
    levels.start(level, 2, NOON, LEASE)
    levels.doubtful(level, after(1), after(10), "500")
    levels.desire(level, 3, 3, after(1))
    times = (9, 12) if asked_again else (9,)
    for n in times:
        levels.start(level, n, after(n), LEASE)
        levels.doubtful(level, after(n), after(n + 10), "a feed is at work", failed=False)
    levels.start(level, 14, after(14), LEASE)
    levels.applied(level, after(14), after(14), None, None)
    assert (level.acknowledged, level.state) == (3, "due"), "the 5 may have come after the job"


def test_a_late_answer_beside_a_job_keeps_its_doubt():
    level = in_doubt_then_acknowledged()
    levels.doubtful(level, after(11), after(20), "a feed is at work", failed=False)
    levels.answered_late(level, 9, after(30))
    levels.start(level, 5, after(11), LEASE)
    levels.applied(level, after(12), after(12), None, None)
    assert level.state == "due"

"""Which increases may go, and how much of them, by what is known of the channel's orders."""

import datetime as dt

import msgspec
import pytest

from stockwright.domain import watermark
from stockwright.domain.levels import STALE_TRIES, Level
from stockwright.domain.watermark import Progress, Seen

NOON = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC)
LIMIT = dt.timedelta(seconds=120)


def after(seconds: float) -> dt.datetime:
    return NOON + dt.timedelta(seconds=seconds)


POLLED = Progress(now=after(30), polled=after(20), seen=after(10))


@pytest.mark.parametrize(
    ("what", "progress", "expected"),
    [
        ("nobody was asked yet", Progress(now=NOON), Seen(None, None, None)),
        (
            "all is recorded and projected",
            POLLED,
            Seen(after(20), None, None),
        ),
        (
            "an order still waits for the ledger",
            msgspec.structs.replace(POLLED, waits=True),
            Seen(after(10), None, None),
        ),
        (
            "recorded, not projected yet",
            msgspec.structs.replace(POLLED, any_mark=True),
            Seen(after(10), after(20), after(30)),
        ),
        (
            "what was recorded has been projected, and a newer poll is next",
            Progress(
                now=after(40),
                polled=after(35),
                seen=after(10),
                recorded=after(20),
                recorded_at=after(30),
                any_mark=True,
            ),
            Seen(after(20), after(35), after(40)),
        ),
        (
            "a newer poll does not put off the one that is on its way",
            Progress(
                now=after(40),
                polled=after(35),
                recorded=after(20),
                recorded_at=after(30),
                marked=True,
                any_mark=True,
            ),
            Seen(None, after(20), after(30)),
        ),
        (
            "the watermark never goes back",
            Progress(now=after(40), polled=after(5), seen=after(10)),
            Seen(after(10), None, None),
        ),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_how_far_the_orders_have_come(what, progress, expected):
    assert watermark.advance(progress) == expected


@pytest.mark.parametrize(
    ("seen", "until", "held_back"),
    [
        (after(-1), after(-1), False),
        (after(-120), after(-120), False),
        # Older than the limit: only what has waited that long, and less a buffer.
        (after(-121), after(-120), True),
        (None, after(-120), True),
        # A partner's clock ahead of ours lets nothing through that is not due.
        (after(50), NOON, False),
    ],
)
def test_increases_go_up_to_the_watermark_or_after_the_limit_less_a_buffer(seen, until, held_back):
    found = watermark.gate(seen, NOON, LIMIT)
    assert (found.until, found.held_back) == (until, held_back)


def level(desired: int, **more) -> Level:
    return Level(
        channel="WEB",
        listing="L",
        location="",
        desired=desired,
        version=1,
        sequence=1,
        projected_at=NOON,
        due_at=NOON,
        waiting_since=NOON,
        **more,
    )


@pytest.mark.parametrize(
    ("given", "unseen", "held"),
    [
        (level(10, acknowledged=4), False, 0),
        (level(10, acknowledged=4), True, 2),
        (level(3, acknowledged=0), True, 1),
        (level(0), True, 0),
        (level(4, acknowledged=10, lane="decrease"), True, 0),
        # The partner is at work on this very number: it is asked about, not sent.
        (level(10, acknowledged=4, job=True), True, 0),
        (level(4, lane="decrease", stale=STALE_TRIES - 1, slipped=3), False, 0),
        (level(4, lane="decrease", stale=STALE_TRIES, slipped=3), False, 3),
        (level(2, lane="decrease", stale=STALE_TRIES, slipped=3), False, 2),
    ],
)
def test_how_far_below_its_number_a_level_goes(given, unseen, held):
    assert watermark.held_of(given, unseen=unseen) == held


@pytest.mark.parametrize(
    ("given", "worth"),
    [
        (level(10, acknowledged=7), True),
        (level(10, acknowledged=8), False),
        (level(1, acknowledged=0), False),
        (level(10, acknowledged=10, resend=True), False),
        (level(1), True),
        (level(10, acknowledged=10, doubt_low=3, doubt_high=3, doubt_until=NOON), True),
    ],
)
def test_an_increase_that_would_leave_nothing_but_the_buffer_is_not_worth_a_call(given, worth):
    assert watermark.is_worth_it(given) is worth

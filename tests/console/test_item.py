"""The pure parts of an item's page: standings, the past of free stock, what goes together."""

import datetime as dt
import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockwright.console import folding, item
from stockwright.store.positions import ShownLevel
from stockwright.store.timeline import LevelChange, Timeline

NOW = dt.datetime(2026, 3, 2, 10, 30, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(seconds=30)
LEVEL = ShownLevel(
    channel="shop", listing="A", location="", quantity=1, desired=5, version=9, sequence=3,
    projected_at=NOW, sent=None, sent_version=None, sent_at=None, acknowledged=5,
    acknowledged_version=9, acknowledged_at=NOW, doubt_until=None, state="settled",
    waiting_since=NOW, attempts=0, last_error="", verified=None, verified_at=None,
)  # fmt: skip

STANDINGS: list[tuple[dict[str, Any], str, bool]] = [
    # what the row says                                     standing    and waits
    ({}, "shown", False),
    ({"state": "kept"}, "kept", False),
    ({"state": "due"}, "waiting", True),
    ({"state": "due", "attempts": 2}, "retrying", True),
    ({"state": "sending", "attempts": 2}, "sending", True),
    ({"state": "refused", "attempts": 1}, "refused", True),
    ({"state": "due", "attempts": 1, "doubt_until": LATER}, "in doubt", True),
    ({"state": "settled", "doubt_until": LATER}, "in doubt", True),
    ({"state": "settled", "doubt_until": NOW}, "shown", False),
]


@pytest.mark.parametrize(("known", "standing", "waits"), STANDINGS)
def test_a_level_stands_where_the_first_rule_that_applies_says(known, standing, waits):
    row = item.channel_row(msgspec.structs.replace(LEVEL, **known), 5, NOW)
    assert row.standing == standing
    assert (row.waiting_since is not None) == waits


@given(st.integers(-50, 50), st.lists(st.integers(-20, 20), max_size=30))
def test_walked_back_from_now_each_change_leads_from_one_level_to_the_next(free_now, units):
    newest_first = [(NOW - dt.timedelta(seconds=n), change) for n, change in enumerate(units)]
    points = item.free_points(newest_first, free_now)
    assert len(points) == len(units)
    assert [at for at, _ in points] == sorted(at for at, _ in points)
    if points:
        assert points[-1][1] == free_now
    steps = [later[1] - earlier[1] for earlier, later in itertools.pairwise(points)]
    assert steps == list(reversed(units[:-1]))


def change(channel: str, before: int | None, value: int, listing: str = "A") -> LevelChange:
    return LevelChange(
        sequence=7, channel=channel, listing=listing, location="", version=1, value=value,
        before=before, projected_at=NOW,
    )  # fmt: skip


def test_channels_that_go_the_same_way_are_told_in_one_breath():
    changes = [change("b", 5, 4), change("a", 5, 4), change("c", 5, 2), change("c", 5, 2, "A-6")]
    (moment,) = folding.moments(Timeline((), changes, None))
    assert [(group.names, group.before, group.value) for group in moment.groups("A")] == [
        (["a", "b"], 5, 4),
        (["c", "c A-6"], 5, 2),
    ]
    assert moment.at == NOW

"""Blind windows: staleness, silence and publication, from what is measured of them."""

import datetime as dt

import pytest

from stockwright.domain.windows import (
    LAG_BUCKETS,
    SourceState,
    lag_bucket,
    publication_window,
    quantile_of_lags,
    reason_of,
    silence_of,
    sources_of,
    staleness_of,
    stepped,
)

NOON = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC)
POLL_S = 10.0


def ago(seconds: float) -> dt.datetime:
    return NOON - dt.timedelta(seconds=seconds)


def source(**facts) -> SourceState:
    return SourceState(system="TILL", **facts)


SILENCES = [
    # (what it shows, the source, since how many seconds it is silent, None where it is not)
    ("a source that promises nothing and sells nothing", source(), None),
    ("a heartbeat in time", source(heartbeat_s=60, heard_at=ago(59)), None),
    ("a missed heartbeat", source(heartbeat_s=60, heard_at=ago(61)), 61),
    ("a promise of which nothing was heard yet", source(heartbeat_s=60), None),
    ("a poll in time", source(is_polled=True, polled_at=ago(29)), None),
    ("three polls missed", source(is_polled=True, polled_at=ago(31)), 31),
    ("a slow pace kept", source(is_polled=True, polled_at=ago(179), every_s=60), None),
    (
        "three polls of a slow pace missed",
        source(is_polled=True, polled_at=ago(181), every_s=60),
        181,
    ),
    ("a failed poll", source(is_polled=True, polled_at=ago(3), failures=1), 3),
    ("polls that never began", source(is_polled=True, failures=2), None),
]


@pytest.mark.parametrize(
    ("state", "since_s"), [one[1:] for one in SILENCES], ids=[one[0] for one in SILENCES]
)
def test_silence_is_a_missed_heartbeat_or_poll_and_never_that_nothing_happened(state, since_s):
    silence = silence_of(state, NOON, POLL_S)
    assert (silence and silence.since) == (None if since_s is None else ago(since_s))


def lags(**counts) -> list[float]:
    found = [0.0] * LAG_BUCKETS
    for seconds, lines in counts.items():
        found[lag_bucket(float(seconds.removeprefix("s")))] += lines
    return found


def test_a_source_is_as_stale_as_it_tells_of_its_sales():
    told = source(lags=lags(s1=980.0, s60=15.0, s900=5.0))
    assert staleness_of(told, NOON, POLL_S).seconds == 64.0
    assert quantile_of_lags(lags(s1=50.0, s900=50.0), 0.99) == 1024.0
    assert quantile_of_lags([], 0.99) == 0.0


def test_a_polled_source_is_as_stale_as_the_pause_between_polls():
    assert staleness_of(source(is_polled=True, polled_at=ago(1)), NOON, POLL_S).seconds == POLL_S


def test_staleness_grows_with_silence_in_few_steps_and_ends_with_it():
    seen = []
    for silent_s in range(61, 4_000):
        state = source(heartbeat_s=60, heard_at=ago(silent_s))
        stale = staleness_of(state, NOON, POLL_S).seconds
        assert silent_s <= stale <= silent_s * 1.4143
        seen.append(stale)
    assert seen == sorted(seen)
    assert len(set(seen)) <= 14
    assert staleness_of(source(heartbeat_s=60, heard_at=ago(1)), NOON, POLL_S).seconds == 0.0


def test_steps():
    assert [stepped(seconds) for seconds in (0, 1, 1.5, 2, 100)] == [0, 1, 2, 2, 128]


def test_publication_is_the_slowest_of_a_hundred_with_what_still_waits():
    assert publication_window([], []) is None
    assert publication_window([1.0] * 99 + [50.0], []) == 1.0
    assert publication_window([1.0] * 98 + [50.0, 50.0], []) == 64.0
    assert publication_window([1.0] * 10, [3_000.0]) == 4_096.0, "a stuck push counts with its age"


def test_a_channel_depends_on_who_speaks_for_its_places_and_who_sells_from_them():
    systems = {"web": "SHOP", "ebay": "EBAY", "far": "ABROAD", "app": "SHOP"}
    pools = {"web": ["A", "B"], "ebay": ["B"], "far": ["C"], "app": ["A"]}
    speakers = {"A": {"WMS"}, "B": {"TPL"}, "C": {"OTHER"}}
    assert sources_of("web", systems, pools, speakers) == {"WMS", "TPL", "EBAY"}
    assert reason_of({"WMS", "EBAY"}, {"WMS": "w", "EBAY": "e", "X": "x"}) == "e"
    assert reason_of({"WMS"}, {"X": "x"}) == ""

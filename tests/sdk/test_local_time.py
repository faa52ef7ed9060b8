"""A partner's wall clock: the hour that comes twice, the hour that never was."""

import datetime as dt

import pytest

from stockwright.domain.errors import Misconfigured
from stockwright.sdk.local_time import WallClock, zone_of


def utc(text):
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


TABLE = [
    # zone, texts in file order, instants in UTC, a word of the note ("" for none)
    ("UTC", ["2026-03-29T02:30:00"], ["2026-03-29T02:30:00"], [""]),
    ("Europe/Berlin", ["2026-01-15T12:00:00"], ["2026-01-15T11:00:00"], [""]),
    ("Europe/Berlin", ["2026-07-15T12:00:00"], ["2026-07-15T10:00:00"], [""]),
    # A zone in the text wins over the partner's.
    ("Europe/Berlin", ["2026-07-15T12:00:00-05:00"], ["2026-07-15T17:00:00"], [""]),
    ("Europe/Berlin", ["2026-10-25T02:30:00Z"], ["2026-10-25T02:30:00"], [""]),
    # The gap in spring: 02:30 does not exist, 03:00 does.
    (
        "Europe/Berlin",
        ["2026-03-29T01:59:59", "2026-03-29T02:30:00", "2026-03-29T03:00:00"],
        ["2026-03-29T00:59:59", "2026-03-29T01:30:00", "2026-03-29T01:00:00"],
        ["", "does not exist in Europe/Berlin; taken as 03:30:00", ""],
    ),
    # The repeated hour in autumn, told apart by where the clock steps back.
    (
        "Europe/Berlin",
        [
            "2026-10-25T01:59:00",
            "2026-10-25T02:10:00",
            "2026-10-25T02:50:00",
            "2026-10-25T02:05:00",
            "2026-10-25T02:55:00",
            "2026-10-25T03:00:00",
        ],
        [
            "2026-10-24T23:59:00",
            "2026-10-25T00:10:00",
            "2026-10-25T00:50:00",
            "2026-10-25T01:05:00",
            "2026-10-25T01:55:00",
            "2026-10-25T02:00:00",
        ],
        ["", "as the first", "as the first", "as the second", "as the second", ""],
    ),
    # Two rows of the same minute are no step back.
    (
        "Europe/Berlin",
        ["2026-10-25T02:10:00", "2026-10-25T02:10:00"],
        ["2026-10-25T00:10:00", "2026-10-25T00:10:00"],
        ["as the first", "as the first"],
    ),
    # New York goes back at another hour; Lord Howe by half an hour only.
    ("America/New_York", ["2026-11-01T01:30:00"], ["2026-11-01T05:30:00"], ["as the first"]),
    (
        "Australia/Lord_Howe",
        ["2026-04-05T01:45:00", "2026-04-05T01:35:00"],
        ["2026-04-04T14:45:00", "2026-04-04T15:05:00"],
        ["as the first", "as the second"],
    ),
    # Apia left out a whole day.
    ("Pacific/Apia", ["2011-12-30T12:00:00"], ["2011-12-30T22:00:00"], ["does not exist"]),
]


@pytest.mark.parametrize(("zone", "texts", "instants", "notes"), TABLE)
def test_a_wall_clock_is_read_in_its_zone(zone, texts, instants, notes):
    clock = WallClock(zone_of(zone))
    read = [clock.read(text) for text in texts]
    assert [one.at for one in read] == [utc(text) for text in instants]
    for one, note, text in zip(read, notes, texts, strict=True):
        assert (note in one.note and text in one.note) if note else one.note == ""


def test_the_next_autumn_begins_with_the_first_pass_again():
    clock = WallClock(zone_of("Europe/Berlin"))
    for text in ("2025-10-26T02:30:00", "2025-10-26T02:10:00"):
        clock.read(text)
    assert clock.read("2026-10-25T02:30:00").at == utc("2026-10-25T00:30:00")


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("", ""),
        ("yesterday", ""),
        ("2026-02-30T10:00:00", ""),
        ("0001-01-01T00:00:00", ""),
        ("9999-12-31T23:59:59", ""),
        ("2026-01-01", "%d.%m.%Y"),
        ("1\x00", ""),
        ("x" * 1_000_000, ""),
        ("2026-01-01T10:00:00." + "1" * 1_000_000, ""),
        (" " * 1_000_000 + "2026", "%Y"),
    ],
)
def test_what_is_no_time_is_refused_with_how_a_time_is_written(text, form):
    with pytest.raises(ValueError, match="is written as|in the form") as told:
        WallClock(zone_of("UTC")).read(text, form)
    assert len(str(told.value)) < 300


def test_a_form_of_its_own_is_read():
    read = WallClock(zone_of("Europe/Berlin")).read("01.03.2026 06:00", "%d.%m.%Y %H:%M")
    assert read.at == utc("2026-03-01T05:00:00")


@pytest.mark.parametrize("name", ["Berlin", "", "../etc/passwd", "Europe/Nowhere", "\x00"])
def test_a_zone_that_is_none_names_the_setting(name):
    with pytest.raises(Misconfigured, match="IANA") as error:
        zone_of(name, "systems.till.time_zone")
    assert error.value.setting == "systems.till.time_zone"

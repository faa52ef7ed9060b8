"""A partner's wall clock into instants: the hour that comes twice, and the hour that never was.

A wall clock without a zone is read in the partner's IANA zone. In autumn one hour comes twice: rows
of one file tell the first from the second pass by where the clock steps back. In spring one hour is
missing: such a time is moved forward by the length of the gap and marked, its text kept.
"""

import datetime as dt
import re
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from stockwright.domain.errors import Misconfigured

_DIRECTIVE: Final = re.compile(r"%(.)", re.DOTALL)
_MAX_TEXT: Final = 100
"""Characters of a time; its text is quoted where it leaves a doubt."""
_FORMATS_HINT: Final = "a time is written as 2026-03-29T14:30:00, with or without a zone"


class Instant(msgspec.Struct, frozen=True, kw_only=True):
    """A time with its zone. note is not empty where the text left a doubt; it quotes the text."""

    at: dt.datetime
    note: str = ""


def zone_of(name: str, setting: str = "time_zone") -> ZoneInfo:
    """The IANA zone of that name. Raises Misconfigured naming the setting."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Misconfigured(
            setting, f"{setting} {name!r} is not an IANA zone such as Europe/Berlin"
        ) from None


def check_form(form: str) -> None:
    """Raises ValueError for a strptime format that would take a zone for read and drop it."""
    if "Z" in _DIRECTIVE.findall(form):
        raise ValueError(
            "%Z reads the name of a zone and drops it: write %z where times have their offset, or "
            "the name itself where it is always the partner's own"
        )


class WallClock:
    """Reads the times of one file or message in their order. Not for use across messages.

    Times with a zone are taken as they are. The first pass through a repeated hour is assumed until
    the clock steps back inside it.
    """

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._last: dt.datetime | None = None
        self._second_pass: dt.date | None = None

    def read(self, text: str, form: str = "") -> Instant:
        """The instant of one text; form is a strptime format where the text is not ISO 8601.

        Raises ValueError that says how a time is written.
        """
        moment = _parsed(text, form)
        if moment.tzinfo is not None:
            return Instant(at=moment.astimezone(dt.UTC))
        return self._local(moment, text)

    def _local(self, wall: dt.datetime, text: str) -> Instant:
        kind = _kind(wall, self._zone)
        last, self._last = self._last, wall
        if kind == "missing":
            moved = wall.replace(tzinfo=self._zone).astimezone(dt.UTC)
            shown = moved.astimezone(self._zone).strftime("%H:%M:%S")
            return Instant(
                at=moved,
                note=f"{text} does not exist in {self._zone.key}; taken as {shown}",
            )
        if kind == "once":
            return Instant(at=wall.replace(tzinfo=self._zone).astimezone(dt.UTC))
        if last is not None and _same_repeat(last, wall, self._zone) and wall < last:
            self._second_pass = wall.date()
        fold = int(self._second_pass == wall.date())
        which = "second" if fold else "first"
        return Instant(
            at=wall.replace(tzinfo=self._zone, fold=fold).astimezone(dt.UTC),
            note=f"{text} comes twice in {self._zone.key}; taken as the {which} by its place",
        )


def _parsed(text: str, form: str) -> dt.datetime:
    """As written: without a zone where the text has none."""
    try:
        if len(text) > _MAX_TEXT:
            raise ValueError("too long")
        moment = _by_form(text, form) if form else dt.datetime.fromisoformat(text)
        # Years at the ends of the calendar have no instant in every zone.
        if not 1970 <= moment.year <= 2200:
            raise ValueError("year out of range")
    except (ValueError, OverflowError):
        how = f"is not a time in the form {form}" if form else f"is no time: {_FORMATS_HINT}"
        raise ValueError(f"{text[:_MAX_TEXT]!r} {how}") from None
    return moment


def _by_form(text: str, form: str) -> dt.datetime:
    return dt.datetime.strptime(text, form)  # noqa: DTZ007 - the caller adds the partner's zone


def _kind(wall: dt.datetime, zone: ZoneInfo) -> str:
    """`once`, `twice` or `missing`: how often a wall clock in that zone shows this time."""
    first = wall.replace(tzinfo=zone, fold=0)
    second = wall.replace(tzinfo=zone, fold=1)
    if first.utcoffset() == second.utcoffset():
        return "once"
    back = first.astimezone(dt.UTC).astimezone(zone).replace(tzinfo=None)
    return "twice" if back == wall else "missing"


def _same_repeat(last: dt.datetime, wall: dt.datetime, zone: ZoneInfo) -> bool:
    return last.date() == wall.date() and _kind(last, zone) == "twice"

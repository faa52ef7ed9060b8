"""Travelling in time on an item's page: the moment an address names, and the slider's steps."""

import datetime as dt
import re
from typing import Final

import msgspec

from stockwright.console import formatting as f
from stockwright.domain.errors import Rejected
from stockwright.store import level_past
from stockwright.store.level_past import Steps

_HOW: Final = "write it as 2026-01-31T14:05:00Z, or without a zone for the one you are shown"
# A plus sign that was not encoded arrives as a space.
_LOST_PLUS: Final = re.compile(r" (?=\d\d:?\d\d$)")


def asked_moment(text: str, zone: dt.tzinfo) -> dt.datetime | None:
    """The moment that a text names, in a zone where it names none; None for ''.

    Raises Rejected where it is no time.
    """
    if not text.strip():
        return None
    try:
        found = dt.datetime.fromisoformat(_LOST_PLUS.sub("+", text.strip()))
        told = found if found.tzinfo else found.replace(tzinfo=zone)
        return told.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise Rejected("malformed", "at", f"{text[:40]!r} is no time; {_HOW}.") from None


def check_past(at: dt.datetime | None, now: dt.datetime) -> None:
    """Raises Rejected for a moment that has not come yet."""
    if at is not None and at > now:
        message = f"{f.moment(at)} has not come yet; leave `at` away for what is so now."
        raise Rejected("malformed", "at", message)


class Travel(msgspec.Struct, frozen=True):
    """What the slider needs: moments with how each is told, as JSON, and where the page stands.

    The step "now" has an empty moment. previous and next are the moments beside the page's, empty
    where there is none. local is the page's moment in its reader's zone, as a form takes it.
    """

    steps: str
    last: int
    place: int
    label: str
    previous: str
    next: str
    local: str


def travel(steps: Steps, at: dt.datetime, zone: dt.tzinfo, *, is_past: bool) -> Travel:
    """The steps around a moment, or up to now."""
    here = at.astimezone(zone)
    earlier = [one for one in steps.earlier if not is_past or one < at]
    later = list(steps.later) if is_past else []
    told = [[f.moment(one), f.clock(one, here)] for one in earlier]
    if is_past:
        told += [[f.moment(one), f.clock(one, here)] for one in (at, *later)]
    if len(later) < level_past.STEPS:
        told.append(["", "now"])
    return Travel(
        steps=msgspec.json.encode(told).decode(),
        last=len(told) - 1,
        place=len(earlier),
        label=told[len(earlier)][1],
        previous=f.moment(earlier[-1]) if earlier else "",
        next=f.moment(later[0]) if later else "",
        local=here.replace(tzinfo=None).isoformat(timespec="milliseconds"),
    )

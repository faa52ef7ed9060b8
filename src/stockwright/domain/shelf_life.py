"""Shelf life asked for: which units of a lot-controlled SKU one more claim may take."""

import datetime as dt
from typing import Final

import msgspec

NEVER: Final = dt.date.max
"""The date of a lot that is not known to expire."""


class Lots(msgspec.Struct, kw_only=True):
    """The lots of one SKU at one place.

    lots: (good until, units not promised by name). asked: units promised without a lot, by the
    date until which they must stay good.
    """

    lots: list[tuple[dt.date | None, int]] = []
    asked: dict[dt.date, int] = {}


def room(free: int, here: Lots, until: dt.date) -> int:
    """Of `free` units, those that a claim may take whose goods must be good until a date.

    For every date t: what is promised until t or later fits into the lots good until t or later.
    Below zero where more is promised than is there.
    """
    thresholds = {date for date in here.asked if date <= until} | {until}
    for threshold in thresholds:
        lots = sum(units for good, units in here.lots if (good or NEVER) >= threshold)
        promised = sum(units for date, units in here.asked.items() if date >= threshold)
        free = min(free, lots - promised)
    return free


def good_until(today: dt.date, days: int) -> dt.date:
    """The date until which goods must be good to have so many days left today."""
    return today + dt.timedelta(days=days)

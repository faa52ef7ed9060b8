"""How many units are there for whoever asks for a shelf life, beside all who asked before."""

import datetime as dt
from collections.abc import Iterable, Mapping

LotUnits = tuple[dt.date, int]
"""(the last day it is good, units of the lot that nobody was promised by name)"""


def room_for(
    free: int, lots: Iterable[LotUnits], asked: Mapping[dt.date, int], until: dt.date
) -> int:
    """Units that one more claim for goods good until a day may take, of those free at a place.

    asked are the units of open claims that name no lot, by the day they ask for.
    """
    return room_at(free, lots, asked, {until, *(day for day in asked if day <= until)})


def room_at(
    free: int, lots: Iterable[LotUnits], asked: Mapping[dt.date, int], days: Iterable[dt.date]
) -> int:
    """The free units, less where on one of these days more is asked for than is good until then.

    For every day: claims that ask for it or later fit into the units of lots good until then or
    later.
    """
    known = list(lots)
    for day in days:
        good = sum(units for last, units in known if last >= day)
        free = min(free, good - sum(units for other, units in asked.items() if other >= day))
    return free

"""Two clocks: goods facts are dated when they happened, counts as of a time, in any order of
arrival.

A count (T, C) posts C - book(T), dated T. A fact that arrives later but happened by T is already
in the count, so it posts itself and a linked reverse at the first such count. Facts of another
source within the declared clock error of T cannot be placed before or after it: no automatic
adjustment, a recount instead.
"""

import datetime as dt

from stockwright.domain.accounts import BUCKETS, Balance, Count, Key
from stockwright.domain.books import Overlay

_NO_TIME = dt.timedelta(0)


def move_goods(
    overlay: Overlay,
    sku: str,
    lot: str,
    source: str,
    from_location: str,
    target: str,
    to_location: str,
    units: int,
    at: dt.datetime,
    position: int | None = None,
    line_id: int | None = None,
    transfer: str = "",
    own_count: Count | None = None,
) -> None:
    """Books a move of goods, and takes it out again at the first count that had already seen it."""
    overlay.move(sku, lot, source, from_location, target, to_location, units, at, line_id, transfer)
    if not (overlay.books.counts or overlay.counts):
        return
    if source in BUCKETS:
        _reverse(overlay, (sku, from_location, lot), source, units, at, position, own_count)
    if target in BUCKETS:
        _reverse(overlay, (sku, to_location, lot), target, -units, at, position, own_count)


def _reverse(
    overlay: Overlay,
    key: Key,
    bucket: str,
    units: int,
    at: dt.datetime,
    position: int | None,
    own: Count | None,
) -> None:
    """Puts `units` (signed) back into a bucket at the first count that includes a fact of that
    time.
    """
    sku, location, lot = key
    for count in counts_of(overlay, key, bucket):
        if own is not None:
            if count.as_of <= own.as_of or not count.reverses:
                continue
        else:
            if _undecided(overlay, count, at):
                overlay.raise_work(
                    "recount",
                    f"{sku}/{location}/{lot}/{bucket}",
                    sku,
                    location,
                    bucket=bucket,
                    count_as_of=count.as_of.isoformat(),
                    fact_at=at.isoformat(),
                )
                return
            if not includes(count, overlay.system, at, position) or not count.reverses:
                continue
        if units > 0:
            overlay.move(sku, lot, "adjustment", "", bucket, location, units, count.as_of)
        else:
            overlay.move(sku, lot, bucket, location, "adjustment", "", -units, count.as_of)
        return


def counts_of(overlay: Overlay, key: Key, bucket: str) -> list[Count]:
    """Counts of a cell, earliest first."""
    cell = (*key, bucket)
    found = overlay.counts.get(cell)
    return found if found is not None else overlay.books.counts.get(cell, [])


def includes(count: Count, system: str, at: dt.datetime, position: int | None) -> bool:
    """Whether a count had already seen a fact: by time, and by position within one source."""
    if (
        at == count.as_of
        and system == count.system
        and position is not None
        and count.position is not None
    ):
        return position <= count.position
    return at <= count.as_of


def _undecided(overlay: Overlay, count: Count, at: dt.datetime) -> bool:
    if overlay.system == count.system:
        return False
    return abs(at - count.as_of) <= clock_error(overlay, overlay.system, count.system) != _NO_TIME


def clock_error(overlay: Overlay, *systems: str) -> dt.timedelta:
    """The largest clock error declared by any of the systems."""
    known = overlay.books.catalog.systems
    return dt.timedelta(
        seconds=max((known[one].clock_error_s for one in systems if one in known), default=0.0)
    )


def post_count(
    overlay: Overlay,
    key: Key,
    bucket: str,
    counted: int,
    as_of: dt.datetime,
    position: int | None,
    item_key: str,
) -> int:
    """Records a count and posts what the book was off by as of its time; returns that difference.

    Where another source moved goods within the clock error, the difference is not posted: it is a
    recount.
    """
    sku, location, lot = key
    difference, undecided = book_difference(overlay, key, bucket, counted, as_of, item_key)
    decided = not (undecided and difference)
    count = Count(as_of, overlay.system, position, decided)
    if difference and decided:
        moved = (sku, lot, "adjustment", "", bucket, location, difference)
        if difference < 0:
            moved = (sku, lot, bucket, location, "adjustment", "", -difference)
        move_goods(overlay, *moved, as_of, own_count=count)
    elif difference:
        overlay.raise_work(
            "recount",
            f"{sku}/{location}/{lot}/{bucket}",
            sku,
            location,
            bucket=bucket,
            count_as_of=as_of.isoformat(),
            counted=counted,
            difference=difference,
        )
    cell = (*key, bucket)
    overlay.counts[cell] = sorted(
        [*counts_of(overlay, key, bucket), count], key=lambda one: one.as_of
    )
    overlay.rare.new_counts.append((key, bucket, count, counted))
    return difference


def book_difference(
    overlay: Overlay, key: Key, bucket: str, counted: int, as_of: dt.datetime, item_key: str
) -> tuple[int, bool]:
    """counted - book(as_of), and whether another source's fact lies within the clock error of it.

    book(T) is today's balance less every goods move dated after T, those of this batch included.
    """
    books = overlay.books
    balance = overlay.look(key) or Balance()
    later, undecided = books.after.get((item_key, bucket), (0, False))
    error = clock_error(overlay, overlay.system)
    for at, units, system in (books.journal or {}).get((*key, bucket), ()):
        if at > as_of:
            later += units
        if system not in ("", overlay.system):
            error = max(error, clock_error(overlay, system))
            undecided = undecided or (error != _NO_TIME and abs(at - as_of) <= error)
    return counted - (getattr(balance, bucket) - later), undecided


def picked_as_of(
    overlay: Overlay, sku: str, location: str, lot: str, as_of: dt.datetime, item_key: str
) -> int:
    """Units picked and not shipped as of a time: a counter who saw only the shelf did not see
    them.
    """
    later, _ = overlay.books.after.get((item_key, "picked"), (0, False))
    for at, units, _ in (overlay.books.journal or {}).get((sku, location, lot, "picked"), ()):
        if at > as_of:
            later += units
    balance = overlay.look((sku, location, lot)) or Balance()
    return balance.picked - later

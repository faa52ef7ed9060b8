"""An item's page: who says what of one SKU, its chart and its timeline, now or at a moment."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from stockwright.console import formatting as f
from stockwright.console.charts import Point, shown_against_true
from stockwright.console.folding import Moment, fold, moments
from stockwright.console.travel import travel
from stockwright.domain import agreement
from stockwright.domain.agreement import Verdict
from stockwright.flow.explaining import standing
from stockwright.flow.levels_then import levels_then
from stockwright.store import history, level_past, past, positions, timeline, told
from stockwright.store.connection import Connection
from stockwright.store.history import Revision
from stockwright.store.level_past import Steps
from stockwright.store.past import Moment as Then
from stockwright.store.positions import ItemCard, Place, ShownLevel
from stockwright.store.stock import TOP
from stockwright.store.timeline import Kind
from stockwright.store.told import ToldLine

CHARTED_S: Final = 3600.0
"""The chart reaches back this far, or to the newest 1,000 changes."""
END_OF_DAYS: Final = dt.datetime(9999, 1, 1, tzinfo=dt.UTC)
"""No clock comes so far: what is so now has no other limit."""

Standing = Literal["shown", "sending", "retrying", "waiting", "refused", "in doubt", "kept"]


class ChannelRow(msgspec.Struct, frozen=True):
    """One level with where it stands between us and the channel, and who disagrees.

    grantable is what a request of this channel is compared with, in base units.
    """

    level: ShownLevel
    grantable: int
    standing: Standing
    waiting_since: dt.datetime | None
    acknowledged: Verdict
    verified: Verdict


class Claim(msgspec.Struct, frozen=True):
    """What one system itself told of one bucket at one place, lots together, in base units.

    as_of is the time of its newest line, verdict how it stood to the ledger as of then. lots is
    how many lines of lots it sums.
    """

    system: str
    location: str
    bucket: str
    counted: int
    as_of: dt.datetime
    verdict: Verdict
    kind: str
    lots: int


class ItemPage(msgspec.Struct, frozen=True):
    """Everything on the page, as of one moment. totals sums the places.

    Of an earlier moment, rules is the last revision of the rules by then; now it is None. steps are
    the moments nearby at which anything of the item changed.
    """

    at: dt.datetime
    card: ItemCard
    places: Sequence[Place]
    totals: Place
    in_transit: int
    channels: Sequence[ChannelRow]
    unpublished: Sequence[tuple[str, str]]
    claims: Sequence[Claim]
    moments: Sequence[Moment]
    kinds: Sequence[Kind]
    kind: str
    older: int | None
    before: int | None
    mark: str
    sequence: int
    steps: Steps
    rules: Revision | None = None


def read(
    connection: Connection,
    sku: str,
    now: dt.datetime,
    *,
    before: int | None = None,
    kind: str = "",
    at: dt.datetime | None = None,
) -> ItemPage | None:
    """The page of one SKU, now or at a moment; None where there is, or was, no such SKU.

    `before` and `kind` choose what of the timeline is shown.
    """
    positions.plan_for_its_values(connection)
    then = past.moment(connection, now if at is None else at)
    books = _books_now(connection, sku) if at is None else _books_then(connection, sku, then)
    if books is None:
        return None
    upto = TOP if at is None else then.sequence
    top = min(timeline.END_OF_TIME if before is None else before, upto + 1)
    until = END_OF_DAYS if at is None else then.at
    line = timeline.timeline(connection, sku, before=top, until=until, kind=kind)
    claims = claims_of(told.newest_told(connection, sku, upto))
    places = with_claimed(books.places, claims)
    return ItemPage(
        at=then.at,
        card=books.card,
        places=places,
        totals=total(places),
        in_transit=positions.in_transit(connection, sku, upto),
        channels=[
            channel_row(one, books.granted.get(one.channel, 0), then.at) for one in books.levels
        ],
        unpublished=books.unpublished,
        claims=claims,
        moments=moments(line),
        kinds=timeline.kinds(connection, sku, before=upto + 1),
        kind=kind,
        older=line.older,
        before=before,
        mark=books.mark,
        sequence=then.sequence,
        steps=level_past.steps(connection, sku, _versions(books.levels), then),
        rules=history.revision(connection, then.revision) if at else None,
    )


class _Books(msgspec.Struct, frozen=True):
    card: ItemCard
    places: Sequence[Place]
    levels: Sequence[ShownLevel]
    unpublished: Sequence[tuple[str, str]]
    granted: Mapping[str, int]
    mark: str


def _books_now(connection: Connection, sku: str) -> _Books | None:
    card = positions.item(connection, sku)
    if card is None:
        return None
    return _Books(
        card=card,
        places=positions.matrix(connection, sku),
        levels=positions.shown_levels(connection, sku),
        unpublished=positions.unpublished_listings(connection, sku),
        granted=standing(connection, sku)[1],
        mark=positions.newest_mark(connection, sku),
    )


def _books_then(connection: Connection, sku: str, then: Then) -> _Books | None:
    with past.visit(connection, then):
        card = positions.item(connection, sku)
        if card is None:
            return None
        stocks, granted = standing(connection, sku)
        places = positions.places(connection, stocks)
        listed = level_past.listed(connection, sku)
    levels = levels_then(connection, listed, then)
    known = {(level.channel, level.listing) for level in levels}
    keys = [(one.channel, one.listing) for one in listed]
    unpublished = [key for key in keys if key not in known]
    return _Books(card, places, levels, unpublished, granted, "")


def _versions(levels: Iterable[ShownLevel]) -> list[tuple[str, str, int]]:
    """(channel, listing, the newest version it has had) of each level."""
    return [
        (
            level.channel,
            level.listing,
            max(level.version, level.sent_version or 0, level.acknowledged_version or 0),
        )
        for level in levels
    ]


def total(places: Sequence[Place]) -> Place:
    """The sum of the places, under an empty code."""
    sums = {
        account: sum(getattr(place, account) for place in places) for account in positions.ACCOUNTS
    }
    return Place(location="", name="", **sums)


def with_claimed(places: Sequence[Place], claims: Sequence[Claim]) -> list[Place]:
    """The places, and after them those of which only a partner told anything."""
    known = {place.location for place in places}
    others = sorted({claim.location for claim in claims} - known)
    nothing = dict.fromkeys(positions.ACCOUNTS, 0)
    return [*places, *(Place(location=code, name="", **nothing) for code in others)]


def claims_of(lines: Sequence[ToldLine]) -> list[Claim]:
    """What each system told of each bucket at each place, lots together, in the lines' order."""
    cells: dict[tuple[str, str, str], list[ToldLine]] = {}
    for line in lines:
        cells.setdefault((line.system, line.location, line.bucket), []).append(line)
    return [_claim(some) for some in cells.values()]


def _claim(lines: Sequence[ToldLine]) -> Claim:
    newest = max(lines, key=lambda line: (line.as_of, line.sequence))
    open_lines = [line for line in lines if not line.posted]
    compared = [line.difference for line in lines if line.difference is not None]
    apart = [line.difference for line in open_lines if line.difference]
    return Claim(
        system=newest.system,
        location=newest.location,
        bucket=newest.bucket,
        counted=sum(line.counted for line in lines),
        as_of=newest.as_of,
        verdict=agreement.of_told(
            sum(apart or compared) or (apart[0] if apart else 0) if compared else None,
            # One lot that stands apart is not made good by another that was posted.
            posted=not apart,
        ),
        kind=newest.kind,
        lots=len(lines),
    )


def channel_row(level: ShownLevel, grantable: int, now: dt.datetime) -> ChannelRow:
    """A level with its standing: the first of these that applies."""
    standing: Standing = "waiting"
    if level.state == "refused":
        standing = "refused"
    elif level.state == "sending":
        standing = "sending"
    elif level.doubt_until is not None and level.doubt_until > now:
        standing = "in doubt"
    elif level.state == "settled":
        standing = "shown"
    elif level.state == "kept":
        standing = "kept"
    elif level.attempts:
        standing = "retrying"
    return ChannelRow(
        level=level,
        grantable=grantable,
        standing=standing,
        waiting_since=None if standing in ("shown", "kept") else level.waiting_since,
        acknowledged=agreement.of_acknowledged(
            level.desired, level.acknowledged, is_told=standing != "kept"
        ),
        verified=agreement.of_verified(
            level.acknowledged, level.acknowledged_at, level.verified, level.verified_at
        ),
    )


def disagreements(page: ItemPage, zone: dt.tzinfo) -> list[str]:
    """Who disagrees with whom, a sentence each."""
    now = page.at.astimezone(zone)
    found = []
    for row in page.channels:
        name = row.level.channel
        if row.level.listing != page.card.sku:
            name = f"{name} {row.level.listing}"
        if row.acknowledged.differs:
            much = _much(row.acknowledged, "too many", "too few")
            found.append(f"{name} confirmed {much} ({row.standing})")
        if row.verified.word == "shows nothing":
            found.append(f"{name} was read back and shows nothing")
        elif row.verified.differs:
            found.append(f"{name} shows {_much(row.verified, 'more', 'fewer')} than it confirmed")
    for claim in page.claims:
        if claim.verdict.differs:
            much = _much(claim.verdict, "more", "fewer")
            when = f.clock(claim.as_of.astimezone(zone), now)
            found.append(
                f"{claim.system} told {much} {claim.bucket} at {claim.location or 'no place'} than "
                f"the ledger held as of {when}"
            )
    return found


def _much(verdict: Verdict, above: str, below: str) -> str:
    return f"{f.number(abs(verdict.apart))} {above if verdict.apart > 0 else below}"


def chart(connection: Connection, page: ItemPage) -> str:
    """The picture of what channels showed against the true free stock, as SVG."""
    is_past = page.rules is not None
    upto = page.sequence if is_past else TOP
    true = free_points(timeline.free_changes(connection, page.card.sku, upto), page.totals.free)
    levels = _versions(row.level for row in page.channels)
    until = page.at if is_past else END_OF_DAYS
    shown = timeline.acknowledged_values(connection, page.card.sku, levels, until)
    since = page.at - dt.timedelta(seconds=CHARTED_S)
    newest = true[-1][0] if true else page.at
    # A quiet SKU still gets its last hour of movement, not an empty picture.
    since = min(since, newest - dt.timedelta(seconds=CHARTED_S))
    title = f"{page.card.sku}: shown against true stock, UTC"
    return shown_against_true(
        _since(true, since, page.at),
        {name: _since(points, since, page.at) for name, points in _named(shown).items()},
        title,
    )


def free_points(changes: Sequence[tuple[dt.datetime, int]], free_now: int) -> list[Point]:
    """Free stock over time in order, walked back from what it is now. Changes are newest first."""
    points: list[Point] = []
    level = free_now
    for at, units in changes:
        points.append((at, level))
        level -= units
    points.reverse()
    return points


def _since(points: Sequence[Point], since: dt.datetime, until: dt.datetime) -> list[Point]:
    """The points from a moment on, with the level that held at it."""
    before = [level for at, level in points if at < since]
    inside = [(at, level) for at, level in points if at >= since]
    if before:
        inside.insert(0, (since, before[-1]))
    if inside:
        inside.append((max(until, inside[-1][0]), inside[-1][1]))
    return inside


def _named(
    shown: Mapping[tuple[str, str], Sequence[Point]],
) -> dict[str, Sequence[Point]]:
    """Channels by name; with the listing where a channel has several of this SKU."""
    channels = [channel for channel, _ in shown]
    return {
        channel if channels.count(channel) == 1 else f"{channel} {listing}": points
        for (channel, listing), points in shown.items()
    }


def content(page: ItemPage, chart_svg: str, zone: dt.tzinfo) -> dict[str, Any]:
    """What the template names; `at` is what links of a page of the past carry on."""
    at = f.moment(page.at) if page.rules else ""
    tellers = sorted({claim.system for claim in page.claims})
    return {
        "item": page,
        "now": page.at,
        "at": at,
        "chart": chart_svg,
        "accounts": positions.ACCOUNTS,
        "folds": fold(page.moments),
        "looked_at": timeline.LOOKED_AT,
        "tellers": tellers,
        "claims": {
            (system, place.location): [
                claim
                for claim in page.claims
                if (claim.system, claim.location) == (system, place.location)
            ]
            for system in tellers
            for place in page.places
        },
        "disagreements": disagreements(page, zone),
        "travel": travel(page.steps, page.at, zone, is_past=bool(page.rules)),
    }

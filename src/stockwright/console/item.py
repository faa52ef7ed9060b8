"""An item's page: matrix of places, levels by channel, chart and timeline of one SKU."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from stockwright.console.charts import Point, shown_against_true
from stockwright.flow.explaining import quantities
from stockwright.store import positions, timeline
from stockwright.store.connection import Connection
from stockwright.store.positions import ItemCard, Place, ShownLevel
from stockwright.store.timeline import LevelChange, Recorded, Timeline

CHARTED_S = 3600.0
"""The chart reaches back this far, or to the newest 1,000 changes."""

Standing = Literal["shown", "sending", "retrying", "waiting", "refused", "in doubt", "kept"]


class Shown(msgspec.Struct, frozen=True):
    """Channels (or their listings) that were to go from one number to another together."""

    names: Sequence[str]
    before: int | None
    value: int


class ChannelRow(msgspec.Struct, frozen=True):
    """One level with where it stands between us and the channel.

    grantable is what a request of this channel is compared with, in base units.
    """

    level: ShownLevel
    grantable: int
    standing: Standing
    waiting_since: dt.datetime | None


class Moment(msgspec.Struct, frozen=True):
    """One sequence of the timeline: the event, and the level changes that reflect it."""

    sequence: int
    at: dt.datetime
    event: Recorded | None
    changes: Sequence[LevelChange]

    def groups(self, sku: str) -> list[Shown]:
        """The changes, those of equal numbers together; a listing is named if it is not the SKU."""
        names: dict[tuple[int | None, int], list[str]] = {}
        for change in self.changes:
            own = change.listing == sku
            name = change.channel if own else f"{change.channel} {change.listing}"
            names.setdefault((change.before, change.value), []).append(name)
        return [Shown(found, before, value) for (before, value), found in names.items()]


class ItemPage(msgspec.Struct, frozen=True):
    """Everything on the page, as of one moment. totals sums the places."""

    at: dt.datetime
    card: ItemCard
    places: Sequence[Place]
    totals: Place
    in_transit: int
    channels: Sequence[ChannelRow]
    unpublished: Sequence[tuple[str, str]]
    moments: Sequence[Moment]
    older: int | None
    before: int | None
    mark: str


def read(
    connection: Connection, sku: str, now: dt.datetime, *, before: int | None = None
) -> ItemPage | None:
    """The page of one SKU, None where there is no such SKU. `before` pages the timeline."""
    card = positions.item(connection, sku)
    if card is None:
        return None
    mark = positions.newest_mark(connection, sku)
    places = positions.matrix(connection, sku)
    levels = positions.shown_levels(connection, sku)
    granted = grantable_by_channel(connection, sku)
    line = timeline.timeline(
        connection, sku, before=timeline.END_OF_TIME if before is None else before
    )
    return ItemPage(
        at=now,
        card=card,
        places=places,
        totals=total(places),
        in_transit=positions.in_transit(connection, sku),
        channels=[channel_row(level, granted[level.channel], now) for level in levels],
        unpublished=positions.unpublished_listings(connection, sku),
        moments=moments(line),
        older=line.older,
        before=before,
        mark=mark,
    )


def total(places: Sequence[Place]) -> Place:
    """The sum of the places, under an empty code."""
    sums = {
        account: sum(getattr(place, account) for place in places) for account in positions.ACCOUNTS
    }
    return Place(location="", name="", **sums)


def grantable_by_channel(connection: Connection, sku: str) -> dict[str, int]:
    """What a request of each channel is compared with, in base units."""
    (found,) = quantities(connection, [sku])
    return {one.channel: one.grantable.result for one in found.channels} if found else {}


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
        level, grantable, standing, None if standing in ("shown", "kept") else level.waiting_since
    )


def moments(line: Timeline) -> list[Moment]:
    """Events and level changes of a timeline brought together by sequence, newest first."""
    changes: dict[int, list[LevelChange]] = {}
    for change in line.changes:
        changes.setdefault(change.sequence, []).append(change)
    events = {event.sequence: event for event in line.events}
    found = []
    for sequence in sorted({*changes, *events}, reverse=True):
        event = events.get(sequence)
        mine = sorted(
            changes.get(sequence, ()), key=lambda change: (change.channel, change.listing)
        )
        at = event.recorded_at if event else mine[0].projected_at
        found.append(Moment(sequence, at, event, mine))
    return found


def chart(connection: Connection, page: ItemPage) -> str:
    """The picture of what channels showed against the true free stock, as SVG."""
    true = free_points(timeline.free_changes(connection, page.card.sku), page.totals.free)
    shown = timeline.acknowledged_values(connection, page.card.sku)
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


def content(page: ItemPage, chart_svg: str) -> dict[str, Any]:
    """What the template names."""
    return {
        "item": page,
        "now": page.at,
        "chart": chart_svg,
        "accounts": positions.ACCOUNTS,
    }

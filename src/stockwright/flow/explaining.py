"""Every quantity of a SKU by its own name, with the steps and the ledger rows it stands on."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from stockwright.domain.availability import (
    Explanation,
    Stock,
    explain_free,
    explain_grantable,
    explain_on_hand,
)
from stockwright.domain.codes import did_you_mean
from stockwright.domain.errors import Rejected
from stockwright.domain.levels import Level
from stockwright.flow.exposing import Listing, Reading, read
from stockwright.flow.looking_back import Shown, shown
from stockwright.store import exposure, levels, past, stock
from stockwright.store.connection import Connection
from stockwright.store.past import LevelThen, Moment
from stockwright.store.stock import LedgerRow, LedgerSum, OpenClaim

LEDGER_ROWS: Final = 20
CLAIM_ROWS: Final = 200


class ListingQuantity(msgspec.Struct, frozen=True):
    """What a channel may sell of a listing, in pieces, and the level that tells it so.

    published is what the channel acknowledged last. level is None where the listing was never
    projected, and where levels were not asked for. Of an earlier moment, `then` is the level as it
    was, and `shown` its way to the channel, where the explanation was asked for: then
    available_to_sell is that of the number shown, by the ledger and the rules it was computed by.
    """

    channel: str
    listing: str
    available_to_sell: Explanation
    level: Level | None = None
    published: int | None = None
    then: LevelThen | None = None
    shown: Shown | None = None


class ChannelQuantity(msgspec.Struct, frozen=True):
    """What a request of a channel is compared with, in base units, and what its listings show."""

    channel: str
    grantable: Explanation
    listings: Sequence[ListingQuantity] = ()


class Quantities(msgspec.Struct, frozen=True):
    """All quantities of a SKU as of one sequence number of the ledger, in base units."""

    sku: str
    sequence: int
    on_hand: Explanation
    free: Explanation
    channels: Sequence[ChannelQuantity] = ()


class Why(msgspec.Struct, frozen=True):
    """The quantities of a SKU and what they stand on.

    ledger_sums add up to every balance; ledger holds the newest entries, newest first. moment is
    None where it is now.
    """

    quantities: Quantities
    ledger_sums: Sequence[LedgerSum]
    ledger: Sequence[LedgerRow]
    claims: Sequence[OpenClaim]
    moment: Moment | None = None


class _Computed(NamedTuple):
    """What was computed for some SKUs; listed are the listings that each is part of."""

    reading: Reading
    channels: Sequence[str]
    listed: Mapping[str, Sequence[Listing]]
    explained: Mapping[Listing, Explanation]


def quantities(
    connection: Connection,
    skus: Sequence[str],
    channel: str | None = None,
    at: dt.datetime | None = None,
    *,
    with_levels: bool = True,
) -> list[Quantities | None]:
    """The quantities of these SKUs, aligned; None for one the item master does not know.

    Channels are all of them, or the one asked for; a channel that lists nothing of the SKU still
    has a grantable quantity. With `at`, all is as the ledger and the rules stood at that time.
    Raises Rejected for a channel that does not exist.
    """
    moment = past.moment(connection, at) if at else None
    return _of_moment(connection, skus, channel, moment, with_levels)


def standing(connection: Connection, sku: str) -> tuple[list[Stock], dict[str, int]]:
    """A SKU's stock by place and what a request of each channel is compared with, as of whatever
    moment the connection stands at.
    """
    computed = _compute(connection, [sku], None)
    reading = computed.reading
    granted = {
        code: explain_grantable(reading.component(code, sku)).result for code in computed.channels
    }
    return reading.books.places.get(sku, []), granted


def why(
    connection: Connection,
    sku: str,
    channel: str | None = None,
    at: dt.datetime | None = None,
) -> Why:
    """All that explains a SKU's numbers, now or at an earlier time; there each number a channel
    was meant to show is explained as it was computed then, with its way to the channel.

    Raises Rejected for an unknown SKU or channel.
    """
    moment = past.moment(connection, at) if at else None
    (found,) = _of_moment(connection, [sku], channel, moment)
    if found is None:
        when = f" at {at.isoformat()}" if at else ""
        raise Rejected(
            "unknown_sku", "sku", f"No SKU {sku}{when}; import it, or ask by its canonical code."
        )
    if moment is None:
        claims, upto = stock.open_claims(connection, sku, CLAIM_ROWS), stock.TOP - 1
    else:
        found, upto = _with_shown(connection, found), moment.sequence
        with past.visit(connection, moment):
            claims = stock.open_claims(connection, sku, CLAIM_ROWS)
    return Why(
        quantities=found,
        ledger_sums=stock.ledger_sums(connection, sku, upto),
        ledger=stock.ledger_before(connection, sku, upto + 1, LEDGER_ROWS),
        claims=claims,
        moment=moment,
    )


def _of_moment(
    connection: Connection,
    skus: Sequence[str],
    channel: str | None,
    moment: Moment | None,
    with_levels: bool = True,
) -> list[Quantities | None]:
    if moment is not None:
        with past.visit(connection, moment):
            computed = _compute(connection, skus, channel)
        then = past.levels_then(connection, sorted(computed.explained), moment.at)
        shown_then = {(one.channel, one.listing): one for one in then}
        taken = {key: one.acknowledged for key, one in shown_then.items()}
        return _told(skus, computed, taken, {}, shown_then)
    computed = _compute(connection, skus, channel)
    keys = sorted(computed.explained)
    if not with_levels:
        return _told(skus, computed, exposure.published(connection, keys), {}, {})
    pooled = {
        (level.channel, level.listing): level
        for level in levels.levels_of_listings(connection, keys)
        if not level.location
    }
    taken = {key: level.acknowledged for key, level in pooled.items()}
    return _told(skus, computed, taken, pooled, {})


def _compute(connection: Connection, skus: Sequence[str], channel: str | None) -> _Computed:
    """The same for today and for a moment that the connection visits."""
    sold = exposure.listed(connection, skus, channel)
    keys = sorted({key for some in sold.by_sku.values() for key in some})
    groups = exposure.groups_of_skus(connection, skus)
    reading = read(connection, groups | {part.sku: part.sku_group for part in sold.parts})
    explained = reading.explain(keys, sold.parts)
    return _Computed(reading, _channels(reading, channel), sold.by_sku, explained)


def _told(
    skus: Sequence[str],
    computed: _Computed,
    published: Mapping[Listing, int | None],
    now: Mapping[Listing, Level],
    then: Mapping[Listing, LevelThen],
) -> list[Quantities | None]:
    listings = {
        key: ListingQuantity(*key, explained, now.get(key), published.get(key), then.get(key))
        for key, explained in computed.explained.items()
    }
    found = {
        sku: _quantities(computed.reading, sku, computed.channels, [listings[key] for key in some])
        for sku, some in computed.listed.items()
        if computed.reading.rules.knows(sku)
    }
    return [found.get(sku) for sku in skus]


def _quantities(
    reading: Reading, sku: str, channels: Sequence[str], listings: Sequence[ListingQuantity]
) -> Quantities:
    places = reading.books.places.get(sku, [])
    return Quantities(
        sku=sku,
        sequence=reading.books.sequence,
        on_hand=explain_on_hand(sku, places),
        free=explain_free(sku, places),
        channels=[
            ChannelQuantity(
                channel=code,
                grantable=explain_grantable(reading.component(code, sku)),
                listings=[listing for listing in listings if listing.channel == code],
            )
            for code in channels
        ],
    )


def _channels(reading: Reading, channel: str | None) -> list[str]:
    known = sorted(reading.rules.pools)
    if channel is None:
        return known
    if channel not in known:
        there_are = did_you_mean(channel, known) or f"there are: {', '.join(known) or 'none'}"
        raise Rejected("unknown_channel", "channel", f"No channel {channel}; {there_are}")
    return [channel]


def _with_shown(connection: Connection, found: Quantities) -> Quantities:
    """The quantities of a moment, each number shown explained as it was computed."""
    return msgspec.structs.replace(
        found,
        channels=[
            msgspec.structs.replace(
                channel,
                listings=[_as_shown(connection, found.sku, one) for one in channel.listings],
            )
            for channel in found.channels
        ],
    )


def _as_shown(connection: Connection, sku: str, one: ListingQuantity) -> ListingQuantity:
    if one.then is None:
        return one
    told = shown(connection, one.then, sku, one.available_to_sell)
    return msgspec.structs.replace(one, available_to_sell=told.explanation, shown=told)

"""Every quantity of a SKU by its own name, with the steps and the ledger rows it stands on."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from stockwright.domain.availability import (
    Explanation,
    available_to_promise,
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

    level is None where the listing was never projected. Of an earlier moment, `then` is the level
    as it was, and `shown` its way to the channel, where the explanation was asked for: then
    available_to_sell is that of the number shown, by the ledger and the rules it was computed by.
    """

    channel: str
    listing: str
    available_to_sell: Explanation
    level: Level | None = None
    then: LevelThen | None = None
    shown: Shown | None = None


class ChannelQuantity(msgspec.Struct, frozen=True):
    """What a request of a channel is compared with, in base units, and what its listings show.

    available_to_promise is there where a date was asked for, and by that date.
    """

    channel: str
    grantable: Explanation
    listings: Sequence[ListingQuantity] = ()
    available_to_promise: Explanation | None = None


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
    by: dt.datetime | None


def quantities(
    connection: Connection,
    skus: Sequence[str],
    channel: str | None = None,
    at: dt.datetime | None = None,
    by: dt.datetime | None = None,
) -> list[Quantities | None]:
    """The quantities of these SKUs, aligned; None for one the item master does not know.

    Channels are all of them, or the one asked for; a channel that lists nothing of the SKU still
    has a grantable quantity. With `at`, all is as the ledger and the rules stood at that time; with
    `by`, what can be promised by that date is told as well. Raises Rejected for a channel that does
    not exist.
    """
    return _of_moment(connection, skus, channel, past.moment(connection, at) if at else None, by)


def why(
    connection: Connection,
    sku: str,
    channel: str | None = None,
    at: dt.datetime | None = None,
    by: dt.datetime | None = None,
) -> Why:
    """All that explains a SKU's numbers, now or at an earlier time; there each number a channel
    was meant to show is explained as it was computed then, with its way to the channel. With `by`,
    what can be promised by that date is explained too.

    Raises Rejected for an unknown SKU or channel.
    """
    moment = past.moment(connection, at) if at else None
    (found,) = _of_moment(connection, [sku], channel, moment, by)
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
    by: dt.datetime | None,
) -> list[Quantities | None]:
    if moment is None:
        computed = _compute(connection, skus, channel, by)
        pooled = {
            (level.channel, level.listing): level
            for level in levels.levels_of_listings(connection, sorted(computed.explained))
            if not level.location
        }
        return _told(skus, computed, pooled, {})
    with past.visit(connection, moment):
        computed = _compute(connection, skus, channel, by)
    levels_then = past.levels_then(connection, sorted(computed.explained), moment.at)
    return _told(skus, computed, {}, {(then.channel, then.listing): then for then in levels_then})


def _compute(
    connection: Connection, skus: Sequence[str], channel: str | None, by: dt.datetime | None
) -> _Computed:
    """The same for today and for a moment that the connection visits."""
    listed = exposure.listings_by_sku(connection, skus)
    keys = sorted({key for some in listed.values() for key in some if channel in (None, key[0])})
    parts = exposure.components(connection, keys)
    groups = exposure.groups_of_skus(connection, skus)
    all_groups = groups | {part.sku: part.sku_group for part in parts}
    reading = read(connection, all_groups, with_supply=by is not None)
    channels = _channels(reading, channel)
    by = max(by, reading.now) if by is not None else None
    return _Computed(reading, channels, listed, reading.explain(keys, parts), by)


def _told(
    skus: Sequence[str],
    computed: _Computed,
    now: Mapping[Listing, Level],
    then: Mapping[Listing, LevelThen],
) -> list[Quantities | None]:
    listings = {
        key: ListingQuantity(*key, explained, now.get(key), then.get(key))
        for key, explained in computed.explained.items()
    }
    found = {
        sku: _quantities(computed, sku, [listings[k] for k in some if k in listings])
        for sku, some in computed.listed.items()
        if computed.reading.rules.knows(sku)
    }
    return [found.get(sku) for sku in skus]


def _quantities(computed: _Computed, sku: str, listings: Sequence[ListingQuantity]) -> Quantities:
    reading, by = computed.reading, computed.by
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
                available_to_promise=(
                    available_to_promise([reading.component(code, sku)], by) if by else None
                ),
            )
            for code in computed.channels
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

"""Every quantity of a SKU by its own name, with the steps and the ledger rows it stands on."""

from collections.abc import Sequence

import msgspec

from stockwright.domain.availability import (
    Explanation,
    explain_free,
    explain_grantable,
    explain_on_hand,
)
from stockwright.domain.codes import did_you_mean
from stockwright.domain.errors import Rejected
from stockwright.domain.levels import Level
from stockwright.flow.exposing import Listing, Reading, read
from stockwright.store import exposure, levels, stock
from stockwright.store.connection import Connection
from stockwright.store.exposure import Sold
from stockwright.store.stock import LedgerRow, LedgerSum, OpenClaim

LEDGER_ROWS = 20
CLAIM_ROWS = 200


class ListingQuantity(msgspec.Struct, frozen=True):
    """What a channel may sell of a listing, in pieces, and the level that tells it so.

    published is what the channel acknowledged last. level is None where the listing was never
    projected, and where levels were not asked for.
    """

    channel: str
    listing: str
    available_to_sell: Explanation
    level: Level | None = None
    published: int | None = None


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

    ledger_sums add up to every balance; ledger holds the newest entries, newest first.
    """

    quantities: Quantities
    ledger_sums: Sequence[LedgerSum]
    ledger: Sequence[LedgerRow]
    claims: Sequence[OpenClaim]


def quantities(
    connection: Connection,
    skus: Sequence[str],
    channel: str | None = None,
    *,
    with_levels: bool = True,
) -> list[Quantities | None]:
    """The quantities of these SKUs, aligned; None for one the item master does not know.

    Channels are all of them, or the one asked for; a channel that lists nothing of the SKU still
    has a grantable quantity. Raises Rejected for a channel that does not exist.
    """
    sold = exposure.listed(connection, skus, channel)
    needed = list(dict.fromkeys([*skus, *(part.sku for part in sold.parts)]))
    reading = read(connection, exposure.groups_of_skus(connection, needed))
    channels = _channels(reading, channel)
    shown = _listings(connection, reading, sold, with_levels)
    found = {}
    for sku, keys in sold.by_sku.items():
        if reading.rules.knows(sku):
            found[sku] = _quantities(reading, sku, channels, [shown[key] for key in keys])
    return [found.get(sku) for sku in skus]


def _quantities(
    reading: Reading, sku: str, channels: Sequence[str], shown: Sequence[ListingQuantity]
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
                listings=[listing for listing in shown if listing.channel == code],
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


def _listings(
    connection: Connection, reading: Reading, sold: Sold, with_levels: bool
) -> dict[Listing, ListingQuantity]:
    keys = list(sold.published)
    pooled = {}
    if with_levels:
        pooled = {
            (level.channel, level.listing): level
            for level in levels.levels_of_listings(connection, keys)
            if not level.location
        }
    explained = reading.explain(keys, sold.parts)
    return {
        key: ListingQuantity(*key, explained[key], pooled.get(key), published)
        for key, published in sold.published.items()
    }


def why(connection: Connection, sku: str, channel: str | None = None) -> Why:
    """All that explains a SKU's numbers. Raises Rejected for an unknown SKU or channel."""
    found = quantities(connection, [sku], channel)[0]
    if found is None:
        raise Rejected(
            "unknown_sku", "sku", f"No SKU {sku}; import it, or ask by its canonical code."
        )
    return Why(
        quantities=found,
        ledger_sums=stock.ledger_sums(connection, sku),
        ledger=stock.ledger_before(connection, sku, limit=LEDGER_ROWS),
        claims=stock.open_claims(connection, sku, CLAIM_ROWS),
    )

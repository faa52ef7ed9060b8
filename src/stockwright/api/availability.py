"""POST /v1/availability: every quantity by its own name, explained where asked."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import msgspec

from stockwright.api.bodies import decode, require_json
from stockwright.api.bound import check_own
from stockwright.api.call import Call
from stockwright.api.problems import KINDS
from stockwright.api.reply import Reply, encode_json
from stockwright.domain.availability import Explanation
from stockwright.domain.codes import Code
from stockwright.domain.network import Instant
from stockwright.flow import explaining
from stockwright.flow.explaining import ChannelQuantity, ListingQuantity, Quantities
from stockwright.store.access import Caller
from stockwright.store.connection import Connection

MAX_SKUS: Final = 1_000
FEW_SKUS: Final = 20
"""Questions up to this size are read together with others asked at the same time."""


class AvailabilityAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which SKUs, for all channels or for one; `explain` adds the steps to each number.

    With `at`, all is as the ledger and the rules stood at that time.
    """

    skus: Annotated[list[Code], msgspec.Meta(min_length=1, max_length=MAX_SKUS)]
    channel: Code | None = None
    explain: bool = False
    at: Instant | None = None


class ListingAvailability(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What the channel is shown for one listing, in pieces.

    published is what the channel last acknowledged, null where it never did. Of an earlier time,
    `shown` is the number it was meant to show by then.
    """

    listing: str
    available_to_sell: int
    published: int | None
    shown: int | None = None
    explained: Mapping[str, Explanation] = {}


class ChannelAvailability(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a request of one channel is compared with, in base units, and what its listings show."""

    channel: str
    grantable: int
    listings: list[ListingAvailability]
    explained: Mapping[str, Explanation] = {}


class SkuAvailability(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The quantities of one SKU at one sequence number of the ledger, in base units.

    Where the SKU is unknown, code, param, detail and next say so, and there are no quantities.
    """

    sku: str
    sequence: int | None = None
    on_hand: int | None = None
    free: int | None = None
    channels: list[ChannelAvailability] = []
    explained: Mapping[str, Explanation] = {}
    code: str = ""
    param: str = ""
    detail: str = ""
    next: str = ""


class AvailabilityAnswer(msgspec.Struct, kw_only=True):
    """One entry for each SKU asked for, in the same order."""

    items: list[SkuAvailability]


_ASK: Final = msgspec.json.Decoder(AvailabilityAsk)


async def post_availability(call: Call) -> Reply:
    """The quantities of up to 1,000 SKUs, each by its own name; an unknown one is told in place."""
    require_json(call.headers)
    ask = decode(_ASK, call.body)
    if ask.channel is not None:
        check_own(call.caller, "channel", ask.channel)
    if ask.at is not None or len(ask.skus) > FEW_SKUS:
        return Reply(200, await call.run(_read_and_write, ask, call.caller))
    found = await call.services.gatherer.quantities(ask.skus, ask.channel)
    return Reply(200, _written(ask, found, call.caller))


def _read_and_write(connection: Connection, ask: AvailabilityAsk, caller: Caller) -> bytes:
    """The whole answer to a large question, on a reader's thread: it would hold others up."""
    found = explaining.quantities(connection, ask.skus, ask.channel, ask.at, with_levels=False)
    return _written(ask, found, caller)


def _written(ask: AvailabilityAsk, found: Sequence[Quantities | None], caller: Caller) -> bytes:
    items = [
        _unknown(sku, place) if one is None else _known(one, ask.explain, caller)
        for place, (sku, one) in enumerate(zip(ask.skus, found, strict=True))
    ]
    return encode_json(AvailabilityAnswer(items=items))


def _unknown(sku: str, place: int) -> SkuAvailability:
    kind = KINDS["unknown_sku"]
    return SkuAvailability(
        sku=sku,
        code="unknown_sku",
        param=f"skus[{place}]",
        detail=kind.title,
        next=kind.next,
    )


def _known(one: Quantities, explain: bool, caller: Caller) -> SkuAvailability:
    return SkuAvailability(
        sku=one.sku,
        sequence=one.sequence,
        on_hand=one.on_hand.result,
        free=one.free.result,
        channels=[
            _channel(channel, explain)
            for channel in one.channels
            if caller.sells_through(channel.channel)
        ],
        explained={"on_hand": one.on_hand, "free": one.free} if explain else {},
    )


def _channel(one: ChannelQuantity, explain: bool) -> ChannelAvailability:
    return ChannelAvailability(
        channel=one.channel,
        grantable=one.grantable.result,
        listings=[_listing(listing, explain) for listing in one.listings],
        explained={"grantable": one.grantable} if explain else {},
    )


def _listing(one: ListingQuantity, explain: bool) -> ListingAvailability:
    return ListingAvailability(
        listing=one.listing,
        available_to_sell=one.available_to_sell.result,
        published=one.published,
        shown=one.then.value if one.then else None,
        explained={"available_to_sell": one.available_to_sell} if explain else {},
    )

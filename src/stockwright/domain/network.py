"""Who takes part: the partner systems, the places that hold goods, the channels that sell them.

These are the rows of the configuration file and of the tables behind it. Each field's description
is the text of `docs/reference/configuration.md` and of the file that `stockwright init` writes.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from stockwright.domain.codes import Code
from stockwright.domain.events import MAX_QUANTITY

Role = Literal["erp", "wms", "3pl", "store", "shop", "marketplace", "edi", "crm", "planning", "pos"]
Criticality = Literal["low", "normal", "high", "critical"]
SnapshotBasis = Literal["gross", "net"]
Revisions = Literal["increment", "cumulative", "replacement"]
MovementGroup = Literal["inbound", "outbound", "internal", "count", "pos"]
Feed = Literal["movement", "snapshot"]
SafetyPer = Literal["network", "place"]
RingFenceMode = Literal["consumed", "standing"]

Seconds = Annotated[float, Meta(ge=0, le=31_536_000)]
Units = Annotated[int, Meta(ge=0, le=MAX_QUANTITY)]
Percent = Annotated[float, Meta(ge=0, le=100)]
TimeZone = Annotated[str, Meta(extra={"check": "time_zone"})]
Instant = Annotated[dt.datetime, Meta(tz=True)]
BEGINNING: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class System(Struct, frozen=True, kw_only=True):
    """A partner system: an ERP, a WMS, a shop, a marketplace."""

    code: Code
    role: Annotated[Role, Meta(description="what the system is to us")]
    owner: Annotated[str, Meta(description="who answers for it: a person or a team")] = ""
    latency_budget_s: Annotated[
        Seconds, Meta(description="seconds a change may take to reach it before we call it late")
    ] = 5.0
    criticality: Annotated[
        Criticality, Meta(description="who goes first when not all can be served at once")
    ] = "normal"
    clock_error_s: Annotated[
        Seconds, Meta(description="seconds its clock may be wrong; closer events are recounted")
    ] = 0.0
    heartbeat_s: Annotated[
        Seconds,
        Meta(
            description="seconds within which it promises a sign of life, if only a heartbeat;"
            " later it counts as silent; 0 promises nothing"
        ),
    ] = 0.0
    time_zone: Annotated[
        TimeZone, Meta(description="IANA zone of its times where they carry none")
    ] = "UTC"
    snapshot_basis: Annotated[
        SnapshotBasis,
        Meta(description="whether its stock figures contain promised units (gross) or not (net)"),
    ] = "gross"
    revisions: Annotated[Revisions, Meta(description="what a later revision of a line states")] = (
        "increment"
    )
    connector: Annotated[
        str, Meta(description="the connector that speaks to it; empty where it calls our API")
    ] = ""
    settings: Annotated[
        Mapping[str, Any],
        Meta(description="the connector's own settings; secrets only as env:NAME or file:PATH"),
    ] = {}


class Authority(Struct, frozen=True, kw_only=True, rename={"valid_from": "from"}):
    """Which system's word counts for one group of movements at a location, from when on."""

    group: Annotated[MovementGroup, Meta(description="the movements it speaks for")]
    system: Annotated[Code, Meta(description="the system whose word counts")]
    valid_from: Annotated[Instant, Meta(description="from when on, with a time zone")] = BEGINNING


class Location(Struct, frozen=True, kw_only=True):
    """A place that holds goods."""

    code: Code
    name: Annotated[str, Meta(description="what people call it")] = ""
    time_zone: Annotated[
        TimeZone, Meta(description="IANA zone in which its days begin, for expiry dates")
    ] = "UTC"
    feed: Annotated[
        Feed,
        Meta(description="whether its stock follows movements, or its partner's stock figures"),
    ] = "movement"
    priority: Annotated[
        int, Meta(ge=0, le=1_000_000, description="lower goes first when an order seeks a place")
    ] = 100
    supply_grace_s: Annotated[
        int,
        Meta(
            ge=0,
            le=31_536_000,
            description="seconds that supply may be overdue here before nothing is promised on it",
        ),
    ] = 86_400
    groups: Annotated[
        tuple[Code, ...], Meta(description="groups it belongs to; a channel's pool may name them")
    ] = ()
    authority: Annotated[
        tuple[Authority, ...],
        Meta(description="whose word counts for which movements, from when on"),
    ] = ()


class ExposurePolicy(Struct, frozen=True, kw_only=True):
    """How much of the pool a channel shows.

    Quantities are base units; cap and pack_size count the pieces that the channel sells.
    """

    sku: Annotated[Code | None, Meta(description="only for this SKU")] = None
    sku_group: Annotated[Code | None, Meta(description="only for SKUs of this group")] = None
    safety: Annotated[Units, Meta(description="held back from what is shown")] = 0
    hard_safety: Annotated[
        Units, Meta(description="held back from what is shown and from requests")
    ] = 0
    ring_fence: Annotated[
        Units, Meta(description="kept for this channel alone, also against requests of others")
    ] = 0
    ring_fence_mode: Annotated[
        RingFenceMode,
        Meta(
            description="whether this channel's open claims use its fence up (consumed), or it is"
            " kept in full on top of them (standing)"
        ),
    ] = "consumed"
    buffer: Annotated[
        Units, Meta(description="held back because this channel learns of sales late")
    ] = 0
    buffer_percent: Annotated[
        Percent, Meta(description="held back likewise, as a share of the pool, rounded up")
    ] = 0.0
    buffer_risk: Annotated[
        Annotated[float, Meta(gt=0, lt=1)] | None,
        Meta(
            description="held back likewise, as much as keeps the share of stock-outs in which this"
            " channel sells what is gone at most here"
        ),
    ] = None
    buffer_most: Annotated[
        Units | None, Meta(description="the most that buffer_risk may hold back")
    ] = None
    buffer_most_percent: Annotated[
        Percent, Meta(description="the most that buffer_risk may hold back, as a share of the pool")
    ] = 100.0
    blind_s: Annotated[
        Seconds,
        Meta(
            description="seconds this channel goes on selling an old number that we cannot measure,"
            " such as its own cache; added to what is measured"
        ),
    ] = 0.0
    degraded_cap: Annotated[
        Units | None,
        Meta(
            description="the most units of a SKU it may have open while a source of its stock is"
            " silent; requests beyond are refused"
        ),
    ] = None
    cap: Annotated[
        Units | None, Meta(description="never show more than this, in the channel's own pieces")
    ] = None
    pack_size: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_QUANTITY)],
        Meta(description="show whole packs of this many pieces only"),
    ] = 1
    safety_per: Annotated[
        SafetyPer,
        Meta(description="whether safety is kept once for the pool, or at every place of it"),
    ] = "network"
    min_shelf_life_days: Annotated[
        int,
        Meta(ge=0, le=36_500, description="count and grant only lots that have these days left"),
    ] = 0


class Channel(Struct, frozen=True, kw_only=True):
    """Where goods are sold, from which places and by which rules."""

    code: Code
    system: Annotated[Code, Meta(description="the system it belongs to")]
    pool: Annotated[
        tuple[Code, ...],
        Meta(min_length=1, description="locations and groups whose stock it may sell"),
    ]
    demand_class: Annotated[
        int,
        Meta(ge=0, le=1_000_000, description="rank of its backorders; lower is served first"),
    ] = 100
    allow_split: Annotated[
        bool, Meta(description="whether an order may be served from several places")
    ] = True
    hold_s: Annotated[
        int,
        Meta(ge=1, le=31_536_000, description="seconds an unconfirmed reservation holds stock"),
    ] = 900
    policies: Annotated[
        tuple[ExposurePolicy, ...],
        Meta(description="rules for what it shows; the first that matches a SKU applies"),
    ] = ()


class Network(Struct, frozen=True, kw_only=True):
    """All systems, locations and channels that the configuration file declares."""

    systems: tuple[System, ...] = ()
    locations: tuple[Location, ...] = ()
    channels: tuple[Channel, ...] = ()

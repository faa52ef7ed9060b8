"""Amazon's Selling Partner API, declared."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from stockwright.connectors.amazon.order_forms import STATES
from stockwright.sdk.declaration import (
    Capabilities,
    ConnectorSettings,
    Declaration,
    Limits,
    Patience,
)
from stockwright.sdk.secrets import Secret

LIMITS: Final = Limits(
    batch_size=5_000,
    calls_per_s=1.0,
    burst=5,
    concurrency=2,
    timeout_s=25.0,
    longest_apply_delay_s=900.0,
)
MOST_IN_A_FEED: Final = 25_000
"""Messages that one JSON_LISTINGS_FEED holds (listings-feed-schema-v2)."""
HOSTS: Final = {
    "na": "https://sellingpartnerapi-na.amazon.com",
    "eu": "https://sellingpartnerapi-eu.amazon.com",
    "fe": "https://sellingpartnerapi-fe.amazon.com",
}
TOKEN_URL: Final = "https://api.amazon.com/auth/o2/token"
# Amazon lists an order minutes late.
PATIENCE: Final = Patience(increase_wait_s=600.0, orders_every_s=60.0)
_ADDRESS: Final = r"^(|https://[^\s?#]+|http://(127\.0\.0\.1|localhost)(:\d+)?(/[^\s?#]*)?)$"


class PollPace(NamedTuple):
    """How often orders are asked for, and how often at most because increases wait for them."""

    poll_every_s: float
    asked_every_s: float


PACES: Final[Mapping[str, PollPace]] = {
    "2026-01-01": PollPace(300.0, 60.0),
    "v0": PollPace(60.0, 10.0),
}
"""By version of the Orders API. 2026-01-01 gives a list in three minutes and 20 at once: polls take
three of five, so that the burst fills up again, and what increases ask for lasts longer.
"""


class AmazonSettings(ConnectorSettings, frozen=True, kw_only=True):
    """What an operator sets for one seller account in one region."""

    region: Annotated[
        Literal["na", "eu", "fe"],
        Meta(description="where the account sells: North America, Europe or the Far East"),
    ]
    seller_id: Annotated[
        str, Meta(min_length=1, max_length=64, description="the account's merchant token")
    ]
    marketplaces: Annotated[
        tuple[str, ...],
        Meta(
            min_length=1,
            max_length=25,
            description="ids of the marketplaces; listings are written in the first",
        ),
    ]
    client_id: Annotated[Secret, Meta(description="client id of the application")]
    client_secret: Annotated[Secret, Meta(description="client secret of the application")]
    refresh_token: Annotated[
        Secret, Meta(description="what the seller granted the application (Login with Amazon)")
    ]
    webhook_secrets: Annotated[
        tuple[Secret, ...],
        Meta(description="keys in `x-api-key` of relayed notifications; several while one changes"),
    ] = ()
    orders_api: Annotated[
        Literal["2026-01-01", "v0"],
        Meta(description="version of the Orders API that reads orders; `v0` ends on 27 March 2027"),
    ] = "2026-01-01"
    poll_every_s: Annotated[
        float,
        Meta(ge=0, le=3600, description="seconds between polls of orders; 0: 300, by `v0` 60"),
    ] = 0.0
    asked_every_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="least seconds between polls that increases ask for; 0: 60, by `v0` 10",
        ),
    ] = 0.0
    channel: Annotated[
        str,
        Meta(
            max_length=128, description="the channel its orders belong to; empty: the system's code"
        ),
    ] = ""
    fulfillment_channel: Annotated[
        str, Meta(min_length=1, description="Amazon's code of stock that the seller ships")
    ] = "DEFAULT"
    product_type: Annotated[
        str, Meta(min_length=1, description="product type named when a quantity is written")
    ] = "PRODUCT"
    patches_at_once: Annotated[
        int, Meta(ge=1, le=100, description="urgent levels that one call patches one by one")
    ] = 50
    feed_from: Annotated[
        int, Meta(ge=1, le=500, description="a call of more levels than this goes by feed")
    ] = 50
    feed_look_s: Annotated[
        float, Meta(gt=0, le=600, description="seconds between two looks at a feed")
    ] = 60.0
    feed_deadline_s: Annotated[
        float, Meta(gt=0, le=3600, description="seconds after which a feed is given up")
    ] = 900.0
    sold: Annotated[
        tuple[str, ...],
        Meta(min_length=1, description="states in which an order claims stock, unpaid ones too"),
    ] = (
        "PendingAvailability",
        "Pending",
        "Unshipped",
        "PartiallyShipped",
        "InvoiceUnconfirmed",
        "Shipped",
    )
    cancelled: Annotated[
        tuple[str, ...], Meta(description="states in which nothing of an order is wanted any more")
    ] = ("Canceled", "Unfulfillable")
    first_poll_days: Annotated[
        int, Meta(ge=1, le=700, description="days that the first poll goes back for open orders")
    ] = 30
    overlap_s: Annotated[
        int,
        Meta(ge=1, le=3600, description="seconds that each poll begins before the last one's end"),
    ] = 300
    page_size: Annotated[int, Meta(ge=1, le=100, description="orders asked for at once")] = 100
    items_at_once: Annotated[
        int, Meta(ge=1, le=100, description="orders whose items one step of a poll asks for")
    ] = 20
    carriers: Annotated[
        Mapping[str, str],
        Meta(description="Amazon's carrier codes by ours; a carrier without one is sent as Other"),
    ] = msgspec.field(default_factory=dict)
    max_body_bytes: Annotated[
        int, Meta(ge=1024, le=33_554_432, description="largest notification that is accepted")
    ] = 1_048_576
    base_url: Annotated[
        str, Meta(pattern=_ADDRESS, description="address of the API; empty: the region's own")
    ] = ""
    token_url: Annotated[str, Meta(pattern=_ADDRESS, description="where access tokens are had")] = (
        TOKEN_URL
    )
    batch_size: Annotated[
        int,
        Meta(
            ge=1,
            le=MOST_IN_A_FEED,
            description="levels in one call or feed; 12,000 at most go in one",
        ),
    ] = LIMITS.batch_size
    calls_per_s: Annotated[
        float, Meta(gt=0, le=100, description="batches per second; each operation has its own plan")
    ] = LIMITS.calls_per_s
    burst: Annotated[int, Meta(ge=1, le=1_000, description="batches at once after a rest")] = (
        LIMITS.burst
    )
    concurrency: Annotated[int, Meta(ge=1, le=20, description="batches under way at one time")] = (
        LIMITS.concurrency
    )
    timeout_s: Annotated[
        float, Meta(gt=0, le=60, description="seconds until a batch is given up")
    ] = LIMITS.timeout_s
    longest_apply_delay_s: Annotated[
        float,
        Meta(ge=0, le=3600, description="seconds in which what was given up may still be applied"),
    ] = LIMITS.longest_apply_delay_s

    def __post_init__(self) -> None:
        # By a word that no order comes with nothing would be sold, and nobody told.
        for word in (*self.sold, *self.cancelled):
            if word in STATES:
                raise ValueError(f"write {STATES[word]} for {word} in sold and cancelled")

    @property
    def address(self) -> str:
        """Where the API is."""
        return self.base_url or HOSTS[self.region]

    @property
    def pace(self) -> PollPace:
        """How often orders are asked for."""
        usual = PACES[self.orders_api]
        return PollPace(
            self.poll_every_s or usual.poll_every_s, self.asked_every_s or usual.asked_every_s
        )


DECLARATION: Final[Declaration[AmazonSettings]] = Declaration(
    name="amazon",
    roles=("marketplace",),
    summary="An Amazon seller account, by the Selling Partner API.",
    settings=AmazonSettings,
    limits=LIMITS,
    capabilities=Capabilities(
        read_back=True,
        order_watermark=True,
        webhooks=True,
        documents=("shipment", "cancellation", "refund"),
    ),
    partner_docs="https://developer-docs.amazon.com/sp-api/",
    patience=PATIENCE,
)

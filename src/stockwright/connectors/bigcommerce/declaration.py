"""BigCommerce, declared."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from msgspec import Meta

from stockwright.sdk.declaration import (
    ApplyDelayS,
    Burst,
    CallsPerS,
    Capabilities,
    Concurrency,
    ConnectorSettings,
    Declaration,
    Limits,
    OwnChannel,
    TimeoutS,
    WebhookBytes,
)
from stockwright.sdk.secrets import Secret

MOST_LEVELS: Final = 2_000
"""Items of one absolute adjustment."""
MOST_ITEMS: Final = 1_000
"""Inventory items of one page."""
MOST_ORDERS: Final = 250
"""Orders, and products of an order, of one page."""
LIMITS: Final = Limits(
    batch_size=500,
    calls_per_s=5.0,
    burst=20,
    concurrency=3,
    timeout_s=25.0,
    longest_apply_delay_s=60.0,
)


class BigSettings(ConnectorSettings, frozen=True, kw_only=True):
    """What an operator sets for one store."""

    store_hash: Annotated[
        str,
        Meta(pattern=r"^[0-9a-z]{3,40}$", description="the store's hash, as in its API path"),
    ]
    access_token: Annotated[Secret, Meta(description="access token of a store-level API account")]
    base_url: Annotated[
        str,
        Meta(
            pattern=r"^(https://[^\s?#]+|http://(127\.0\.0\.1|localhost)(:\d+)?)$",
            description="address of the API; https, since the token goes with every call",
        ),
    ] = "https://api.bigcommerce.com"
    client_secrets: Annotated[
        tuple[Secret, ...],
        Meta(
            description="client secrets of that API account, by which webhooks are proven;"
            " several while one is replaced"
        ),
    ] = ()
    webhook_url: Annotated[
        str,
        Meta(
            pattern=r"^(https://[^\s?#]+)?$",
            description="where its webhooks go, https://YOUR-HUB/v1/hooks/SYSTEM; then the webhook"
            " is made and kept switched on; empty: somebody else sees to it",
        ),
    ] = ""
    webhook_look_s: Annotated[
        int, Meta(ge=10, le=86_400, description="seconds between two looks at the webhook")
    ] = 600
    location: Annotated[
        int, Meta(ge=1, description="id of the inventory location that levels are written to")
    ] = 1
    channel: OwnChannel = ""
    listings: Annotated[
        Literal["sku", "id"],
        Meta(description="what a listing is called by: its SKU, or the id of its variant"),
    ] = "sku"
    sold: Annotated[
        tuple[int, ...],
        Meta(
            min_length=1,
            description="status ids in which an order claims stock, unpaid ones as well",
        ),
    ] = (1, 2, 3, 4, 7, 8, 9, 10, 11, 12, 13, 14)
    cancelled: Annotated[
        tuple[int, ...],
        Meta(description="status ids in which nothing of an order is wanted any more"),
    ] = (5, 6)
    carriers: Annotated[
        Mapping[str, str],
        Meta(description="our carriers' names and BigCommerce's codes of them (tracking_carrier)"),
    ] = {}
    overlap_s: Annotated[
        int,
        Meta(
            ge=1,
            le=3600,
            description="seconds that each poll goes back for orders the store wrote down late",
        ),
    ] = 60
    first_poll_days: Annotated[
        int, Meta(ge=1, le=3650, description="days that the first poll goes back")
    ] = 90
    page_size: Annotated[
        int, Meta(ge=1, le=MOST_ORDERS, description="orders asked for at once")
    ] = 50
    look_at_most: Annotated[
        int,
        Meta(
            ge=0,
            le=MOST_LEVELS,
            description="batches of at most so many levels are read back in the same call; larger"
            " ones are left to the hub's own read-back",
        ),
    ] = 100
    settle_s: Annotated[
        float,
        Meta(
            ge=0.5,
            le=600,
            description="seconds that the store is given to show a level it has accepted",
        ),
    ] = 10.0
    max_body_bytes: WebhookBytes = 65_536
    batch_size: Annotated[int, Meta(ge=1, le=MOST_LEVELS, description="levels in one call")] = (
        LIMITS.batch_size
    )
    calls_per_s: CallsPerS = LIMITS.calls_per_s
    burst: Burst = LIMITS.burst
    concurrency: Concurrency = LIMITS.concurrency
    timeout_s: TimeoutS = LIMITS.timeout_s
    longest_apply_delay_s: ApplyDelayS = LIMITS.longest_apply_delay_s


DECLARATION: Final[Declaration[BigSettings]] = Declaration(
    name="bigcommerce",
    roles=("shop",),
    summary="A BigCommerce store, by Inventory v3, Orders v2 and v3, and webhooks v3.",
    settings=BigSettings,
    limits=LIMITS,
    capabilities=Capabilities(
        read_back=True,
        order_watermark=True,
        webhooks=True,
        documents=("shipment", "cancellation", "refund"),
    ),
    partner_docs="https://developer.bigcommerce.com/docs/rest-management",
)

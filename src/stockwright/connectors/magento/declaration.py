"""Adobe Commerce and Magento 2, declared."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from msgspec import Meta

from stockwright.sdk.declaration import (
    Burst,
    CallsPerS,
    Capabilities,
    Concurrency,
    ConnectorSettings,
    Declaration,
    Limits,
    OwnChannel,
    TimeoutS,
)
from stockwright.sdk.secrets import Secret

MOST_OPERATIONS: Final = 5_000
"""Operations of one bulk, where a shop limits its input as Adobe proposes."""
MOST_ROWS: Final = 300
"""Rows of one page, where a shop limits its input as Adobe proposes."""
LIMITS: Final = Limits(
    batch_size=500,
    calls_per_s=4.0,
    burst=8,
    concurrency=2,
    timeout_s=25.0,
    longest_apply_delay_s=900.0,
)


class MagentoSettings(ConnectorSettings, frozen=True, kw_only=True):
    """What an operator sets for one shop."""

    base_url: Annotated[
        str,
        Meta(
            pattern=r"^(https://[^\s?#]+|http://(127\.0\.0\.1|localhost)(:\d+)?)$",
            description="the shop's address, without /rest; https, since the token goes along",
        ),
    ]
    access_token: Annotated[Secret, Meta(description="access token of an integration")]
    source: Annotated[
        str,
        Meta(min_length=1, max_length=255, description="code of the source levels are written to"),
    ] = "default"
    channel: OwnChannel = ""
    sold: Annotated[
        tuple[str, ...],
        Meta(
            min_length=1, description="states in which an order claims stock, unpaid ones as well"
        ),
    ] = (
        *("new", "pending_payment", "payment_review", "processing"),
        *("holded", "complete", "closed"),
    )
    cancelled: Annotated[
        tuple[str, ...], Meta(description="states in which nothing of an order is wanted any more")
    ] = ("canceled",)
    carriers: Annotated[
        Mapping[str, str],
        Meta(description="our carriers' names and the shop's carrier codes; others are `custom`"),
    ] = {}
    notify: Annotated[
        bool, Meta(description="whether the shop writes to its customer of shipments and refunds")
    ] = True
    refunds: Annotated[
        Literal["offline", "online"],
        Meta(description="whether the shop pays refunds back by its payment method (online)"),
    ] = "offline"
    sync_most: Annotated[
        int, Meta(ge=1, le=1_000, description="levels of one call that is carried out at once")
    ] = 20
    bulk_from: Annotated[
        int,
        Meta(ge=0, le=100_000, description="batches of so many levels go by bulk; 0: never"),
    ] = 60
    bulk_look_s: Annotated[
        float, Meta(ge=0.1, le=600, description="seconds between two looks at a bulk")
    ] = 5.0
    bulk_deadline_s: Annotated[
        float,
        Meta(ge=1, le=86_400, description="seconds until a bulk that does not end is given up"),
    ] = 900.0
    overlap_s: Annotated[
        int,
        Meta(
            ge=1,
            le=3600,
            description="seconds that each poll goes back for orders the shop wrote down late",
        ),
    ] = 60
    first_poll_days: Annotated[
        int, Meta(ge=1, le=3650, description="days that the first poll goes back")
    ] = 90
    page_size: Annotated[
        int, Meta(ge=1, le=MOST_ROWS, description="orders and source items asked for at once")
    ] = 100
    batch_size: Annotated[
        int, Meta(ge=1, le=MOST_OPERATIONS, description="levels in one batch")
    ] = LIMITS.batch_size
    calls_per_s: CallsPerS = LIMITS.calls_per_s
    burst: Burst = LIMITS.burst
    concurrency: Concurrency = LIMITS.concurrency
    timeout_s: TimeoutS = LIMITS.timeout_s
    longest_apply_delay_s: Annotated[
        float,
        Meta(ge=0, le=86_400, description="seconds in which a given-up call may still be applied"),
    ] = LIMITS.longest_apply_delay_s


DECLARATION: Final[Declaration[MagentoSettings]] = Declaration(
    name="magento",
    roles=("shop",),
    summary="An Adobe Commerce or Magento 2 shop with Inventory (MSI), by its REST API.",
    settings=MagentoSettings,
    limits=LIMITS,
    capabilities=Capabilities(
        read_back=True,
        order_watermark=True,
        documents=("shipment", "cancellation", "refund"),
        levels_are="gross",
    ),
    partner_docs="https://developer.adobe.com/commerce/webapi/rest/",
)

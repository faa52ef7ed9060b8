"""WooCommerce, declared."""

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

LIMITS: Final = Limits(
    batch_size=100,
    calls_per_s=5.0,
    burst=10,
    concurrency=2,
    timeout_s=25.0,
    longest_apply_delay_s=60.0,
)
MOST_AT_ONCE: Final = 100
"""Objects that one batch or one page of the API holds."""


class WooSettings(ConnectorSettings, frozen=True, kw_only=True):
    """What an operator sets for one shop."""

    base_url: Annotated[
        str,
        Meta(
            pattern=r"^(https://[^\s?#]+|http://(127\.0\.0\.1|localhost)(:\d+)?)$",
            description="the shop's own address; https, since the keys go with every call",
        ),
    ]
    consumer_key: Annotated[Secret, Meta(description="REST API key of the shop, read and write")]
    consumer_secret: Annotated[Secret, Meta(description="the secret of that key")]
    webhook_secrets: Annotated[
        tuple[Secret, ...],
        Meta(description="secrets its webhooks are signed with; several while one is replaced"),
    ] = ()
    webhook_url: Annotated[
        str,
        Meta(
            pattern=r"^(https://[^\s?#]+|http://(127\.0\.0\.1|localhost)(:\d+)?(/[^\s?#]*)?)?$",
            description="where its webhooks go, https://YOUR-HUB/v1/hooks/SYSTEM; then those that"
            " are missing are made; empty: somebody else makes them",
        ),
    ] = ""
    webhook_look_s: Annotated[
        int,
        Meta(
            ge=10,
            le=86_400,
            description="seconds between two looks at the webhooks, which are switched on again"
            " where the shop has disabled them",
        ),
    ] = 600
    channel: OwnChannel = ""
    listings: Annotated[
        Literal["sku", "id"],
        Meta(
            description="what a listing is called by: its SKU, or PRODUCT or PRODUCT:VARIATION id"
        ),
    ] = "sku"
    sold: Annotated[
        tuple[str, ...],
        Meta(
            min_length=1, description="states in which an order claims stock, unpaid ones as well"
        ),
    ] = ("pending", "on-hold", "processing", "completed", "refunded")
    cancelled: Annotated[
        tuple[str, ...], Meta(description="states in which nothing of an order is wanted any more")
    ] = ("cancelled", "failed", "trash")
    overlap_s: Annotated[
        int,
        Meta(
            ge=1,
            le=3600,
            description="seconds that each poll goes back for orders the shop wrote down late",
        ),
    ] = 60
    page_size: Annotated[
        int, Meta(ge=1, le=MOST_AT_ONCE, description="orders and products asked for at once")
    ] = MOST_AT_ONCE
    max_body_bytes: WebhookBytes = 1_048_576
    batch_size: Annotated[int, Meta(ge=1, le=MOST_AT_ONCE, description="levels in one call")] = (
        LIMITS.batch_size
    )
    calls_per_s: CallsPerS = LIMITS.calls_per_s
    burst: Burst = LIMITS.burst
    concurrency: Concurrency = LIMITS.concurrency
    timeout_s: TimeoutS = LIMITS.timeout_s
    longest_apply_delay_s: ApplyDelayS = LIMITS.longest_apply_delay_s


DECLARATION: Final[Declaration[WooSettings]] = Declaration(
    name="woocommerce",
    roles=("shop",),
    summary="A WooCommerce shop, by its REST API v3.",
    settings=WooSettings,
    limits=LIMITS,
    capabilities=Capabilities(
        read_back=True,
        order_watermark=True,
        webhooks=True,
        documents=("shipment", "cancellation", "refund"),
    ),
    partner_docs="https://woocommerce.github.io/woocommerce-rest-api-docs/",
)

"""Shopify, declared."""

from typing import Annotated, Final, Literal

from msgspec import Meta, field

from stockwright.sdk.declaration import (
    ApplyDelayS,
    Burst,
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

Version = Literal["2026-07", "2025-10"]
MOST_AT_ONCE: Final = 250
"""Quantities that one call sets, and objects that one page or one list of ids holds."""
LIMITS: Final = Limits(
    batch_size=MOST_AT_ONCE,
    calls_per_s=4.0,
    burst=20,
    concurrency=2,
    timeout_s=25.0,
    longest_apply_delay_s=60.0,
)
Number = Annotated[str, Meta(pattern=r"^\d{1,19}$")]


class ShopifySettings(ConnectorSettings, frozen=True, kw_only=True):
    """What an operator sets for one shop."""

    base_url: Annotated[
        str,
        Meta(
            pattern=r"^(https://[^\s?#/]+|http://(127\.0\.0\.1|localhost)(:\d+)?)$",
            description="the shop's own address, https://NAME.myshopify.com",
        ),
    ]
    access_token: Annotated[
        Secret | None,
        Meta(
            description="Admin API access token of an app that has a lasting one; or give "
            "client_id and client_secret"
        ),
    ] = None
    client_id: Annotated[
        str,
        Meta(
            max_length=100,
            description="client id of an app of the Dev Dashboard, whose tokens are fetched as "
            "they end",
        ),
    ] = ""
    client_secret: Annotated[
        Secret | None, Meta(description="client secret of that app, which is exchanged for tokens")
    ] = None
    api_version: Annotated[Version, Meta(description="version of the Admin API that is spoken")] = (
        "2026-07"
    )
    location: Annotated[
        str,
        Meta(
            pattern=r"^\d{0,19}$",
            description="id of the shop's location that shows levels of the channel as a whole",
        ),
    ] = ""
    locations: Annotated[
        dict[str, Number],
        Meta(description="our location codes and the ids of the shop's locations they are"),
    ] = field(default_factory=dict)
    webhook_secrets: Annotated[
        tuple[Secret, ...],
        Meta(
            description="the app's client secrets, which sign its webhooks; several while one is "
            "replaced"
        ),
    ] = ()
    webhook_url: Annotated[
        str,
        Meta(
            pattern=r"^(|https://[^\s?#]+|http://(127\.0\.0\.1|localhost)(:\d+)?/[^\s?#]*)$",
            description="where its webhooks go, https://YOUR-HUB/v1/hooks/SYSTEM; then they are "
            "made, and again where the shop removed them; empty: the app's own configuration says",
        ),
    ] = ""
    webhook_look_s: Annotated[
        int, Meta(ge=10, le=86_400, description="seconds between two looks at the webhooks")
    ] = 600
    channel: OwnChannel = ""
    listings: Annotated[
        Literal["sku", "variant"],
        Meta(description="what a listing is called by: its SKU, or the variant's id"),
    ] = "sku"
    test_orders: Annotated[
        bool, Meta(description="whether orders that the shop marks as tests claim stock")
    ] = False
    returns_at: Annotated[
        str,
        Meta(
            max_length=128,
            description="our code of the place where goods came that the shop refunds as returned; "
            "empty: the warehouse tells of them",
        ),
    ] = ""
    cancelling_pays_back: Annotated[
        bool,
        Meta(description="whether a cancelled order is paid back at once, by its own payments"),
    ] = False
    notify_customers: Annotated[
        bool, Meta(description="whether the shop writes to customers of what we tell it")
    ] = True
    overlap_s: Annotated[
        int,
        Meta(
            ge=1,
            le=3600,
            description="seconds that each poll goes back for orders the shop's search learnt late",
        ),
    ] = 120
    page_size: Annotated[int, Meta(ge=1, le=12, description="orders asked for at once")] = 10
    max_body_bytes: WebhookBytes = 2_097_152
    batch_size: Annotated[int, Meta(ge=1, le=MOST_AT_ONCE, description="levels in one call")] = (
        LIMITS.batch_size
    )
    calls_per_s: Annotated[
        float, Meta(gt=0, le=200, description="calls per second, on average")
    ] = LIMITS.calls_per_s
    burst: Burst = LIMITS.burst
    concurrency: Concurrency = LIMITS.concurrency
    timeout_s: TimeoutS = LIMITS.timeout_s
    longest_apply_delay_s: ApplyDelayS = LIMITS.longest_apply_delay_s

    def __post_init__(self) -> None:
        # Lint has no values of secrets: what counts is whether they are given.
        by_token, by_app = self.access_token is not None, self.client_secret is not None
        if by_token == by_app or bool(self.client_id) != by_app:
            raise ValueError("give either access_token, or client_id and client_secret")

    @property
    def credential(self) -> str:
        """The setting that an operator looks at where the shop lets us in or on no further."""
        return "access_token" if self.access_token is not None else "client_secret"


DECLARATION: Final[Declaration[ShopifySettings]] = Declaration(
    name="shopify",
    roles=("shop",),
    summary="A Shopify shop, by its Admin GraphQL API.",
    settings=ShopifySettings,
    limits=LIMITS,
    capabilities=Capabilities(
        read_back=True,
        compare_and_set=True,
        order_watermark=True,
        idempotency_keys=True,
        webhooks=True,
        documents=("shipment", "cancellation", "refund"),
    ),
    partner_docs="https://shopify.dev/docs/api/admin-graphql",
)

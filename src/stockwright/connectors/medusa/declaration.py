"""Medusa, declared."""

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

MOST_AT_ONCE: Final = 200
"""Levels in one call: their JSON stays well below the 100 kB that the shop reads."""
LIMITS: Final = Limits(
    batch_size=MOST_AT_ONCE,
    calls_per_s=10.0,
    burst=20,
    concurrency=2,
    timeout_s=20.0,
    longest_apply_delay_s=60.0,
)
StockLocation = Annotated[str, Meta(pattern=r"^sloc_\w{1,64}$")]


class MedusaSettings(ConnectorSettings, frozen=True, kw_only=True):
    """What an operator sets for one shop."""

    base_url: Annotated[
        str,
        Meta(
            pattern=r"^(https://[^\s?#]+|http://(127\.0\.0\.1|localhost)(:\d+)?(/[^\s?#]*)?)$",
            description="the server's own address; https, since the credentials go with the calls",
        ),
    ]
    api_key: Annotated[
        Secret | None, Meta(description="secret API key; or give email and password")
    ] = None
    email: Annotated[
        str, Meta(max_length=320, description="an admin user's e-mail address, with password")
    ] = ""
    password: Annotated[Secret | None, Meta(description="the password of that user")] = None
    webhook_secrets: Annotated[
        tuple[Secret, ...],
        Meta(
            description="secrets that our subscriber in the shop signs with; several while one is "
            "replaced"
        ),
    ] = ()
    channel: OwnChannel = ""
    sales_channels: Annotated[
        tuple[str, ...],
        Meta(
            max_length=20,
            description="ids of the sales channels whose orders are ours; empty: of all",
        ),
    ] = ()
    listings: Annotated[
        Literal["sku", "item", "variant"],
        Meta(
            description="what a listing is called by: the SKU of its inventory item, the item's id,"
            " or the id of the variant"
        ),
    ] = "sku"
    location: Annotated[
        str,
        Meta(
            pattern=r"^(sloc_\w{1,64})?$",
            description="id of the stock location that shows levels of the channel as a whole",
        ),
    ] = ""
    locations: Annotated[
        dict[str, StockLocation],
        Meta(description="our location codes and the ids of the stock locations they are"),
    ] = field(default_factory=dict)
    returns: Annotated[
        bool,
        Meta(
            description="whether goods that are received back in the shop are told as return "
            "receipts"
        ),
    ] = True
    notify_customers: Annotated[
        bool, Meta(description="whether the shop writes to customers of what we tell it")
    ] = True
    overlap_s: Annotated[
        int,
        Meta(
            ge=1,
            le=3600,
            description="seconds that each poll goes back for orders the shop wrote down late",
        ),
    ] = 30
    settle_s: Annotated[
        int,
        Meta(
            ge=0,
            le=600,
            description="seconds that a poll leaves alone at the end: an order whose checkout "
            "fails stands there for a moment",
        ),
    ] = 10
    page_size: Annotated[int, Meta(ge=1, le=200, description="orders asked for at once")] = 20
    max_body_bytes: WebhookBytes = 1_048_576
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
        by_key, by_password = self.api_key is not None, self.password is not None
        if by_key == by_password or bool(self.email) != by_password:
            raise ValueError("give either api_key, or email and password")
        if not self.location and not self.locations:
            raise ValueError("give location, or locations, or both: where levels are shown")


DECLARATION: Final[Declaration[MedusaSettings]] = Declaration(
    name="medusa",
    roles=("shop",),
    summary="A Medusa shop (v2), by its Admin API.",
    settings=MedusaSettings,
    limits=LIMITS,
    capabilities=Capabilities(
        read_back=True,
        order_watermark=True,
        webhooks=True,
        documents=("shipment", "cancellation", "refund"),
        levels_are="gross",
    ),
    partner_docs="https://docs.medusajs.com/api/admin",
)

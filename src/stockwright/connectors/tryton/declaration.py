"""Tryton, declared."""

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from stockwright.sdk.declaration import Capabilities, ConnectorSettings, Declaration, Limits
from stockwright.sdk.secrets import Secret

LIMITS: Final = Limits(
    batch_size=500,
    calls_per_s=5.0,
    burst=10,
    concurrency=2,
    timeout_s=30.0,
    longest_apply_delay_s=60.0,
)
MOST_AT_ONCE: Final = 1_000
"""Records asked for in one call; the server reads so many in about a second."""


class Measure(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a unit of measure of Tryton is counted in whole units: one holds `factor` of `unit`."""

    unit: Annotated[str, Meta(min_length=1, max_length=128, description="our base unit, as g")]
    factor: Annotated[
        int, Meta(ge=1, le=1_000_000, description="how many of them one unit of Tryton holds")
    ]


class TrytonSettings(ConnectorSettings, frozen=True, kw_only=True):
    """What an operator sets for one database of a Tryton server."""

    base_url: Annotated[
        str,
        Meta(
            pattern=r"^(https://[^\s?#]+|http://(127\.0\.0\.1|localhost)(:\d+)?)$",
            description="the server's address, without the database; https, since the"
            " credentials go with every call",
        ),
    ]
    database: Annotated[
        str, Meta(pattern=r"^[^\s/?#]+$", description="the name of the database on that server")
    ]
    key: Annotated[
        Secret | None,
        Meta(description="key of a user application for REST; or give `user` and `password`"),
    ] = None
    user: Annotated[
        str, Meta(max_length=128, description="login for JSON-RPC, where there is no `key`")
    ] = ""
    password: Annotated[Secret | None, Meta(description="the password of that login")] = None
    version: Annotated[
        Literal["8", "6.0"],
        Meta(description="the series of the server: 8 (8.2 and later of 8), or 6.0 as a legacy"),
    ] = "8"
    company: Annotated[
        int,
        Meta(ge=0, description="the company's number in Tryton; 0: all that the login may see"),
    ] = 0
    places: Annotated[
        tuple[str, ...],
        Meta(
            description="codes of the warehouses and locations that are read, each with all below"
            " it; empty: every warehouse"
        ),
    ] = ()
    since: Annotated[
        dt.date | None,
        Meta(description="moves of earlier days are not read; none: all there are"),
    ] = None
    returns: Annotated[
        Literal["inspection", "sellable"],
        Meta(description="where goods lie that customers sent back, until something else is told"),
    ] = "inspection"
    lots: Annotated[
        bool, Meta(description="whether the module `stock_lot` is installed, and lots are read")
    ] = False
    measures: Annotated[
        Mapping[str, Measure],
        Meta(description="by the symbol of a unit of Tryton that is not counted in pieces, as kg"),
    ] = {}
    overlap_s: Annotated[
        int,
        Meta(
            ge=1,
            le=86_400,
            description="seconds that each poll goes back for moves that were committed late",
        ),
    ] = 600
    page_size: Annotated[
        int, Meta(ge=1, le=MOST_AT_ONCE, description="records asked for at once")
    ] = 500
    calls_per_s: Annotated[float, Meta(gt=0, description="calls per second, on average")] = (
        LIMITS.calls_per_s
    )
    burst: Annotated[int, Meta(ge=1, description="calls at once after a rest")] = LIMITS.burst
    concurrency: Annotated[int, Meta(ge=1, le=20, description="calls under way at one time")] = (
        LIMITS.concurrency
    )
    timeout_s: Annotated[
        float, Meta(gt=0, le=60, description="seconds until a call is given up")
    ] = LIMITS.timeout_s

    def __post_init__(self) -> None:
        """Raises ValueError where nobody could log in."""
        if self.key is None and not (self.user and self.password is not None):
            raise ValueError("give key, or user and password")
        if self.key is not None and self.version == "6.0":
            raise ValueError("version 6.0 has no REST: give user and password instead of key")


DECLARATION: Final = Declaration(
    name="tryton",
    roles=("erp",),
    summary="A Tryton ERP: stock moves, quantities, items and expected receipts in",
    settings=TrytonSettings,
    limits=LIMITS,
    capabilities=Capabilities(),
    partner_docs="https://docs.tryton.org/latest/",
)

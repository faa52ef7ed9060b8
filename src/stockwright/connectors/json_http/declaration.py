"""The generic JSON-over-HTTP channel, declared."""

from typing import Annotated, Literal

from msgspec import Meta

from stockwright.connectors.json_http.answers import Answer
from stockwright.connectors.json_http.mapping import DEFAULT_RULES
from stockwright.sdk.declaration import Capabilities, ConnectorSettings, Declaration, Limits
from stockwright.sdk.mapping import Rule, located
from stockwright.sdk.outbound import Out, by_element, check_kinds, readable
from stockwright.sdk.secrets import Secret

LIMITS = Limits(
    batch_size=100,
    calls_per_s=10.0,
    burst=20,
    concurrency=4,
    timeout_s=10.0,
    longest_apply_delay_s=30.0,
)


class JsonHttpSettings(ConnectorSettings, frozen=True, kw_only=True):
    """What an operator sets for one partner."""

    base_url: Annotated[
        str,
        Meta(
            pattern=r"^https?://[^\s?#]+$",
            description="where the partner answers, such as https://shop.example/stock/v1",
        ),
    ]
    token: Annotated[
        Secret | None,
        Meta(description="sent as `Authorization: Bearer ...`; env:NAME or file:PATH"),
    ] = None
    webhook_secrets: Annotated[
        tuple[Secret, ...],
        Meta(description="secrets its webhooks are signed with; several while one is replaced"),
    ] = ()
    channel: Annotated[
        str,
        Meta(
            max_length=128, description="the channel its orders belong to; empty: the system's code"
        ),
    ] = ""
    publish_method: Annotated[Literal["PUT", "POST"], Meta(description="how levels are sent")] = (
        "PUT"
    )
    levels_path: Annotated[
        str, Meta(pattern=r"^/", description="where levels are written and read back")
    ] = "/levels"
    orders_path: Annotated[
        str, Meta(pattern=r"^(/.*)?$", description="where orders are polled; empty: they are not")
    ] = "/orders"
    rules: Annotated[
        tuple[Rule, ...],
        Meta(min_length=1, description="how messages become facts; see the rules of mapping"),
    ] = DEFAULT_RULES
    out: Annotated[
        tuple[Out, ...],
        Meta(description="forms of what goes out, one for each kind; none: our own form"),
    ] = ()
    answer: Annotated[
        Answer | None,
        Meta(description="where a batch's results stand in the answer; none: in our own form"),
    ] = None
    documents_path: Annotated[
        str,
        Meta(
            pattern=r"^(/.*)?$",
            description="where documents go, with {kind} and {order}; empty: none do",
        ),
    ] = ""
    documents_method: Annotated[
        Literal["POST", "PUT"], Meta(description="how documents are sent")
    ] = "POST"
    documents_reference: Annotated[
        str, Meta(pattern=r"^\$", description="where an answer names the document by the partner")
    ] = "$.reference"
    event_type: Annotated[
        str, Meta(pattern=r"^\$", description="where a message says what it is")
    ] = "$.type"
    ignore: Annotated[
        tuple[str, ...], Meta(description="types of message that say nothing about stock")
    ] = ()
    raw_key: Annotated[
        str,
        Meta(
            pattern=r"^(\$.*)?$",
            description="path of the key whose messages keep their order; empty: none wait",
        ),
    ] = ""
    page_size: Annotated[int, Meta(ge=1, le=1000, description="orders asked for in one poll")] = 100
    max_body_bytes: Annotated[
        int, Meta(ge=1024, le=33_554_432, description="largest webhook that is accepted")
    ] = 1_048_576
    batch_size: Annotated[int, Meta(ge=1, le=10_000, description="levels in one call")] = (
        LIMITS.batch_size
    )
    calls_per_s: Annotated[
        float, Meta(gt=0, le=1_000, description="calls per second, on average")
    ] = LIMITS.calls_per_s
    burst: Annotated[int, Meta(ge=1, le=10_000, description="calls at once after a rest")] = (
        LIMITS.burst
    )
    concurrency: Annotated[int, Meta(ge=1, le=100, description="calls under way at one time")] = (
        LIMITS.concurrency
    )
    timeout_s: Annotated[
        float, Meta(gt=0, le=60, description="seconds until a call is given up")
    ] = LIMITS.timeout_s
    longest_apply_delay_s: Annotated[
        float,
        Meta(ge=0, le=3600, description="seconds in which a given-up call may still be applied"),
    ] = LIMITS.longest_apply_delay_s

    def __post_init__(self) -> None:
        check_kinds(self.out)
        for index, out in enumerate(self.out):
            _check_calls(out, f"out[{index}]", self.batch_size)
            if out.kind != "level" and not self.documents_path:
                reason = f"a {out.kind} has a form but goes nowhere: set documents_path"
                raise located(reason, f"out[{index}]", "kind")


def _check_calls(out: Out, where: str, batch_size: int) -> None:
    """A message is one call, and levels are read back in the form they are written in."""
    if by_element(out) and not out.each and (out.kind != "level" or batch_size > 1):
        fix = "or set batch_size to 1" if out.kind == "level" else "or say nothing of lines"
        what = "level" if out.kind == "level" else "line"
        raise located(f"each must name the list that each {what} goes to, {fix}", where)
    lacking = {"listing", "quantity"} - set(readable(out)) if out.kind == "level" else set()
    if lacking:
        names = " and ".join(sorted(lacking))
        reason = f"{names} cannot be read back from this form: put them somewhere by themselves"
        raise located(reason, where)


DECLARATION: Declaration[JsonHttpSettings] = Declaration(
    name="json_http",
    roles=("shop", "marketplace", "erp", "wms", "3pl", "store", "pos", "planning"),
    summary="Any partner that takes levels and tells orders as JSON over HTTP.",
    settings=JsonHttpSettings,
    limits=LIMITS,
    capabilities=Capabilities(
        versioned_writes=True,
        read_back=True,
        order_watermark=True,
        webhooks=True,
        documents=("shipment", "cancellation", "refund"),
    ),
    partner_docs="docs/reference/connectors/json-http.md",
)

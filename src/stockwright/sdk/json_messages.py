"""JSON messages into facts: the rules that apply unless a connection brings others."""

from collections.abc import Mapping
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from stockwright.domain.events import Fact
from stockwright.sdk.json_text import read_json
from stockwright.sdk.local_time import WallClock
from stockwright.sdk.mapping import Rule, map_document, text_at
from stockwright.sdk.messages import Failure, Mapped, Payload
from stockwright.sdk.sources import Style

_ORDER_LINE: Final = {
    "line": "@.line",
    "item": "@.sku",
    "quantity": "@.quantity",
    "unit": "@.unit?",
    "location": "@.location | $.data.location?",
    "occurred_at": "$.data.occurred_at | $.timestamp?",
    "channel": "$.data.channel?",
}
_GOODS_LINE: Final = {
    "document": "$.data.document",
    "line": "@.line | #",
    "item": "@.sku",
    "quantity": "@.quantity",
    "unit": "@.unit?",
    "location": "@.location | $.data.location?",
    "lot": "@.lot?",
    "expires_on": "@.expires_on?",
    "occurred_at": "@.occurred_at | $.data.occurred_at | $.timestamp?",
    "revision": "$.data.revision?",
    "reason": "@.reason | $.data.reason?",
}
_OF_AN_ORDER: Final = {
    "order": "@.order | $.data.order?",
    "order_line": "@.order_line?",
    "order_system": "$.data.order_system?",
}
_GOODS_EXTRAS: Final[Mapping[str, Mapping[str, str]]] = {
    "receipt": {},
    "shipment": {**_OF_AN_ORDER, "final": "@.final?"},
    "pos_sale": {},
    "return_receipt": _OF_AN_ORDER,
    "adjustment": {"bucket": "@.bucket?"},
    "count": {"bucket": "@.bucket?", "position": "$.data.position?"},
    "transfer_out": {"to_location": "$.data.to_location?", "transfer": "$.data.transfer?"},
    "transfer_in": {"transfer": "$.data.transfer?"},
    "damage": {},
    "scrap": {"bucket": "@.bucket?"},
}

SOLD_ON_A_CHANNEL: Final = frozenset(
    {"channel_order", "channel_cancel", "pos_sale", "return_receipt"}
)

DEFAULT_RULES: Final[tuple[Rule, ...]] = (
    Rule(
        kind="channel_order",
        when={"$.type": "order.placed"},
        each="$.data.lines",
        fields={
            **_ORDER_LINE,
            "document": "$.data.order",
            "order": "$.data.order",
            "order_line": "@.line",
        },
    ),
    Rule(
        kind="channel_cancel",
        when={"$.type": "order.cancelled"},
        each="$.data.lines",
        fields={
            **_ORDER_LINE,
            "document": "$.data.cancellation | $.data.order",
            "order": "$.data.order",
            "order_line": "@.line",
            "reason": "$.data.reason?",
        },
    ),
    Rule(
        kind="return_receipt",
        when={"$.type": "order.returned"},
        each="$.data.lines",
        fields={
            **_ORDER_LINE,
            "document": "$.data.return",
            "order": "$.data.order",
            "order_line": "@.order_line | @.line",
            "reason": "$.data.reason?",
        },
    ),
    *(
        Rule(
            kind=kind,  # type: ignore[arg-type]
            when={"$.type": f"stock.{kind}"},
            each="$.data.lines",
            fields={**_GOODS_LINE, **extras},
        )
        for kind, extras in _GOODS_EXTRAS.items()
    ),
)


def map_message(
    payload: Payload,
    rules: tuple[Rule, ...],
    ignore: tuple[str, ...],
    event_type: str,
    zone: ZoneInfo,
    channel: str,
) -> list[Mapped]:
    """One message into its facts, in its own order; [] for a type that is ignored.

    The channel is set where the rules leave it empty and the kind of fact belongs to one.
    """
    try:
        root = read_json(payload.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        reason = "is nested too deep" if isinstance(error, RecursionError) else f"no JSON: {error}"
        return [Mapped(place="$", item=Failure(path="$", reason=reason))]
    if ignore and text_at(root, event_type) in ignore:
        return []
    mapped = map_document(rules, root, WallClock(zone), Style())
    return [_on_channel(part, channel) for part in mapped]


def _on_channel(part: Mapped, channel: str) -> Mapped:
    item = part.item
    if not isinstance(item, Fact) or item.channel or item.kind not in SOLD_ON_A_CHANNEL:
        return part
    return Mapped(place=part.place, item=msgspec.structs.replace(item, channel=channel))


def key_of(body: bytes, path: str) -> str:
    """The raw key of a message; '' where none is declared or none can be read."""
    if not path:
        return ""
    try:
        return text_at(read_json(body), path)[:128]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return ""

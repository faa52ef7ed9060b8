"""Documents out: what was shipped, cancelled and paid back, each told once under its key.

The store keeps no keys of ours. So a document leaves its key behind, in the comments of a shipment
or in the reason of a refund, and is looked for before it is told again.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from stockwright.connectors.bigcommerce.api import Api
from stockwright.connectors.bigcommerce.declaration import BigSettings
from stockwright.connectors.bigcommerce.mapping import PRODUCT
from stockwright.domain.errors import Throttled, Transient
from stockwright.sdk.calling import WAIT_S
from stockwright.sdk.messages import (
    Cancellation,
    Delivered,
    Document,
    DocumentLine,
    InDoubt,
    Refund,
    Refused,
    Retry,
    Shipment,
    SubmitResult,
)
from stockwright.sdk.transports import HttpResponse

CANCELLED: Final = 5


class _Unknown(Exception):
    """The store has no such order or line. Stays inside."""


class _Product(msgspec.Struct):
    id: int
    order_address_id: int


class _Shipment(msgspec.Struct):
    id: int
    order_address_id: int
    comments: str | None = None


async def submit(api: Api, settings: BigSettings, document: Document) -> SubmitResult:
    """Tells the store of one document. Raises Misconfigured."""
    try:
        order = await _order(api, document.order)
        if isinstance(document, Shipment):
            return await _ship(api, settings, document)
        if isinstance(document, Refund):
            return await _refund(api, document)
        return await _cancel(api, order, document)
    except _Unknown as unknown:
        return Refused(reason="unknown_order", message=str(unknown))
    except Throttled as error:
        return Retry(retry_after_s=error.retry_after_s, reason=str(error))
    except Transient as error:  # asked only: a write is judged, and raises nothing
        return Retry(retry_after_s=WAIT_S, reason=str(error))


async def _order(api: Api, number: str) -> Mapping[str, Any]:
    if not (number.isascii() and number.isdigit()):
        raise _Unknown(f"the store has no order {number!r}")
    response = await api.send("GET", f"/v2/orders/{number}")
    if response.status in (204, 404):
        raise _Unknown(f"the store has no order {number!r}")
    api.expect(response, "GET order")
    return api.decode(response.body, dict[str, Any], "GET order")


# ---------------------------------------------------------------- shipments


async def _ship(api: Api, settings: BigSettings, shipment: Shipment) -> SubmitResult:
    """One shipment for each address that lines of it go to."""
    path = f"/v2/orders/{shipment.order}"
    addresses = await _addresses(api, f"{path}/products", shipment.lines)
    told = {
        one.order_address_id: str(one.id)
        for one in await api.v2_all(f"{path}/shipments", _Shipment)
        if f"[{shipment.key}]" in (one.comments or "")
    }
    for address, lines in addresses.items():
        if address in told:
            continue
        body = _shipment_of(shipment, address, lines, settings.carriers)
        answer = await api.write("POST", f"{path}/shipments", json=body)
        if not isinstance(answer, HttpResponse):
            return answer
        try:
            made = api.decode(answer.body, _Shipment, "POST shipment")
        except Transient as error:
            return InDoubt(reason=str(error))
        told[address] = str(made.id)
    return Delivered(reference=",".join(told[address] for address in addresses))


async def _addresses(
    api: Api, path: str, lines: Sequence[DocumentLine]
) -> dict[int, list[DocumentLine]]:
    products = {str(one.id): one for one in await api.v2_all(path, _Product)}
    found: dict[int, list[DocumentLine]] = {}
    for line in lines:
        if line.line not in products:
            raise _Unknown(f"the order has no line {line.line!r}")
        found.setdefault(products[line.line].order_address_id, []).append(line)
    return found


def _shipment_of(
    shipment: Shipment, address: int, lines: Sequence[DocumentLine], carriers: Mapping[str, str]
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "order_address_id": address,
        "tracking_number": shipment.tracking,
        "comments": f"[{shipment.key}]",
        "items": [
            {"order_product_id": int(line.line), "quantity": line.quantity} for line in lines
        ],
    }
    if shipment.carrier:
        body["shipping_method"] = shipment.carrier
    if shipment.carrier in carriers:
        body["tracking_carrier"] = carriers[shipment.carrier]
    if shipment.tracking_url:
        body["tracking_link"] = shipment.tracking_url
    return body


# ---------------------------------------------------------------- cancellations and refunds


async def _cancel(api: Api, order: Mapping[str, Any], document: Cancellation) -> SubmitResult:
    if document.lines:
        message = "the store cancels whole orders only: cancel all of it, or refund these lines"
        return Refused(reason="no_partial_cancellation", message=message)
    if order.get("status_id") == CANCELLED:
        return Delivered(reference=document.order)
    path = f"/v2/orders/{document.order}"
    answer = await api.write("PUT", path, json={"status_id": CANCELLED})
    return Delivered(reference=document.order) if isinstance(answer, HttpResponse) else answer


async def _refund(api: Api, document: Refund) -> SubmitResult:
    actions = f"/v3/orders/{document.order}/payment_actions"
    for one in await api.every(f"{actions}/refunds", dict[str, Any], size=250):
        reasons = [item.get("reason") for item in one.get("items") or () if isinstance(item, dict)]
        if any(f"[{document.key}]" in str(reason) for reason in reasons):
            return Delivered(reference=str(one.get("id", "")))
    items = _items(document)
    quote = await _quote(api, actions, items)
    if not isinstance(quote, dict):
        return quote
    if document.amount is not None and _money(quote.get("total_refund_amount")) != document.amount:
        items = [{**_reason(document), **_order_level(document)}]
        quote = await _quote(api, actions, items)
        if not isinstance(quote, dict):
            return quote
    payments = _payments(quote)
    if payments is None:
        message = "the store offers no way to pay the refund: look at the order's payments there"
        return Refused(reason="no_refund_method", message=message)
    told = {"items": items, "payments": payments}
    answer = await api.write("POST", f"{actions}/refunds", json=told)
    if not isinstance(answer, HttpResponse):
        return answer
    try:
        made = api.decode(answer.body, dict[str, Any], "POST refund")
        return Delivered(reference=str(made["data"]["id"]))
    except (Transient, KeyError, TypeError):
        return InDoubt(reason="the store's answer to a refund cannot be read")


async def _quote(
    api: Api, actions: str, items: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | Refused | Retry:
    """What a refund of these items comes to, and how it may be paid. It changes nothing."""
    asked = [{name: item[name] for name in item if name != "reason"} for item in items]
    answer = await api.write("POST", f"{actions}/refund_quotes", json={"items": asked})
    if isinstance(answer, InDoubt):
        return Retry(retry_after_s=WAIT_S, reason=answer.reason)
    if not isinstance(answer, HttpResponse):
        return answer
    found = api.decode(answer.body, dict[str, Any], "POST refund quote").get("data")
    if not isinstance(found, dict):
        raise Transient("the store's quote of a refund cannot be read")
    return found


def _items(document: Refund) -> list[dict[str, Any]]:
    return [
        {
            **_reason(document),
            "item_type": PRODUCT,
            "item_id": _line_id(line),
            "quantity": line.quantity,
        }
        for line in document.lines
    ]


def _order_level(document: Refund) -> dict[str, Any]:
    """An amount that is not that of the units: paid back on the order as a whole."""
    return {
        "item_type": "ORDER",
        "item_id": int(document.order),
        "amount": float(document.amount or 0),
    }


def _reason(document: Refund) -> dict[str, str]:
    return {"reason": f"{document.reason} [{document.key}]".strip()}


def _line_id(line: DocumentLine) -> int:
    if not (line.line.isascii() and line.line.isdigit()):
        raise _Unknown(f"the order has no line {line.line!r}")
    return int(line.line)


def _payments(quote: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The first way that pays the customer by what they paid with, else the first there is."""
    ways = [way for way in quote.get("refund_methods") or () if isinstance(way, list) and way]
    if not ways:
        return None
    back = [way for way in ways if all(one.get("provider_id") != "storecredit" for one in way)]
    return [
        {
            "provider_id": one.get("provider_id"),
            "amount": one.get("amount"),
            "offline": bool(one.get("offline")),
        }
        for one in (back or ways)[0]
    ]


def _money(found: Any) -> Decimal | None:
    try:
        return Decimal(str(found))
    except InvalidOperation:
        return None

"""Documents out: what was shipped, cancelled and paid back, each told once.

Refunds and cancellations are looked for by our key or by the order's state. A fulfilment keeps no
key of ours: it is known again by its tracking number and its lines, and our key stands for the
tracking number where there is none.
"""

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from stockwright.connectors.shopify.declaration import ShopifySettings
from stockwright.connectors.shopify.ids import gid, number_of
from stockwright.connectors.shopify.paced import Paced
from stockwright.connectors.shopify.queries import (
    CANCEL,
    FULFILLED,
    OPEN_LINES,
    SHIP,
    TO_CANCEL,
    TO_REFUND,
    TO_SHIP,
    has_keys,
    pay_back,
)
from stockwright.connectors.shopify.reading import each_page, nodes_of, value_at
from stockwright.domain.errors import Misconfigured, Throttled, Transient
from stockwright.sdk.calling import WAIT_S
from stockwright.sdk.graphql import Told
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

REASONS: Final = frozenset({"CUSTOMER", "DECLINED", "FRAUD", "INVENTORY", "STAFF"})
_OPEN: Final = frozenset({"OPEN", "IN_PROGRESS"})
_OVER: Final = frozenset({"CANCELLED", "ERROR", "FAILURE"})
_RIGHTS: Final = frozenset({"NO_REFUND_PERMISSION", "NO_REFUND_TO_STORE_CREDIT_PERMISSION"})
_LOOKS_S: Final = (0.0, 0.3, 1.0)
"""Pauses before the looks at an order that is being cancelled."""
_SPACE: Final = uuid.UUID("6b3f7a52-0c1d-5a80-9a3e-2f1c58d3e7b4")
"""Our keys become UUIDs in this name space: the shop asks for such."""


class _Refusal(Exception):
    """The shop will not have it, as we can tell before we ask. Stays inside."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.told = Refused(reason=reason, message=message)


class _NoRight(Exception):
    """The app lacks the right for this document. Stays inside."""


async def submit(shop: Paced, settings: ShopifySettings, document: Document) -> SubmitResult:
    """Tells the shop of one document. Raises Misconfigured."""
    try:
        if isinstance(document, Shipment):
            return await _ship(shop, settings, document)
        if isinstance(document, Cancellation) and not document.lines:
            return await _cancel(shop, settings, document)
        return await _refund(shop, settings, document)
    except _Refusal as refusal:
        return refusal.told
    except _NoRight as error:
        raise Misconfigured(settings.credential, str(error)) from None
    except Throttled as error:
        return Retry(retry_after_s=error.retry_after_s, reason=str(error))
    except Transient as error:  # asked only: a write is judged, and raises nothing
        return Retry(retry_after_s=WAIT_S, reason=str(error))


async def _order(
    shop: Paced, query: str, number: str, more: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    if not (number.isascii() and number.isdigit()):
        raise _Refusal("unknown_order", f"{number!r} is no number of an order of the shop")
    data = await shop.ask(query, {"id": gid("Order", number), **(more or {})})
    order = data.get("order")
    if not isinstance(order, dict):
        raise _Refusal("unknown_order", f"the shop has no order {number!r}")
    return order


# ------------------------------------------------------------ shipments


async def _ship(shop: Paced, settings: ShopifySettings, shipment: Shipment) -> SubmitResult:
    order = await _order(shop, TO_SHIP, shipment.order)
    tracking = shipment.tracking or shipment.key
    wanted: dict[str, int] = {}
    for line in shipment.lines:
        wanted[line.line] = wanted.get(line.line, 0) + line.quantity
    told = await _told(shop, order, tracking)
    known = [one for one in told if one[1].items() <= wanted.items()]
    for _, lines in known:
        wanted = {line: units - lines.get(line, 0) for line, units in wanted.items()}
    references = [number for number, _ in known]
    place = settings.locations.get(shipment.location, "")
    for group in await _groups(shop, order, wanted, place):
        fulfillment = {
            "notifyCustomer": settings.notify_customers,
            "trackingInfo": _tracking(shipment, tracking),
            "lineItemsByFulfillmentOrder": group,
        }
        answer = await shop.change(SHIP, {"fulfillment": fulfillment})
        result = _outcome(answer, "fulfillmentCreate", "fulfillment")
        if not isinstance(result, Delivered):
            return result
        references.append(result.reference)
    return Delivered(reference=",".join(references))


def _tracking(shipment: Shipment, number: str) -> dict[str, str]:
    told = {"number": number, "company": shipment.carrier, "url": shipment.tracking_url}
    return {name: value for name, value in told.items() if value}


async def _told(
    shop: Paced, order: Mapping[str, Any], tracking: str
) -> list[tuple[str, dict[str, int]]]:
    """The fulfilments under a tracking number: their numbers, and the units of each line."""
    found: list[tuple[str, dict[str, int]]] = []
    for one in order.get("fulfillments") or ():
        numbers = [value_at(info, "number") for info in one.get("trackingInfo") or ()]
        if tracking not in numbers or one.get("status") in _OVER:
            continue
        lines: dict[str, int] = {}
        path = ("fulfillment", "fulfillmentLineItems")
        async for row in each_page(shop, FULFILLED, {"id": one["id"]}, *path):
            line = number_of(value_at(row, "lineItem", "id"))
            lines[line] = lines.get(line, 0) + int(row.get("quantity") or 0)
        found.append((number_of(one.get("id")), lines))
    return found


async def _groups(
    shop: Paced, order: Mapping[str, Any], wanted: Mapping[str, int], location: str
) -> list[list[dict[str, Any]]]:
    """What is to be fulfilled, by the location of the shop's own fulfilment orders.

    Those of the shipment's own location come first. Raises _Refusal where units are not open.
    """
    left = {line: units for line, units in wanted.items() if units > 0}
    rows = [
        (number_of(value_at(one, "assignedLocation", "location", "id")), one)
        for one in nodes_of(order.get("fulfillmentOrders"))
        if one.get("status") in _OPEN
    ]
    rows.sort(key=lambda row: row[0] != location)
    groups: dict[str, list[dict[str, Any]]] = {}
    for place, one in rows:
        if not any(left.values()):
            break
        taken = await _taken(shop, str(one["id"]), left)
        if taken:
            row = {"fulfillmentOrderId": one["id"], "fulfillmentOrderLineItems": taken}
            groups.setdefault(place, []).append(row)
    if any(left.values()):
        rest = ", ".join(f"{units} of line {line}" for line, units in left.items() if units)
        raise _Refusal("not_open", f"the shop has nothing open to fulfil for {rest}")
    return list(groups.values())


async def _taken(shop: Paced, number: str, left: dict[str, int]) -> list[dict[str, Any]]:
    """What an open fulfilment order has of the units left, which become fewer."""
    taken: list[dict[str, Any]] = []
    path = ("fulfillmentOrder", "lineItems")
    async for row in each_page(shop, OPEN_LINES, {"id": number}, *path):
        line = number_of(value_at(row, "lineItem", "id"))
        units = min(left.get(line, 0), int(row.get("remainingQuantity") or 0))
        if units > 0:
            left[line] -= units
            taken.append({"id": row["id"], "quantity": units})
    return taken


# ------------------------------------------------------------ cancellations


async def _cancel(shop: Paced, settings: ShopifySettings, document: Cancellation) -> SubmitResult:
    order = await _order(shop, TO_CANCEL, document.order)
    if order.get("cancelledAt"):
        return Delivered(reference=document.order)
    reason = document.reason.strip().upper()
    variables = {
        "order": order["id"],
        "reason": reason if reason in REASONS else "OTHER",
        "refund": {"originalPaymentMethodsRefund": settings.cancelling_pays_back},
        "notify": settings.notify_customers,
        "note": f"{document.reason} [{document.key}]".strip()[:255],
    }
    answer = await shop.change(CANCEL, variables)
    result = _outcome(answer, "orderCancel", "job", "orderCancelUserErrors")
    if not isinstance(result, Delivered | Refused):
        return result
    # Accepted is not applied: the shop cancels by a job of its own, as a rule within a second. And
    # what it refuses may be so already.
    for pause_s in _LOOKS_S if isinstance(result, Delivered) else (0.0,):
        await asyncio.sleep(pause_s)
        if await _is_cancelled(shop, document.order):
            return Delivered(reference=document.order)
    if isinstance(result, Refused):
        return result
    return _cancelling(result.reference)


async def follow(shop: Paced, document: Cancellation, job: str) -> SubmitResult:
    """What became of a cancellation of a whole order that the shop accepted as a job."""
    if await _is_cancelled(shop, document.order):
        return Delivered(reference=document.order)
    return _cancelling(job)


def _cancelling(job: str) -> InDoubt:
    reason = "the shop has accepted it, and has not cancelled the order yet"
    return InDoubt(reason=reason, retry_after_s=WAIT_S, taken=True, reference=job)


async def _is_cancelled(shop: Paced, number: str) -> bool:
    """Whether an order is cancelled; False where that cannot be told now."""
    try:
        return bool((await _order(shop, TO_CANCEL, number)).get("cancelledAt"))
    except (Transient, Throttled, Misconfigured, _Refusal):
        return False


# ------------------------------------------------------------ refunds


async def _refund(
    shop: Paced, settings: ShopifySettings, document: Cancellation | Refund
) -> SubmitResult:
    """Takes units from an order; a Refund pays for them too, a Cancellation of lines does not."""
    lines = [_line(line) for line in document.lines]
    order = await _order(shop, TO_REFUND, document.order, {"lines": lines})
    mark = f"[{document.key}]"
    for one in order.get("refunds") or ():
        if mark in str(one.get("note") or ""):
            return Delivered(reference=number_of(one.get("id")))
    told: dict[str, Any] = {
        "orderId": order["id"],
        "note": f"{document.reason} {mark}".strip(),
        "notify": settings.notify_customers,
        "refundLineItems": lines,
    }
    if isinstance(document, Refund):
        told |= _payment(order, document)
    variables: dict[str, Any] = {"input": told}
    if has_keys(settings.api_version):
        variables["key"] = str(uuid.uuid5(_SPACE, document.key))
    answer = await shop.change(pay_back(settings.api_version), variables)
    return _outcome(answer, "refundCreate", "refund")


def _line(line: DocumentLine) -> dict[str, Any]:
    if not (line.line.isascii() and line.line.isdigit()):
        raise _Refusal("unknown_line", f"{line.line!r} is no number of a line of the shop")
    return {
        "lineItemId": gid("LineItem", line.line),
        "quantity": line.quantity,
        # What is on hand is ours to say: the shop is sent the level.
        "restockType": "NO_RESTOCK",
    }


def _payment(order: Mapping[str, Any], refund: Refund) -> dict[str, Any]:
    """Transactions that pay an amount back, and its currency; as the shop reckons, or as asked."""
    suggested = order.get("suggestedRefund") or {}
    total, currency = _money(suggested)
    if refund.currency and currency and refund.currency != currency:
        raise _Refusal("currency", f"the order is in {currency}, not in {refund.currency}")
    left = total if refund.amount is None else refund.amount
    transactions: list[dict[str, Any]] = []
    for one in suggested.get("suggestedTransactions") or ():
        most = _decimal(value_at(one, "maximumRefundableSet", "presentmentMoney", "amount"))
        paid = min(left, _money(one)[0] if refund.amount is None else most)
        if paid <= 0:
            continue
        left -= paid
        transactions.append(
            {
                "orderId": order["id"],
                "parentId": value_at(one, "parentTransaction", "id"),
                "gateway": one.get("gateway") or "",
                "kind": "REFUND",
                "amount": str(paid),
            }
        )
    if left > 0:
        raise _Refusal("amount", f"{left} {currency} more than the order's payments have left")
    return {"transactions": transactions, **({"currency": currency} if currency else {})}


def _money(root: Any) -> tuple[Decimal, str]:
    money = value_at(root, "amountSet", "presentmentMoney")
    return _decimal(value_at(money, "amount")), str(value_at(money, "currencyCode") or "")


def _decimal(found: Any) -> Decimal:
    try:
        return Decimal(str(found or 0))
    except InvalidOperation:
        raise Transient(f"the shop writes an amount as {str(found)[:40]!r}") from None


# ------------------------------------------------------------ answers


def _outcome(
    answer: Told | Refused | Retry | InDoubt, name: str, made: str, errors: str = "userErrors"
) -> SubmitResult:
    if not isinstance(answer, Told):
        return answer
    told = answer.data.get(name)
    found = told.get(errors) if isinstance(told, dict) else None
    if not isinstance(told, dict) or not isinstance(found, list):
        return InDoubt(reason="the shop's answer cannot be read")
    if found:
        return _error(found)
    number = value_at(told, made, "id")
    if not number:
        return InDoubt(reason="the shop's answer does not say what it made")
    return Delivered(reference=number_of(number) or str(number))


def _error(found: Sequence[Any]) -> SubmitResult:
    first = found[0] if isinstance(found[0], dict) else {}
    code, message = str(first.get("code") or ""), str(first.get("message") or "")[:300]
    if code in _RIGHTS:
        raise _NoRight(f"the app may not pay back: {message}")
    if code == "INTERNAL_ERROR":
        return InDoubt(reason="internal_error")
    if code == "NOT_FOUND":
        return Refused(reason="unknown_order", message=message)
    return Refused(reason=code.lower() or "refused", message=message)

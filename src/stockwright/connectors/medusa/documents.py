"""Documents out: what was shipped, cancelled and paid back, each told once under its key.

The shop keeps no keys of ours. So a document leaves its key behind, with the fulfilment, the edit
or the payment's refund, and is looked for before it is told again.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, Final

from stockwright.connectors.medusa.declaration import MedusaSettings
from stockwright.connectors.medusa.orders import CHANGE_FIELDS
from stockwright.connectors.medusa.shop import Shop
from stockwright.domain.errors import Throttled, Transient
from stockwright.sdk.calling import WAIT_S
from stockwright.sdk.messages import (
    Cancellation,
    Delivered,
    Document,
    InDoubt,
    Refund,
    Refused,
    Retry,
    Shipment,
    SubmitResult,
)

KEY: Final = "stockwright_key"
EDITED_S: Final = 60.0
"""Until the next try, where somebody edits the order in the shop."""
_ORDER: Final = re.compile(r"order_\w{1,64}")
_CENT: Final = Decimal("0.01")
ORDER_FIELDS: Final = ("fields", "+currency_code,*fulfillments,*fulfillments.items")
_NOTE: Final = "internal_note"


class _Refusal(Exception):
    """The shop will not have it, as we can tell before we ask. Stays inside."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.told = Refused(reason=reason, message=message)


class _Stop(Exception):
    """A step of a document had an answer that ends it. Stays inside."""

    def __init__(self, told: Refused | Retry | InDoubt) -> None:
        super().__init__()
        self.told = told


async def submit(shop: Shop, settings: MedusaSettings, document: Document) -> SubmitResult:
    """Tells the shop of one document. Raises Misconfigured."""
    try:
        if not _ORDER.fullmatch(document.order):
            raise _Refusal("unknown_order", f"{document.order!r} is no id of an order of the shop")
        path = f"/orders/{document.order}"
        found = await shop.find(path, dict[str, Any], [ORDER_FIELDS])
        order = found.get("order") if found else None
        if not isinstance(order, dict):
            raise _Refusal("unknown_order", f"the shop has no order {document.order!r}")
        if isinstance(document, Shipment):
            return await _ship(shop, settings, order, document)
        if isinstance(document, Refund):
            return await _pay_back(shop, order, document)
        if document.lines:
            return await _take_off(shop, order, document)
        return await _cancel(shop, settings, order)
    except (_Refusal, _Stop) as end:
        return end.told
    except Throttled as error:
        return Retry(retry_after_s=error.retry_after_s, reason=str(error))
    except Transient as error:  # asked only: a write is judged, and raises nothing
        return Retry(retry_after_s=WAIT_S, reason=str(error))


async def _do(shop: Shop, path: str, json: Any, *, method: str = "POST") -> dict[str, Any]:
    answer = await shop.change(path, json, method=method)
    if not isinstance(answer, dict):
        raise _Stop(answer)
    return answer


def _list(root: Mapping[str, Any], name: str) -> Sequence[dict[str, Any]]:
    found = root.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


# ------------------------------------------------------------ shipments


async def _ship(
    shop: Shop, settings: MedusaSettings, order: Mapping[str, Any], shipment: Shipment
) -> SubmitResult:
    """A fulfilment, and its shipment: the shop books the goods out with the first of the two."""
    path = f"/orders/{order['id']}/fulfillments"
    lines: dict[str, int] = {}
    for line in shipment.lines:
        lines[line.line] = lines.get(line.line, 0) + line.quantity
    items = [{"id": line, "quantity": units} for line, units in lines.items()]
    quiet = {"no_notification": not settings.notify_customers}
    made = _told(order, shipment.key)
    if made is None:
        place = settings.locations.get(shipment.location) or settings.location
        asked = {"items": items, **quiet, "metadata": _metadata(shipment)}
        if place:
            asked["location_id"] = place
        answer = await _do(shop, f"{path}?fields=id,*fulfillments", asked)
        made = _told(answer.get("order") or {}, shipment.key)
        if made is None:
            return InDoubt(reason="the shop's answer does not name the fulfilment")
    if not made.get("shipped_at"):
        asked = {"items": items, **quiet, "labels": _labels(shipment)}
        await _do(shop, f"{path}/{made['id']}/shipments", asked)
    return Delivered(reference=str(made["id"]))


def _told(order: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    """The fulfilment that carries the key, and was not cancelled."""
    for one in _list(order, "fulfillments"):
        if (one.get("metadata") or {}).get(KEY) == key and not one.get("canceled_at"):
            return one
    return None


def _metadata(shipment: Shipment) -> dict[str, str]:
    told = {KEY: shipment.key, "carrier": shipment.carrier}
    return {name: value for name, value in told.items() if value}


def _labels(shipment: Shipment) -> list[dict[str, str]]:
    """The tracking number with its address; the shop takes web addresses only."""
    if not shipment.tracking:
        return []
    url = shipment.tracking_url if shipment.tracking_url.startswith(("http://", "https://")) else ""
    return [{"tracking_number": shipment.tracking, "tracking_url": url, "label_url": ""}]


# ------------------------------------------------------------ cancellations


async def _cancel(shop: Shop, settings: MedusaSettings, order: Mapping[str, Any]) -> SubmitResult:
    """The whole order, with fulfilments that were packed and never shipped."""
    if order.get("status") == "canceled":
        return Delivered(reference=str(order["id"]))
    living = [one for one in _list(order, "fulfillments") if not one.get("canceled_at")]
    if any(one.get("shipped_at") for one in living):
        raise _Refusal("shipped", "a part of the order has shipped; cancel the other lines")
    quiet = {"no_notification": not settings.notify_customers}
    for one in living:
        await _do(shop, f"/orders/{order['id']}/fulfillments/{one['id']}/cancel", quiet)
    await _do(shop, f"/orders/{order['id']}/cancel", {})
    return Delivered(reference=str(order["id"]))


async def _take_off(shop: Shop, order: Mapping[str, Any], document: Cancellation) -> SubmitResult:
    """Units of lines, by an edit of the order: begun, changed line by line, confirmed."""
    number, mark = str(order["id"]), f"[{document.key}]"
    answer = await shop.read(
        f"/orders/{number}/changes",
        dict[str, Any],
        [("fields", f"{CHANGE_FIELDS},{_NOTE}")],
    )
    ours = [one for one in _list(answer, "order_changes") if mark in str(one.get(_NOTE) or "")]
    for one in ours:
        if one.get("status") == "confirmed":
            return Delivered(reference=str(one["id"]))
    begun = next((one for one in ours if one.get("status") in ("pending", "requested")), None)
    wanted = _left(order, document)
    if begun is None:
        note = f"{document.reason} {mark}".strip()
        asked = {"order_id": number, _NOTE: note}
        begun = (await _begin(shop, asked)).get("order_change") or {}
    done = {_reference(action) for action in _list(begun, "actions")}
    try:
        for line, units in wanted.items():
            if line not in done:
                await _do(shop, f"/order-edits/{number}/items/item/{line}", {"quantity": units})
        await _do(shop, f"/order-edits/{number}/confirm", {})
    except _Stop as stop:
        if isinstance(stop.told, Refused):
            # An edit left open would lock the order for everybody in the shop.
            await shop.change(f"/order-edits/{number}", None, method="DELETE")
        raise
    return Delivered(reference=str(begun.get("id") or number))


async def _begin(shop: Shop, asked: Mapping[str, Any]) -> dict[str, Any]:
    answer = await shop.change("/order-edits", asked)
    if isinstance(answer, Refused) and "active order change" in answer.message:
        raise _Stop(Retry(retry_after_s=EDITED_S, reason="somebody edits the order in the shop"))
    if not isinstance(answer, dict):
        raise _Stop(answer)
    return answer


def _reference(action: Mapping[str, Any]) -> str:
    details = action.get("details")
    return str(details.get("reference_id")) if isinstance(details, dict) else ""


def _left(order: Mapping[str, Any], document: Cancellation) -> dict[str, int]:
    """What each line orders once its units are taken off."""
    left: dict[str, int] = {}
    for line in document.lines:
        before = left.get(line.line)
        if before is None:
            before = int(_line(order, line.line).get("quantity") or 0)
        left[line.line] = before - line.quantity
        if left[line.line] < 0:
            raise _Refusal("quantity", f"line {line.line} orders fewer than are to be cancelled")
    return left


def _line(order: Mapping[str, Any], number: str) -> dict[str, Any]:
    found = next((line for line in _list(order, "items") if line.get("id") == number), None)
    if found is None:
        raise _Refusal("unknown_line", f"the order has no line {number!r}")
    return found


# ------------------------------------------------------------ refunds


async def _pay_back(shop: Shop, order: Mapping[str, Any], refund: Refund) -> SubmitResult:
    """Money, from the payments that were captured. Units come off an order by a cancellation."""
    currency = str(order.get("currency_code") or "").upper()
    if refund.currency and currency and refund.currency.upper() != currency:
        raise _Refusal("currency", f"the order is in {currency}, not in {refund.currency}")
    mark, done = f"[{refund.key}]", Decimal(0)
    references: list[str] = []
    left_of: dict[str, Decimal] = {}
    for payment in _payments(order):
        paid = sum((_money(one) for one in _list(payment, "captures")), Decimal(0))
        for one in _list(payment, "refunds"):
            paid -= _money(one)
            if mark in str(one.get("note") or ""):
                done += _money(one)
                references.append(str(one.get("id") or ""))
        left_of[str(payment["id"])] = paid
    left = _amount(order, refund) - done
    if left > sum(left_of.values()):
        message = f"{left} {currency} more than the captured payments have left"
        raise _Refusal("amount", message)
    for payment_id, most in left_of.items():
        part = min(left, most)
        if part > 0:
            asked = {"amount": float(part), "note": f"{refund.reason} {mark}".strip()}
            answer = await _do(shop, f"/payments/{payment_id}/refund", asked)
            left -= part
            references += _noted(answer, mark)
    return Delivered(reference=",".join(filter(None, references)))


def _noted(answer: Mapping[str, Any], mark: str) -> list[str]:
    payment = answer.get("payment")
    rows = _list(payment, "refunds") if isinstance(payment, dict) else []
    return [str(one.get("id") or "") for one in rows if mark in str(one.get("note") or "")][-1:]


def _payments(order: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        payment
        for collection in _list(order, "payment_collections")
        for payment in _list(collection, "payments")
        if payment.get("id")
    ]


def _amount(order: Mapping[str, Any], refund: Refund) -> Decimal:
    """What is paid back in all: as asked, else the share of each line with its taxes."""
    if refund.amount is not None:
        return refund.amount
    total = Decimal(0)
    for line in refund.lines:
        found = _line(order, line.line)
        share = Decimal(line.quantity) / max(1, int(found.get("quantity") or 0))
        total += _decimal(found.get("total")) * share
    return total.quantize(_CENT, ROUND_HALF_UP)


def _money(row: Mapping[str, Any]) -> Decimal:
    return _decimal(row.get("amount"))


def _decimal(found: Any) -> Decimal:
    try:
        return Decimal(str(found or 0))
    except InvalidOperation:
        raise Transient(f"the shop writes an amount as {str(found)[:40]!r}") from None

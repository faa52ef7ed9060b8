"""Documents out: what was shipped, cancelled and paid back, each told once under its key.

The shop keeps no keys of ours. So a document leaves its key behind, in a note or in the refund, and
is looked for before it is told again.
"""

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, Final

from stockwright.connectors.woocommerce.catalogue import API
from stockwright.domain.errors import Throttled, Transient
from stockwright.sdk.calling import WAIT_S, Caller, whole_text
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

KEY: Final = "_stockwright_key"
SHIPPED: Final = "_stockwright_shipped"
_CENT: Final = Decimal("0.01")


class _Unknown(Exception):
    """The shop has no such order. Stays inside."""


async def submit(caller: Caller, document: Document) -> SubmitResult:
    """Tells the shop of one document. Raises Misconfigured."""
    try:
        order = await _order(caller, document.order)
        if isinstance(document, Shipment):
            return await _ship(caller, order, document)
        if isinstance(document, Cancellation) and not document.lines:
            return await _set_status(caller, order, "cancelled")
        return await _refund(caller, order, document)
    except _Unknown:
        message = f"the shop has no order {document.order!r}"
        return Refused(reason="unknown_order", message=message)
    except Throttled as error:
        return Retry(retry_after_s=error.retry_after_s, reason=str(error))
    except Transient as error:  # asked only: a write is judged, and raises nothing
        return Retry(retry_after_s=WAIT_S, reason=str(error))


async def _order(caller: Caller, number: str) -> dict[str, Any]:
    if not (number.isascii() and number.isdigit()):
        raise _Unknown
    response = await caller.send("GET", f"{API}/orders/{number}")
    if response.status == 404:
        found = whole_text(response.body)
        if isinstance(found, dict) and found.get("code") != "rest_no_route":
            raise _Unknown
    caller.expect(response, "GET order")
    return caller.decode(response.body, dict[str, Any], "GET order")


async def _ship(caller: Caller, order: Mapping[str, Any], shipment: Shipment) -> SubmitResult:
    path = f"{API}/orders/{order['id']}"
    notes = await caller.read(f"{path}/notes", list[dict[str, Any]])
    if not any(f"[{shipment.key}]" in str(note.get("note", "")) for note in notes):
        told = {"note": _note(shipment), "customer_note": True}
        answer = await caller.write("POST", f"{path}/notes", json=told)
        if not isinstance(answer, HttpResponse):
            return answer
    shipped = _meta(order, SHIPPED)
    if shipment.key not in shipped:
        shipped[shipment.key] = {line.line: line.quantity for line in shipment.lines}
    change: dict[str, Any] = {"meta_data": [{"key": SHIPPED, "value": shipped}]}
    if _is_complete(order, shipped):
        change["status"] = "completed"
    answer = await caller.write("PUT", path, json=change)
    return Delivered(reference=str(order["id"])) if isinstance(answer, HttpResponse) else answer


def _note(shipment: Shipment) -> str:
    parts = [f"Shipped {shipment.shipped_at.date().isoformat()}"]
    if shipment.carrier:
        parts.append(f"with {shipment.carrier}")
    if shipment.tracking:
        parts.append(f"under {shipment.tracking}")
    if shipment.tracking_url:
        parts.append(shipment.tracking_url)
    return f"{' '.join(parts)}. [{shipment.key}]"


def _meta(order: Mapping[str, Any], key: str) -> dict[str, dict[str, int]]:
    for one in order.get("meta_data") or ():
        if isinstance(one, dict) and one.get("key") == key and isinstance(one.get("value"), dict):
            return dict(one["value"])
    return {}


def _is_complete(order: Mapping[str, Any], shipped: Mapping[str, Mapping[str, int]]) -> bool:
    left = {str(line["id"]): int(line["quantity"]) for line in order.get("line_items") or ()}
    for lines in shipped.values():
        for line, units in lines.items():
            left[line] = left.get(line, 0) - int(units)
    return bool(left) and all(units <= 0 for units in left.values())


async def _set_status(caller: Caller, order: Mapping[str, Any], status: str) -> SubmitResult:
    if order.get("status") == status:
        return Delivered(reference=str(order["id"]))
    path = f"{API}/orders/{order['id']}"
    answer = await caller.write("PUT", path, json={"status": status})
    return Delivered(reference=str(order["id"])) if isinstance(answer, HttpResponse) else answer


async def _refund(
    caller: Caller, order: Mapping[str, Any], document: Cancellation | Refund
) -> SubmitResult:
    path = f"{API}/orders/{order['id']}/refunds"
    for one in await caller.read(path, list[dict[str, Any]], query=[("per_page", "100")]):
        if any(meta.get("value") == document.key for meta in one.get("meta_data") or ()):
            return Delivered(reference=str(one.get("id", "")))
    pays = isinstance(document, Refund)
    lines = [_line(order, line, pays=pays) for line in document.lines]
    amount = sum((Decimal(line["refund_total"]) for line in lines), Decimal(0))
    amount += sum((tax for line in lines for tax in _taxes(line)), Decimal(0))
    if isinstance(document, Refund) and document.amount is not None:
        amount = document.amount
    told = {
        "amount": str(amount.quantize(_CENT, ROUND_HALF_UP)),
        "reason": document.reason,
        "api_refund": pays,
        "api_restock": False,
        "line_items": lines,
        "meta_data": [{"key": KEY, "value": document.key}],
    }
    answer = await caller.write("POST", path, json=told)
    if not isinstance(answer, HttpResponse):
        return answer
    try:
        made = caller.decode(answer.body, dict[str, Any], "POST refund")
    except Transient as error:
        return InDoubt(reason=str(error))
    return Delivered(reference=str(made.get("id", "")))


def _line(order: Mapping[str, Any], line: DocumentLine, *, pays: bool) -> dict[str, Any]:
    """One line of a refund; its share of the line's total and of each of its taxes."""
    found = next((x for x in order.get("line_items") or () if str(x.get("id")) == line.line), None)
    if found is None:
        raise _Unknown
    share = Decimal(line.quantity) / max(1, int(found["quantity"])) if pays else Decimal(0)
    taxes = [
        {"id": tax["id"], "refund_total": _part(tax.get("total"), share)}
        for tax in found.get("taxes") or ()
        if isinstance(tax, dict) and "id" in tax
    ]
    return {
        "id": found["id"],
        "quantity": line.quantity,
        "refund_total": _part(found.get("total"), share),
        "refund_tax": taxes,
    }


def _taxes(line: Mapping[str, Any]) -> Sequence[Decimal]:
    return [Decimal(tax["refund_total"]) for tax in line["refund_tax"]]


def _part(total: Any, share: Decimal) -> str:
    try:
        return str((Decimal(str(total or 0)) * share).quantize(_CENT, ROUND_HALF_UP))
    except InvalidOperation:
        return "0.00"

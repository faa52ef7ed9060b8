"""Documents out: what was shipped, cancelled and paid back, each told once under its key.

The shop keeps no keys of ours. So a document leaves its key behind, in a comment of the shipment or
of the credit memo, and is looked for before it is told again.
"""

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, Final

from stockwright.connectors.magento.api import V1, Api, Filter, is_missing, problem_of
from stockwright.connectors.magento.declaration import MOST_ROWS, MagentoSettings
from stockwright.connectors.magento.levels import Levels
from stockwright.domain.errors import Throttled, Transient
from stockwright.sdk.calling import WAIT_S, whole_text
from stockwright.sdk.messages import (
    Applied,
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

NOT_ENOUGH: Final = "available in the requested quantity"
"""What the shop says where its source holds less than is shipped."""
_CENT: Final = Decimal("0.01")


class _Unknown(Exception):
    """The shop has no such order or line. Stays inside."""


class Documents:
    """The documents of one shop."""

    def __init__(self, api: Api, settings: MagentoSettings, levels: Levels) -> None:
        self._api = api
        self._settings = settings
        self._levels = levels

    async def submit(self, document: Document) -> SubmitResult:
        """Tells the shop of one document. Raises Misconfigured."""
        try:
            order = await self._order(document.order)
            if isinstance(document, Shipment):
                return await self._ship(order, document)
            if isinstance(document, Refund):
                return await self._refund(order, document)
            return await self._cancel(order, document)
        except _Unknown as unknown:
            return Refused(reason="unknown_order", message=str(unknown))
        except Throttled as error:
            return Retry(retry_after_s=error.retry_after_s, reason=str(error))
        except Transient as error:  # asked only: a write is judged, and raises nothing
            return Retry(retry_after_s=WAIT_S, reason=str(error))

    async def _order(self, number: str) -> Mapping[str, Any]:
        if not (number.isascii() and number.isdigit()):
            raise _Unknown(f"the shop has no order {number!r}; name it by its entity_id")
        response = await self._api.send("GET", f"{V1}/orders/{number}")
        if is_missing(response):
            raise _Unknown(f"the shop has no order {number!r}; name it by its entity_id")
        self._api.expect(response, "GET order")
        return self._api.decode(response.body, dict[str, Any], "GET order")

    async def _told(self, path: str, document: Document) -> str | None:
        """The number of what was made of a document before; None where it was not told yet."""
        groups = [[Filter("order_id", "eq", document.order)]]
        rows = await self._api.every(path, dict[str, Any], groups, size=MOST_ROWS)
        for row in rows:
            comments = [one.get("comment") for one in row.get("comments") or () if _is_row(one)]
            if any(f"[{document.key}]" in str(text) for text in comments):
                return str(row.get("entity_id", ""))
        return None

    # ---------------------------------------------------------------- shipments

    async def _ship(self, order: Mapping[str, Any], shipment: Shipment) -> SubmitResult:
        told = await self._told("/shipments", shipment)
        if told is not None:
            return Delivered(reference=told)
        skus = _skus_of(order, shipment.lines)
        path, body = f"{V1}/order/{shipment.order}/ship", self._shipment_of(shipment)
        answer = await self._api.write("POST", path, as_is=(400,), json=body)
        if isinstance(answer, HttpResponse) and answer.status == 400:
            if NOT_ENOUGH not in problem_of(answer.body).message:
                return _refused(answer)
            return await self._ship_what_was_taken_off(path, body, skus)
        return self._made(answer)

    async def _ship_what_was_taken_off(
        self, path: str, body: Mapping[str, Any], skus: Mapping[str, int]
    ) -> SubmitResult:
        """Ships where the source holds too little because the hub took the units off already.

        The shop takes them off itself: so they are put back first, no more than those shipped.
        """
        held = await self._levels.units(skus)
        short = {sku: held.get(sku, 0) for sku in skus if held.get(sku, 0) < skus[sku]}
        raised = {sku: units + skus[sku] for sku, units in short.items()}
        timeout_s = self._settings.timeout_s
        put = await self._levels.set_units(raised, timeout_s / 4) if raised else Applied()
        if not isinstance(put, Applied):
            return Retry(retry_after_s=WAIT_S, reason="the units could not be put back first")
        answer = await self._api.write(
            "POST", path, as_is=(400,), json=body, timeout_s=timeout_s / 2
        )
        if isinstance(answer, HttpResponse) and answer.status == 400:
            await self._levels.set_units(short, timeout_s / 4)
            return _refused(answer)
        return self._made(answer)

    def _shipment_of(self, shipment: Shipment) -> dict[str, Any]:
        body: dict[str, Any] = {
            "items": _lines(shipment.lines),
            "notify": self._settings.notify,
            "appendComment": False,
            "comment": _comment(shipment.key),
            "arguments": {"extension_attributes": {"source_code": self._settings.source}},
        }
        if shipment.tracking:
            carrier = self._settings.carriers.get(shipment.carrier, "custom")
            title = shipment.carrier or "Carrier"
            track = {"track_number": shipment.tracking, "title": title, "carrier_code": carrier}
            body["tracks"] = [track]
        return body

    # ---------------------------------------------------------------- cancellations and refunds

    async def _cancel(self, order: Mapping[str, Any], document: Cancellation) -> SubmitResult:
        if document.lines:
            message = "the shop cancels whole orders only: cancel all of it, or refund these lines"
            return Refused(reason="no_partial_cancellation", message=message)
        if order.get("state") == "canceled":
            return Delivered(reference=document.order)
        answer = await self._api.write("POST", f"{V1}/orders/{document.order}/cancel")
        if not isinstance(answer, HttpResponse):
            return answer
        if whole_text(answer.body) is True:
            return Delivered(reference=document.order)
        if whole_text(answer.body) is False:
            message = "the shop does not cancel this order: it is invoiced; refund it"
            return Refused(reason="not_cancellable", message=message)
        return InDoubt(reason="the shop's answer to a cancellation cannot be read")

    async def _refund(self, order: Mapping[str, Any], refund: Refund) -> SubmitResult:
        told = await self._told("/creditmemos", refund)
        if told is not None:
            return Delivered(reference=told)
        _skus_of(order, refund.lines)
        path = f"{V1}/order/{refund.order}/refund"
        body: dict[str, Any] = {
            "items": _lines(refund.lines),
            "notify": self._settings.notify,
            "appendComment": False,
            "comment": _comment(refund.key, refund.reason),
            "arguments": _arguments(order, refund),
        }
        if self._settings.refunds == "online":
            invoice = await self._invoice(refund)
            if invoice is None:
                message = "no invoice of the order holds all of these lines: refund them one by one"
                return Refused(reason="no_invoice", message=message)
            path, body["isOnline"] = f"{V1}/invoice/{invoice}/refund", True
        answer = await self._api.write("POST", path, as_is=(400,), json=body)
        if isinstance(answer, HttpResponse) and answer.status == 400:
            return _refused(answer)
        return self._made(answer)

    async def _invoice(self, refund: Refund) -> str | None:
        """The first invoice that holds all units of a refund."""
        groups = [[Filter("order_id", "eq", refund.order)]]
        rows = await self._api.every("/invoices", dict[str, Any], groups, size=MOST_ROWS)
        for row in rows:
            held = {
                str(one.get("order_item_id")): float(one.get("qty") or 0)
                for one in row.get("items") or ()
                if _is_row(one)
            }
            if all(held.get(line.line, 0.0) >= line.quantity for line in refund.lines):
                return str(row.get("entity_id"))
        return None

    def _made(self, answer: HttpResponse | Refused | Retry | InDoubt) -> SubmitResult:
        """The number of what was made: the whole answer."""
        if not isinstance(answer, HttpResponse):
            return answer
        number = str(whole_text(answer.body))
        if not number.isdigit():
            return InDoubt(reason="the shop's answer names nothing that was made")
        return Delivered(reference=number)


def _is_row(one: Any) -> bool:
    return isinstance(one, dict)


def _refused(answer: HttpResponse) -> Refused:
    problem = problem_of(answer.body)
    return Refused(reason=problem.reason, message=problem.text)


def _comment(key: str, reason: str = "") -> dict[str, Any]:
    return {"comment": f"{reason} [{key}]".strip(), "is_visible_on_front": 0}


def _lines(lines: Sequence[DocumentLine]) -> list[dict[str, int]]:
    return [{"order_item_id": int(line.line), "qty": line.quantity} for line in lines]


def _skus_of(order: Mapping[str, Any], lines: Sequence[DocumentLine]) -> dict[str, int]:
    """The units of each SKU. Raises _Unknown for a line that the order does not have."""
    known = {str(one.get("item_id")): str(one.get("sku")) for one in _order_lines(order)}
    units: dict[str, int] = {}
    for line in lines:
        if line.line not in known:
            raise _Unknown(f"the order has no line {line.line!r}")
        sku = known[line.line]
        units[sku] = units.get(sku, 0) + line.quantity
    return units


def _order_lines(order: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in order.get("items") or () if isinstance(one, dict)]


def _arguments(order: Mapping[str, Any], refund: Refund) -> dict[str, Any]:
    """No shipping is paid back and nothing put into stock; another amount by an adjustment."""
    arguments: dict[str, Any] = {
        "shipping_amount": 0,
        "adjustment_positive": 0,
        "adjustment_negative": 0,
        "extension_attributes": {"return_to_stock_items": []},
    }
    if refund.amount is not None:
        difference = refund.amount - _worth(order, refund.lines)
        name = "adjustment_positive" if difference > 0 else "adjustment_negative"
        arguments[name] = float(abs(difference))
    return arguments


def _worth(order: Mapping[str, Any], lines: Sequence[DocumentLine]) -> Decimal:
    """What the shop pays back for these units by itself: their share of each line, with its tax and
    without its discount.
    """
    known = {str(one.get("item_id")): one for one in _order_lines(order)}
    worth = Decimal(0)
    for line in lines:
        row = known[line.line]
        whole = _money(row.get("row_total_incl_tax")) - _money(row.get("discount_amount"))
        worth += whole * line.quantity / max(Decimal(1), _money(row.get("qty_ordered")))
    return worth.quantize(_CENT, ROUND_HALF_UP)


def _money(found: Any) -> Decimal:
    try:
        return Decimal(str(found or 0))
    except InvalidOperation:
        return Decimal(0)

"""Cancellations and refunds as Amazon's order feeds hold them, and what a report says of one.

The elements are those of Amazon's documents OrderAcknowledgement and OrderAdjustment, told in our
words in cases/SHAPES.md.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final
from xml.etree import ElementTree as Xml

import msgspec

from stockwright.sdk.messages import InDoubt, Refused

CANCELS: Final = "POST_ORDER_ACKNOWLEDGEMENT_DATA"
"""The feed that cancels whole orders."""
ADJUSTS: Final = "POST_PAYMENT_ADJUSTMENT_DATA"
"""The feed that pays back, and cancels units of an order."""
_LARGEST: Final = 65_536
"""Bytes of a report. One on a feed of one message is a hundredth of that."""
CONTENT: Final = "text/xml; charset=UTF-8"
CANCEL_REASONS: Final = frozenset(
    {
        "NoInventory",
        "ShippingAddressUndeliverable",
        "CustomerExchange",
        "BuyerCanceled",
        "GeneralAdjustment",
        "CarrierCreditDecision",
        "RiskAssessmentInformationNotValid",
        "CarrierCoverageFailure",
        "CustomerReturn",
        "MerchandiseNotReceived",
    }
)
ADJUST_REASONS: Final = frozenset(
    {
        "NoInventory",
        "CustomerReturn",
        "GeneralAdjustment",
        "CouldNotShip",
        "DifferentItem",
        "Abandoned",
        "CustomerCancel",
        "PriceError",
        "ProductOutofStock",
        "CustomerAddressIncorrect",
        "Exchange",
        "Other",
        "CarrierCreditDecision",
        "RiskAssessmentInformationNotValid",
        "CarrierCoverageFailure",
        "TransactionRecord",
        "Undeliverable",
        "RefusedDelivery",
    }
)


class Adjusted(msgspec.Struct, frozen=True):
    """Units of one item, and what is paid back for them."""

    item: str
    units: int
    principal: Decimal
    tax: Decimal = Decimal(0)


def reason_of(text: str, known: Iterable[str], otherwise: str) -> str:
    """Amazon's word for a reason where ours is one of its words, whatever its case."""
    words = {word.lower(): word for word in known}
    return words.get(text.strip().lower(), otherwise)


def cancellation_of(seller: str, order: str, items: Sequence[str], reason: str) -> bytes:
    """A document that cancels a whole order of these items."""
    root, message = _envelope(seller, "OrderAcknowledgement")
    _add(message, "AmazonOrderID", order)
    _add(message, "StatusCode", "Failure")
    for item in items:
        row = Xml.SubElement(message, "Item")
        _add(row, "AmazonOrderItemCode", item)
        _add(row, "CancelReason", reason)
    return _text(root)


def adjustment_of(
    seller: str,
    order: str,
    rows: Sequence[Adjusted],
    currency: str,
    reason: str,
    *,
    cancels: bool = False,
) -> bytes:
    """A document that pays back what rows say; with cancels, of units that are not to be sent."""
    root, message = _envelope(seller, "OrderAdjustment")
    _add(message, "AmazonOrderID", order)
    _add(message, "ActionType", "Cancel" if cancels else "Refund")
    for one in rows:
        row = Xml.SubElement(message, "AdjustedItem")
        _add(row, "AmazonOrderItemCode", one.item)
        _add(row, "AdjustmentReason", reason)
        prices = Xml.SubElement(row, "ItemPriceAdjustments")
        for kind, amount in (("Principal", one.principal), ("Tax", one.tax)):
            if amount or kind == "Principal":
                part = Xml.SubElement(prices, "Component")
                _add(part, "Type", kind)
                _add(part, "Amount", f"{amount:f}").set("currency", currency)
        _add(row, "QuantityCancelled" if cancels else "Quantity", str(one.units))
    return _text(root)


def result_of(report: bytes | None) -> Refused | InDoubt | None:
    """What the report on a feed of one message says went wrong; None where all went well."""
    unreadable = InDoubt(reason="the feed's report cannot be read")
    # Amazon's reports declare no document type, and are of single bytes: others are none of theirs.
    if not report or len(report) > _LARGEST or b"<!DOCTYPE" in report or b"\x00" in report:
        return unreadable
    try:
        root = Xml.fromstring(report)
    except (Xml.ParseError, ValueError, LookupError):
        return unreadable
    for one in root.iter("Result"):
        if one.findtext("ResultCode") == "Error":
            code = (one.findtext("ResultMessageCode") or "").strip()
            text = (one.findtext("ResultDescription") or "").strip()
            return Refused(reason=code or "invalid", message=text[:300])
    counted = root.find(".//ProcessingSummary")
    told = counted.findtext("MessagesSuccessful") if counted is not None else None
    if (told or "").strip() == "1":
        return None
    return InDoubt(reason="the feed's report does not tell of its message")


def _envelope(seller: str, kind: str) -> tuple[Xml.Element, Xml.Element]:
    """A document with one message: its root, and the element of that message."""
    root = Xml.Element(
        "AmazonEnvelope",
        {
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:noNamespaceSchemaLocation": "amzn-envelope.xsd",
        },
    )
    head = Xml.SubElement(root, "Header")
    _add(head, "DocumentVersion", "1.01")
    _add(head, "MerchantIdentifier", seller)
    _add(root, "MessageType", kind)
    message = Xml.SubElement(root, "Message")
    _add(message, "MessageID", "1")
    return root, Xml.SubElement(message, kind)


def _add(parent: Xml.Element, name: str, text: str) -> Xml.Element:
    child = Xml.SubElement(parent, name)
    child.text = text
    return child


def _text(root: Xml.Element) -> bytes:
    text: bytes = Xml.tostring(root, encoding="UTF-8", xml_declaration=True)
    return text

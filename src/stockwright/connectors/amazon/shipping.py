"""Shipments out, confirmed with carrier and tracking.

A package has a number of ours, made of the document's key. To confirm the same number again changes
that package and makes no other one: so a shipment is safe to tell twice.
"""

import asyncio
import hashlib
from typing import Any, Final
from urllib.parse import quote

from stockwright.connectors.amazon.api import Api, left_s
from stockwright.connectors.amazon.declaration import AmazonSettings
from stockwright.connectors.amazon.orders import marketplace_of
from stockwright.connectors.amazon.orders_v0 import ORDERS
from stockwright.domain.errors import Throttled, Transient
from stockwright.sdk.calling import WAIT_S
from stockwright.sdk.messages import (
    Delivered,
    Document,
    InDoubt,
    Refused,
    Retry,
    Shipment,
    SubmitResult,
)
from stockwright.sdk.transports import HttpResponse

OTHER: Final = "Other"
_NUMBERS: Final = 999_999_999


async def ship(api: Api, settings: AmazonSettings, document: Shipment) -> SubmitResult:
    """Tells Amazon of one shipment. Raises Misconfigured."""
    if not document.tracking:
        message = "Amazon asks for a tracking number with every package"
        return Refused(reason="tracking_required", message=message)
    deadline = asyncio.get_running_loop().time() + settings.timeout_s
    path = f"{ORDERS}/{quote(document.order, safe='')}"
    try:
        marketplace = await marketplace_of(api, settings, document.order, deadline)
    except Throttled as error:
        return Retry(retry_after_s=error.retry_after_s, reason=str(error))
    except Transient as error:
        return Retry(retry_after_s=WAIT_S, reason=str(error))
    if not marketplace:
        return unknown(document)
    package = package_of(document, settings)
    answer = await api.write(
        "confirmShipment",
        "POST",
        f"{path}/shipmentConfirmation",
        json={"marketplaceId": marketplace, "packageDetail": package},
        within_s=left_s(deadline),
    )
    if isinstance(answer, HttpResponse):
        return _taken(answer, package)
    if isinstance(answer, Refused) and answer.reason in ("http_404", "NotFound"):
        return unknown(document)
    return answer


def package_of(shipment: Shipment, settings: AmazonSettings) -> dict[str, Any]:
    """A shipment as Amazon's package."""
    carrier = settings.carriers.get(shipment.carrier, OTHER)
    package = {
        "packageReferenceId": str(package_number(shipment.key)),
        "carrierCode": carrier,
        "trackingNumber": shipment.tracking,
        "shipDate": shipment.shipped_at.isoformat(timespec="seconds"),
        "orderItems": [
            {"orderItemId": line.line, "quantity": line.quantity} for line in shipment.lines
        ],
    }
    if carrier == OTHER:
        package["carrierName"] = shipment.carrier or OTHER
    return package


def package_number(key: str) -> int:
    """The package's number within its order: positive, and the same for the same key."""
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return int.from_bytes(digest) % _NUMBERS + 1


def _taken(answer: HttpResponse, package: dict[str, Any]) -> SubmitResult:
    if answer.status != 204:
        return InDoubt(reason=f"Amazon answered {answer.status} where it says nothing else but 204")
    return Delivered(reference=package["packageReferenceId"])


def unknown(document: Document) -> Refused:
    """Amazon has no such order."""
    message = f"Amazon has no order {document.order!r} of this account"
    return Refused(reason="unknown_order", message=message)

"""What a level or a document would be sent as, without asking Amazon anything."""

from urllib.parse import quote

from stockwright.connectors.amazon.declaration import AmazonSettings
from stockwright.connectors.amazon.listings import ITEMS, patch_of
from stockwright.connectors.amazon.orders_v0 import ORDERS
from stockwright.connectors.amazon.shipping import package_of
from stockwright.sdk.messages import Failure, LevelToSend, Outbound, Outgoing, Shipment
from stockwright.sdk.transports import json_body


def map_out(message: Outgoing, settings: AmazonSettings) -> list[Outbound] | Failure:
    """A patch for each level, which a feed holds in the same form, or the package of a shipment."""
    if isinstance(message, tuple):
        return [_patch(level, settings) for level in message]
    if not isinstance(message, Shipment):
        reason = "has items and prices that only Amazon can tell: try it against the sandbox"
        return Failure(path="order", reason=reason)
    if not message.tracking:
        reason = "is empty: Amazon asks for a tracking number with every package"
        return Failure(path="tracking", reason=reason)
    if len(settings.marketplaces) > 1:
        reason = "has a marketplace that only Amazon can tell: set one in marketplaces to try it"
        return Failure(path="order", reason=reason)
    body = {
        "marketplaceId": settings.marketplaces[0],
        "packageDetail": package_of(message, settings),
    }
    path = f"{ORDERS}/{quote(message.order, safe='')}/shipmentConfirmation"
    return [Outbound(to=f"POST {path}", body=json_body(body))]


def _patch(level: LevelToSend, settings: AmazonSettings) -> Outbound:
    body = {"productType": settings.product_type, "patches": patch_of(level, settings)}
    path = f"{ITEMS}/{quote(settings.seller_id, safe='')}/{quote(level.listing, safe='')}"
    return Outbound(to=f"PATCH {path}", body=json_body(body))

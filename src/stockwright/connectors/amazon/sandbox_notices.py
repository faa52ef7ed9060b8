"""The sandbox's notifications of changed orders, as Amazon's event bus carries them."""

from collections.abc import Sequence
from typing import Any

from stockwright.connectors.amazon.sandbox_listings import MARKETPLACE, SELLER
from stockwright.connectors.amazon.sandbox_orders import Order


def notice_of(order: Order, lines: Sequence[Order], now: str) -> dict[str, Any]:
    """The notification of an order's last change, as the event bus carries it."""
    return {
        "version": "0",
        "detail-type": "ORDER_CHANGE",
        "detail": {
            "NotificationVersion": "1.0",
            "NotificationType": "ORDER_CHANGE",
            "PayloadVersion": "1.0",
            "EventTime": now,
            "Payload": {"OrderChangeNotification": _change(order, lines)},
            "NotificationMetadata": {
                "ApplicationId": "app-id-sandbox",
                "SubscriptionId": "subscription-id-sandbox",
                "PublishTime": now,
                "NotificationId": f"notification-{order['AmazonOrderId']}",
            },
        },
    }


def _change(order: Order, lines: Sequence[Order]) -> dict[str, Any]:
    return {
        "NotificationLevel": "OrderLevel",
        "SellerId": SELLER,
        "AmazonOrderId": order["AmazonOrderId"],
        "OrderChangeType": "OrderStatusChange",
        "OrderChangeTrigger": {
            "TimeOfOrderChange": order["LastUpdateDate"],
            "ChangeReason": "OrderStatusChange",
        },
        "Summary": {
            "MarketplaceId": MARKETPLACE,
            "OrderStatus": order["OrderStatus"],
            "PurchaseDate": order["PurchaseDate"],
            "DestinationPostalCode": None,
            "FulfillmentType": order["FulfillmentChannel"],
            "OrderType": "StandardOrder",
            "OrderItems": [
                {
                    "OrderItemId": line["OrderItemId"],
                    "SellerSKU": line["SellerSKU"],
                    "SupplySourceId": None,
                    "Quantity": line["QuantityOrdered"],
                    "QuantityShipped": line["QuantityShipped"],
                }
                for line in lines
            ],
        },
    }

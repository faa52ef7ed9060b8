"""Documents out: shipments by a call of their own, cancellations and refunds by feed."""

import re
from typing import Final

from stockwright.connectors.amazon.api import Api
from stockwright.connectors.amazon.declaration import AmazonSettings
from stockwright.connectors.amazon.order_feeds import OrderFeeds
from stockwright.connectors.amazon.shipping import ship, unknown
from stockwright.sdk.messages import Document, Shipment, SubmitResult

NUMBER: Final = re.compile(r"[A-Z0-9]{1,3}-[0-9]{7}-[0-9]{7}")
"""What every number of an Amazon order looks like."""


async def submit(
    api: Api, settings: AmazonSettings, feeds: OrderFeeds, document: Document
) -> SubmitResult:
    """Tells Amazon of one document. Raises Misconfigured."""
    if not NUMBER.fullmatch(document.order):
        return unknown(document)
    if isinstance(document, Shipment):
        return await ship(api, settings, document)
    return await feeds.submit(document)

"""The shop's webhooks to us: made where there are none, and again where the shop removed them.

A shop removes a subscription that was made over the API once it could not be delivered for hours,
and tells nobody. Those of the app's own configuration are not listed, and stay.
"""

from collections.abc import Mapping
from typing import Any, Final

from stockwright.connectors.shopify.paced import Paced
from stockwright.connectors.shopify.queries import SUBSCRIBE, WEBHOOKS
from stockwright.connectors.shopify.reading import each_page
from stockwright.domain.errors import Transient
from stockwright.sdk.graphql import Told
from stockwright.sdk.messages import Refused, WebhookOff

TOPICS: Final = ("ORDERS_CREATE", "ORDERS_UPDATED", "ORDERS_CANCELLED", "REFUNDS_CREATE")
"""What a shop is to tell of."""
_THERE: Final = "already been taken"


class Watch:
    """Looks after the webhooks to one address. seen are those that were on at an earlier look."""

    def __init__(self, shop: Paced, address: str) -> None:
        self._shop = shop
        self._address = address
        self._seen: set[str] = set()

    async def look(self) -> list[WebhookOff]:
        """Makes the webhooks that are missing; [] where none was, or there is no address.

        One that was never seen is made without a word. Raises Misconfigured, Throttled, Transient.
        """
        if not self._address:
            return []
        asked = {"uri": self._address}
        nodes = each_page(self._shop, WEBHOOKS, asked, "webhookSubscriptions")
        on = {str(node.get("topic")) async for node in nodes}
        made = [(topic, await self._make(topic)) for topic in TOPICS if topic not in on]
        told = [one for _, one in made if one is not None]
        off = [one for one in told if not one.on_again or one.topic in self._seen]
        self._seen |= on | {topic for topic, one in made if one is None or one.on_again}
        return off

    async def _make(self, topic: str) -> WebhookOff | None:
        """What became of it; None where the shop has it, and lists it by another form of our
        address.
        """
        subscription = {"uri": self._address, "format": "JSON"}
        variables = {"topic": topic, "subscription": subscription}
        answer = await self._shop.change(SUBSCRIBE, variables)
        if isinstance(answer, Refused):
            return WebhookOff(topic=topic, on_again=False, why=answer.message or answer.reason)
        if not isinstance(answer, Told):
            raise Transient(answer.reason)
        why = _error(answer.data)
        if _THERE in why:
            return None
        return WebhookOff(topic=topic, on_again=not why, why=why)


def _error(data: Mapping[str, Any]) -> str:
    """Why there is no subscription; '' where there is one."""
    told = data.get("webhookSubscriptionCreate")
    errors = told.get("userErrors") if isinstance(told, dict) else None
    if not isinstance(errors, list):
        raise Transient("the shop's answer cannot be read")
    words = [str(one.get("message") or "")[:200] for one in errors if isinstance(one, dict)]
    return "; ".join(words)

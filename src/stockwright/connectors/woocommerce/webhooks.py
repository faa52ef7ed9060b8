"""The shop's webhooks to us: switched on again where the shop gave them up, made where asked to.

A shop switches a webhook off after five failed deliveries in a row, and tells nobody.
"""

from typing import Final
from urllib.parse import urlsplit

import msgspec

from stockwright.connectors.woocommerce.catalogue import API
from stockwright.domain.errors import Misconfigured
from stockwright.sdk.calling import Caller, webhook_after, whole_text
from stockwright.sdk.messages import WebhookOff
from stockwright.sdk.secrets import Secret
from stockwright.sdk.transports import HttpResponse
from stockwright.sdk.webhooks import same_address

TOPICS: Final = ("order.created", "order.updated", "order.restored")
"""What a shop is to tell of: an order made, changed or paid back, and taken out of the trash."""
MOST_PAGES: Final = 20
"""Of a hundred webhooks each: a look must not take the calls of a whole minute."""
_SIZE: Final = 100


class _Webhook(msgspec.Struct):
    id: int
    status: str
    topic: str
    delivery_url: str


class Watch:
    """Looks after the webhooks of one shop.

    address: where ours go; those of TOPICS that are missing are made, signed with secret. Empty:
    ours are those that end at the path of this system's webhooks, and none is made.
    """

    def __init__(self, caller: Caller, address: str, secret: Secret | None) -> None:
        self._caller = caller
        self._address = address
        self._secret = secret
        self._made: set[int] = set()

    async def look(self) -> list[WebhookOff]:
        """Switches on what the shop has disabled; a paused one was paused by a person, and stays
        so.

        Raises Misconfigured and Transient.
        """
        found = [one for one in await self._all() if self._is_ours(one)]
        told = [await self._switch_on(one) for one in found if one.status == "disabled"]
        if self._address and self._secret is not None:
            known = {one.topic for one in found}
            missing = [topic for topic in TOPICS if topic not in known]
            made = [await self._make(topic, self._secret) for topic in missing]
            told += [one for one in made if not one.on_again]
            if missing:
                await self._take_back()
        return told

    async def _take_back(self) -> None:
        """Of two processes that made the same webhook at one time, the later takes its own away."""
        first: dict[str, int] = {}
        for one in await self._all():
            is_later = self._is_ours(one) and first.setdefault(one.topic, one.id) != one.id
            if is_later and one.id in self._made:
                path = f"{API}/webhooks/{one.id}"
                await self._caller.write("DELETE", path, query=[("force", "true")])
                self._made.discard(one.id)

    async def _all(self) -> list[_Webhook]:
        rows: dict[int, _Webhook] = {}
        for page in range(1, MOST_PAGES + 1):
            query = [("per_page", str(_SIZE)), ("page", str(page))]
            query += [("orderby", "id"), ("order", "asc")]
            some = await self._caller.read(f"{API}/webhooks", list[_Webhook], query=query)
            rows |= {one.id: one for one in some}
            if len(some) < _SIZE:
                return list(rows.values())
        # Ours may be among the rest, and would be made anew at each look.
        message = f"the shop has over {MOST_PAGES * _SIZE} webhooks: delete those nobody needs"
        raise Misconfigured("webhook_url", message)

    def _is_ours(self, one: _Webhook) -> bool:
        if self._address:
            # A shop may keep the address in another form than it was told.
            return one.id in self._made or same_address(one.delivery_url, self._address)
        path = urlsplit(one.delivery_url).path.rstrip("/")
        return path.endswith(f"/v1/hooks/{self._caller.system}")

    async def _switch_on(self, one: _Webhook) -> WebhookOff:
        path = f"{API}/webhooks/{one.id}"
        answer = await self._caller.write("PUT", path, json={"status": "active"})
        told = whole_text(answer.body) if isinstance(answer, HttpResponse) else None
        status = told.get("status") if isinstance(told, dict) else None
        return webhook_after(one.topic, answer, is_on=status == "active")

    async def _make(self, topic: str, secret: Secret) -> WebhookOff:
        asked = {
            "name": f"Stockwright {topic}",
            "topic": topic,
            "delivery_url": self._address,
            "secret": secret.reveal(),
            "status": "active",
        }
        answer = await self._caller.write("POST", f"{API}/webhooks", json=asked)
        told = whole_text(answer.body) if isinstance(answer, HttpResponse) else None
        number = told.get("id") if isinstance(told, dict) else None
        if isinstance(number, int):
            self._made.add(number)
        return webhook_after(topic, answer)

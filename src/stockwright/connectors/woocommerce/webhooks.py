"""The shop's webhooks to us: switched on again where the shop gave them up, made where asked to.

A shop switches a webhook off after five failed deliveries in a row, and tells nobody.
"""

from typing import Final
from urllib.parse import urlsplit

import msgspec

from stockwright.connectors.woocommerce.catalogue import API
from stockwright.sdk.calling import Caller, webhook_after
from stockwright.sdk.messages import WebhookOff
from stockwright.sdk.secrets import Secret

TOPICS: Final = ("order.created", "order.updated", "order.restored")
"""What a shop is to tell of: an order made, changed or paid back, and taken out of the trash."""
_SIZE: Final = 100
_MOST_PAGES: Final = 100


class _Webhook(msgspec.Struct):
    id: int
    status: str
    topic: str
    delivery_url: str


async def watch(caller: Caller, address: str, secret: Secret | None) -> list[WebhookOff]:
    """Switches on what the shop has disabled; a paused one was paused by a person, and stays so.

    address: where ours go; those of TOPICS that are missing are made, signed with secret. Empty:
    ours are those that end at the path of this system's webhooks, and none is made. Raises
    Misconfigured and Transient.
    """
    found = [one for one in await _all(caller) if _is_ours(one, address, caller.system)]
    told = [await _switch_on(caller, one) for one in found if one.status == "disabled"]
    if address and secret is not None:
        known = {one.topic for one in found}
        missing = [topic for topic in TOPICS if topic not in known]
        made = [await _make(caller, topic, address, secret) for topic in missing]
        told += [one for one in made if not one.on_again]
    return told


async def _all(caller: Caller) -> list[_Webhook]:
    rows: dict[int, _Webhook] = {}
    for page in range(1, _MOST_PAGES):
        query = [("per_page", str(_SIZE)), ("page", str(page)), ("orderby", "id"), ("order", "asc")]
        some = await caller.read(f"{API}/webhooks", list[_Webhook], query=query)
        rows |= {one.id: one for one in some}
        if len(some) < _SIZE:
            break
    return list(rows.values())


def _is_ours(one: _Webhook, address: str, system: str) -> bool:
    if address:
        return one.delivery_url == address
    return urlsplit(one.delivery_url).path.endswith(f"/v1/hooks/{system}")


async def _switch_on(caller: Caller, one: _Webhook) -> WebhookOff:
    path = f"{API}/webhooks/{one.id}"
    return webhook_after(one.topic, await caller.write("PUT", path, json={"status": "active"}))


async def _make(caller: Caller, topic: str, address: str, secret: Secret) -> WebhookOff:
    asked = {
        "name": f"Stockwright {topic}",
        "topic": topic,
        "delivery_url": address,
        "secret": secret.reveal(),
        "status": "active",
    }
    return webhook_after(topic, await caller.write("POST", f"{API}/webhooks", json=asked))

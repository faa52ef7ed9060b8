"""The store's webhook: made where there is none, and switched on again where the store gave it up.

A store switches a webhook off when it could not be delivered for two days, and has no page where
people could see or mend that.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from stockwright.connectors.bigcommerce.api import Api
from stockwright.domain.errors import Misconfigured
from stockwright.sdk.calling import webhook_after, whole_text
from stockwright.sdk.messages import WebhookOff
from stockwright.sdk.secrets import Secret
from stockwright.sdk.transports import HttpResponse
from stockwright.sdk.webhooks import same_address, verify

HOOKS: Final = "/v3/hooks"
SCOPE: Final = "store/order/*"
"""Orders as they are made, changed and paid back."""


class _Hook(msgspec.Struct):
    id: int
    scope: str
    destination: str
    is_active: bool


async def watch(api: Api, address: str) -> list[WebhookOff]:
    """Makes or switches on the webhook to this address; [] where it was on, or there is no address.

    Raises Misconfigured and Transient.
    """
    if not address:
        return []
    hooks = await api.every(HOOKS, _Hook, size=250)
    ours = [one for one in hooks if one.scope == SCOPE and same_address(one.destination, address)]
    wanted: dict[str, Any] = {"scope": SCOPE, "destination": address, "is_active": True}
    if not ours:
        made = webhook_after(SCOPE, await api.write("POST", HOOKS, json=wanted))
        return [] if made.on_again else [made]
    return [await _switch_on(api, one, wanted) for one in ours if not one.is_active]


async def _switch_on(api: Api, one: _Hook, wanted: Mapping[str, Any]) -> WebhookOff:
    answer = await api.write("PUT", f"{HOOKS}/{one.id}", json=wanted)
    told = whole_text(answer.body) if isinstance(answer, HttpResponse) else None
    hook = told.get("data") if isinstance(told, dict) else None
    is_on = hook.get("is_active") is True if isinstance(hook, dict) else False
    return webhook_after(SCOPE, answer, is_on=is_on)


def prove(headers: Mapping[str, str], body: bytes, secrets: Sequence[Secret]) -> None:
    """Passes where the store signed the body (Standard Webhooks) under one of the client secrets.

    Raises Rejected (`signature`), and Misconfigured where there is no secret to prove by.
    """
    if not secrets:
        raise Misconfigured("client_secrets", "set client_secrets to receive webhooks")
    verify(headers, body, [signing_secret(one) for one in secrets], setting="client_secrets")


def signing_secret(client_secret: Secret) -> Secret:
    """The secret in the form of Standard Webhooks: the bytes of the client secret in base64."""
    return Secret(base64.b64encode(client_secret.reveal().encode()).decode())

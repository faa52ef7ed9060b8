"""The store's webhook: made where there is none, and switched on again where the store gave it up.

A store switches a webhook off when it could not be delivered for two days, and has no page where
people could see or mend that.
"""

import base64
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from stockwright.connectors.bigcommerce.api import Api
from stockwright.domain.errors import Misconfigured, Transient
from stockwright.sdk.secrets import Secret
from stockwright.sdk.webhooks import verify

HOOKS: Final = "/v3/hooks"
SCOPE: Final = "store/order/*"
"""Orders as they are made, changed and paid back."""


class _Hook(msgspec.Struct):
    id: int
    scope: str
    destination: str
    is_active: bool


class Watch:
    """Looks after the webhook to one address."""

    def __init__(self, api: Api, address: str, every_s: float) -> None:
        self._api = api
        self._address = address
        self._every = dt.timedelta(seconds=every_s)
        self._looked_at: dt.datetime | None = None

    async def look(self, now: dt.datetime) -> None:
        """Puts the webhook right, where it is time to look. Raises nothing: the poll brings orders
        without it, and tells of a token that is refused.
        """
        if not self._address or (self._looked_at and now - self._looked_at < self._every):
            return
        self._looked_at = now
        try:
            query = [("destination", self._address)]
            hooks = await self._api.every(HOOKS, _Hook, query, size=250)
            ours = [one for one in hooks if one.destination == self._address]
            await self._mend([one for one in ours if one.scope == SCOPE])
        except (Misconfigured, Transient):
            return

    async def _mend(self, ours: Sequence[_Hook]) -> None:
        wanted: dict[str, Any] = {
            "scope": SCOPE,
            "destination": self._address,
            "is_active": True,
        }
        if not ours:
            await self._api.write("POST", HOOKS, json=wanted)
        for one in ours:
            if not one.is_active:
                await self._api.write("PUT", f"{HOOKS}/{one.id}", json=wanted)


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

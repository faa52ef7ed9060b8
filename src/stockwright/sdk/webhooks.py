"""Webhooks in the form of standardwebhooks.com: proven by a signature over the raw body."""

import base64
import binascii
import datetime as dt
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from standardwebhooks import Webhook, WebhookVerificationError
from standardwebhooks.webhooks import EmptyWebhookSecretError

from stockwright.domain.errors import Misconfigured, Rejected
from stockwright.sdk.secrets import Secret

_V1: Final = re.compile(r"v1,[A-Za-z0-9+/]{43}=")
"""A signature by HMAC-SHA256, as the standard writes it."""


def new_secret() -> Secret:
    """A fresh signing secret of 24 random bytes, in the `whsec_` form."""
    return Secret("whsec_" + base64.b64encode(secrets.token_bytes(24)).decode())


def same_address(one: str, other: str) -> bool:
    """Whether two addresses are the same webhook's: a partner may keep ours in another form, with
    its host in other case, its port written out or a slash at its end.
    """
    return _address(one) == _address(other)


def _address(text: str) -> tuple[str, str, int | None, str, str]:
    try:
        parts = urlsplit(text.strip())
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return "", "", None, text, ""
    return parts.scheme, parts.hostname or "", port, parts.path.rstrip("/"), parts.query


def verify(
    headers: Mapping[str, str],
    body: bytes,
    signing_secrets: Sequence[Secret],
    setting: str = "webhook_secrets",
) -> str:
    """The webhook-id of a body that one of the secrets signed within the last five minutes.

    Several secrets stand for the time of a change-over, and of several signatures those of other
    versions, or of none, are passed over. Raises Rejected (`signature`), without
    saying which part failed to a stranger, and Misconfigured where a secret is unusable.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    given = lowered.get("webhook-signature", "")
    lowered["webhook-signature"] = " ".join(filter(_V1.fullmatch, given.split()))
    for hook in [_hook(secret, setting) for secret in signing_secrets]:
        try:
            hook.verify(body, dict(lowered), json_parse=False)
        except (WebhookVerificationError, ValueError):
            # ValueError: a header or a body that is no text at all, from which no signature
            # follows.
            continue
        return lowered["webhook-id"]
    raise Rejected(
        "signature",
        "headers",
        "the signature does not match: sign `webhook-id.webhook-timestamp.body` (UTF-8) with the "
        "shared secret, within five minutes of sending, and send webhook-id, webhook-timestamp and "
        "webhook-signature",
    )


def signed(secret: Secret, message_id: str, body: bytes, at: dt.datetime) -> dict[str, str]:
    """The headers that prove a body, as the sender adds them. at is timezone-aware."""
    return signed_by([secret], message_id, body, at)


def signed_by(
    signing_secrets: Sequence[Secret], message_id: str, body: bytes, at: dt.datetime
) -> dict[str, str]:
    """As `signed`, by each of several secrets: whoever knows one of them can prove the body."""
    moment, text = at.astimezone(dt.UTC), body.decode()
    signatures = [
        Webhook(secret.reveal()).sign(message_id, moment, text) for secret in signing_secrets
    ]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(signatures),
        "content-type": "application/json",
    }


def _hook(secret: Secret, setting: str) -> Webhook:
    try:
        if not secret.reveal().removeprefix("whsec_"):
            raise ValueError("empty")
        return Webhook(secret.reveal())
    except (EmptyWebhookSecretError, binascii.Error, ValueError, RuntimeError):
        raise Misconfigured(
            setting, f"{setting} must hold secrets in base64, with or without the prefix whsec_"
        ) from None

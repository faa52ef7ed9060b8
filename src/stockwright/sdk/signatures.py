"""Webhooks proven by an HMAC over the raw body, in the forms partners use."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Literal

from stockwright.domain.errors import Misconfigured, Rejected
from stockwright.sdk.secrets import Secret

Form = Literal["base64", "hex"]


def signature_of(body: bytes, secret: Secret, form: Form = "base64") -> str:
    """HMAC-SHA256 of the raw body, as the partner writes it into its header."""
    digest = hmac.new(secret.reveal().encode(), body, hashlib.sha256).digest()
    return digest.hex() if form == "hex" else base64.b64encode(digest).decode()


def prove(
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[Secret],
    *,
    name: str,
    form: Form = "base64",
    prefix: str = "",
    setting: str = "webhook_secrets",
) -> None:
    """Passes where one of the secrets signed the body; several stand for a change-over.

    Header names are matched without case. Raises Rejected (`signature`), and Misconfigured where
    there is no secret to prove by.
    """
    if not secrets:
        raise Misconfigured(setting, f"set {setting} to receive webhooks")
    given = {key.lower(): value for key, value in headers.items()}.get(name.lower(), "")
    if given.startswith(prefix):
        claimed = _bytes_of(given.removeprefix(prefix).strip(), form)
        for secret in secrets:
            made = hmac.new(secret.reveal().encode(), body, hashlib.sha256).digest()
            if hmac.compare_digest(made, claimed):
                return
    raise Rejected(
        "signature", "headers", f"{name} is not the HMAC-SHA256 of the body under a known secret"
    )


def _bytes_of(text: str, form: Form) -> bytes:
    try:
        return bytes.fromhex(text) if form == "hex" else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return b""

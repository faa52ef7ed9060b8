"""Takes the secrets out of what callers sent, before any of it is kept for people to read."""

import re
from typing import Any, Final

import msgspec

from stockwright.telemetry import HIDDEN, hide_in, hide_secrets

# A name that says secret, and what stands behind it: in quotes, escaped or not; all that follows
# where an object or a list begins, whose end may be cut off; else to the end of the line or of the
# form's field. Every part has a bound: a body can be made to be searched slowly.
_NAMED: Final = re.compile(
    r"(?P<name>(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|authorization|cookie|signature"
    r"|credential)[\w.-]{0,40}+\\{0,8}+[\"']?\s{0,8}+[:=]\s{0,8}+)"
    r"(?!\\{0,8}[\"']\[hidden\])"
    r"(?:[{\[].*\Z|\\{0,8}(?P<quote>[\"']).*?(?:(?P=quote)(?=\s{0,8}[,}\]\r\n])|\Z)|[^\r\n&\"']+)",
    re.IGNORECASE | re.DOTALL,
)
# An address of the caller's: all of its query and fragment may be a key, whatever it is called.
# Text that is no whole JSON may have the question mark and the slashes escaped.
_ADDRESS: Final = re.compile(
    r"(?P<where>\b[a-z][a-z0-9+.-]{0,30}+:(?:\\?/){2}(?:(?!\\u00[23][f3])[^\s?#\"'<>]){1,2000}+"
    r"(?:[?#]|\\u003f|\\u0023))[^\s\"'<>]+",
    re.IGNORECASE,
)


def hide_in_text(text: str) -> str:
    """Text with what follows a secret's name, what looks like a secret, and what addresses ask for
    replaced by HIDDEN.
    """
    named = _NAMED.sub(lambda found: f"{found['name']}{HIDDEN}", text)
    return _ADDRESS.sub(lambda found: f"{found['where']}{HIDDEN}", hide_secrets(named))


def hide_in_value(value: Any) -> Any:
    """Plain data of JSON without secrets, by the names of its fields and in its texts."""
    return _in_texts(hide_in(value))


def _in_texts(value: Any) -> Any:
    if isinstance(value, str):
        return hide_in_text(value)
    if isinstance(value, dict):
        return {name: _in_texts(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_in_texts(inner) for inner in value]
    return value


def hide_in_body(body: bytes) -> str:
    """A body as text without secrets: JSON (also line by line) by its fields, anything as text.

    JSON stays as it was written where nothing had to be hidden in it.
    """
    text = clean(body.decode("utf-8", "replace"))
    lines = [_hidden_json(line) for line in ([text] if _is_json(text) else text.split("\n"))]
    return hide_in_text("\n".join(lines))


def clean(text: str) -> str:
    """Text as the database can hold it: a NUL and half a surrogate are shown as a question mark."""
    return text.replace("\x00", "?").encode("utf-8", "replace").decode()


def clean_in(value: Any) -> Any:
    """Plain data of JSON with every text in it clean."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(str(name)): clean_in(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [clean_in(inner) for inner in value]
    return value


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return True


def _hidden_json(text: str) -> str:
    if text[:64].lstrip()[:1] not in ("{", "[", '"'):
        return text
    try:
        told = msgspec.json.decode(text)
        hidden = hide_in_value(told)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return text
    return text if hidden == told else msgspec.json.encode(hidden).decode()

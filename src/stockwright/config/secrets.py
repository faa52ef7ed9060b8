"""Secrets are named, never written: `env:NAME` or `file:PATH`, read when they are needed."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from stockwright.config.locator import Path as TomlPath
from stockwright.domain.errors import Misconfigured
from stockwright.sdk import secrets

_REFERENCE: Final = re.compile(r"(env|file):(.+)", re.DOTALL)
_WORDS: Final = (
    "secret|password|passwd|passphrase|pwd|token|api_?key|access_?key|private_?key|signing_?key"
    "|secret_?key|credential|authorization|cookie"
)
_SECRET_PARAMETER: Final = re.compile(
    r"(^|&)[\w.-]*(passw(or)?d|secret|token|api[_-]?key|access[_-]?key|signature)=[^&]",
    re.IGNORECASE,
)
_SECRET_NAME: Final = re.compile(rf"(^|_)({_WORDS})s?$|(secret|password|token)s?$")


def is_reference(value: str) -> bool:
    """True for env:NAME and file:PATH."""
    return _REFERENCE.fullmatch(value) is not None


def resolve_secret(reference: str) -> str:
    """The secret that env:NAME or file:PATH stands for, read now; a last line break is dropped.

    Raises Misconfigured, whose text names the variable or file and never a value.
    """
    setting = reference if is_reference(reference) else "secret"
    try:
        secret = secrets.resolve_secret(reference)
    except ValueError as failure:
        raise Misconfigured(setting, f"{failure}; {_next(reference)}") from None
    if not secret:
        raise Misconfigured(setting, f"the secret is empty; {_next(reference)}")
    return secret


def _next(reference: str) -> str:
    """What to do about a secret that is not there: an environment is read at the start alone."""
    if reference.startswith("file:"):
        return "write the secret into it"
    return "set it and start again"


def literal_secrets(path: TomlPath, settings: Mapping[str, Any]) -> Iterator[TomlPath]:
    """Paths of settings that hold a secret as itself, by their names or as user:password@host."""
    for key, value in settings.items():
        secret = _SECRET_NAME.search(_snake(key)) is not None
        yield from _literals((*path, key), value, secret=secret)


def _literals(path: TomlPath, value: object, *, secret: bool) -> Iterator[TomlPath]:
    if isinstance(value, Mapping):
        yield from literal_secrets(path, value)
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _literals((*path, index), part, secret=secret)
    elif isinstance(value, str):
        if not is_reference(value) and ((secret and value) or carries_password(value)):
            yield path
    elif secret and not isinstance(value, bool):
        yield path


def carries_password(address: str) -> bool:
    """True for an address with a secret in it: scheme://user:password@host, ?password=, ?token=."""
    if "://" not in address:
        return False
    try:
        parts = urlsplit(address)
        return bool(parts.password or _SECRET_PARAMETER.search(parts.query))
    except ValueError:
        return "@" in address


def _snake(name: str) -> str:
    """apiKey, Api-Key and API_KEY all as api_key."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[-. ]", "_", name).lower()


def absolute_references(value: Any, folder: Path) -> Any:
    """Settings with every file:PATH made absolute, read from the configuration's folder."""
    if isinstance(value, Mapping):
        return {key: absolute_references(part, folder) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [absolute_references(part, folder) for part in value]
    if isinstance(value, str) and value.startswith("file:"):
        return "file:" + str(folder / value.removeprefix("file:"))
    return value

"""Secrets: written in a configuration only as a reference, never shown once resolved."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

FORMS: Final = ("env:", "file:")


class Secret:
    """A secret value. Printing, logging or encoding it shows that there is one, never which."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself: only for the line that signs, verifies or sends it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))


def resolve_secret(reference: str) -> str:
    """What `env:NAME` or `file:PATH` stands for, without the line break at a file's end.

    Raises ValueError that names the variable or file, never its content.
    """
    kind, _, name = reference.partition(":")
    if kind == "env":
        if name not in os.environ:
            raise ValueError(f"the environment variable {name} is not set")
        return os.environ[name]
    if kind == "file":
        try:
            return Path(name).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"the file {name} cannot be read: {type(error).__name__}") from None
    raise ValueError("a secret is written as env:NAME or file:PATH, never as the value itself")


def secret_from(found: Any, resolve: Callable[[str], str] | None) -> Secret:
    """A Secret from a reference, or as it is where a program made one. Raises ValueError."""
    if isinstance(found, Secret):
        return found
    if not isinstance(found, str) or not found.startswith(FORMS):
        raise ValueError("a secret is written as env:NAME or file:PATH, never as the value itself")
    if resolve is None:
        return Secret("")
    value = resolve(found)
    if not value:
        raise ValueError(f"{found} is empty")
    return Secret(value)

"""What `stockwright connection` is given: settings, secrets by reference, samples from files."""

import getpass
import sys
from collections.abc import Sequence
from pathlib import Path

from stockwright.cli import output
from stockwright.config.asking import Asked, reference_problem
from stockwright.domain.errors import Rejected
from stockwright.sdk.messages import Payload


def given_settings(texts: Sequence[str]) -> dict[str, str]:
    """Settings given as NAME=VALUE. Raises Rejected, and repeats nothing of what was given."""
    found = {}
    for number, text in enumerate(texts, 1):
        name, separator, value = text.partition("=")
        if not separator or not name.strip():
            # What was meant as a value may be a secret, so it is told by its place.
            message = f"Give every setting as NAME=VALUE; number {number} is not."
            raise Rejected("malformed", "set", message)
        found[name.strip()] = value.strip()
    return found


def completed(given: dict[str, str], wanted: Sequence[Asked]) -> dict[str, str]:
    """Asks a person for required settings; programs are told by the rules what is missing."""
    if not _at_a_terminal():
        return given
    for one in wanted:
        if one.required and one.name not in given:
            given[one.name] = _secret(one) if one.secret else input(f"{one.name} ({one.what}): ")
    return given


def _at_a_terminal() -> bool:
    return sys.stdin.isatty()


def _secret(one: Asked) -> str:
    """A reference to a secret. What is typed is not echoed: it may be the secret by mistake."""
    while True:
        text = getpass.getpass(f"{one.name}, as env:NAME or file:PATH ({one.what}): ").strip()
        problem = reference_problem(text)
        if not problem:
            return text
        output.err().print(f"{one.name}: {problem}")


def payload_of(path: Path) -> Payload:
    """A file as a message of the partner; connectors of files look at its name."""
    try:
        body = path.read_bytes()
    except OSError as failure:
        raise Rejected("unreadable", "sample", f"{path}: {failure.strerror}") from None
    return Payload(body=body, headers={"file": path.name})

"""Codes: how partners and people name a SKU, a place or a system. Kept exactly as written."""

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Final

import msgspec

from stockwright.domain.events import MAX_CODE

# Nothing unprintable, and no blanks at the ends: both are invisible and match nothing.
_PATTERN: Final = r"^[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?$(?!\n)"

# What nearly every code is: answered without looking at each character.
_PLAIN: Final = re.compile(rf"[!-~]{{1,{MAX_CODE}}}")

Code = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_CODE, pattern=_PATTERN)]
"""1 to 128 printable characters without blanks at the ends; case and leading zeros count."""


def code_problem(code: str) -> str:
    """Why a text cannot be a code, as words that follow its name; '' where it can."""
    if _PLAIN.fullmatch(code):
        return ""
    if not code:
        return "is empty"
    if len(code) > MAX_CODE:
        return f"is longer than {MAX_CODE} characters"
    if code != code.strip():
        return "begins or ends with a blank"
    for character in code:
        if "\ud800" <= character <= "\udfff":
            return "contains bytes that are not UTF-8"
        if not character.isprintable():
            return f"contains the invisible character U+{ord(character):04X}"
    return ""


def storable(text: str, longest: int) -> str:
    """The beginning of a text as it can be kept, whatever a partner sent: without NUL and halves
    of surrogate pairs.
    """
    clean = text[:longest].replace("\x00", "\ufffd")
    return clean.encode("utf-8", "replace").decode("utf-8")


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """The known word closest to a wrong one as the question 'did you mean X?'; '' if none is."""
    words = {word.casefold(): word for word in known}
    close = difflib.get_close_matches(wrong.casefold(), words, n=1, cutoff=0.6)
    return f"did you mean {words[close[0]]}?" if close else ""


def field_name(path: Sequence[str | int]) -> str:
    """A path as people write it: channels.web.policies[0].cap; odd keys are quoted."""
    name = ""
    for step in path:
        if isinstance(step, int):
            name += f"[{step}]"
        else:
            plain = step.replace("-", "").replace("_", "").isalnum() and step.isascii()
            name += ("." if name else "") + (
                step if plain else json.dumps(step, ensure_ascii=False)
            )
    return name or "(file)"

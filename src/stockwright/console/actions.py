"""What people do to one row or to many: seen before it is done, told afterwards, taken back where
that is possible.

An action says what it would do to a selection, does it, and keeps what undoing needs. The pages
around it are the same for all (`boards`).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from stockwright.console.reading import Reader
from stockwright.domain.errors import Rejected
from stockwright.domain.people import Action as Right
from stockwright.store.connection import Connection

MAX_SELECTED: Final = 5_000
"""Rows that one action takes; more are left for the next."""
MAX_TEXT: Final = 1_000

Values = Mapping[str, str]


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """Something a person says with an action. choices: the values a `choice` has to be one of."""

    name: str
    label: str
    kind: Literal["text", "line", "choice"] = "text"
    required: bool = True
    hint: str = ""
    choices: Sequence[tuple[str, str]] = ()


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """What an action would do: to how many rows, why not to others, and a few of them in words."""

    will: int
    wont: Mapping[str, int] = {}
    lines: Sequence[str] = ()
    warning: str = ""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What an action did. undo is what taking it back needs, None where that is impossible."""

    done: int
    wont: Mapping[str, int] = {}
    undo: dict[str, Any] | None = None
    note: str = ""


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that can be done to rows of a board.

    Either `apply` does it in one transaction, or `perform` does it where more than the database
    takes part. alone: only to one row, on that row's page. told: how the result begins, "Closed".
    """

    name: Right
    label: str
    told: str
    preview: Callable[[Connection, Sequence[int], Values], Effect]
    apply: Callable[[Connection, Sequence[int], Values, str], Done] | None = None
    perform: Callable[[Reader, Sequence[int], Values, str], Awaitable[Done]] | None = None
    undo: Callable[[Connection, Mapping[str, Any], str], int] | None = None
    fields: Sequence[Field] = ()
    choices: Mapping[str, Callable[[Connection, str], Sequence[tuple[str, str]]]] = {}
    alone: bool = False
    grave: bool = False


def checked(action: Action, given: Callable[[str], str]) -> dict[str, str]:
    """The values of an action's fields. Raises Rejected naming the field that is missing."""
    values = {field.name: given(field.name).strip() for field in action.fields}
    for field in action.fields:
        text = values[field.name]
        if field.required and not text:
            raise Rejected("malformed", field.name, f"{field.label}: say something here.")
        if len(text) > MAX_TEXT or "\x00" in text:
            raise Rejected("malformed", field.name, f"{field.label}: at most 1,000 characters.")
    return values


def counted(rows: Sequence[str], total: int) -> list[str]:
    """The first few of some lines, and how many there are beside them."""
    shown = list(rows[:8])
    return [*shown, f"and {total - len(shown):,} more"] if total > len(shown) else shown

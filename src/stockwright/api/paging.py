"""Cursors: where the next page begins, as a text that callers pass back and never read."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec

from stockwright.api.problems import problem
from stockwright.domain.cursors import cursor_of, read_cursor

__all__ = ["DEFAULT_LIMIT", "Cursor", "Limit", "Page", "PageQuery", "cursor_of", "page_of"]
__all__ += ["position_of"]

T = TypeVar("T")

Limit = Annotated[int, msgspec.Meta(ge=1, le=1000, description="Most items a page may hold.")]
Cursor = Annotated[str, msgspec.Meta(max_length=1024, description="`next_cursor` of a page.")]
DEFAULT_LIMIT: Final = 100


class Page(msgspec.Struct, Generic[T], kw_only=True):
    """One page. next_cursor is null on the last one."""

    items: Sequence[T]
    next_cursor: str | None


class PageQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which page."""

    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor = ""


def position_of(cursor: str, kind: type[T], start: T) -> T:
    """The position in a cursor of ours; `start` for an empty one. Raises the problem malformed."""
    if not cursor:
        return start
    try:
        return read_cursor(cursor, kind)
    except ValueError:
        detail = "This is not a cursor of this list."
        raise problem(
            "malformed",
            detail,
            param="cursor",
            next="Pass on the cursor of the answer before, as it is, or leave it out.",
        ) from None


def page_of(found: Sequence[T], limit: int, position: Callable[[T], Any]) -> Page[T]:
    """A page out of up to limit + 1 items found; the item too many only says there is a next."""
    shown = found[:limit]
    more = len(found) > limit
    return Page(items=shown, next_cursor=cursor_of(position(shown[-1])) if more else None)

"""What the route table is made of: one row for each thing that can be asked of the API."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from stockwright.api.call import Handler

Method = Literal["GET", "PUT", "POST", "DELETE"]
DOORS: Final = ("key", "signature", "open")


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One row: method and path, who may call it, what goes in and comes out, and the handler.

    scope is what the caller's key needs; without one the call is for everybody (`signature`: the
    handler checks one). body and query are the types that are decoded and documented. answers
    maps each good status to the type of its body. stored says that an Idempotency-Key is honoured
    by keeping the answer. streams are the types of an answer that comes row by row; patient says
    that an answer may take its time. The summary is the handler's docstring.
    """

    method: Method
    path: str
    handler: Handler
    tag: str
    scope: str = ""
    body: Any = None
    query: type[msgspec.Struct] | None = None
    answers: Mapping[int, Any] = {}
    problems: Sequence[str] = ()
    media: Sequence[str] = ("application/json",)
    stored: bool = False
    own_key: bool = False
    streams: Sequence[str] = ()
    patient: bool = False

    @property
    def name(self) -> str:
        """The operation's id."""
        return self.handler.__name__

    @property
    def summary(self) -> str:
        """What it answers, in the handler's words."""
        return " ".join((self.handler.__doc__ or "").split())

"""What the route table is made of: one row for each thing that can be asked of the API."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from stockwright.api.call import Handler
from stockwright.app import Services

Method = Literal["GET", "PUT", "POST", "DELETE"]
DOORS: Final = ("key", "signature", "open")


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """What may be asked next with what an answer told: an operation, and where its parameters are.

    parameters maps a parameter to a runtime expression of OpenAPI.
    """

    to: str
    parameters: Mapping[str, str]


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One row: method and path, who may call it, what goes in and comes out, and the handler.

    scope is what the caller's key needs; without one the call is for everybody (`signature`: the
    handler checks one). body and query are the types that are decoded and documented. answers
    maps each good status to the type of its body. stored says that an Idempotency-Key is honoured
    by keeping the answer, reasoned that the header Change-Reason is. produces maps further media
    types of the 200 answer to the type of one of their lines or events, None where it has no
    schema; callers name one in Accept. patient marks what may take long because the caller asked
    it to wait. links follow from a good answer. admits is asked with the parts of the address
    before any of the body is read, and raises where nothing would take it. The summary is the
    handler's docstring.
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
    reasoned: bool = False
    own_key: bool = False
    produces: Mapping[str, Any] = {}
    patient: bool = False
    links: Sequence[Link] = ()
    admits: Callable[[Services, Mapping[str, str]], object] | None = None

    @property
    def name(self) -> str:
        """The operation's id."""
        return self.handler.__name__

    @property
    def summary(self) -> str:
        """What it answers, in the handler's words."""
        return " ".join((self.handler.__doc__ or "").split())

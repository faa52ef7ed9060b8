"""Message brokers behind one seam: take, settle, rest, put, close.

What is taken stays with us until it is settled, which is done once it is kept for good. What is not
settled, for a crash or a broken connection, comes again; the ledger absorbs what it has by then.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final, Protocol, TypeVar, runtime_checkable

import msgspec

from stockwright.domain.errors import Misconfigured
from stockwright.sdk.messages import Announcement
from stockwright.sdk.transports import NotSent

MAX_HEADERS: Final = 20
T = TypeVar("T")


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a queue. subject is where it was sent to, place the broker's name for it.

    receipt is what the queue needs to settle it.
    """

    body: bytes
    subject: str = ""
    place: str = ""
    headers: dict[str, str] = {}
    receipt: Any = None


class Away(NotSent):
    """No connection to the broker came about: what is true of one message is true of all."""


class Queue(Protocol):
    """One broker, as it is set up for one connection. Belongs to the event loop of its first call.

    Raises NotSent (surely not stored; Away where the broker cannot be reached), Unanswered (nobody
    knows), Transient, Misconfigured, and Rejected for a message that is never taken as it is.
    """

    async def take(self, most: int, wait_s: float) -> Sequence[Taken]:
        """The next messages, at most so many, in the broker's order; [] where none came in time.

        What was taken before and is not settled may come again.
        """
        ...

    async def rest(self) -> None:
        """Lets go of what was handed out to us and not settled, so that other workers may have it.
        The next `take` begins anew. Safe to repeat.
        """
        ...

    async def settle(self, taken: Sequence[Taken]) -> None:
        """Tells the broker that messages, as one `take` answered them, are kept for good."""
        ...

    async def put(self, message: Announcement) -> str:
        """Hands a message over; the broker's name for it, once it is stored there."""
        ...

    async def close(self) -> None:
        """Gives back the connection; a later call opens it again. Safe to repeat."""
        ...


@runtime_checkable
class ChecksSubjects(Protocol):
    """A queue that can be asked whether what is sent would find its way."""

    async def check(self, subjects: Mapping[str, str]) -> bool:
        """Asks whether these subjects, each under the setting that names it, lead anywhere, as far
        as the broker tells; False where there is nothing to ask for. Sends nothing.

        Subjects hold what differs by listing or order as {words}; see `varies`.
        Raises Misconfigured with the setting at fault, and what `put` raises of a broker away.
        """
        ...


def varies(subject: str) -> bool:
    """Whether a subject, or a word of one, differs by listing or order: it has {words} in it."""
    return "{" in subject


def library(name: str, extra: str) -> Any:
    """A client library that is no part of the base installation. Raises Misconfigured."""
    try:
        return import_module(name)
    except ImportError:
        message = f"this connector needs a library more: install stockwright[{extra}]"
        raise Misconfigured("connector", message) from None


def headers_from(found: Any, decode: Callable[[Any], str] = str) -> dict[str, str]:
    """A message's headers as text, at most MAX_HEADERS of them."""
    pairs = list(found.items() if hasattr(found, "items") else found or ())
    return {str(name).lower(): decode(value) for name, value in pairs[:MAX_HEADERS]}

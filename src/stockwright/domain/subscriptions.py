"""Subscriptions: what an outside consumer is told, where, and what becomes of one that fails."""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, get_args
from urllib.parse import urlsplit

import msgspec

from stockwright.domain.codes import Code
from stockwright.domain.errors import Rejected
from stockwright.domain.events import FactKind, RequestKind
from stockwright.domain.proxies import Net
from stockwright.domain.reach import is_address, may_reach

Via = Literal["webhook", "queue"]
State = Literal["active", "failing", "paused"]
Kind = FactKind | RequestKind | Literal["expiry", "level"]
LEVEL: Final = "level"
EVENT_KINDS: Final = (*get_args(FactKind), *get_args(RequestKind), "expiry")

MOST_IN_A_MESSAGE: Final = 500
FIRST_RETRY_S: Final = 1.0
LONGEST_RETRY_S: Final = 3_600.0
PATIENCE_S: Final = 86_400.0
MAX_URL: Final = 2_000
MAX_SUBJECT: Final = 200
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]")
PLACEHOLDERS: Final = ("change", "kind", "system", "channel")

Codes = Annotated[tuple[Code, ...], msgspec.Meta(max_length=100)]


class Filters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a subscription tells of. An empty list lets all pass; all that are given must agree.

    changes: events of the ledger, changes of levels, or all. Kinds are those of events, and
    `level`.
    """

    changes: Literal["all", "events", "levels"] = "all"
    kinds: Annotated[tuple[Kind, ...], msgspec.Meta(max_length=100)] = ()
    skus: Codes = ()
    locations: Codes = ()
    channels: Codes = ()
    systems: Codes = ()

    @property
    def wanted_kinds(self) -> frozenset[str]:
        """The kinds that pass; empty where all do."""
        if self.changes == "levels":
            return frozenset({LEVEL})
        if self.changes == "events":
            return frozenset(self.kinds or EVENT_KINDS) - {LEVEL}
        return frozenset(self.kinds)


class NewSubscription(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription as it is asked for: a webhook's url, or the system of a queue and a subject.

    batch is how many changes one message may hold at most; with 1 each change is a message.
    """

    name: str
    via: Via
    url: str = ""
    system: str = ""
    subject: str = ""
    filters: Filters = Filters()
    batch: int = 100


def check(new: NewSubscription, allowed: Sequence[Net]) -> None:
    """Raises Rejected with the field where a subscription can never work as it is asked for.

    allowed are the networks that may be called although they are private.
    """
    if not _NAME.fullmatch(new.name):
        message = "is 1 to 64 letters, digits, dots, dashes or underscores, and begins with neither"
        raise Rejected("malformed", "name", f"A name {message} dot nor dash.")
    if not 1 <= new.batch <= MOST_IN_A_MESSAGE:
        message = f"A message holds 1 to {MOST_IN_A_MESSAGE} changes."
        raise Rejected("malformed", "batch", message)
    if new.filters.changes == "levels" and set(new.filters.kinds) - {LEVEL}:
        message = "Changes of levels have no kind of event; leave kinds out, or ask for events."
        raise Rejected("malformed", "filters.kinds", message)
    if new.filters.changes == "events" and LEVEL in new.filters.kinds:
        message = "`level` is no kind of event; leave it out, or ask for all changes."
        raise Rejected("malformed", "filters.kinds", message)
    if new.via == "webhook":
        if new.system or new.subject:
            message = "A subscription has either a url, or a system with a subject."
            raise Rejected("malformed", "system", message)
        check_url(new.url, allowed)
    elif new.url:
        message = "A subscription has either a url, or a system with a subject."
        raise Rejected("malformed", "url", message)
    else:
        check_subject(new.subject)


def check_url(url: str, allowed: Sequence[Net]) -> None:
    """Raises Rejected where an address may not be called, as far as it can be told by its text.

    What its host's name leads to is judged again with every call.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise _bad_url("This is no web address.") from None
    if len(url) > MAX_URL or not url.isprintable() or " " in url:
        raise _bad_url(f"An address has at most {MAX_URL:,} printable characters and no blank.")
    if parts.scheme not in ("https", "http") or not host:
        raise _bad_url("Give an address that begins with https://.")
    if not host.isascii():
        # Some characters stand for digits and dots, once the name is translated.
        raise _bad_url("Write a name with other letters than a to z in its form with xn--.")
    if parts.username or parts.password:
        raise _bad_url("Leave user and password out; what we send is signed instead.")
    if parts.fragment:
        raise _bad_url("Leave the part behind # out; servers never see it.")
    secure = parts.scheme == "https"
    if is_address(host) and not may_reach(host, allowed, public=secure):
        raise _bad_url(not_allowed(host, secure=secure))
    if not secure and not allowed:
        raise _bad_url("Use https://; plain http is for networks that the operator allows.")


def shown_url(url: str) -> str:
    """An address without its query, its name and its password, which may be the consumer's key."""
    before, mark, _ = url.partition("?")
    scheme, between, rest = before.partition("://")
    host, slash, path = rest.partition("/")
    return scheme + between + host.rpartition("@")[2] + slash + path + ("?..." if mark else "")


def not_allowed(address: str, *, secure: bool) -> str:
    """Why an address is not called, and which setting would allow it."""
    why = "is in a private network" if secure else "would be called without TLS"
    return (
        f"{address} {why}, and `subscriptions.allowed_networks` names no network that it is in:"
        " add that network there and start again, or take a public address over https"
    )


def check_subject(subject: str) -> None:
    """Raises Rejected where a subject cannot be sent to."""
    tokens = _PLACEHOLDER.sub("x", subject).split(".")
    if not 0 < len(subject) <= MAX_SUBJECT or not all(
        re.fullmatch(r"[A-Za-z0-9_/-]+", token) for token in tokens
    ):
        message = (
            f"A subject is up to {MAX_SUBJECT} characters: words of letters, digits, -, _ and /"
            " with dots between them."
        )
        raise Rejected("malformed", "subject", message)
    for name in _PLACEHOLDER.findall(subject):
        if name not in PLACEHOLDERS:
            known = ", ".join(f"{{{one}}}" for one in PLACEHOLDERS)
            message = f"There is no {{{name}}}; a subject may hold {known}."
            raise Rejected("malformed", "subject", message)


def filled(subject: str, values: Mapping[str, str]) -> str:
    """A subject with its placeholders filled in; an empty value is `-`."""
    return _PLACEHOLDER.sub(lambda found: token(values.get(found[1], "")), subject)


def token(code: str) -> str:
    """A code as one word of a subject: what a word may not hold is written as % and its bytes."""
    return _UNSAFE.sub(lambda one: "".join(f"%{n:02X}" for n in one[0].encode()), code) or "-"


def retry_s(failures: int, asked_s: float = 0.0, chance: float = 1.0) -> float:
    """Seconds until the next try after so many failures in a row, at least those asked for.

    Doubles each time up to an hour. chance (0 to 1) spreads those that failed together.
    """
    wait_s: float = min(FIRST_RETRY_S * 2.0 ** min(max(failures - 1, 0), 20), LONGEST_RETRY_S)
    return max(wait_s * (0.75 + chance / 4), min(asked_s, LONGEST_RETRY_S))


def is_given_up(failing_since: dt.datetime, now: dt.datetime, patience_s: float) -> bool:
    """Whether a consumer has failed for so long that it is paused."""
    return (now - failing_since).total_seconds() >= patience_s


def state_of(*, paused: bool, failures: int) -> State:
    """How a subscription does."""
    if paused:
        return "paused"
    return "failing" if failures else "active"


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One change as CloudEvents 1.0 (cloudevents.io). cursor is an extension of ours: the place in
    the feed of changes behind this one.
    """

    id: str
    source: str
    type: str
    subject: str
    time: dt.datetime
    cursor: str
    data: Any
    specversion: Literal["1.0"] = "1.0"
    datacontenttype: Literal["application/json"] = "application/json"


def _bad_url(message: str) -> Rejected:
    return Rejected("malformed", "url", message)

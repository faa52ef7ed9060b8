"""Who may do what: the roles of named users, what each may do, and the API's scopes behind them."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, get_args

from stockwright.domain.errors import Rejected

Role = Literal["viewer", "operator", "admin"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
"""From the one that may least to the one that may all."""

MEANINGS: Final[Mapping[Role, str]] = {
    "viewer": "looks at everything but secrets and raw messages; changes nothing but own settings",
    "operator": "also decides: work items, parked payloads, bindings, reservations, channels",
    "admin": "also changes the rules: users, API keys, policies",
}

Action = Literal[
    "look",
    "own.settings",
    "view.save",
    "payload.read_raw",
    "work_item.assign",
    "work_item.close",
    "payload.resume",
    "payload.discard",
    "binding.put",
    "reservation.release",
    "channel.pause",
    "channel.resync",
    "connection.step",
    "connection.add",
    "connection.force",
    "subscription.steer",
    "subscription.change",
    "key.look",
    "key.revoke",
    "policy.change",
    "user.change",
]


class Permission(NamedTuple):
    """The least role that may do something, and what that is."""

    role: Role
    meaning: str


PERMISSIONS: Final[Mapping[Action, Permission]] = {
    "look": Permission("viewer", "see every page and its JSON twin"),
    "own.settings": Permission("viewer", "change one's own password, time zone, theme, sessions"),
    "view.save": Permission("viewer", "keep and delete one's own saved views"),
    "payload.read_raw": Permission("operator", "read what a partner sent, byte for byte"),
    "work_item.assign": Permission("operator", "give work items to somebody"),
    "work_item.close": Permission("operator", "close work items with a reason, and undo that"),
    "payload.resume": Permission("operator", "send parked payloads to work again"),
    "payload.discard": Permission("operator", "set parked payloads aside, and undo that"),
    "binding.put": Permission("operator", "bind a partner's code to one of ours"),
    "reservation.release": Permission("operator", "give back what reservations hold"),
    "channel.pause": Permission("operator", "pause a channel and let it go on"),
    "channel.resync": Permission("operator", "send a channel all its levels again"),
    "connection.step": Permission(
        "operator",
        "test a connection, take opening stock, put it into shadow, let it go live, try it again",
    ),
    "connection.add": Permission("admin", "add a connection to the configuration"),
    "connection.force": Permission("admin", "let a connection go live with steps missing"),
    "subscription.steer": Permission(
        "operator", "pause and resume a consumer, and replay from a position"
    ),
    "subscription.change": Permission(
        "admin", "add and delete subscriptions, and give one a new secret"
    ),
    "key.look": Permission("admin", "see the API keys, never their secrets"),
    "key.revoke": Permission("admin", "revoke API keys"),
    "policy.change": Permission("admin", "change exposure policies"),
    "user.change": Permission("admin", "add and disable users, change their roles and passwords"),
}
"""The permission table: every action of the console with the least role that may do it."""

SCOPES: Final[Mapping[Role, frozenset[str]]] = {
    "viewer": frozenset(
        {
            "console",
            "stock:read",
            "master:read",
            "work:read",
            "metrics:read",
            "audit:read",
            "subscriptions:read",
        }
    ),
    "operator": frozenset(
        {
            "console",
            "stock:read",
            "master:read",
            "work:read",
            "metrics:read",
            "audit:read",
            "subscriptions:read",
            "work:write",
            "master:write",
            "reservations:write",
            "systems:any",
        }
    ),
    "admin": frozenset({"admin"}),
}
"""The API's scopes that a signed-in user's session carries, by role."""

RESERVED_NAMES: Final = frozenset({"demo", "cli", "key", "system", "nobody", "stockwright"})
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")


def may(role: Role, action: Action) -> bool:
    """Whether somebody of this role may do this."""
    return ROLES.index(role) >= ROLES.index(PERMISSIONS[action].role)


def user_name(text: str) -> str:
    """A user's name as it is kept: small letters, so that Ada and ada are one person."""
    return unicodedata.normalize("NFKC", text).strip().lower()


def is_name(text: str) -> bool:
    """Whether a text, as `user_name` answers it, can be anybody's name."""
    return _NAME.fullmatch(text) is not None


def checked_name(text: str) -> str:
    """The name of a new user. Raises Rejected where it cannot be one."""
    name = user_name(text)
    if not is_name(name):
        message = "A name is 1 to 64 letters a-z, digits and . _ @ + -, and starts with a letter."
        raise Rejected("malformed", "name", message)
    if name in RESERVED_NAMES:
        raise Rejected("malformed", "name", f"The name {name} means something else here.")
    return name

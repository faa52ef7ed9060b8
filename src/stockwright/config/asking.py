"""The settings of a new connection as people give them: what is asked, and texts into values."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from stockwright.config.connectors import connector_names, find_connector
from stockwright.config.findings import Finding
from stockwright.config.lint import read_edits
from stockwright.config.model import Connections
from stockwright.config.secrets import is_reference
from stockwright.domain.codes import did_you_mean
from stockwright.domain.errors import Rejected
from stockwright.domain.network import Network, Role, System
from stockwright.sdk.connector import Connector
from stockwright.sdk.declaration import Declaration

_SECRET: Final = "^(env|file):"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One setting that a connector takes. default is JSON, '' where there is none to show."""

    name: str
    what: str
    required: bool
    secret: bool
    default: str = ""


ABOUT: Final = tuple(
    field.name
    for field in msgspec.structs.fields(System)
    if field.name not in ("code", "role", "connector", "settings")
)
"""What else may be said of the system of a new connection, as in the file."""


class NewConnection(msgspec.Struct, frozen=True, kw_only=True):
    """A connection to be: its system, and the channel that it sells on, if any.

    role '' is the connector's only one. settings are values, or texts where a person typed them.
    about holds what else the file may say of the system, by its names there; what is '' or None is
    not said.
    """

    code: str
    connector: str
    role: str = ""
    settings: Mapping[str, Any] = {}
    about: Mapping[str, Any] = {}
    channel: str = ""
    pool: Sequence[str] = ()


def connector_of(name: str) -> Connector[Any]:
    """The connector of this name. Raises Rejected naming those there are."""
    found = find_connector(name)
    if found is None:
        known = connector_names()
        hint = did_you_mean(name, known) or f"take one of {', '.join(known)}."
        raise Rejected("malformed", "connector", f"There is no connector {name!r}; {hint}")
    return found


def asked(declaration: Declaration[Any]) -> list[Asked]:
    """What a connector asks for: required settings first, else in the order of the declaration."""
    schema = declaration.json_schema()
    if "$ref" in schema:
        schema = schema["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    required = set(schema.get("required", ()))
    found = [
        Asked(
            name=name,
            what=_what(field),
            required=name in required,
            secret=_is_secret(field),
            default=_default(field),
        )
        for name, field in schema["properties"].items()
    ]
    return sorted(found, key=lambda one: not one.required)


def _what(field: Mapping[str, Any]) -> str:
    return str(field.get("description", ""))


def _default(field: Mapping[str, Any]) -> str:
    value = field.get("default")
    if value in (None, "", [], ()):
        return ""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 40 else ""


def _is_secret(field: Mapping[str, Any]) -> bool:
    choices = [field, field.get("items", {}), *field.get("anyOf", ())]
    return any(choice.get("pattern") == _SECRET for choice in choices if choice)


def role_of(declaration: Declaration[Any], given: str) -> Role:
    """The role of the new system. Raises Rejected where it must be said, or cannot be that one."""
    if not given and len(declaration.roles) == 1:
        return declaration.roles[0]
    for role in declaration.roles:
        if role == given:
            return role
    roles = ", ".join(declaration.roles)
    wrong = f"{given!r} is not among them" if given else "say what the system is to us"
    message = f"{declaration.name} speaks for {roles}; {wrong}."
    raise Rejected("malformed", "role", message)


def settings_of(declaration: Declaration[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with every text as the setting takes it: "5" as 5 where a number is meant.

    A text that fits nothing stays, for the rules of the configuration to say what is wrong.
    """
    return {name: _value(declaration, name, value) for name, value in given.items()}


def _value(declaration: Declaration[Any], name: str, value: Any) -> Any:
    if not isinstance(value, str) or _fits(declaration, name, value):
        return value
    parts = [part.strip() for part in value.split(",")]
    try:
        decoded = msgspec.json.decode(value)
    except msgspec.DecodeError:
        decoded = parts
    return next((one for one in (decoded, parts) if _fits(declaration, name, one)), value)


def _fits(declaration: Declaration[Any], name: str, value: Any) -> bool:
    own = (name, f"{name}.", f"{name}[")
    return not any(
        problem.field == own[0] or problem.field.startswith(own[1:])
        for problem in declaration.problems({name: value})
    )


def edits_of(new: NewConnection, database: Network, host: Connections | None) -> Network:
    """The parts of the configuration that make a connection, by the rules of the file.

    A channel that is there already must belong to the same system, and keeps its rules; where it
    is the system's only one, its orders are of it whether it is named again or not. host is what
    it may name on this machine; None for who works on it. Raises Rejected with everything that is
    wrong, naming the first field.
    """
    declaration = connector_of(new.connector).declaration
    settings = settings_of(declaration, new.settings)
    channel = new.channel or _only_channel(new.code, database)
    if channel not in ("", new.code) and _asks(declaration, "channel"):
        # Connectors take the system's code for the channel of its orders where nothing is said.
        settings.setdefault("channel", channel)
    system: dict[str, Any] = {
        "role": role_of(declaration, new.role),
        "connector": new.connector,
        "settings": settings,
    }
    system |= {name: value for name, value in new.about.items() if value not in ("", None)}
    given: dict[str, Any] = {"systems": {new.code: system}}
    if new.channel:
        added = _channel(new, database)
        given |= {"channels": {new.channel: added}} if added else {}
    edits, findings = read_edits(given, database, host)
    if edits is None:
        raise _told(findings)
    return edits


def _asks(declaration: Declaration[Any], name: str) -> bool:
    return any(field.name == name for field in msgspec.structs.fields(declaration.settings))


def _only_channel(system: str, database: Network) -> str:
    """The channel of a system that has one; '' where it has none or several."""
    found = [one.code for one in database.channels if one.system == system]
    return found[0] if len(found) == 1 else ""


def _channel(new: NewConnection, database: Network) -> dict[str, Any] | None:
    """The channel to be added; None where it is there."""
    known = next((one for one in database.channels if one.code == new.channel), None)
    if known is None:
        if not new.pool:
            message = f"Say from which places {new.channel} sells: locations or groups."
            raise Rejected("malformed", "pool", message)
        return {"system": new.code, "pool": list(new.pool)}
    if known.system != new.code:
        message = f"The channel {new.channel} belongs to {known.system}; take another code."
        raise Rejected("malformed", "channel", message)
    return None


def _told(findings: Sequence[Finding]) -> Rejected:
    errors = [finding for finding in findings if finding.level == "error"]
    words = "; ".join(f"{one.field} {one.problem}: {one.fix}" for one in errors)
    stop = "" if words.endswith("?") else "."
    return Rejected("malformed", errors[0].field, f"{words}{stop}")


def reference_problem(text: str) -> str:
    """Why a text is no reference to a secret, without repeating it; '' where it is one."""
    if is_reference(text):
        return ""
    return "a secret is written as env:NAME or file:PATH, never as the value itself"

"""What a connector's declaration says, as its reference page: verbs, settings, limits, links."""

from collections.abc import Iterator
from typing import Any, Final, get_type_hints

import msgspec

from stockwright.sdk.connector import Connector
from stockwright.sdk.declaration import Declaration

VERBS: Final = (
    *("publish", "read_back", "snapshot", "read", "receive", "watch_webhooks", "submit"),
    *("follow", "announce", "items", "expected"),
)
"""The verbs a connection may offer, in the order pages show them; all of them map."""


def verbs_of(connector: Connector[Any]) -> tuple[str, ...]:
    """The verbs of the connection that `open` says it answers, some settings given.

    A class that `open` chooses by its settings is a subclass of that one in the same module.
    """
    declared = get_type_hints(connector.open).get("return")
    if not isinstance(declared, type):
        return ()
    kinds = [declared, *(k for k in _below(declared) if k.__module__ == declared.__module__)]
    return tuple(verb for verb in VERBS if any(hasattr(kind, verb) for kind in kinds))


def _below(kind: type) -> Iterator[type]:
    below: list[type] = kind.__subclasses__()
    for one in below:
        yield one
        yield from _below(one)


def page(connector: Connector[Any]) -> str:
    """The reference page of a connector in Markdown, from its declaration alone."""
    declaration = connector.declaration
    parts = [
        f"# Connector `{declaration.name}`",
        declaration.summary,
        f"Roles: {', '.join(declaration.roles)}.",
        f"Verbs: {', '.join(f'`{verb}`' for verb in (*verbs_of(connector), 'map'))}.",
    ]
    if declaration.partner_docs:
        parts.append(f"The partner's documentation: {declaration.partner_docs}")
    parts += ["## Settings", settings_table(declaration)]
    parts += ["## Limits", _pairs("limit", declaration.limits)]
    parts += ["## Capabilities", _pairs("capability", declaration.capabilities)]
    parts += ["## Patience", _pairs("patience", declaration.patience)]
    return "\n\n".join(parts) + "\n"


def _pairs(head: str, struct: msgspec.Struct) -> str:
    rows = [f"| {head} | value |", "|---|---|"]
    rows += [
        f"| `{name}` | {_shown(value)} |" for name, value in msgspec.structs.asdict(struct).items()
    ]
    return "\n".join(rows)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value or "none"
    return (", ".join(value) or "none") if isinstance(value, tuple) else f"{value:g}"


def settings_table(declaration: Declaration[Any]) -> str:
    """A Markdown table of every setting: name, what it is for, default; in declared order."""
    schema = declaration.json_schema()
    described = schema["$defs"][declaration.settings.__name__]["properties"]
    rows = ["| setting | what it is for | default |", "|---|---|---|"]
    for field in msgspec.structs.fields(declaration.settings):
        text = str(described[field.name].get("description", "")).replace("|", "\\|")
        rows.append(f"| `{field.name}` | {text} | {_default(field)} |")
    return "\n".join(rows)


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default
    if value is msgspec.NODEFAULT:
        assert field.default_factory is not msgspec.NODEFAULT
        value = field.default_factory()
    plain = msgspec.to_builtins(value)
    if isinstance(plain, dict | list | tuple) and len(str(plain)) > 60:
        return "see below"
    text = msgspec.json.encode(plain).decode()
    return "none" if text in ("null", '""', "[]") else f"`{text}`".replace("|", "\\|")

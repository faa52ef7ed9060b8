"""The settings of a connector as a table for its reference page, from its declaration."""

from typing import Any

import msgspec

from stockwright.sdk.declaration import Declaration


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

"""`stockwright map test --out`: what a message of ours becomes in a partner's form, and whether it
is read from there as it was.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stockwright.cli import output
from stockwright.domain.errors import Rejected
from stockwright.domain.events import Fact
from stockwright.sdk.bodies import message_from, write_facts
from stockwright.sdk.mapping import Rule
from stockwright.sdk.messages import Failure, Mapped, Outbound, Outgoing, Payload
from stockwright.sdk.sources import Wrong
from stockwright.sdk.transports import json_body
from stockwright.sdk.verbs import Connection, MapsByRules, MapsOut


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """One body that would leave: where to, as JSON or text, and what is read from it otherwise.

    lost is None where the body is not read again.
    """

    to: str
    content_type: str
    body: Any
    lost: tuple[str, ...] | None


class TriedOut(msgspec.Struct, frozen=True, kw_only=True):
    """What a message becomes: bodies, or the field that the partner's form cannot say."""

    connection: str
    connector: str
    message: Any
    bodies: list[Sent]
    failure: Failure | None = None


def tried_out(connection: Connection, connector: str, body: bytes) -> TriedOut:
    """What a message becomes. Raises Rejected where the sample is no message of ours."""
    if not isinstance(connection, MapsOut):
        why = (
            f"the connector {connector} asks its partner for ids before it can write a body, so "
            "none can be shown without calling; try one of its sandboxes"
        )
        raise Rejected("unknown", "connection", why)
    message = _message(body, connection.system)
    found = connection.map_out(message)
    plain = msgspec.to_builtins(message)
    return TriedOut(
        connection=connection.system,
        connector=connector,
        message={"levels": plain} if isinstance(message, tuple) else plain,
        bodies=[] if isinstance(found, Failure) else [_sent(one) for one in found],
        failure=found if isinstance(found, Failure) else None,
    )


def _message(body: bytes, system: str) -> Outgoing:
    try:
        return message_from(msgspec.json.decode(body), system)
    except (ValueError, RecursionError) as error:
        hint = 'write {"levels": [...]}, or a document with its "type"'
        raise Rejected("malformed", "sample", f"is no message of ours: {error}; {hint}") from None


def _sent(one: Outbound) -> Sent:
    return Sent(to=one.to, content_type=one.content_type, body=_shown(one), lost=one.lost)


def _shown(one: Outbound) -> Any:
    try:
        return msgspec.json.decode(one.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return one.body.decode("utf-8", "replace")


def back_by_rules(connection: Connection, parts: Sequence[Mapped]) -> str | None:
    """Why what the sample became cannot be written and read again by the same rules; "" where it
    can, None where nothing can be said: other ways of mapping, failures, facts of several kinds.
    """
    facts = [part.item for part in parts if isinstance(part.item, Fact)]
    one_kind = len(facts) == len(parts) and len({fact.kind for fact in facts}) == 1
    if not isinstance(connection, MapsByRules) or not one_kind:
        return None
    why = ""
    for rule in connection.rules:
        if rule.kind == facts[0].kind:
            why = _back_by(rule, connection, facts)
            if not why:
                break
    return why


def _back_by(rule: Rule, connection: Connection, facts: Sequence[Fact]) -> str:
    try:
        body = write_facts(rule, facts)
    except Wrong as wrong:
        return f"{wrong.path} {wrong.reason}"
    except ValueError as error:
        return str(error)
    again = [part.item for part in connection.map(Payload(body=json_body(body)))]
    for fact, other in zip(facts, again, strict=False):
        if fact != other:
            return f"it would be read as {output.encoded(other)[:300]}"
    return "" if len(facts) == len(again) else f"it would be {len(again)} parts"


def render(tried: TriedOut) -> RenderableType:
    """The message beside each body, and what became of the way back."""
    if tried.failure is not None:
        told = f"cannot be written: {tried.failure.path} {tried.failure.reason}"
        return Group(Text(_lines(tried.message)), Text(told))
    if not tried.bodies:
        return Text(f"{tried.connection} is told nothing of this kind; see its settings.")
    table = Table("ours", "theirs", box=None, show_lines=True)
    for number, sent in enumerate(tried.bodies):
        ours = _lines(tried.message) if number == 0 else ""
        table.add_row(Text(ours), Text(f"{sent.to}\n{_lines(sent.body)}"))
    summary = f"Written by {tried.connector}; nothing was sent. {_back(tried)}"
    return Group(table, Text(summary.strip()))


def _back(tried: TriedOut) -> str:
    told = [sent.lost for sent in tried.bodies if sent.lost is not None]
    if not told:
        return ""
    lost = sorted({name for names in told for name in names})
    return f"Read back otherwise: {', '.join(lost)}." if lost else "Read back, it is the same."


def _lines(value: Any) -> str:
    return value if isinstance(value, str) else output.json_text(value)

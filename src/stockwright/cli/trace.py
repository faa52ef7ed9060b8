"""`stockwright trace ID`: one event from the door to the channels."""

import datetime as dt
from collections.abc import Iterator
from typing import Annotated

from cyclopts import Parameter
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stockwright.cli import output
from stockwright.cli.output import AsJson, ConfigFile
from stockwright.cli.status import running_database
from stockwright.config import load_config
from stockwright.domain.errors import Rejected
from stockwright.flow.tracing import MAX_EVENTS, EventTrace, Trace, trace
from stockwright.store.connection import Pool
from stockwright.store.session import session


def command(
    id: Annotated[str, Parameter(help="A document, an order, or a ledger sequence number.")],  # noqa: A002
    *,
    system: Annotated[str, Parameter(help="Only what this system told.")] = "",
    sequence: Annotated[
        bool, Parameter(negative="", help="ID is a sequence number, whatever else has its digits.")
    ] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Follow an event from the door to every channel that sells what it touched.

    A number is a document or order first, and a ledger sequence number where there is none.
    Ends with 1 where nothing is found.
    """
    if sequence and not id.isdecimal():
        raise Rejected("malformed", "id", f"{id!r} is not a sequence number.")
    with (
        running_database(load_config(config)) as url,
        Pool(url, size=1) as pool,
        session(pool) as connection,
    ):
        found = trace(connection, int(id) if sequence else id, system)
    output.emit(found, as_json, _render)
    return output.OK if found.events else output.FINDINGS


def _render(found: Trace) -> RenderableType:
    if not found.events:
        return Text(f"Nothing in the ledger is called {found.asked}.")
    parts = [part for event in found.events for part in _event(event)]
    if found.cut:
        parts.append(Text(f"There are more; these are the first {MAX_EVENTS}."))
    return Group(*parts)


def _event(event: EventTrace) -> Iterator[RenderableType]:
    called = f"{event.document}, order {event.order}" if event.order else event.document
    skus = ", ".join(event.skus) or "no SKU"
    yield Text(
        f"{event.sequence:,}  {event.kind} {called} of {event.system}: {event.outcome}",
        style="bold",
    )
    times = Table(box=None, show_header=False, padding=(0, 1))
    for name, at in (
        ("occurred", event.occurred_at),
        ("received", event.received_at),
        ("recorded", event.recorded_at),
    ):
        since = "" if name == "occurred" else _since(event.received_at, at)
        times.add_row(f"  {name}", _clock(at), since)
    yield times
    yield Text(f"  moved or promised {skus}")
    if event.channels:
        yield _channels(event)
    yield Text("")


def _channels(event: EventTrace) -> Table:
    table = Table("  channel", "listing", "", "shows", "version", box=None, padding=(0, 1))
    for name in ("projected", "sent", "acknowledged"):
        table.add_column(name, justify="right")
    for one in event.channels:
        listing = f"{one.listing} {one.location}".strip()
        reach = f"{one.reach}: {one.detail}" if one.detail else one.reach
        value = "" if one.value is None else f"{one.value:,}"
        version = "" if one.version is None else str(one.version)
        moments = (one.projected_at, one.sent_at, one.acknowledged_at)
        after = [_since(event.received_at, at) for at in moments]
        table.add_row(f"  {one.channel}", listing, reach, value, version, *after)
    return table


def _clock(at: dt.datetime) -> str:
    return f"{at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC"


def _since(start: dt.datetime, at: dt.datetime | None) -> str:
    return "" if at is None else f"+{(at - start).total_seconds() * 1000:,.1f} ms"

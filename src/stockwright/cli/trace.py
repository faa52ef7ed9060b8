"""`stockwright trace ID`: one event from the door to the channels."""

import datetime as dt
from collections.abc import Iterator
from typing import Annotated

from cyclopts import Parameter
from rich.console import Group, RenderableType
from rich.text import Text

from stockwright.cli import output
from stockwright.cli.output import AsJson, ConfigFile
from stockwright.cli.status import running_database
from stockwright.config import load_config
from stockwright.domain.errors import Rejected
from stockwright.flow.tracing import MAX_EVENTS, ChannelTrace, EventTrace, Trace, trace
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
        return Text(
            f"Nothing in the ledger is called {found.asked}. "
            "What is parked comes there once it is understood: `stockwright status` counts it."
        )
    parts = [part for event in found.events for part in _event(event)]
    if found.cut:
        parts.append(Text(f"There are more; these are the first {MAX_EVENTS}."))
    return Group(*parts)


def _event(event: EventTrace) -> Iterator[Text]:
    # The order may be another system's: its number stands behind who told of the event.
    about = f", order {event.order}" if event.order else ""
    yield Text(
        f"{event.sequence:,}  {event.kind} {event.document} of {event.system}{about}: "
        f"{event.outcome}",
        style="bold",
    )
    yield Text(f"  occurred  {_clock(event.occurred_at)}")
    yield Text(f"  received  {_clock(event.received_at)}")
    since = _since(event.received_at, event.recorded_at)
    yield Text(f"  recorded  {_clock(event.recorded_at)}  {since}")
    yield Text(f"  moved or promised {', '.join(event.skus) or 'no SKU'}")
    for channel in event.channels:
        yield Text(f"  {_reached(channel)}")
        times = _times(event.received_at, channel)
        if times:
            yield Text(f"      {times}", style="dim")
    yield Text("")


def _reached(one: ChannelTrace) -> str:
    listing = f"{one.channel} {one.listing} {one.location}".strip()
    told = f"{listing}: {one.reach}"
    if one.value is not None:
        told += f", should show {one.value:,} (version {one.version})"
    if one.carried_version not in (None, one.version):
        told += f", sent as {one.carried_value:,} (version {one.carried_version})"
    return f"{told}: {one.detail}" if one.detail else told


def _times(received_at: dt.datetime, one: ChannelTrace) -> str:
    steps = (
        ("projected", one.projected_at),
        ("sent", one.sent_at),
        ("acknowledged", one.acknowledged_at),
    )
    return "   ".join(f"{name} {_since(received_at, at)}" for name, at in steps if at is not None)


def _clock(at: dt.datetime) -> str:
    return f"{at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC"


def _since(start: dt.datetime, at: dt.datetime) -> str:
    return f"{(at - start).total_seconds() * 1000:+,.1f} ms"

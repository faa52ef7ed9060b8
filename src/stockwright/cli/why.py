"""`stockwright why SKU`: every quantity of a SKU, step by step."""

import datetime as dt
from collections.abc import Iterator
from typing import Annotated

from cyclopts import Parameter
from rich.console import RenderableType
from rich.text import Text

from stockwright.cli import output
from stockwright.cli.output import AsJson, ConfigFile
from stockwright.cli.status import running_database
from stockwright.config import load_config
from stockwright.domain.availability import Explanation
from stockwright.domain.levels import Level
from stockwright.flow.explaining import ChannelQuantity, ListingQuantity, Why, why
from stockwright.store import positions
from stockwright.store.connection import Pool
from stockwright.store.session import session
from stockwright.store.stock import LedgerRow


def command(
    sku: Annotated[str, Parameter(help="A SKU, or a partner's code that is bound to one SKU.")],
    *,
    channel: Annotated[str | None, Parameter(help="Only this channel; all by default.")] = None,
    at: Annotated[
        str | None, Parameter(help="An earlier time with its zone: 2026-01-31T14:05:00Z.")
    ] = None,
    by: Annotated[
        str | None, Parameter(help="A date to promise for, with its zone: 2026-12-24T12:00:00Z.")
    ] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Explain every quantity of a SKU: on_hand, free, grantable and available_to_sell.

    Each number is followed by the steps that add up to it; then come the entries of the ledger
    that the balances are the sum of, and who is promised units. With --at, all is told as it was
    then: each number a channel was meant to show, by the rules of then, and when it was sent. With
    --by, what can be promised by that date is explained as well: available_to_promise. Ends with 2
    where there is no such SKU or channel.
    """
    then, until = output.time_of(at, "at"), output.time_of(by, "by")
    with (
        running_database(load_config(config)) as url,
        Pool(url, size=1) as pool,
        session(pool) as connection,
    ):
        meant = positions.sku_of(connection, sku) or sku
        found = why(connection, meant, channel, then, until)
    output.emit(found, as_json, _render)
    return output.OK


def _render(found: Why) -> RenderableType:
    quantities = found.quantities
    head = f"{quantities.sku} at ledger sequence {quantities.sequence:,}"
    if found.moment is not None:
        head += f", by the rules of revision {found.moment.revision}: {_clock(found.moment.at)}"
    lines = [head, ""]
    lines += _steps("on_hand", quantities.on_hand)
    lines += _steps("free", quantities.free)
    for one in quantities.channels:
        lines += _channel(one, found.moment is not None)
    lines += _ledger(found)
    lines += _claims(found)
    return Text("\n".join(lines))


def _channel(one: ChannelQuantity, past: bool) -> Iterator[str]:
    yield from _steps(f"grantable to {one.channel}", one.grantable)
    if one.available_to_promise is not None:
        yield from _steps(f"available_to_promise on {one.channel}", one.available_to_promise)
    for listing in one.listings:
        title = f"available_to_sell on {one.channel} as {listing.listing}"
        explained = listing.available_to_sell
        if explained.others:
            title += f" (scarcest component {explained.sku})"
        notes = _shown(listing) if past else [_level(listing.level)]
        yield from _steps(title, explained, *notes)
        for other in explained.others:
            yield from _steps(f"    its component {other.sku} alone", other)


def _steps(title: str, explanation: Explanation, *notes: str) -> Iterator[str]:
    yield f"{title}: {explanation.result:,}"
    for step in explanation.steps:
        yield f"    {step.name:<12}{step.amount:>+12,}{step.running:>12,}  {step.why}"
    for note in notes:
        yield f"    {note}"
    yield ""


def _level(level: Level | None) -> str:
    if level is None:
        return "no level was computed yet"
    shown = "nothing yet" if level.acknowledged is None else f"{level.acknowledged:,}"
    told = f"should show {level.desired:,} (version {level.version}), acknowledged {shown}"
    if level.acknowledged_at is not None:
        told += f" at {level.acknowledged_at:%Y-%m-%d %H:%M:%S} UTC"
    trouble = f": {level.last_error}" if level.last_error else ""
    return f"{told}; {level.state}{trouble}"


def _shown(listing: ListingQuantity) -> Iterator[str]:
    """What an earlier number came from, and its way to the channel."""
    level, shown = listing.then, listing.shown
    if level is None or shown is None:
        yield "no level had been computed yet"
        return
    rules = shown.rules
    told = (
        f"should show {level.value:,} (version {level.version}) since {_clock(level.projected_at)}"
    )
    yield f"{told}, by ledger sequence {level.sequence:,} and the rules of revision {rules.id}"
    yield f"those rules: {rules.actor}, {_clock(rules.at)}" + (
        f", {rules.reason}" if rules.reason else ""
    )
    if shown.explanation.result != level.value:
        yield f"the history of the rules does not reach back so far: {level.value:,} was shown"
    for row in shown.causes:
        yield f"came of {_entry(row).strip()}"
    for call in shown.carried:
        ended = f"{call.outcome} at {_clock(call.finished_at)}" if call.finished_at else "no answer"
        sent = f"call {call.call} carried {call.value:,} (version {call.version})"
        yield f"{sent} at {_clock(call.started_at)}: {ended}"
    if level.acknowledged_at is not None:
        yield f"acknowledged by then: {level.acknowledged:,} at {_clock(level.acknowledged_at)}"
    else:
        yield "acknowledged by then: nothing yet"
    if shown.due is not None:
        yield f"{shown.due:,} was due by then, and not projected yet"


def _clock(at: dt.datetime) -> str:
    return f"{at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S.%f} UTC"


def _ledger(found: Why) -> Iterator[str]:
    if found.ledger:
        yield "The ledger's entries that the balances are the sum of:"
        for row in found.ledger_sums:
            counted = f"{row.units:>+12,} in {row.entries:,}, the last {row.last_sequence}"
            yield f"    {row.location:<12} {row.account:<12} {row.kind:<16}{counted}"
        yield ""
        yield "The newest of them (stockwright trace follows one):"
        yield from map(_entry, found.ledger)
        yield ""


def _entry(entry: LedgerRow) -> str:
    moved = f"{entry.from_account} {entry.from_location}".strip()
    moved += f" -> {entry.to_account} {entry.to_location}".rstrip()
    when = f"{entry.recorded_at:%Y-%m-%d %H:%M:%S}"
    return (
        f"    {entry.sequence:>10}  {when}  {entry.kind:<16} {entry.quantity:>9,}  "
        f"{moved}  ({entry.system})"
    )


def _claims(found: Why) -> Iterator[str]:
    if found.claims:
        yield "Promised to:"
        for claim in found.claims:
            units = claim.reserved + claim.allocated + claim.picked
            line = f"{claim.system} {claim.order} line {claim.line}"
            yield f"    {claim.location:<12} {units:>9,}  {line}, {claim.state}"

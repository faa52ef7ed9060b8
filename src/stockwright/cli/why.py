"""`stockwright why SKU`: every quantity of a SKU, step by step."""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Annotated

from cyclopts import Parameter
from rich.console import RenderableType
from rich.text import Text

from stockwright.cli import output
from stockwright.cli.output import AsJson, ConfigFile
from stockwright.cli.status import running_database
from stockwright.config import load_config
from stockwright.domain.availability import Explanation
from stockwright.domain.errors import Rejected
from stockwright.domain.levels import Level
from stockwright.flow.explaining import ChannelQuantity, Why, why
from stockwright.flow.promising import Promised, promise_of
from stockwright.store import positions
from stockwright.store.connection import Pool
from stockwright.store.session import session
from stockwright.store.stock import LedgerRow


def command(
    sku: Annotated[str, Parameter(help="A SKU, or a partner's code that is bound to one SKU.")],
    *,
    channel: Annotated[str | None, Parameter(help="Only this channel; all by default.")] = None,
    by: Annotated[
        str | None,
        Parameter(help="Also what may be promised by the end of this day (UTC), as 2026-12-24."),
    ] = None,
    quantity: Annotated[
        int, Parameter(help="With --by: also the earliest date of so many base units.")
    ] = 0,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Explain every quantity of a SKU: on_hand, free, grantable and available_to_sell.

    Each number is followed by the steps that add up to it; then come the entries of the ledger
    that the balances are the sum of, and who is promised units. With --by also what each channel
    may promise by the end of a day. Ends with 2 where there is no
    such SKU or channel.
    """
    with (
        running_database(load_config(config)) as url,
        Pool(url, size=1) as pool,
        session(pool) as connection,
    ):
        meant = positions.sku_of(connection, sku) or sku
        found = why(connection, meant, channel)
        promised = []
        if by is not None:
            channels = [one.channel for one in found.quantities.channels]
            until = _end_of(by)
            promised = [
                promise_of(connection, meant, channel=code, by=until, quantity=quantity)
                for code in channels
            ]
    output.emit(_with_promises(found, promised), as_json, _render)
    return output.OK


class Answer(Why, frozen=True):
    """What explains a SKU's numbers, and what each channel may promise where a day is asked for."""

    promised: Sequence[Promised] = ()


def _with_promises(found: Why, promised: Sequence[Promised]) -> Answer:
    return Answer(
        quantities=found.quantities,
        ledger_sums=found.ledger_sums,
        ledger=found.ledger,
        claims=found.claims,
        promised=promised,
    )


def _end_of(day: str) -> dt.datetime:
    """The last second of a day in UTC. Raises Rejected: malformed."""
    try:
        return dt.datetime.combine(dt.date.fromisoformat(day), dt.time(23, 59, 59), dt.UTC)
    except ValueError:
        message = f"{day!r} is no day; write it as year-month-day, 2026-12-24."
        raise Rejected("malformed", "by", message) from None


def _render(found: Answer) -> RenderableType:
    quantities = found.quantities
    lines = [f"{quantities.sku} at ledger sequence {quantities.sequence:,}", ""]
    lines += _steps("on_hand", quantities.on_hand)
    lines += _steps("free", quantities.free)
    for one in quantities.channels:
        lines += _channel(one)
    for told in found.promised:
        lines += _promise(told)
    lines += _ledger(found)
    lines += _claims(found)
    return Text("\n".join(lines))


def _channel(one: ChannelQuantity) -> Iterator[str]:
    yield from _steps(f"grantable to {one.channel}", one.grantable)
    for listing in one.listings:
        title = f"available_to_sell on {one.channel} as {listing.listing}"
        explained = listing.available_to_sell
        if explained.others:
            title += f" (scarcest component {explained.sku})"
        yield from _steps(title, explained, _level(listing.level))
        for other in explained.others:
            yield from _steps(f"    its component {other.sku} alone", other)


def _promise(one: Promised) -> Iterator[str]:
    told = one.promise
    notes = []
    if told.quantity:
        first = f"{told.earliest:%Y-%m-%d %H:%M} UTC" if told.earliest else "no date that is known"
        notes.append(f"{told.quantity:,} may be promised by {first}")
    title = f"available_to_promise through {one.channel} by {told.by:%Y-%m-%d %H:%M} UTC"
    yield from _steps(title, told.available_to_promise, *notes)


def _steps(title: str, explanation: Explanation, *notes: str) -> Iterator[str]:
    yield f"{title}: {explanation.result:,}"
    for step in explanation.steps:
        yield f"    {step.name:<11}{step.amount:>+12,}{step.running:>12,}  {step.why}"
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

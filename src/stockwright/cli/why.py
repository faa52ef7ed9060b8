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
from stockwright.flow.explaining import ChannelQuantity, ListingQuantity, Why, why
from stockwright.flow.promising import Promised, promise_of
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
    that the balances are the sum of, and who is promised units. With --at, all is told as it was
    then: each number a channel was meant to show, by the rules of then, and when it was sent. With
    --by also what each channel may promise by the end of a day, as of now. Ends with 2 where there
    is no such SKU or channel.
    """
    then = output.time_of(at, "at")
    if then is not None and by is not None:
        message = "What may be promised is told as of now only; leave out --at or --by."
        raise Rejected("malformed", "by", message)
    with (
        running_database(load_config(config)) as url,
        Pool(url, size=1) as pool,
        session(pool) as connection,
    ):
        meant = positions.sku_of(connection, sku) or sku
        found = why(connection, meant, channel, then)
        promised = []
        if by is not None:
            until = _end_of(by)
            promised = [
                promise_of(connection, meant, channel=one.channel, by=until, quantity=quantity)
                for one in found.quantities.channels
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
        moment=found.moment,
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
    head = f"{quantities.sku} at ledger sequence {quantities.sequence:,}"
    if found.moment is not None:
        head += f", by the rules of revision {found.moment.revision}: {_clock(found.moment.at)}"
    lines = [head, ""]
    lines += _steps("on_hand", quantities.on_hand)
    lines += _steps("free", quantities.free)
    for one in quantities.channels:
        lines += _channel(one, found.moment is not None)
    for told in found.promised:
        lines += _promise(told)
    lines += _ledger(found)
    lines += _claims(found)
    return Text("\n".join(lines))


def _channel(one: ChannelQuantity, past: bool) -> Iterator[str]:
    unlisted = "" if one.listings else f"{one.channel} lists no such SKU, and shows no number of it"
    yield from _steps(f"grantable to {one.channel}", one.grantable, *filter(None, (unlisted,)))
    for listing in one.listings:
        title = f"available_to_sell on {one.channel} as {listing.listing}"
        explained = listing.available_to_sell
        if explained.others:
            title += f" (scarcest component {explained.sku})"
        notes = _shown(listing) if past else [_level(listing.level)]
        yield from _steps(title, explained, *notes)
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

"""`stockwright why SKU`: every quantity of a SKU, step by step."""

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
from stockwright.flow.explaining import ChannelQuantity, Why, why
from stockwright.store import positions
from stockwright.store.connection import Pool
from stockwright.store.session import session
from stockwright.store.stock import LedgerRow


def command(
    sku: Annotated[str, Parameter(help="A SKU, or a partner's code that is bound to one SKU.")],
    *,
    channel: Annotated[str | None, Parameter(help="Only this channel; all by default.")] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Explain every quantity of a SKU: on_hand, free, grantable and available_to_sell.

    Each number is followed by the steps that add up to it; then come the entries of the ledger
    that the balances are the sum of, and who is promised units. Ends with 2 where there is no
    such SKU or channel.
    """
    with (
        running_database(load_config(config)) as url,
        Pool(url, size=1) as pool,
        session(pool) as connection,
    ):
        meant = positions.sku_of(connection, sku) or sku
        found = why(connection, meant, channel)
    output.emit(found, as_json, _render)
    return output.OK


def _render(found: Why) -> RenderableType:
    quantities = found.quantities
    lines = [f"{quantities.sku} at ledger sequence {quantities.sequence:,}", ""]
    lines += _steps("on_hand", quantities.on_hand)
    lines += _steps("free", quantities.free)
    for one in quantities.channels:
        lines += _channel(one)
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

"""`stockwright why SKU`: every quantity of a SKU, step by step."""

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
from stockwright.domain.availability import Explanation
from stockwright.domain.levels import Level
from stockwright.flow.explaining import ChannelQuantity, Why, why
from stockwright.store import positions
from stockwright.store.connection import Pool
from stockwright.store.session import session


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
    parts: list[RenderableType] = [
        Text(f"{quantities.sku} at ledger sequence {quantities.sequence:,}", style="bold"),
        _steps("on_hand", quantities.on_hand),
        _steps("free", quantities.free),
    ]
    for one in quantities.channels:
        parts.extend(_channel(one))
    parts.extend(_ledger(found))
    parts.extend(_claims(found))
    return Group(*parts)


def _channel(one: ChannelQuantity) -> Iterator[RenderableType]:
    yield _steps(f"grantable to {one.channel}", one.grantable)
    for listing in one.listings:
        title = f"available_to_sell on {one.channel} as {listing.listing}"
        yield _steps(title, listing.available_to_sell)
        for other in listing.available_to_sell.others:
            yield _steps(f"  of its other component {other.sku}", other)
        yield Text(f"  {_level(listing.level)}\n", style="dim")


def _steps(title: str, explanation: Explanation) -> Table:
    table = Table(
        title=f"{title}: {explanation.result:,}",
        title_justify="left",
        title_style="bold",
        box=None,
        show_header=False,
        padding=(0, 1),
    )
    table.add_column("step", min_width=11)
    table.add_column("amount", justify="right", min_width=9)
    table.add_column("running", justify="right", min_width=9)
    table.add_column("why")
    for step in explanation.steps:
        table.add_row(step.name, f"{step.amount:+,}", f"{step.running:,}", step.why)
    return table


def _level(level: Level | None) -> str:
    if level is None:
        return "no level was computed yet"
    shown = "nothing yet" if level.acknowledged is None else f"{level.acknowledged:,}"
    told = f"should show {level.desired:,} (version {level.version}), acknowledged {shown}"
    if level.acknowledged_at is not None:
        told += f" at {level.acknowledged_at:%Y-%m-%d %H:%M:%S} UTC"
    trouble = f": {level.last_error}" if level.last_error else ""
    return f"{told}; {level.state}{trouble}"


def _ledger(found: Why) -> Iterator[RenderableType]:
    sums = Table("place", "account", "kind", box=None, padding=(0, 1), title_justify="left")
    sums.title = "The ledger's entries that the balances are the sum of"
    for name in ("units", "entries", "last sequence"):
        sums.add_column(name, justify="right")
    for row in found.ledger_sums:
        counted = (f"{row.units:+,}", f"{row.entries:,}", str(row.last_sequence))
        sums.add_row(row.location, row.account, row.kind, *counted)
    if found.ledger_sums:
        yield sums
    newest = Table("sequence", "recorded (UTC)", "kind", "system", "from", "to", box=None)
    newest.title, newest.title_justify = (
        "The newest of them; `stockwright trace` follows one",
        "left",
    )
    newest.add_column("units", justify="right")
    for entry in found.ledger:
        newest.add_row(
            str(entry.sequence),
            f"{entry.recorded_at:%Y-%m-%d %H:%M:%S}",
            entry.kind,
            entry.system,
            f"{entry.from_account} {entry.from_location}".strip(),
            f"{entry.to_account} {entry.to_location}".strip(),
            f"{entry.quantity:,}",
        )
    if found.ledger:
        yield newest


def _claims(found: Why) -> Iterator[RenderableType]:
    if found.claims:
        claims = Table("place", "order", "line", "channel", "state", box=None)
        claims.title, claims.title_justify = "Promised to", "left"
        claims.add_column("units", justify="right")
        for claim in found.claims:
            units = claim.reserved + claim.allocated + claim.picked
            order = f"{claim.system} {claim.order}"
            claims.add_row(
                claim.location, order, claim.line, claim.channel, claim.state, f"{units:,}"
            )
        yield claims

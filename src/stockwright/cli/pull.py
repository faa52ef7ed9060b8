"""`stockwright pull`: what a partner knows of items and of expected supply."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from cyclopts import Parameter
from rich.markup import escape

from stockwright.app.connections import open_connection
from stockwright.cli import output
from stockwright.cli.import_ import shown
from stockwright.cli.master_files import pooled
from stockwright.config import load_config
from stockwright.domain.codes import did_you_mean
from stockwright.domain.errors import Rejected
from stockwright.domain.network import System
from stockwright.flow.configuring import start_with
from stockwright.flow.csv_report import ImportReport
from stockwright.flow.ndjson_master import RefusedLines
from stockwright.flow.pulling import SupplyPulled, pull_items, pull_supply
from stockwright.flow.row_import import Importer
from stockwright.flow.sparing import Asker
from stockwright.sdk.verbs import Connection as Partner
from stockwright.sdk.verbs import Expects, ListsItems
from stockwright.store.connection import Connection, Pool
from stockwright.store.history import Said
from stockwright.store.network import read_network
from stockwright.store.session import session

POOL: Final = 3
"""Connections to the database: one writes what comes in, the others count calls."""
What = Literal["items", "supply"]
T = TypeVar("T")


class Items(msgspec.Struct, kw_only=True):
    """What became of a partner's items, and where the refused ones are ('' if there are none)."""

    reports: list[ImportReport]
    refused_file: str = ""


def command(
    what: What,
    system: Annotated[str, Parameter(help="The system of the configuration that is asked.")],
    /,
    *,
    refused: Annotated[
        Path | None,
        Parameter(help="Where refused items go; by default SYSTEM.refused.ndjson."),
    ] = None,
    config: output.ConfigFile = None,
    as_json: output.AsJson = False,
) -> int:
    """Take over a partner's items, or what it expects from suppliers.

    Items become SKUs, their units of measure and the partner's codes for them, as an import does
    it; what an operator bound otherwise stays. Supply becomes lines of expected supply, and what
    the partner expects no more is closed. Ends with 1 where something was refused. Safe to repeat.
    """
    settings = load_config(config)
    with pooled(settings, "pull", size=POOL) as pool, session(pool) as connection:
        said = Said(actor=output.person(), source="import", reason=f"pull {what} of {system}")
        start_with(connection, settings, said)
        found = _system(read_network(connection).systems, system)
        connection.commit()
        partner = _opened(pool, found, what)
        asker = Asker(pool, partner)
        if what == "items":
            return _items(connection, partner, asker, refused, as_json)
        return _supply(connection, partner, asker, as_json)


def _opened(pool: Pool, system: System, what: What) -> Partner:
    partner = open_connection(system, pool=pool)
    if not _tells(partner, what):
        message = f"the connector {system.connector} tells no {what}"
        raise Rejected("unknown", "what", message)
    return partner


def _tells(partner: Partner, what: What) -> bool:
    return isinstance(partner, ListsItems) if what == "items" else isinstance(partner, Expects)


def _system(systems: Sequence[System], code: str) -> System:
    for one in systems:
        if one.code == code and one.connector:
            return one
        if one.code == code:
            message = f"{code} has no connector; name one in systems.{code}.connector"
            raise Rejected("no_connector", "system", message)
    known = [one.code for one in systems]
    hint = did_you_mean(code, known) or f"there are {', '.join(known)}"
    raise Rejected("unknown", "system", f"there is no system {code!r}; {hint}")


def _items(
    connection: Connection, partner: Any, asker: Asker, refused: Path | None, as_json: bool
) -> int:
    target = refused or Path(f"{partner.system}.refused.ndjson")
    importer = Importer(actor=output.person(), origin=f"{partner.system} items")
    with RefusedLines(target) as lines:
        reports = _closing(
            partner,
            asker,
            lambda: pull_items(connection, partner, importer=importer, refused=lines),
        )
    bad = any(report.refused for report in reports)
    told = Items(reports=reports, refused_file=str(target) if bad else "")
    output.emit(told, as_json, lambda one: shown(one.reports, one.refused_file))
    return output.FINDINGS if bad else output.OK


def _supply(connection: Connection, partner: Any, asker: Asker, as_json: bool) -> int:
    actor = output.person()
    pulled = _closing(
        partner, asker, lambda: pull_supply(connection, partner, partner.system, actor)
    )
    output.emit(pulled, as_json, _lines)
    return output.FINDINGS if pulled.refused else output.OK


def _closing(partner: Partner, asker: Asker, work: Callable[[], Awaitable[T]]) -> T:
    async def run() -> T:
        try:
            async with asker.patiently():
                return await work()
        finally:
            await partner.close()

    return asyncio.run(run())


def _lines(pulled: SupplyPulled) -> str:
    lines = [
        f"{pulled.new:,} new, {pulled.changed:,} changed, {pulled.unchanged:,} unchanged, "
        f"{pulled.closed:,} closed, {len(pulled.refused):,} refused."
    ]
    return "\n".join([*lines, *(escape(f"  {reason}") for reason in pulled.refused[:20])])

"""`stockwright doctor`: looks at this machine, the database and the configuration."""

import socket
from collections.abc import Iterator
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table

from stockwright.app import open_connection
from stockwright.cli import output
from stockwright.cli.output import AsJson, ConfigFile
from stockwright.config import Config, ConfigInvalid, database_url, find_config, load_config
from stockwright.domain.errors import Misconfigured, StockwrightError
from stockwright.store import doctor
from stockwright.store.doctor import Check, State
from stockwright.store.embedded import default_data_dir

_MARK = {"ok": "[green]ok[/green]", "warning": "[yellow]warning[/yellow]"}


def command(*, config: ConfigFile = None, as_json: AsJson = False) -> int:
    """Check this machine, the database and the configuration, and say how to fix what is wrong.

    Changes nothing and starts nothing. Exits with 1 where a check failed.
    """
    checks = list(_checks(config))
    output.emit(checks, as_json, _render)
    return output.FINDINGS if any(check.state == "failed" for check in checks) else output.OK


def _checks(path: Path | None) -> Iterator[Check]:
    try:
        config = load_config(path)
    except ConfigInvalid as failure:
        for finding in failure.findings:
            place = f"{finding.file}:{finding.line} {finding.field}: {finding.problem}"
            state: State = "failed" if finding.level == "error" else "warning"
            yield Check("configuration", state, place, finding.fix)
        return
    except StockwrightError as failure:
        yield Check("configuration", "failed", str(failure), "See: stockwright lint")
        return
    found = find_config(path)
    yield Check("configuration", "ok", str(found) if found else "none; every setting is default")
    yield from _connections(config)
    yield _address(config)
    yield from _database(config)


def _connections(config: Config) -> Iterator[Check]:
    for system in config.systems:
        if not system.connector:
            continue
        name = f"connection {system.code}"
        try:
            open_connection(system)
        except Misconfigured as failure:
            yield Check(name, "failed", str(failure), f"Correct {failure.setting}.")
        else:
            yield Check(name, "ok", f"{system.connector}, settings are complete")


def _address(config: Config) -> Check:
    """Whether anybody listens there already: ourselves, most likely."""
    where = (config.server.host, config.server.port)
    shown = f"{where[0]} port {where[1]}"
    try:
        with socket.create_connection(where, timeout=1):
            return Check("address", "ok", f"{shown} answers: Stockwright, or another program")
    except OSError:
        return Check("address", "ok", f"{shown} is free")


def _database(config: Config) -> Iterator[Check]:
    try:
        url = database_url(config)
    except Misconfigured as failure:
        yield Check("database", "failed", str(failure), f"Correct {failure.setting}.")
        return
    if url is not None:
        yield from doctor.doctor(url)
        return
    folder = Path(config.database.data_dir) if config.database.data_dir else default_data_dir()
    yield from doctor.doctor(folder)


def _render(checks: list[Check]) -> RenderableType:
    table = Table("check", "state", "found", "what to do")
    for check in checks:
        state = _MARK.get(check.state, "[red]failed[/red]")
        table.add_row(check.name, state, check.found, check.fix)
    return table

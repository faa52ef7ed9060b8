"""`stockwright status`: whether everything runs, and what waits."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table

from stockwright.cli import output
from stockwright.cli.output import AsJson, ConfigFile
from stockwright.config import Config, database_url, load_config
from stockwright.domain.errors import Transient
from stockwright.flow.configuring import plan
from stockwright.flow.connecting import PART, unread
from stockwright.store.connecting import standings
from stockwright.store.connection import Connection, Pool
from stockwright.store.embedded import EmbeddedServer, default_data_dir, is_kept
from stockwright.store.migrate import pending
from stockwright.store.network import read_network
from stockwright.store.processes import ProcessView, Waiting, processes, waiting
from stockwright.store.session import session


class Status(msgspec.Struct, kw_only=True):
    """What `stockwright status` shows. problems is empty where all is well.

    config_differs names the fields that file and database give differently; the database counts.
    """

    processes: list[ProcessView]
    waiting: Waiting
    problems: list[str]
    config_differs: list[str]


def command(*, config: ConfigFile = None, as_json: AsJson = False) -> int:
    """Show whether everything runs, and what waits.

    Exits with 1 where a process is lost, a part of one keeps failing or a partner cannot be read,
    and with 3 where the database does not run. A connection that is only added counts for nothing.
    Starts nothing.
    """
    loaded = load_config(config)
    with (
        running_database(loaded) as url,
        Pool(url, size=1) as pool,
        session(pool) as connection,
    ):
        found = processes(connection)
        added = _added(connection)
        status = Status(
            processes=found,
            waiting=waiting(connection),
            problems=[*_problems(found, added), *_unread(connection, added)],
            config_differs=[one.field for one in plan(connection, loaded).differences],
        )
    output.emit(status, as_json, _render)
    return output.FINDINGS if status.problems else output.OK


@contextmanager
def running_database(config: Config) -> Iterator[str]:
    """Address of the database, which is not started. Raises Transient where it does not run."""
    url = database_url(config)
    if url is not None:
        if pending(url):
            raise Transient("The database lacks our tables. Start Stockwright once: stockwright up")
        yield url
        return
    folder = Path(config.database.data_dir) if config.database.data_dir else default_data_dir()
    if not is_kept(folder):
        raise Transient(f"Stockwright does not run on {folder}. Start it: stockwright up")
    with EmbeddedServer.start(folder) as server:
        yield server.url


def _added(connection: Connection) -> set[str]:
    """Systems that are being connected: nobody is spoken with yet, so none of them can be down."""
    found = standings(connection)
    return {system for system, standing in found.items() if standing.stage == "added"}


def _problems(found: list[ProcessView], added: set[str]) -> Iterator[str]:
    idle = {PART + system for system in added}
    if not any("workers" in one.roles and not one.lost for one in found):
        yield "no process works: levels are not published; start one with `stockwright up`"
    for process in found:
        if process.lost:
            yield f"{process.worker} was not seen for {process.silent_s:.0f} s"
            continue
        for part in process.parts:
            if part.state == "failed" and part.name not in idle:
                times = _times(part.failures)
                yield f"{process.worker}: {part.name} fails ({times}): {part.error}"


def _unread(connection: Connection, added: set[str]) -> Iterator[str]:
    """Partners that cannot be read, and why; one that failed a moment ago may answer the next."""
    connected = {one.code for one in read_network(connection).systems if one.connector}
    for poll in unread(connection):
        if poll.connection in connected - added:
            times = _times(poll.failures)
            again = f"tried again at {poll.due_at:%H:%M:%S %Z}"
            yield f"{poll.connection} cannot be read ({times}): {poll.last_error}; {again}"


def _times(failures: int) -> str:
    return "once" if failures == 1 else f"{failures} times"


def _render(status: Status) -> RenderableType:
    parts = Table("process", "roles", "part", "state", "failures", "last error")
    for process in status.processes:
        roles = " ".join(process.roles)
        for part in process.parts:
            state = "lost" if process.lost else part.state
            failures = str(part.failures)
            parts.add_row(process.worker, roles, part.name, state, failures, part.error)
    waits = Table("what", "how many", show_header=False)
    for name in Waiting.__struct_fields__:
        waits.add_row(name.replace("_", " "), f"{getattr(status.waiting, name):,}")
    verdict = "\n".join(f"! {problem}" for problem in status.problems) or _calm(status.waiting)
    return Group(parts, waits, verdict, *_differing(status.config_differs))


def _differing(fields: list[str]) -> Iterator[str]:
    if fields:
        count = "one field" if len(fields) == 1 else f"{len(fields):,} fields"
        told = "The configuration file and the database differ in"
        yield f"{told} {count}; the database counts: stockwright config plan"


def _calm(waiting: Waiting) -> str:
    """What to say where everything runs: people may be waited for all the same."""
    asked = [
        f"{units:,} {what}{'' if units == 1 else 's'} ({where})"
        for units, what, where in (
            (waiting.payloads_parked, "parked payload", "the console's page Parked"),
            (waiting.work_items_open, "open work item", "stockwright work list"),
        )
        if units
    ]
    if not asked:
        return "All is well."
    wait = "waits" if waiting.payloads_parked + waiting.work_items_open == 1 else "wait"
    return f"All runs; {' and '.join(asked)} {wait} for a person."

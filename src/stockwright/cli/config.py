"""`stockwright config`: what the configuration is, was and would be; each change is a revision."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Final

import msgspec
from cyclopts import App, Parameter
from rich.console import RenderableType
from rich.text import Text

from stockwright.app import open_database
from stockwright.cli import output
from stockwright.cli.output import AsJson, ConfigFile
from stockwright.config import Config, load_config, toml_of
from stockwright.domain.errors import Rejected
from stockwright.domain.network import ExposurePolicy
from stockwright.domain.network_changes import Difference
from stockwright.flow import configuring
from stockwright.flow.configuring import SUBJECTS, Applied, Plan
from stockwright.store import history
from stockwright.store.connection import Connection, Pool
from stockwright.store.history import Revision, RowChange, Said, Version
from stockwright.store.network import read_network
from stockwright.store.session import session

app = App(
    name="config",
    help="Plan, apply and roll back the configuration.",
    help_format="markdown",
)
LISTED: Final = 20
_NO_RULE: Final = msgspec.to_builtins(ExposurePolicy())

Reason = Annotated[str, Parameter(help="Why: it is kept with the revision.")]
Author = Annotated[
    str | None, Parameter(help="Who makes the change; the machine's user by default.")
]


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """A revision and the rows it changed."""

    revision: Revision
    changes: list[RowChange]


@app.command
def plan(*, config: ConfigFile = None, as_json: AsJson = False) -> int:
    """Show where the file and the database differ; change nothing.

    Lists every field that `config apply` would change. Ends with 1 where they differ.
    """
    loaded = _with_file(config)
    with _connected(loaded) as connection:
        found = configuring.plan(connection, loaded)
    output.emit(found, as_json, _render_plan)
    return output.FINDINGS if found.differences else output.OK


@app.command
def apply(
    *,
    reason: Reason,
    author: Author = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Make the database what the file says, as a new revision; run-time edits give way."""
    loaded = _with_file(config)
    said = _said(author, "file", reason)
    with _connected(loaded) as connection:
        done = configuring.apply_file(connection, loaded, said)
    output.emit(done, as_json, _render_applied)
    return output.OK


@app.command
def rollback(
    revision: Annotated[int, Parameter(help="As of which revision; see: config history.")],
    /,
    *,
    reason: Reason,
    author: Author = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Make the configuration what it was as of a revision, as a new revision.

    Parts that came later stay; systems among them lose their connector. The file is left as it
    is: `config plan` shows where it differs now.
    """
    said = _said(author, "cli", reason)
    with _connected(load_config(config)) as connection:
        done = configuring.roll_back(connection, revision, said)
    output.emit(done, as_json, _render_applied)
    return output.OK


@app.command
def show(
    revision: Annotated[
        int | None, Parameter(help="As of which revision; as it is now by default.")
    ] = None,
    /,
    *,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Print the configuration that the database holds, as the file would have it."""
    with _connected(load_config(config)) as connection:
        if revision is None:
            found = configuring.network_of(read_network(connection))
        else:
            found = configuring.network_at(connection, revision)
    output.emit(found, as_json, lambda network: Text(toml_of(network).rstrip()))
    return output.OK


@app.command(name="history")
def history_(
    *,
    revision: Annotated[int | None, Parameter(help="Show what this revision changed.")] = None,
    table: Annotated[
        str | None, Parameter(help="Show what the rows of this table were: listing, kit, sku.")
    ] = None,
    key: Annotated[
        list[str] | None,
        Parameter(negative="", help="Only rows of the table whose key begins so; repeat it."),
    ] = None,
    all_: Annotated[
        bool,
        Parameter(name="--all", negative="", help="Items, listings and bindings too."),
    ] = False,
    limit: Annotated[int, Parameter(help="How many to show at most.")] = LISTED,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """List the revisions: when, who, why and what; newest first."""
    if not 0 < limit <= history.MAX_ROWS:
        raise Rejected("malformed", "limit", f"Give from 1 to {history.MAX_ROWS:,}.")
    if key and not table:
        raise Rejected("malformed", "key", "A key is one of a table; give --table too.")
    with _connected(load_config(config)) as connection:
        if revision is not None:
            made = history.revision(connection, revision)
            changed = history.changes_of(connection, made, limit=limit)
            output.emit(Changed(revision=made, changes=changed), as_json, _render_changed)
        elif table is not None:
            versions = history.versions_of(connection, table, key or (), limit=limit)
            output.emit(versions, as_json, _render_versions)
        else:
            subjects = None if all_ else SUBJECTS
            listed = history.revisions(connection, limit=limit, subjects=subjects)
            output.emit(listed, as_json, _render_revisions)
    return output.OK


def _with_file(config: Any) -> Config:
    loaded = load_config(config)
    if not loaded.file or configuring.is_empty(loaded):
        message = "declares no system, location or channel; name one with --config"
        raise Rejected("no_file", "config", f"{loaded.file or 'No file'}: {message}")
    return loaded


def _said(author: str | None, source: history.Source, reason: str) -> Said:
    if not 0 < len(reason.strip()) <= history.MAX_REASON:
        message = f"Say why in 1 to {history.MAX_REASON:,} characters; it is kept for ever."
        raise Rejected("malformed", "reason", message)
    return Said(actor=output.person(author), source=source, reason=reason.strip())


@contextmanager
def _connected(loaded: Config) -> Iterator[Connection]:
    with open_database(loaded) as url, Pool(url, size=1) as pool, session(pool) as connection:
        yield connection


def _render_plan(found: Plan) -> RenderableType:
    return Text("\n".join(_plan_lines(found)))


def _plan_lines(found: Plan) -> Iterator[str]:
    if not found.differences:
        yield f"File and database agree, at revision {found.revision}."
        return
    yield "Where they differ (database -> file):"
    yield from _changes(found.differences)
    if found.edited:
        yield ""
        yield "Edited at run time since the file was last read; a start leaves them:"
        yield from (f"  {one.name}: {_by(one.by)}" for one in found.edited)
    if found.only_in_database:
        names = ", ".join(found.only_in_database[:LISTED])
        more = len(found.only_in_database) - LISTED
        yield ""
        yield f"Only in the database, and left alone: {names}" + (
            f" and {more:,} more" if more > 0 else ""
        )
    yield ""
    yield "To take what the file says: stockwright config apply --reason WHY"


def _changes(changes: Sequence[Difference]) -> Iterator[str]:
    for one in changes:
        yield f"  {one.field}: {_value(one.database)} -> {_value(one.wanted)}"


def _value(value: Any) -> str:
    """As JSON; a whole rule without the fields that do nothing."""
    if isinstance(value, dict) and value.keys() == _NO_RULE.keys():
        value = {field: said for field, said in value.items() if said != _NO_RULE[field]}
    return "nothing" if value is None else output.encoded(value)


def _render_applied(done: Applied) -> RenderableType:
    if done.revision is None:
        return Text("Nothing to change.")
    if not done.changes:
        said = "the database said so already; the file is read in."
        return Text(f"Revision {done.revision}: {said}")
    return Text("\n".join([f"Revision {done.revision}:", *_changes(done.changes)]))


def _by(made: Revision) -> str:
    why = f": {made.reason}" if made.reason else ""
    return f"revision {made.id}, {made.at:%Y-%m-%d %H:%M:%S} UTC, {made.actor}{why}"


def _render_revisions(listed: list[Revision]) -> RenderableType:
    return Text("\n".join(f"{_by(made)} ({made.source}; {_tables(made)})" for made in listed))


def _tables(made: Revision) -> str:
    return ", ".join(sorted(made.subjects)) or "nothing changed"


def _render_changed(found: Changed) -> RenderableType:
    lines = [
        f"  {one.subject} {' '.join(one.key)}: {_value(one.before)} -> {_value(one.after)}"
        for one in found.changes
    ]
    return Text("\n".join([_by(found.revision), *lines]))


def _render_versions(found: list[Version]) -> RenderableType:
    return Text("\n".join(line for one in found for line in _version(one)))


def _version(one: Version) -> Iterator[str]:
    until = "on" if one.until is None else f"until revision {one.until}"
    why = f": {one.reason}" if one.reason else ""
    made = f"{one.at:%Y-%m-%d %H:%M:%S} UTC, {one.actor}{why}"
    yield f"{' '.join(one.key)}, from revision {one.since} {until} ({made})"
    yield f"    {_value(one.row)}"

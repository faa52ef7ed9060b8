"""`stockwright connection`: connect a partner step by step, and try it again after failures."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cyclopts import App, Parameter
from rich.text import Text

from stockwright.app import connecting as steps
from stockwright.app import open_database
from stockwright.cli import output
from stockwright.cli.connection_given import completed, given_settings, payload_of
from stockwright.cli.connection_words import (
    added_lines,
    item_lines,
    retry_lines,
    shadow_lines,
    status_lines,
    stock_lines,
    tested_lines,
)
from stockwright.cli.output import AsJson, ConfigFile
from stockwright.config import load_config
from stockwright.config.asking import (
    NewConnection,
    asked,
    connector_of,
    edits_of,
)
from stockwright.config.secrets import absolute_references
from stockwright.domain.connecting import TESTED
from stockwright.domain.errors import Rejected
from stockwright.domain.item_match import ItemState, PartnerItem
from stockwright.domain.network import Criticality, Revisions, SnapshotBasis
from stockwright.domain.spreadsheets import defused
from stockwright.flow import checking, connecting, opening_stock, retrying
from stockwright.flow.checking import Tested
from stockwright.flow.configuring import start_with
from stockwright.flow.connecting import ConnectionView
from stockwright.flow.opening_stock import Opening, Taken
from stockwright.flow.recording import Recorder
from stockwright.store import connecting as store
from stockwright.store.connection import Pool
from stockwright.store.history import Said
from stockwright.store.network import read_network
from stockwright.store.session import session

app = App(
    name="connection",
    help="Connect a partner step by step: add, test, shadow, live; retry one that failed.",
    help_format="markdown",
)
ITEMS: Final = 20
BINDINGS: Final = ("system", "subject", "partner_code", "code", "unit")
LISTINGS: Final = ("channel", "code", "sku", "quantity")

System = Annotated[str, Parameter(help="The system's code; see: connection status.")]
Author = Annotated[str | None, Parameter(help="Who does it; the machine's user by default.")]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a test found; opening is what its figures would be as stock, taken what was recorded."""

    tested: Tested
    opening: Opening | None = None
    taken: Taken | None = None
    connection: ConnectionView


@app.command
def add(
    system: Annotated[str, Parameter(help="The code that the new system is to have.")],
    /,
    *,
    connector: Annotated[str, Parameter(help="The connector that speaks to it.")],
    role: Annotated[str, Parameter(help="What it is to us; needed where there is a choice.")] = "",
    set_: Annotated[
        list[str] | None,
        Parameter(name="--set", negative="", help="A setting as NAME=VALUE; repeat it."),
    ] = None,
    channel: Annotated[str, Parameter(help="The channel that it sells on, new or its own.")] = "",
    pool: Annotated[
        list[str] | None,
        Parameter(negative="", help="A place or group that a new channel sells from; repeat it."),
    ] = None,
    time_zone: Annotated[str, Parameter(help="IANA zone of its times that carry none.")] = "",
    owner: Annotated[str, Parameter(help="Who answers for it: a person or a team.")] = "",
    latency_budget_s: Annotated[
        float | None, Parameter(help="Seconds a change may take to reach it before it is late.")
    ] = None,
    criticality: Annotated[
        Criticality | None, Parameter(help="Who goes first when not all can be served at once.")
    ] = None,
    clock_error_s: Annotated[
        float | None, Parameter(help="Seconds its clock may be wrong.")
    ] = None,
    heartbeat_s: Annotated[
        float | None, Parameter(help="Seconds within which it promises a sign of life.")
    ] = None,
    snapshot_basis: Annotated[
        SnapshotBasis | None, Parameter(help="Whether its stock figures contain promised units.")
    ] = None,
    revisions: Annotated[
        Revisions | None, Parameter(help="What a later revision of a line states.")
    ] = None,
    reason: Annotated[str, Parameter(help="Why: it is kept with the revision.")] = "connect it",
    author: Author = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Write a new connection into the configuration; nothing is sent to it yet.

    Required settings that are not given are asked for. Secrets are references, env:NAME or
    file:PATH, and are never shown. Repeat it to change the settings, until it is in shadow.
    """
    wanted = asked(connector_of(connector).declaration)
    given = given_settings(set_ or ())
    if not as_json:
        given = completed(given, wanted)
    new = NewConnection(
        code=system,
        connector=connector,
        role=role,
        settings=absolute_references(given, Path.cwd()),
        about={
            "time_zone": time_zone,
            "owner": owner,
            "latency_budget_s": latency_budget_s,
            "criticality": criticality,
            "clock_error_s": clock_error_s,
            "heartbeat_s": heartbeat_s,
            "snapshot_basis": snapshot_basis,
            "revisions": revisions,
        },
        channel=channel,
        pool=pool or (),
    )
    actor = output.person(author)
    with _opened(config, f"connection add {system}") as (pool_, _):
        with session(pool_) as connection:
            network = read_network(connection)
        # Checking loads the code of connectors, which on a busy machine takes longer than a
        # transaction may stand still.
        edits = edits_of(new, network, None)
        said = Said(actor=actor, source="cli", reason=reason)
        with session(pool_) as connection:
            found = connecting.add(connection, edits, system, said, connector=connector)
    output.emit(found, as_json, lambda one: Text("\n".join(added_lines(one))))
    return output.OK


@app.command(name="test")
def try_out(
    system: System,
    /,
    *,
    sample: Annotated[
        list[Path] | None,
        Parameter(
            negative="", help="A file as the partner sends it, instead of asking it; repeat it."
        ),
    ] = None,
    take_stock: Annotated[
        bool, Parameter(negative="", help="Record the stock it tells as opening stock.")
    ] = False,
    location: Annotated[
        str, Parameter(help="Where the stock lies of which the partner names no place.")
    ] = "",
    without_stock: Annotated[str, Parameter(help="Go on without opening stock; say why.")] = "",
    author: Author = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Check the credentials by a real call, map a sample, match the items; show opening stock.

    Changes nothing at the partner. Ends with 1 while a step is open or failed.
    """
    if take_stock and without_stock:
        raise Rejected("malformed", "without_stock", "Take the stock, or go on without it.")
    payloads = [payload_of(path) for path in sample or ()]
    actor = output.person(author)
    with _opened(config, f"connection test {system}") as (pool, url):
        tested = steps.test(pool, system, payloads, actor=actor)
        opening = steps.plan_stock(pool, system, location)
        taken = None
        if take_stock:
            taken = _take(pool, url, system, location, opening, actor)
        elif without_stock:
            with session(pool) as connection:
                opening_stock.without(connection, system, actor=actor, why=without_stock)
        with session(pool) as connection:
            now = connecting.view(connection, system)
            first = store.items(connection, system, limit=ITEMS)
    found = Outcome(tested=tested, opening=opening, taken=taken, connection=now)
    output.emit(found, as_json, lambda one: Text("\n".join(_tested(one, first))))
    waits = [step for step in now.steps if step.name in TESTED and not step.passed]
    return output.FINDINGS if waits else output.OK


def _take(pool: Pool, url: str, system: str, location: str, opening: Opening, actor: str) -> Taken:
    opening_stock.check(opening, None)
    with Recorder(url) as recorder:
        return steps.take_stock(
            pool, recorder, system, actor=actor, location=location, as_of=opening.as_of
        )


def _tested(found: Outcome, items: Sequence[PartnerItem]) -> Iterator[str]:
    yield from tested_lines(found.tested.sample)
    waits = [item for item in items if item.state != "matched"]
    if waits:
        yield "Items that wait:"
        yield from item_lines(waits)
    if found.opening is not None:
        yield from stock_lines(found.opening, found.taken)
    yield ""
    yield from status_lines(found.connection)


@app.command
def items(
    system: System,
    /,
    *,
    state: Annotated[ItemState | None, Parameter(help="Only those that stand so.")] = None,
    again: Annotated[
        bool, Parameter(negative="", help="Match them once more, after codes were bound.")
    ] = False,
    bindings: Annotated[
        Path | None,
        Parameter(help="Write them here as `import bindings` takes them; fill in what is empty."),
    ] = None,
    listings: Annotated[
        Path | None,
        Parameter(help="Write them here as `import listings` takes them; fill in what is empty."),
    ] = None,
    limit: Annotated[int, Parameter(help="How many to show at most.")] = ITEMS,
    author: Author = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """List the partner's items: in conflict, unknown, matched. Ends with 1 while some wait.

    Names of places in its sample that are bound to none of ours are listed and written with them.
    """
    if limit < 1:
        raise Rejected("malformed", "limit", "Give 1 or more.")
    with _opened(config, f"connection items {system}") as (pool, _), session(pool) as connection:
        if again:
            checking.rematch(connection, system, actor=output.person(author))
        now = connecting.view(connection, system)
        places = checking.places_that_wait(connection, now)
        files = [path for path in (bindings, listings) if path]
        most = 2**31 if files else limit
        found = store.items(connection, system, state=state or "", limit=most)
    if bindings:
        bound = [(system, "location", place, "", "") for place in places]
        bound += [(system, "item", one.code, one.sku, one.unit) for one in found]
        _write(bindings, BINDINGS, bound)
    if listings:
        listed = [(channel, one.code, one.sku, "1") for channel in now.channels for one in found]
        _write(listings, LISTINGS, listed)
    output.emit(
        found[:limit], as_json, lambda some: Text("\n".join(_items(now, some, places, files)))
    )
    waits = now.items["unknown"] + now.items["unit_conflict"] + len(places)
    return output.FINDINGS if waits else output.OK


def _items(
    now: ConnectionView, some: Sequence[PartnerItem], places: Sequence[str], files: Sequence[Path]
) -> Iterator[str]:
    counted = now.items
    yield (
        f"{counted['matched']:,} matched, {counted['unknown']:,} unknown,"
        f" {counted['unit_conflict']:,} in conflict about the unit."
    )
    yield from (f"    unknown place {place}: it is bound to none of ours" for place in places)
    yield from item_lines(some)
    yield from (f"Written to {path}." for path in files)


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    try:
        with path.open("w", encoding="utf-8", newline="") as target:
            writer = csv.writer(target, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows([defused(cell) for cell in row] for row in rows)
    except OSError as failure:
        raise Rejected("unwritable", "file", f"{path}: {failure.strerror}") from None


@app.command
def shadow(
    system: System,
    /,
    *,
    reason: Annotated[str, Parameter(help="Why: it is kept in the change log.")] = "",
    limit: Annotated[int, Parameter(help="How many differences to show at most.")] = ITEMS,
    author: Author = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Write down what would be sent, send nothing, and compare it with what the partner shows.

    Repeat it to compare again. Ends with 1 while there is nothing to go live with.
    """
    if limit < 1:
        raise Rejected("malformed", "limit", "Give 1 or more.")
    with _opened(config, f"connection shadow {system}") as (pool, _):
        found = steps.shadow(pool, system, actor=output.person(author), why=reason, limit=limit)
    output.emit(found, as_json, lambda one: Text("\n".join(shadow_lines(one))))
    compared = next(step for step in found.connection.steps if step.name == "shadow")
    return output.OK if compared.passed else output.FINDINGS


@app.command
def live(
    system: System,
    /,
    *,
    reason: Annotated[str, Parameter(help="Why: it is kept in the change log.")],
    force: Annotated[
        bool, Parameter(negative="", help="Go live though steps are missing.")
    ] = False,
    author: Author = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Let the connection send from now on; refused with the reasons while a step is missing."""
    actor = output.person(author)
    with _opened(config, f"connection live {system}") as (pool, _), session(pool) as connection:
        found = connecting.go_live(connection, system, actor=actor, why=reason, force=force)
    output.emit(found, as_json, lambda one: Text("\n".join(status_lines(one))))
    return output.OK


@app.command
def retry(
    system: System,
    /,
    *,
    reason: Annotated[str, Parameter(help="Why: it is kept in the change log.")],
    author: Author = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Try a connection again at once, after failures made it wait: its next poll, its next call.

    What the partner asked for, its plan or its silence, is kept.
    """
    actor = output.person(author)
    with _opened(config, f"connection retry {system}") as (pool, _), session(pool) as connection:
        found = retrying.retry(connection, system, actor=actor, why=reason)
    output.emit(found, as_json, lambda one: Text("\n".join(retry_lines(one))))
    return output.OK


@app.command
def status(
    system: Annotated[str, Parameter(help="One system; all by default.")] = "",
    /,
    *,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Show every connection, or the steps of one: who took them and when, and what is next."""
    with _opened(config, "connection status") as (pool, _), session(pool) as connection:
        if system:
            one = connecting.view(connection, system)
            output.emit(one, as_json, lambda found: Text("\n".join(status_lines(found))))
            return output.OK
        found = connecting.views(connection)
    output.emit(found, as_json, lambda all_: Text("\n".join(_listed(all_))))
    return output.OK


def _listed(found: Sequence[ConnectionView]) -> Iterator[str]:
    if not found:
        yield "No connection yet: stockwright connection add NAME --connector CONNECTOR"
    for one in found:
        next_ = f"; next: {one.next}" if one.next else ""
        words = {"read": "cannot be read", "send": "nothing can be sent to it"}
        wrong = "".join(f"; {words[each.what]}: {each.error}" for each in one.troubles)
        yield f"{one.system}: {one.stage}, {one.role} by {one.connector}{next_}{wrong}"


@contextmanager
def _opened(config: ConfigFile, why: str) -> Iterator[tuple[Pool, str]]:
    loaded = load_config(config)
    with open_database(loaded) as url, Pool(url, size=2) as pool:
        with session(pool) as connection:
            # What only the file names is there from now on, as at a start.
            start_with(connection, loaded, Said(actor=output.person(), source="file", reason=why))
        yield pool, url

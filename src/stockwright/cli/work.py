"""`stockwright work`: what a person must decide: list, show, close, reopen, assign."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Final

import msgspec
from cyclopts import App, Parameter
from rich.text import Text

from stockwright.app import open_database
from stockwright.cli import output
from stockwright.cli.output import AsJson, ConfigFile
from stockwright.config import load_config
from stockwright.domain.errors import Rejected
from stockwright.domain.work_words import MEANINGS
from stockwright.flow.steering import checked_reason
from stockwright.store import worklist
from stockwright.store.connection import Connection, Pool
from stockwright.store.session import session
from stockwright.store.worklist import State, Which, WorkItemView

app = App(
    name="work",
    help="List, show, close, reopen and assign work items.",
    help_format="markdown",
)
MOST: Final = 1_000
MAX_NAME: Final = 128
_TOP: Final = 2**63 - 1

Id = Annotated[int, Parameter(help="The work item's number; see: work list.")]
Why = Annotated[str, Parameter(help="Why: it is kept in the change log.")]
Author = Annotated[str | None, Parameter(help="Who does it; the machine's user by default.")]


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """The newest work items that pass, and how many pass in all."""

    total: int
    items: list[WorkItemView]


@app.command(name="list")
def list_(
    *,
    state: Annotated[State, Parameter(help="Those that are open, closed, or all.")] = "open",
    kind: Annotated[str, Parameter(help="Only this kind, such as shortage.")] = "",
    system: Annotated[str, Parameter(help="Only those about this system.")] = "",
    sku: Annotated[str, Parameter(help="Only those about this SKU.")] = "",
    location: Annotated[str, Parameter(help="Only those about this location.")] = "",
    assigned_to: Annotated[str, Parameter(help="Only those this person is to decide.")] = "",
    unassigned: Annotated[
        bool, Parameter(negative="", help="Only those that nobody is to decide yet.")
    ] = False,
    text: Annotated[str, Parameter(help="Only those that say this anywhere.")] = "",
    before: Annotated[int, Parameter(help="Only those with a lower number, for more.")] = _TOP,
    limit: Annotated[int, Parameter(help="How many to show at most.")] = 100,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """List work items, newest first: what happened, to what, how often, and who is at it."""
    if not 1 <= limit <= MOST:
        raise Rejected("malformed", "limit", f"Give 1 to {MOST:,}.")
    which = Which(
        state=state, kind=kind, sku=sku, location=location, system=system,
        assigned_to=assigned_to, unassigned=unassigned, text=text,
    )  # fmt: skip
    with _database(config) as connection:
        found = Listed(
            total=worklist.work_item_facets(connection, which).total,
            items=worklist.work_items(connection, which, before=before, limit=limit),
        )
    output.emit(found, as_json, lambda one: Text("\n".join(_listed(one, state))))
    return output.OK


@app.command
def show(number: Id, /, *, config: ConfigFile = None, as_json: AsJson = False) -> int:
    """Show one work item: what it says, and what settles it."""
    with _database(config) as connection:
        found = _find(connection, number)
    output.emit(found, as_json, lambda one: Text("\n".join(_shown(one))))
    return output.OK


@app.command
def close(
    number: Id,
    /,
    *,
    why: Why,
    author: Author = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Close an open work item: say what was done about it."""
    why = checked_reason(why)
    with _item(number, config, as_json) as connection:
        if not worklist.close_work_item(connection, number, actor=output.person(author), why=why):
            raise _already("closed", number)
    return output.OK


@app.command
def reopen(
    number: Id,
    /,
    *,
    why: Why,
    author: Author = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Open a closed work item again: say why it is not done after all."""
    why = checked_reason(why)
    with _item(number, config, as_json) as connection:
        done = worklist.reopen_work_item(connection, number, actor=output.person(author), why=why)
        if done == "was_open":
            raise _already("open", number)
        if done == "came_up_again":
            message = f"The cause of {number} came up again and has an open work item by now."
            raise Rejected("already_open", "number", message)
    return output.OK


@app.command
def assign(
    number: Id,
    /,
    *,
    to: Annotated[str, Parameter(help="Any name your house uses; empty for nobody.")],
    author: Author = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Say who is to decide an open work item."""
    to = to.strip()
    if len(to) > MAX_NAME or not to.isprintable():
        raise Rejected("malformed", "to", f"A name has at most {MAX_NAME} printable characters.")
    with _item(number, config, as_json) as connection:
        actor = output.person(author)
        if not worklist.assign_work_item(connection, number, actor=actor, assigned_to=to):
            raise _already("closed", number)
    return output.OK


@contextmanager
def _database(config: ConfigFile) -> Iterator[Connection]:
    with (
        open_database(load_config(config)) as url,
        Pool(url, size=1) as pool,
        session(pool) as connection,
    ):
        yield connection


@contextmanager
def _item(number: int, config: ConfigFile, as_json: bool) -> Iterator[Connection]:
    """For a change of a work item that there is; shows it as it stands after."""
    with _database(config) as connection:
        _find(connection, number)
        yield connection
        changed = _find(connection, number)
        output.emit(changed, as_json, lambda one: Text("\n".join(_lines([one]))))


def _already(state: State, number: int) -> Rejected:
    return Rejected(f"already_{state}", "number", f"The work item {number} is {state}.")


def _find(connection: Connection, number: int) -> WorkItemView:
    found = worklist.find_work_item(connection, number) if 0 < number <= _TOP else None
    if found is None:
        raise Rejected("not_found", "number", f"There is no work item {number}; see: work list.")
    return found


def _listed(found: Listed, state: State) -> Iterator[str]:
    if not found.items:
        yield "Nothing to decide." if state == "open" else "There is no such work item."
        return
    yield from _lines(found.items)
    if found.total > len(found.items):
        last = found.items[-1].id
        yield f"{len(found.items):,} of {found.total:,}; the next ones: --before {last}"


def _lines(items: Sequence[WorkItemView]) -> Iterator[str]:
    for one in items:
        yield f"{one.id} {one.kind}: {one.subject}"
        words = (("SKU", one.sku), ("at", one.location), ("of", one.system))
        about = " ".join(f"{word} {code}" for word, code in words if code)
        times = "once" if one.seen == 1 else f"{one.seen:,} times"
        seen = f"seen {times} since {one.opened_at:%Y-%m-%d %H:%M} UTC"
        if one.closed_at is None:
            stands = f"with {one.assigned_to or 'nobody'}"
        else:
            at = f"{one.closed_at:%Y-%m-%d %H:%M} UTC"
            stands = f"closed {at} by {one.closed_by}: {one.closed_why}"
        yield f"    {about}, {seen}" if about else f"    {seen}"
        yield f"    {stands}"


def _shown(one: WorkItemView) -> Iterator[str]:
    yield from _lines([one])
    for name, value in one.detail.items():
        yield f"    {name}: {value if isinstance(value, str) else output.encoded(value)}"
    meaning = MEANINGS.get(one.kind)
    if meaning:
        yield ""
        yield meaning

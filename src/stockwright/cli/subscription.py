"""`stockwright subscription`: outside consumers of changes: add, list, steer, replay, delete."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import App, Parameter
from rich.console import RenderableType
from rich.text import Text

from stockwright.app import find_connector, open_database
from stockwright.cli import output
from stockwright.cli.output import AsJson, ConfigFile
from stockwright.config import Config, load_config
from stockwright.domain.codes import did_you_mean
from stockwright.domain.cursors import cursor_of
from stockwright.domain.errors import Rejected
from stockwright.domain.network import Network
from stockwright.domain.proxies import networks
from stockwright.domain.subscriptions import (
    EVENT_KINDS,
    LEVEL,
    Filters,
    NewSubscription,
    shown_url,
)
from stockwright.flow import subscribing
from stockwright.flow.subscribing import OVERLAP_S, Made, Start
from stockwright.store import subscriptions as store
from stockwright.store.connection import Connection, Pool
from stockwright.store.network import read_network
from stockwright.store.session import session, translated
from stockwright.store.subscriptions import Subscription

app = App(
    name="subscription",
    help="Add, list, pause, resume, replay and delete subscriptions.",
    help_format="markdown",
)

Name = Annotated[str, Parameter(help="The subscription's name; see: subscription list.")]
Reason = Annotated[str, Parameter(help="Why: it is kept in the change log.")]
Author = Annotated[str | None, Parameter(help="Who does it; the machine's user by default.")]
Kinds = Annotated[
    list[str] | None,
    Parameter(
        negative="", help="Only events of this kind, such as receipt, or level; repeat it for more."
    ),
]
Skus = Annotated[
    list[str] | None, Parameter(negative="", help="Only what is about this SKU; repeat it.")
]
Locations = Annotated[
    list[str] | None, Parameter(negative="", help="Only what is about this place; repeat it.")
]
Channels = Annotated[
    list[str] | None, Parameter(negative="", help="Only what is about this channel; repeat it.")
]
Systems = Annotated[
    list[str] | None,
    Parameter(negative="", help="Only what this system told, and its channels' levels; repeat it."),
]
Begin = Annotated[
    Literal["start", "now"] | None, Parameter(help="At the start of all, or behind all there is.")
]
Cursor = Annotated[str, Parameter(help="Behind this cursor of GET /v1/changes.")]
SequenceNumber = Annotated[int | None, Parameter(help="From the event with this number on.")]


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription as this command shows it: no query of its address, no secret."""

    name: str
    state: str
    why: str
    to: str
    filters: Filters
    batch: int
    cursor: str
    behind: int
    delivered: int
    secret: str = ""


@app.command
def add(
    name: Annotated[str, Parameter(help="What to call it: letters, digits, dots, dashes.")],
    /,
    *,
    url: Annotated[str, Parameter(help="Where its webhooks go.")] = "",
    system: Annotated[str, Parameter(help="Instead of a url: the system of a queue.")] = "",
    subject: Annotated[str, Parameter(help="With --system: the subject to send to.")] = "",
    changes: Annotated[
        Literal["all", "events", "levels"], Parameter(help="Events, levels, or all.")
    ] = "all",
    kind: Kinds = None,
    sku: Skus = None,
    location: Locations = None,
    channel: Channels = None,
    from_system: Systems = None,
    batch: Annotated[int, Parameter(help="Changes in one message, at most.")] = 100,
    begin: Begin = None,
    cursor: Cursor = "",
    sequence: SequenceNumber = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Subscribe a consumer, and show once the secret that its webhooks are signed with.

    It begins now, unless --begin, --cursor or --sequence says otherwise.
    """
    asked = {
        "changes": changes,
        "kinds": kind or [],
        "skus": sku or [],
        "locations": location or [],
        "channels": channel or [],
        "systems": from_system or [],
    }
    new = NewSubscription(
        name=name,
        via="queue" if system else "webhook",
        url=url,
        system=system,
        subject=subject,
        filters=_filters(asked),
        batch=batch,
    )
    loaded = load_config(config)
    with _opened(loaded) as pool, translated():
        made = subscribing.add(
            pool,
            new,
            Start(begin or "now", cursor, sequence),
            actor=output.person(),
            allowed=networks(loaded.subscriptions.allowed_networks),
            queues=_queues(pool, loaded),
        )
        with session(pool) as connection:
            unknown = list(_unknown(new.filters, read_network(connection)))
    if made is None:
        raise Rejected("malformed", "name", f"There is a subscription {name!r}; choose another.")
    output.emit(_made(made), as_json, lambda one: Text("\n".join(_secret_lines(one))))
    for words in unknown:
        output.err().print(Text(f"{words} Nothing is told of it until there is."))
    return output.OK


def _unknown(filters: Filters, network: Network) -> Iterator[str]:
    """Codes of filters that nobody has configured: perhaps misspelt, perhaps still to come."""
    asked: tuple[tuple[str, Sequence[str], Sequence[Any]], ...] = (
        ("channel", filters.channels, network.channels),
        ("location", filters.locations, network.locations),
        ("system", filters.systems, network.systems),
    )
    for what, codes, there in asked:
        known = [one.code for one in there]
        for code in codes:
            if code not in known:
                hint = did_you_mean(code, known)
                yield f"There is no {what} {code!r} yet{f'; {hint}' if hint else '.'}"


@app.command(name="list")
def list_(*, config: ConfigFile = None, as_json: AsJson = False) -> int:
    """Show every subscription: state, where it goes, how far it is behind."""
    with _opened(load_config(config)) as pool, session(pool) as connection:
        found = [_shown(one) for one in store.subscriptions(connection)]
    output.emit(found, as_json, _list)
    return output.OK


@app.command
def pause(
    name: Name,
    /,
    *,
    reason: Reason,
    author: Author = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Send a consumer nothing until it is resumed. Its position is kept."""
    return _steer(subscribing.pause, name, reason, author, config, as_json)


@app.command
def resume(
    name: Name,
    /,
    *,
    reason: Reason,
    author: Author = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Let a consumer be told again, at once, from where it stopped."""
    return _steer(subscribing.resume, name, reason, author, config, as_json)


@app.command
def rotate(
    name: Name,
    /,
    *,
    overlap_s: Annotated[
        float, Parameter(help="Seconds for which the secret before signs as well.")
    ] = OVERLAP_S,
    author: Author = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Make a new secret and show it, this once."""
    with _opened(load_config(config)) as pool, session(pool) as connection:
        made = subscribing.rotate(
            connection, name, actor=output.person(author), overlap_s=overlap_s
        )
    output.emit(_made(made), as_json, lambda one: Text("\n".join(_secret_lines(one))))
    return output.OK


@app.command
def replay(
    name: Name,
    /,
    *,
    begin: Begin = None,
    cursor: Cursor = "",
    sequence: SequenceNumber = None,
    author: Author = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Tell a consumer again what stands behind a position, or let it skip to one."""
    if sum((begin is not None, bool(cursor), sequence is not None)) != 1:
        raise Rejected("malformed", "begin", "Give one of --begin, --cursor and --sequence.")
    start = Start(begin or "now", cursor, sequence)
    with _opened(load_config(config)) as pool, translated():
        found = subscribing.replay(pool, name, start, actor=output.person(author))
    output.emit(_shown(found), as_json, lambda one: Text("\n".join(_lines(one))))
    return output.OK


@app.command
def delete(
    name: Name,
    /,
    *,
    author: Author = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Remove a subscription with its secrets and its position."""
    with _opened(load_config(config)) as pool, session(pool) as connection:
        found = subscribing.delete(connection, name, actor=output.person(author))
    output.emit(_shown(found), as_json, lambda one: Text(f"Deleted {one.name}."))
    return output.OK


def _steer(
    deed: Callable[..., bool],
    name: str,
    reason: str,
    author: str | None,
    config: Any,
    as_json: bool,
) -> int:
    def work(connection: Connection) -> Subscription:
        deed(connection, name, actor=output.person(author), why=reason)
        return subscribing.found(connection, name)

    with _opened(load_config(config)) as pool, session(pool) as connection:
        found = work(connection)
    output.emit(_shown(found), as_json, lambda one: Text("\n".join(_lines(one))))
    return output.OK


@contextmanager
def _opened(loaded: Config) -> Iterator[Pool]:
    with open_database(loaded) as url, Pool(url, size=2) as pool:
        yield pool


def _filters(asked: dict[str, Any]) -> Filters:
    known = (*EVENT_KINDS, LEVEL)
    for kind in asked["kinds"]:
        if kind not in known:
            hint = did_you_mean(kind, known) or f"take one of {', '.join(known)}."
            raise Rejected("malformed", "kind", f"There is no kind {kind!r}; {hint}")
    try:
        return msgspec.convert(asked, Filters)
    except msgspec.ValidationError as error:
        raise Rejected("malformed", "filters", f"{error}.") from None


def _queues(pool: Pool, loaded: Config) -> dict[str, bool]:
    """For every connected system, whether announcements can be sent through it.

    The file may name systems that no process has read yet, the database those of `connection add`.
    """
    with session(pool) as connection:
        stored = read_network(connection).systems
    connectors = {one.code: one.connector for one in (*loaded.systems, *stored)}
    return {
        code: find_connector(name).declaration.capabilities.announces
        for code, name in connectors.items()
        if name
    }


def _made(made: Made) -> Shown:
    return msgspec.structs.replace(_shown(made.subscription), secret=made.secret)


def _shown(one: Subscription) -> Shown:
    return Shown(
        name=one.name,
        state=one.state,
        why=one.paused_why or one.last_error,
        to=shown_url(one.url) or f"{one.system}: {one.subject}",
        filters=one.filters,
        batch=one.batch,
        cursor=cursor_of(one.position),
        behind=one.behind,
        delivered=one.delivered,
    )


def _secret_lines(one: Shown) -> Iterator[str]:
    yield f"{one.name} is told at {one.to}"
    if one.secret:
        yield f"Secret: {one.secret}"
        yield "It is shown this once; give it to the consumer, who proves our messages by it."


def _list(found: list[Shown]) -> RenderableType:
    if not found:
        return "Nobody has subscribed yet."
    return Text("\n".join(line for one in found for line in _lines(one)))


def _lines(one: Shown) -> Iterator[str]:
    yield f"{one.name}: {one.state}"
    if one.why:
        yield f"    {one.why}"
    yield f"    to {one.to}; {one.delivered:,} changes taken, {one.behind:,} to look at"

"""`stockwright publish`: how channels do, and steering them: pause, resume, resync."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich.console import RenderableType
from rich.text import Text

from stockwright.app import open_database
from stockwright.cli import output
from stockwright.cli.output import AsJson, ConfigFile
from stockwright.config import Config, load_config
from stockwright.flow import steering
from stockwright.flow.configuring import start_with
from stockwright.flow.steering import Publishing, Resynced, ResyncPlan
from stockwright.store.connection import Pool
from stockwright.store.history import Said
from stockwright.store.session import session, translated

app = App(name="publish", help="Show, pause, resume and resync channels.", help_format="markdown")

Channel = Annotated[str, Parameter(help="The channel's code; see: publish list.")]
Reason = Annotated[str, Parameter(help="Why: it is kept in the change log.")]
Author = Annotated[str | None, Parameter(help="Who does it; the machine's user by default.")]


class Steered(msgspec.Struct, frozen=True, kw_only=True):
    """What pausing or resuming did: whether it changed anything, and how the channel is now."""

    changed: bool
    publication: Publishing


@app.command(name="list")
def list_(*, config: ConfigFile = None, as_json: AsJson = False) -> int:
    """Show every channel: state, levels waiting by lane, lag, budget used."""
    with _opened(load_config(config)) as pool, session(pool) as connection:
        found = steering.publications(connection)
    output.emit(found, as_json, _list)
    return output.OK


@app.command
def pause(
    channel: Channel,
    /,
    *,
    reason: Reason,
    author: Author = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Send a channel nothing until it is resumed. Its levels go on being computed."""
    return _steer("pause", channel, reason, author, config, as_json)


@app.command
def resume(
    channel: Channel,
    /,
    *,
    reason: Reason,
    author: Author = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Let a paused channel go on: what differs by then is sent, and nothing else."""
    return _steer("resume", channel, reason, author, config, as_json)


@app.command(name=("resync", "--resync"))
def resync(
    channel: Channel,
    /,
    *,
    reason: Annotated[str, Parameter(help="Why; not needed for a dry run.")] = "",
    dry_run: Annotated[
        bool, Parameter(negative="", help="Only tell how many levels, calls and how long.")
    ] = False,
    author: Author = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Send a channel all its settled levels once more, behind whatever differs.

    Ends with 1 after a dry run of what would be refused, because it could empty the channel.
    """
    loaded = load_config(config)
    if dry_run:
        with _opened(loaded) as pool, session(pool) as connection:
            plan = steering.plan_resync(connection, channel)
        output.emit(plan, as_json, lambda found: Text("\n".join(_plan_lines(found))))
        return output.FINDINGS if plan.refused else output.OK
    actor = output.person(author)
    with _opened(loaded) as pool, translated():
        done = steering.resync(pool, channel, actor=actor, why=reason)
    output.emit(done, as_json, lambda found: Text("\n".join(_resync_lines(found))))
    return output.OK


def _steer(
    what: str,
    channel: str,
    reason: str,
    author: str | None,
    config: ConfigFile,
    as_json: bool,
) -> int:
    do = steering.pause if what == "pause" else steering.resume
    actor, loaded = output.person(author), load_config(config)
    with _opened(loaded) as pool, session(pool) as connection:
        # A channel may be paused before the first start, while only the file names it.
        start_with(connection, loaded, Said(actor=actor, source="file", reason=f"publish {what}"))
        changed = do(connection, channel, actor=actor, why=reason)
        found = Steered(changed=changed, publication=steering.publication(connection, channel))
    output.emit(found, as_json, lambda steered: Text(_steered(what, steered)))
    return output.OK


@contextmanager
def _opened(loaded: Config) -> Iterator[Pool]:
    with open_database(loaded) as url, Pool(url, size=2) as pool:
        yield pool


def _steered(what: str, found: Steered) -> str:
    link = found.publication.link
    done = {"pause": "Paused", "resume": "Resumed"}[what]
    begun = f"{done}." if found.changed else "Nothing to do."
    return f"{begun} {link.facts.channel} is {link.judgement.state}: {link.judgement.why}"


def _plan_lines(plan: ResyncPlan) -> Iterator[str]:
    estimate = plan.estimate
    yield (
        f"{plan.channel}: {estimate.levels:,} levels of {plan.listings:,} active listings"
        f" would be sent again, {plan.zeroes:,} of them as 0."
    )
    yield from _estimate_lines(plan)
    if plan.refused:
        yield f"It would be refused: {plan.refused}"


def _estimate_lines(plan: ResyncPlan) -> Iterator[str]:
    estimate = plan.estimate
    if estimate.calls is None or estimate.seconds is None:
        yield "In how many calls is not known: no worker has told the connection's limits yet."
    else:
        calls = f"{estimate.calls:,} call{'' if estimate.calls == 1 else 's'}"
        yield f"In {calls}, {_duration(estimate.seconds)} at the connection's limits."
    for why, count in plan.left_alone.items():
        yield f"{count:,} left alone: {why}."
    if plan.paused:
        yield "The channel is paused: nothing leaves until it is resumed."


def _resync_lines(done: Resynced) -> Iterator[str]:
    yield f"{done.plan.channel}: {done.levels:,} levels are due again."
    yield from _estimate_lines(done.plan)


def _duration(seconds: float) -> str:
    if seconds < 1:
        return "within about a second"
    if seconds < 100:
        return f"at least {seconds:.0f} s"
    minutes = round(seconds / 60)
    hours = f"{minutes // 60} h {minutes % 60:02d}"
    return f"at least {minutes} min" if minutes < 100 else f"at least {hours}"


def _list(found: list[Publishing]) -> RenderableType:
    if not found:
        return "No channel is configured yet."
    return Text("\n".join(line for one in found for line in _lines(one)))


def _lines(one: Publishing) -> Iterator[str]:
    facts, backlog, used = one.link.facts, one.backlog, one.spending.used
    yield f"{facts.channel}: {one.link.judgement.state}"
    yield f"    {one.link.judgement.why}"
    if one.link.judgement.state == "failing" and facts.last_error:
        yield f"    {facts.last_error}"
    if one.is_told:
        parts = [
            f"{backlog.decreases:,} decreases and {backlog.increases:,} increases waiting",
            f"{backlog.in_doubt:,} in doubt",
            f"{facts.refused:,} refused",
        ]
        parts += [] if facts.lag_p99_s is None else [f"lag p99 {facts.lag_p99_s:.2f} s"]
        parts += [] if used is None else [f"{used:.0%} of its budget used"]
        yield f"    {', '.join(parts)}"

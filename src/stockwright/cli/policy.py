"""`stockwright policy`: what another exposure policy would change, now and over the last month."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from cyclopts import App, Parameter, validators
from rich.text import Text

from stockwright.cli import output
from stockwright.cli.output import AsJson, ConfigFile
from stockwright.cli.status import running_database
from stockwright.config import load_config
from stockwright.domain.errors import Rejected
from stockwright.domain.policies import PolicySet
from stockwright.flow.preview import Effect, Preview
from stockwright.flow.preview import preview as compare
from stockwright.flow.replaying import Replay, ReplayedChannel, replay_policies
from stockwright.store.connection import Pool
from stockwright.store.session import session

app = App(
    name="policy", help="Try exposure policies before they are in force.", help_format="markdown"
)
MAX_FILE_BYTES: Final = 10_000_000
_FILE = (
    "What some channels would have: a configuration file with [[channels.CODE.policies]], of which "
    "nothing else is looked at, or JSON: {channels: {CODE: [{field: value}]}}."
)


@app.command
def preview(
    file: Annotated[Path, Parameter(help=_FILE)],
    /,
    *,
    limit: Annotated[
        int, Parameter(help="Most listings to show.", validator=validators.Number(gte=1, lte=1000))
    ] = 20,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Show what these policies would change now, the largest effects first. Changes nothing."""
    candidate = read_set(file)
    with (
        running_database(load_config(config)) as url,
        Pool(url, size=1) as pool,
        session(pool) as connection,
    ):
        found = compare(connection, candidate, limit=limit)
    output.emit(found, as_json, _preview)
    return output.OK


@app.command
def replay(
    file: Annotated[Path, Parameter(help=_FILE)],
    /,
    *,
    days: Annotated[
        float, Parameter(help="Days to play.", validator=validators.Number(gt=0, lte=366))
    ] = 30.0,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Play recorded sales again under these policies: oversells avoided, sales withheld.

    Orders stay as they came, also those that another number would have kept away or brought; the
    documentation says what else is assumed. Changes nothing.
    """
    candidate = read_set(file)
    with (
        running_database(load_config(config)) as url,
        Pool(url, size=1) as pool,
        session(pool) as connection,
    ):
        found = replay_policies(connection, candidate, days=days)
    output.emit(found, as_json, _replay)
    return output.OK


def read_set(file: Path) -> PolicySet:
    """The policies in a file. Raises Rejected where it cannot be read or understood."""
    try:
        with file.open("rb") as source:
            raw = source.read(MAX_FILE_BYTES + 1)
    except OSError as failure:
        raise Rejected("malformed", str(file), f"cannot be read: {failure.strerror}") from failure
    if len(raw) > MAX_FILE_BYTES:
        raise Rejected("malformed", str(file), f"is larger than {MAX_FILE_BYTES} bytes")
    try:
        if file.suffix.lower() == ".toml":
            return msgspec.convert(_policies_of(raw.decode()), PolicySet)
        return msgspec.json.decode(raw, type=PolicySet)
    except (msgspec.MsgspecError, tomllib.TOMLDecodeError, UnicodeDecodeError) as failure:
        raise Rejected("malformed", str(file), f"is no set of policies: {failure}") from failure


def _policies_of(text: str) -> dict[str, Any]:
    """The policies that a configuration file gives its channels; those without any have none."""
    channels = tomllib.loads(text).get("channels")
    if not isinstance(channels, dict):
        raise msgspec.ValidationError("it has no [[channels.CODE.policies]]")
    return {
        "channels": {
            code: channel.get("policies", []) if isinstance(channel, dict) else channel
            for code, channel in channels.items()
        }
    }


def _preview(found: Preview) -> Text:
    lines = [
        f"{found.changed:,} of {found.examined:,} listings would show another number:"
        f" {found.raised:,} pieces more, {found.lowered:,} fewer."
    ]
    if not found.complete:
        lines.append("There are more listings than a preview looks at; these are the first.")
    lines += [f"note: {note}" for note in found.notes]
    if found.items:
        lines += ["", f"{'channel':<16}{'listing':<24}{'now':>10}{'then':>10}{'change':>10}"]
        lines += [line for one in found.items for line in _effect(one)]
    if found.next_place:
        lines.append(f"... and {found.changed - len(found.items):,} more (--limit)")
    return Text("\n".join(lines))


def _effect(one: Effect) -> Iterator[str]:
    yield (f"{one.channel:<16}{one.listing:<24}{one.now:>10,}{one.then:>10,}{one.change:>+10,}")
    before = {(step.name, step.amount) for step in one.why_now.steps}
    for step in one.why_then.steps:
        if (step.name, step.amount) not in before:
            yield f"    then {step.name} {step.amount:+,}: {step.why}"


def _replay(found: Replay) -> Text:
    lines = [f"From {found.begins:%Y-%m-%d %H:%M} to {found.ends:%Y-%m-%d %H:%M} UTC, in units", ""]
    titles = ("channel", "SKUs", "orders", "sold", "oversold", "then", "avoided", "sales withheld")
    lines.append(f"{titles[0]:<16}" + "".join(f"{title:>16}" for title in titles[1:]))
    lines += [_channel(one) for one in found.channels]
    lines += ["", "On average it would have shown less by, summed over those SKUs:"]
    lines += [f"    {one.channel:<16}{one.result.withheld:>12,.1f}" for one in found.channels]
    if not found.complete:
        lines.append("There are more SKUs with sales than a replay plays; these are the first.")
    return Text("\n".join(lines))


def _channel(one: ReplayedChannel) -> str:
    result = one.result
    numbers = (
        *(one.skus, result.orders, result.sold, result.oversold, result.oversold_then),
        *(result.avoided, result.withheld_sales),
    )
    return f"{one.channel:<16}" + "".join(f"{number:>16,}" for number in numbers)

"""`stockwright map test`: what a sample becomes, side by side, before it is let in or goes out."""

import datetime as dt
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from cyclopts import App, Parameter
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stockwright.app import find_connector
from stockwright.cli import output
from stockwright.cli.map_out import back_by_rules, render, tried_out
from stockwright.cli.output import AsJson, ConfigFile
from stockwright.cli.status import running_database
from stockwright.config import Config, load_config, resolve_secret
from stockwright.domain.codes import did_you_mean
from stockwright.domain.errors import Misconfigured, Rejected, Transient
from stockwright.domain.network import System
from stockwright.flow.unpacking import Codes, codes_in, mapped, unpack
from stockwright.sdk.connector import Opening
from stockwright.sdk.messages import Failure, Mapped, Payload
from stockwright.sdk.sources import MISSING, walk
from stockwright.sdk.verbs import Connection
from stockwright.store import payloads
from stockwright.store.connection import Pool
from stockwright.store.network import read_network
from stockwright.store.session import session

app = App(
    name="map", help="Map a partner's sample and show what it becomes.", help_format="markdown"
)

_LARGEST: Final = 32 << 20


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One part of the sample: where it stands and what it becomes, an event or a failure."""

    place: str
    sample: Any = None
    event: Any = None
    failure: Failure | None = None


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What a sample becomes. bindings: whether the database was asked for codes.

    back: why it cannot be written and read again by the same rules; "" where it can, None where
    that is not known.
    """

    connection: str
    connector: str
    bindings: bool
    parts: list[Part]
    back: str | None


@app.command(name="test")
def try_sample(
    connection: Annotated[str, Parameter(help="The system's code; see: connection status.")],
    sample: Annotated[Path, Parameter(help="File with one message; - is the pipe.")],
    /,
    *,
    header: Annotated[
        list[str] | None,
        Parameter(negative="", help="A header it came with, as 'name: value'; repeat it."),
    ] = None,
    bindings: Annotated[
        bool | None,
        Parameter(
            negative="--no-bindings",
            help="Ask the database for our codes; by default where it runs.",
        ),
    ] = None,
    out: Annotated[
        bool,
        Parameter(negative="", help="The sample is ours, levels or a document: show it as sent."),
    ] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Map a sample by the connection's own mapping: each part beside the event it becomes; with
    --out a message of ours beside the partner's body, and whether that is read back the same.

    Records and sends nothing. Ends with 1 where a part cannot be mapped; its failing path is shown.
    """
    loaded = load_config(config)
    system = _system(loaded, connection)
    if out:
        sent = tried_out(_opened(system), system.connector, _read(sample))
        output.emit(sent, as_json, render)
        return output.OK if sent.bodies else output.FINDINGS
    # A partner of files says by the name of a file what is in it.
    named = {} if str(sample) == "-" else {"file": sample.name}
    payload = Payload(body=_read(sample), headers=named | _headers(header or ()))
    opened = _opened(system)
    parts = mapped(opened.map, payload)
    codes, asked = _codes(loaded, system.code, parts, bindings)
    tried = Tried(
        connection=system.code,
        connector=system.connector,
        bindings=asked,
        parts=_beside(parts, payload.body, system.code, codes),
        back=back_by_rules(opened, parts),
    )
    away = bindings is None and not asked
    output.emit(tried, as_json, lambda one: _render(one, away))
    failed = any(part.failure is not None for part in tried.parts)
    return output.FINDINGS if failed else output.OK


def _system(config: Config, code: str) -> System:
    """A system of the file, else one that `connection add` or the console wrote, where the
    database runs.
    """
    known = {one.code: one for one in config.systems}
    if code not in known:
        known = {one.code: one for one in _of_database(config)} | known
    system = known.get(code)
    if system is None:
        hint = did_you_mean(code, known) or f"there are {', '.join(known) or 'none'}"
        raise Rejected("unknown", "connection", f"there is no system {code!r}; {hint}")
    if not system.connector:
        message = f"{code} names no connector: it calls our API, and nothing is mapped"
        raise Misconfigured(f"systems.{code}.connector", message)
    return system


def _of_database(config: Config) -> Sequence[System]:
    try:
        with (
            running_database(config) as url,
            Pool(url, size=1) as pool,
            session(pool) as connection,
        ):
            return read_network(connection).systems
    except Transient:
        return ()


def _read(sample: Path) -> bytes:
    try:
        if str(sample) == "-":
            body = sys.stdin.buffer.read(_LARGEST + 1)
        else:
            with sample.open("rb") as source:
                body = source.read(_LARGEST + 1)
    except OSError as failure:
        message = f"{sample} cannot be read: {failure.strerror}; check the path"
        raise Rejected("malformed", "sample", message) from None
    if len(body) > _LARGEST:
        raise Rejected("too_large", "sample", f"{sample} is larger than {_LARGEST} bytes")
    return body


def _headers(given: Sequence[str]) -> dict[str, str]:
    headers = {}
    for one in given:
        name, colon, value = one.partition(":")
        if not colon or not name.strip():
            raise Rejected("malformed", "header", f"{one!r} is no header; write 'name: value'")
        headers[name.strip().lower()] = value.strip()
    return headers


def _opened(system: System) -> Connection:
    """Settings are read as they are; secrets that are not set here do no harm: nothing is sent."""
    where = f"systems.{system.code}.settings"
    connector = find_connector(system.connector, f"systems.{system.code}.connector")
    settings = connector.declaration.parse_settings(system.settings, _any_secret, where=where)
    opening = Opening(system=system.code, time_zone=system.time_zone)
    return connector.open(opening, settings)


def _any_secret(reference: str) -> str:
    try:
        return resolve_secret(reference)
    except Misconfigured:
        return "not set on this machine"


def _codes(
    config: Config, system: str, parts: Sequence[Mapped], wanted: bool | None
) -> tuple[Codes, bool]:
    """What the database knows of the codes, and whether it was asked. Raises Transient where it
    was to be and is away.
    """
    if wanted is not False:
        try:
            with (
                running_database(config) as url,
                Pool(url, size=1) as pool,
                session(pool) as connection,
            ):
                asked = codes_in(parts)
                locations = [code for subject, code in asked if subject == "location"]
                places = payloads.places_of(connection, system, locations) if locations else {}
                unknown = payloads.unknown_codes(connection, system, asked) if asked else set()
                return Codes(places, unknown), True
        except Transient:
            if wanted:
                raise
    return Codes({}, set()), False


def _beside(parts: Sequence[Mapped], body: bytes, system: str, codes: Codes) -> list[Part]:
    """The parts in the sample's order, each with the piece of it that it stands at."""
    now = dt.datetime.now(dt.UTC)
    sample = _Sample(body)
    beside = []
    for part in parts:
        alone = unpack([part], system, now, codes)
        piece = sample.piece(part.place)
        if alone.waiting:
            failure = alone.waiting[0].failure
            beside.append(Part(place=part.place, sample=piece or failure.found, failure=failure))
        else:
            event = msgspec.to_builtins(alone.items[0])
            beside.append(Part(place=part.place, sample=piece, event=event))
    return beside


class _Sample:
    """A sample, taken apart once for all of its parts."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    @cached_property
    def _lines(self) -> list[str]:
        return self._body.decode("utf-8-sig", "replace").splitlines()

    @cached_property
    def _root(self) -> Any:
        try:
            return msgspec.json.decode(self._body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return None

    def piece(self, place: str) -> Any:
        """What stands at a place of JSON, or on a line of a file; None where nobody can tell."""
        if place.startswith("line ") and place[5:].isdigit():
            number = int(place[5:])
            return self._lines[number - 1] if 0 < number <= len(self._lines) else None
        if not place.startswith("$"):
            return None
        found = walk(self._root, place)
        return None if found is MISSING else found


def _render(tried: Tried, away: bool = False) -> RenderableType:
    table = Table("place", "sample", "becomes", box=None, show_lines=True)
    for part in tried.parts:
        table.add_row(Text(part.place), Text(_lines(part.sample)), Text(_becomes(part)))
    known = "with the database's bindings" if tried.bindings else "without bindings"
    known += ": the database does not run" if away else ""
    failed = sum(part.failure is not None for part in tried.parts)
    count = len(tried.parts)
    told = [Text(f"{f.path}: {f.reason}") for f in (part.failure for part in tried.parts) if f]
    summary = f"{count - failed} of {count} mapped by {tried.connector}, {known}."
    if tried.back is not None:
        again = f"not possible, {_what(tried.back)}" if tried.back else "the same"
        summary += f"\nWritten back and read again: {again}."
    return Group(table, *told, Text(summary))


def _what(problem: str) -> str:
    # The rest of the sentence is for those who write forms.
    return problem.partition(": say in body")[0]


def _becomes(part: Part) -> str:
    if part.failure is None:
        return _lines(part.event)
    bind = f"\nbind {part.failure.missing}" if part.failure.missing else ""
    return f"cannot be mapped\n{part.failure.path}: {part.failure.reason}{bind}"


def _lines(value: Any) -> str:
    """One `name = value` a line, for a table."""
    if isinstance(value, Mapping):
        return "\n".join(f"{name} = {_plain(one)}" for name, one in value.items())
    return "" if value is None else _plain(value)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else output.encoded(value)

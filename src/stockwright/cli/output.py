"""What every command shares: exit codes, `--json`, how results, progress and failures are shown.

Results go to standard output, everything else to standard error, so that a pipe sees only results.
"""

import datetime as dt
import getpass
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import msgspec
from cyclopts import Parameter
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment

from stockwright.domain.errors import (
    Misconfigured,
    Rejected,
    StockwrightError,
    Throttled,
    Transient,
)

OK: Final = 0
FINDINGS: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3
BUSY: Final = 4
INTERNAL: Final = 70
INTERRUPTED: Final = 130

EXIT_CODES: Final[tuple[tuple[int, str, str], ...]] = (
    (OK, "ok", "the command did what it was asked"),
    (FINDINGS, "findings", "it ran to its end and found something that needs attention"),
    (USAGE, "usage", "wrong arguments or configuration; the message names the field or setting"),
    (UNREACHABLE, "unreachable", "the database or the server does not answer; try again later"),
    (BUSY, "busy", "too much at once; the message says when to try again"),
    (INTERNAL, "internal", "a fault of Stockwright itself; the traceback is for its authors"),
    (INTERRUPTED, "interrupted", "stopped from the keyboard"),
)
"""Every exit code with its name and meaning."""

AsJson = Annotated[
    bool, Parameter(name="--json", negative="", help="Print one JSON document for machines.")
]
"""Type of a command's `as_json` argument."""
ConfigFile = Annotated[
    Path | None,
    Parameter(name=["--config", "-c"], help="Configuration file; ./stockwright.toml if it exists."),
]
"""Type of a command's `config` argument."""

T = TypeVar("T")


_UNSEEN: Final = {
    code: 0xFFFD
    for code in (*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
    if chr(code) not in "\t\n"
}
"""What moves a terminal's cursor, colours it or turns its text round, as partners may write it."""


class _Printed(Console):
    """A console on which nobody's text commands the terminal."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else segment.text.translate(_UNSEEN)
            yield Segment(text, segment.style, segment.control)


def out() -> Console:
    """A console on standard output as it is now; long lines are never broken in a pipe."""
    return _Printed(soft_wrap=not sys.stdout.isatty(), highlight=False)


def err() -> Console:
    """A console on standard error as it is now."""
    return _Printed(stderr=True, soft_wrap=True, highlight=False)


def emit(data: T, as_json: bool, render: Callable[[T], RenderableType | None]) -> None:
    """Prints a result: `data` as one JSON document, or what `render(data)` answers for a person.

    data is anything msgspec encodes (structs, dataclasses, dicts, datetimes, Decimals). A render
    that answers None has printed by itself.
    """
    if as_json:
        sys.stdout.write(json_text(data) + "\n")
        sys.stdout.flush()
        return
    shown = render(data)
    if shown is not None:
        out().print(shown)


def encoded(data: Any) -> str:
    """`data` as JSON text on one line, for streams of lines."""
    return msgspec.json.encode(data, order="deterministic").decode()


def json_text(data: Any) -> str:
    """`data` as indented JSON text."""
    return msgspec.json.format(msgspec.json.encode(data, order="deterministic"), indent=2).decode()


def time_of(text: str | None, field: str) -> dt.datetime | None:
    """An argument that is a time with its zone. Raises Rejected."""
    if text is None:
        return None
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        message = f"{text!r} is no time with its zone; write it as 2026-01-31T14:05:00Z"
        raise Rejected("malformed", field, message)
    return found


def person(name: str | None = None) -> str:
    """Who runs this command, for logs and revisions: the name given, else the machine's user."""
    with suppress(OSError, KeyError, ImportError):
        return f"cli {name or getpass.getuser()}"
    return "cli"


@contextmanager
def progress(label: str, total: int, as_json: bool = False) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error; yields a function that advances it by n steps.

    Silent for machines: with `as_json`, or where standard error is not a terminal.
    """
    quiet = as_json or not sys.stderr.isatty()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=err(), transient=True, disable=quiet
    ) as bar:
        task = bar.add_task(label, total=total)

        def advance(steps: int = 1) -> None:
            bar.advance(task, steps)

        yield advance


def exit_code_of(failure: StockwrightError) -> int:
    """The exit code a failure ends the command with."""
    match failure:
        case Throttled():
            return BUSY
        case Transient():
            return UNREACHABLE
        case _:
            return USAGE


def explain(failure: StockwrightError, as_json: bool) -> None:
    """Prints a failure on standard error in one line, which names the field or setting."""
    name, message = "", str(failure)
    match failure:
        case Misconfigured():
            name = failure.setting
        case Rejected():
            name = failure.field
    if as_json:
        error: dict[str, Any] = {"error": type(failure).__name__, "message": message}
        if name:
            error["param"] = name
        if isinstance(failure, Throttled):
            error["retry_after_s"] = failure.retry_after_s
        sys.stderr.write(msgspec.json.encode(error).decode() + "\n")
        return
    named = not name or message.startswith((f"{name}:", f"{name} "))
    line = message if named else f"{name}: {message}"
    sys.stderr.write("error: " + " ".join(line.split()).translate(_UNSEEN) + "\n")

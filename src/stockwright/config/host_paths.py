"""Which files, folders and variables of this machine a connection may name that is made elsewhere.

An admin's key is no operator of the machine: `file:/any/path` beside an address of one's own would
hand out any file, `env:` any variable of the process, and an inbox has the files of any folder
moved. So the API and the console name only what the configuration file declares, or what the
connection names already.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path as FilePath
from typing import Any, Final

from stockwright.config.connectors import find_connector
from stockwright.config.findings import Report
from stockwright.config.locator import Path
from stockwright.config.model import Connections
from stockwright.config.sections import Values
from stockwright.domain.errors import Misconfigured

_FILE: Final = "file:"
_VARIABLE: Final = "env:"


def check_edits(
    report: Report,
    edits: Mapping[str, Values],
    database: Mapping[str, Values],
    host: Connections,
) -> None:
    """Finds what systems name on this machine beyond what they name already and host allows."""
    for code, system in edits.items():
        path: Path = ("systems", code, "settings")
        now = database.get(code, {})
        named = {text for _, text in _secrets((), now.get("settings", {}))}
        for where, text in _secrets(path, system.get("settings", {})):
            if text not in named:
                _check_secret(report, where, text, host)
        exchanged = {text for _, text in _folders((), now)}
        for where, text in _folders(path, system):
            if text not in exchanged and not _below(text, host.exchange_folders):
                report.add(where, *_told("folder", "exchange_folders", host.exchange_folders))


def _check_secret(report: Report, where: Path, text: str, host: Connections) -> None:
    if text.startswith(_FILE):
        if not _below(text.removeprefix(_FILE), host.secret_folders):
            report.add(where, *_told("file", "secret_folders", host.secret_folders))
        return
    name, allowed = text.removeprefix(_VARIABLE), host.secret_variables
    if not any(fnmatchcase(name, pattern) for pattern in allowed):
        report.add(where, *_told("variable", "secret_variables", allowed, "name one of the form"))


def is_absolute(folder: str) -> bool:
    """Whether a text is the path of a folder, and the same one in every process."""
    return _real(folder) is not None


def is_root(folder: str) -> bool:
    """Whether a folder holds every file of the machine."""
    return _real(folder) == FilePath("/")


def overlap(one: str, other: str) -> bool:
    """Whether one of two folders holds the other, or both are the same."""
    first, second = _real(one), _real(other)
    if first is None or second is None:
        return False
    return first.is_relative_to(second) or second.is_relative_to(first)


def _secrets(path: Path, value: Any) -> Iterator[tuple[Path, str]]:
    """Every reference to a file or a variable, wherever it stands in the settings."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _secrets((*path, key), part)
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _secrets((*path, index), part)
    elif isinstance(value, str) and value.startswith((_FILE, _VARIABLE)):
        yield path, value


def _folders(path: Path, system: Values) -> Iterator[tuple[Path, str]]:
    """Every folder of this machine that the system's connector would read or write."""
    settings = system.get("settings", {})
    try:
        connector = find_connector(system.get("connector", ""))
    except Misconfigured:
        return
    if connector is None:
        return
    for name in connector.declaration.settings.folders(settings):
        text = settings.get(name)
        if isinstance(text, str) and text:
            yield (*path, name), text


def _below(text: str, folders: Sequence[str]) -> bool:
    """Whether a path leads below one of the folders, its links followed."""
    real = _real(text)
    return real is not None and any(one in real.parents for one in map(_real, folders))


def _real(text: str) -> FilePath | None:
    """Where an absolute path leads; None for any other, which each process takes its own way."""
    try:
        return FilePath(os.path.realpath(text)) if FilePath(text).is_absolute() else None
    except (OSError, ValueError):  # too many links; a character that no path has
        return None


def _told(
    what: str, setting: str, allowed: Sequence[str], cure: str = "give an absolute path below"
) -> tuple[str, str]:
    """The problem and what to do. The text itself is not repeated."""
    problem = f"names a {what} of the machine that connections made from here may not name"
    if allowed:
        place = f"{cure} {' or '.join(allowed)}"
    else:
        place = f"let the machine's operator set connections.{setting} in its file and restart"
    return problem, f"{place}, or connect with `stockwright connection add` on the machine"

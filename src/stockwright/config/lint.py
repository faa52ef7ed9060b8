"""Reads stockwright.toml and says everything that is wrong with it, each with its line."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from stockwright.config import host_paths, rules
from stockwright.config.expect import convert
from stockwright.config.findings import Finding, Report
from stockwright.config.locator import locate, locate_columns
from stockwright.config.model import Config, Connections, Database, Server, Subscriptions
from stockwright.config.secrets import absolute_references
from stockwright.config.sections import Values, build, read_family, read_table, values_of
from stockwright.domain.call_log import ApiLog
from stockwright.domain.codes import did_you_mean, field_name
from stockwright.domain.network import Channel, Location, Network, System

FAMILIES: Final[Mapping[str, type[msgspec.Struct]]] = {
    "systems": System,
    "locations": Location,
    "channels": Channel,
}
"""Tables of tables: [systems.CODE] and so on."""
TABLES: Final[Mapping[str, type[msgspec.Struct]]] = {
    "server": Server,
    "database": Database,
    "api_log": ApiLog,
    "subscriptions": Subscriptions,
    "connections": Connections,
}
MAX_FILE_BYTES: Final = 10_000_000
MAX_DEPTH: Final = 50
_KEY: Final = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_ENDLESS: Final = re.compile(
    rf"(?m)(?:^[ \t\[]*+|\{{[ \t]*+){_KEY}(?:[ \t]*+\.[ \t]*+{_KEY}){{{MAX_DEPTH}}}"
)
"""A key of more parts than tables may lie in each other: reading it takes time by their square."""


def lint(path: Path | str) -> list[Finding]:
    """Everything that is wrong with a configuration file, in the order of its lines; [] if nothing.

    A file that cannot be read as TOML has one finding with the line of the fault.
    """
    return read(Path(path))[1]


def read(path: Path) -> tuple[Config | None, list[Finding]]:
    """The configuration, or None where a finding is an error; and all findings."""
    name = str(path)
    try:
        with path.open("rb") as source:
            raw = source.read(MAX_FILE_BYTES + 1)
    except OSError as failure:
        return None, [_unreadable(name, 1, f"cannot be read: {failure.strerror}", "check the path")]
    if len(raw) > MAX_FILE_BYTES:
        fix = "import items and locations by CSV instead"
        return None, [_unreadable(name, 1, f"is larger than {MAX_FILE_BYTES} bytes", fix)]
    try:
        text = raw.decode("utf-8-sig")
        endless = _ENDLESS.search(text)
        if endless:
            return None, [_too_deep(name, text.count("\n", 0, endless.start()) + 1)]
        table = tomllib.loads(text)
    except UnicodeDecodeError as failure:
        line = raw.count(b"\n", 0, failure.start) + 1
        return None, [_unreadable(name, line, "is not UTF-8", "save the file as UTF-8")]
    except RecursionError:
        return None, [_too_deep(name)]
    except tomllib.TOMLDecodeError as failure:
        return None, [_syntax(name, text, str(failure))]
    if _is_too_deep(table):
        return None, [_too_deep(name)]
    return _check(Report(name, locate(text), locate_columns(text)), path, table)


def read_edits(
    given: Mapping[str, Any], database: Network, host: Connections | None
) -> tuple[Network | None, list[Finding]]:
    """Some parts of a network as a program gives them, by the rules of the file.

    given maps "systems", "locations", "channels" to tables by code. The database's network is what
    they may refer to, and is not judged. host is what they may name on this machine; None for who
    works on it, and may name all. None where a finding is an error.
    """
    if _is_too_deep(given):
        return None, [_too_deep("(body)")]
    report = Report("(body)", {})
    edits = {
        name: read_family(report, name, kind, given.get(name, {}))
        for name, kind in FAMILIES.items()
    }
    known = {name: {p.code: values_of(p) for p in getattr(database, name)} for name in FAMILIES}
    rules.check_all(report, {}, {name: known[name] | edits[name] for name in FAMILIES})
    if host is not None:
        host_paths.check_edits(report, edits["systems"], known["systems"], host)
    own = tuple(field_name((name, code)) for name, family in edits.items() for code in family)
    findings = [
        one
        for one in report.findings()
        if one.field in FAMILIES or any(_is_within(one.field, name) for name in own)
    ]
    if any(finding.level == "error" for finding in findings):
        return None, findings
    return Network(**_families(edits)), findings


def _is_too_deep(value: object) -> bool:
    """Whether tables and lists lie in each other deeper than anybody means it."""
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[object] = []
        for part in level:
            if isinstance(part, Mapping):
                inner += part.values()
            elif isinstance(part, list | tuple):
                inner += part
        level = inner
    return bool(level)


def _too_deep(file: str, line: int = 1) -> Finding:
    return _unreadable(file, line, "is nested too deeply", "write plain tables")


def _is_within(field: str, part: str) -> bool:
    return field == part or field.startswith((f"{part}.", f"{part}["))


def _unreadable(file: str, line: int, problem: str, fix: str) -> Finding:
    return Finding(file=file, line=line, field="(file)", problem=problem, fix=fix)


def _syntax(file: str, text: str, message: str) -> Finding:
    """A finding from the parser's sentence, which ends in '(at line 3, column 7)' or the like."""
    found = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    line = int(found[1]) if found else text.rstrip().count("\n") + 1
    what = re.sub(r" \(at .*\)$", "", message)
    problem = f"is not TOML: {what[:1].lower()}{what[1:]}"
    fix = f"correct the line at column {found[2]}" if found else "complete the last line"
    column = int(found[2]) if found else 0
    return Finding(file=file, line=line, field="(syntax)", problem=problem, fix=fix, column=column)


def _check(
    report: Report, path: Path, table: dict[str, Any]
) -> tuple[Config | None, list[Finding]]:
    _check_top_level(report, table)
    top: Values = {
        name: read_table(report, (name,), kind, table.get(name, {}))
        for name, kind in TABLES.items()
    }
    families = {
        name: read_family(report, name, kind, table.get(name, {}))
        for name, kind in FAMILIES.items()
    }
    if "imported_places" in table:
        declared = _field_type("imported_places")
        value, problem, fix, index = convert(declared, table["imported_places"])
        if problem:
            report.add(("imported_places", *index), problem, fix)
        else:
            top["imported_places"] = value
    rules.check_all(report, top, families)
    findings = report.findings()
    if any(finding.level == "error" for finding in findings):
        return None, findings
    return _configuration(path, top, families), findings


def _check_top_level(report: Report, table: dict[str, Any]) -> None:
    known = [*TABLES, *FAMILIES, "imported_places"]
    for key in table:
        if key not in known:
            fix = did_you_mean(key, known) or f"remove it; known here: {', '.join(known)}"
            report.add((key,), "is unknown", fix)


def _field_type(name: str) -> Any:
    return next(field.type for field in msgspec.structs.fields(Config) if field.name == name)


def _configuration(path: Path, top: Values, families: dict[str, dict[str, Values]]) -> Config:
    folder = path.absolute().parent
    for system in families["systems"].values():
        if "settings" in system:
            system["settings"] = absolute_references(system["settings"], folder)
    database = absolute_references(top["database"], folder)
    if database.get("data_dir"):
        database["data_dir"] = str(folder / Path(database["data_dir"]).expanduser())
    return Config(
        server=Server(**top["server"]),
        database=Database(**database),
        api_log=ApiLog(**top["api_log"]),
        subscriptions=Subscriptions(**top["subscriptions"]),
        connections=Connections(**top["connections"]),
        imported_places=top.get("imported_places", ()),
        file=str(path),
        **_families(families),
    )


def _families(families: Mapping[str, Mapping[str, Values]]) -> dict[str, Any]:
    return {
        name: tuple(build(kind, values, code=code) for code, values in families[name].items())
        for name, kind in FAMILIES.items()
    }

"""Rows of a file into facts. Each row stands alone; a wrong header leaves nothing to go on with."""

import csv
import io
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from stockwright.connectors.csv_drop.declaration import CsvDropSettings, InboundFile
from stockwright.domain.events import Fact
from stockwright.sdk.local_time import WallClock
from stockwright.sdk.mapping import excerpt, map_spot
from stockwright.sdk.messages import Failure, Mapped, Payload
from stockwright.sdk.sources import Spot, Style

_COLUMN: Final = re.compile(r"@\.([^.\[\]{}|?]+)")
_ON_A_CHANNEL: Final = frozenset({"channel_order", "channel_cancel", "return_receipt"})


class Line(NamedTuple):
    """One row: the number of its first line in the file, and its cells or why there are none."""

    number: int
    cells: list[str]
    problem: str = ""


def kind_of(name: str, settings: CsvDropSettings) -> InboundFile | None:
    """What a file of this name holds; None where no pattern is for it."""
    return next((file for file in settings.files if fnmatchcase(name, file.pattern)), None)


def needed_columns(file: InboundFile) -> list[str]:
    """The columns without which no row of such a file can be read, in order of their use."""
    needed: dict[str, None] = {}
    for rule in file.rules:
        for source in rule.fields.values():
            options = [option.strip() for option in source.split("|")]
            if len(options) == 1 and not options[0].endswith("?"):
                needed |= dict.fromkeys(_COLUMN.findall(options[0]))
    return list(needed)


def header_problem(name: str, body: bytes, settings: CsvDropSettings) -> Failure | None:
    """Why a file cannot be read at all; None where its rows may be tried."""
    file = kind_of(name, settings)
    if file is None:
        patterns = ", ".join(known.pattern for known in settings.files)
        return Failure(path=name, reason=f"no kind of file matches this name: {patterns}")
    first = next(_lines(body, settings), None)
    if first is None or first.problem or not any(first.cells):
        return Failure(path="line 1", reason=(first and first.problem) or "has no header")
    columns = [cell.strip() for cell in first.cells]
    twice = sorted({column for column in columns if column and columns.count(column) > 1})
    if twice:
        return Failure(path="line 1", reason=f"names a column twice: {', '.join(twice)}")
    lacking = [column for column in needed_columns(file) if column not in columns]
    if lacking:
        found = ", ".join(columns)[:200]
        reason = f"lacks the columns {', '.join(lacking)}; it has {found}"
        return Failure(path="line 1", reason=reason)
    return None


def map_file(
    payload: Payload, settings: CsvDropSettings, zone: ZoneInfo, channel: str
) -> list[Mapped]:
    """The facts of a file, row by row; one Failure at "$" where its name or header is wrong."""
    name = payload.headers.get("file", "")
    problem = header_problem(name, payload.body, settings)
    file = kind_of(name, settings)
    if problem is not None or file is None:
        return [Mapped(place="$", item=problem or Failure(path=name, reason="unknown file"))]
    lines = _lines(payload.body, settings)
    columns = [cell.strip() for cell in next(lines).cells]
    clock, style = WallClock(zone), Style(file=True, time_format=settings.time_format)
    root = {"file": name}
    mapped: list[Mapped] = []
    for line in lines:
        place = f"line {line.number}"
        row = _row(line, columns)
        if isinstance(row, Failure):
            mapped.append(Mapped(place=place, item=row))
            continue
        spot = Spot(root=root, element=row, place=place, number=line.number)
        parts = map_spot(file.rules, spot, clock, style)
        mapped += [_on_channel(part, channel) for part in parts]
    return mapped


def _row(line: Line, columns: list[str]) -> dict[str, Any] | Failure:
    place = f"line {line.number}"
    if line.problem:
        return Failure(path=place, reason=line.problem)
    if len(line.cells) != len(columns):
        reason = f"has {len(line.cells)} cells where the header has {len(columns)}"
        return Failure(path=place, reason=reason, found=excerpt(line.cells))
    return {column: cell.strip() for column, cell in zip(columns, line.cells, strict=True)}


def _lines(body: bytes, settings: CsvDropSettings) -> Iterator[Line]:
    """The rows that are not empty. Bytes that are no text stay in their cell, and fail there."""
    text = body.decode(settings.encoding, "surrogateescape")
    text = text.removeprefix("\ufeff")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=settings.delimiter, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Line(number, [], f"cannot be read: {error}")
            continue
        if any(cells):
            yield Line(number, cells)


def _on_channel(part: Mapped, channel: str) -> Mapped:
    item = part.item
    if not isinstance(item, Fact) or item.channel or item.kind not in _ON_A_CHANNEL:
        return part
    return Mapped(place=part.place, item=msgspec.structs.replace(item, channel=channel))

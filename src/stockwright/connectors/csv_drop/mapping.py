"""Rows of a file into facts. Each row stands alone; a wrong header leaves nothing to go on with."""

import re
from fnmatch import fnmatchcase
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from stockwright.connectors.csv_drop.declaration import CsvDropSettings, InboundFile
from stockwright.domain.events import Fact
from stockwright.sdk.files.settings import shape_of
from stockwright.sdk.files.tables import Table, problem_with_table, table_of
from stockwright.sdk.files.totals import Totals, summing
from stockwright.sdk.local_time import WallClock
from stockwright.sdk.mapping import holds, map_spot
from stockwright.sdk.messages import Failure, Mapped, Payload
from stockwright.sdk.sources import Spot, Style

_COLUMN: Final = re.compile(r"@\.([^.\[\]{}|?]+)")
_ON_A_CHANNEL: Final = frozenset({"channel_order", "channel_cancel", "return_receipt"})


def kind_of(name: str, settings: CsvDropSettings) -> InboundFile | None:
    """What a file of this name holds; None where no pattern is for it."""
    return next((file for file in settings.files if fnmatchcase(name, file.pattern)), None)


def totals_for(name: str, settings: CsvDropSettings) -> Totals | None:
    """What a file of this name is held to."""
    file = kind_of(name, settings)
    return file.totals if file is not None else None


def needed_columns(file: InboundFile) -> list[str]:
    """The columns without which no row of such a file can be read, in order of their use."""
    needed: dict[str, None] = {}
    for rule in file.rules:
        for source in rule.fields.values():
            options = [option.strip() for option in source.split("|")]
            if len(options) == 1 and not options[0].endswith("?"):
                needed |= dict.fromkeys(_COLUMN.findall(options[0]))
    return list(needed)


def file_problem(name: str, body: bytes, control: str, settings: CsvDropSettings) -> Failure | None:
    """Why nothing of a file may count; None where its rows may be tried. control: its totals."""
    table = _table(name, body, settings)
    return table if isinstance(table, Failure) else problem_with_table(table, body, control)


def map_file(
    payload: Payload, settings: CsvDropSettings, zone: ZoneInfo, channel: str
) -> list[Mapped]:
    """The facts of a file, row by row; one Failure at "$" where nothing of it may count."""
    name = payload.headers.get("file", "")
    table, file = _table(name, payload.body, settings), kind_of(name, settings)
    if isinstance(table, Failure) or file is None:
        problem = table if isinstance(table, Failure) else Failure(path=name, reason="unknown")
        return [Mapped(place="$", item=problem)]
    wrong = problem_with_table(table, payload.body, payload.headers.get("control", ""))
    if wrong is not None:
        return [Mapped(place="$", item=wrong)]
    clock = WallClock(zone)
    style = Style(file=True, time_format=settings.time_format, decimal=settings.decimal)
    root = {"file": name}
    mapped: list[Mapped] = []
    for line, row in table.rows():
        place = f"line {line.number}"
        if isinstance(row, Failure):
            mapped.append(Mapped(place=place, item=row))
            continue
        spot = Spot(root=root, element=row, place=place, number=line.number)
        if file.skip and holds(file.skip, spot, style):
            continue
        parts = map_spot(file.rules, spot, clock, style)
        mapped += [_on_channel(part, channel) for part in parts]
    return mapped


def _table(name: str, body: bytes, settings: CsvDropSettings) -> Table | Failure:
    file = kind_of(name, settings)
    if file is None:
        patterns = ", ".join(known.pattern for known in settings.files)
        if not name:
            return Failure(path="$", reason=f"comes without its file's name, one of {patterns}")
        return Failure(path=name, reason=f"no kind of file matches this name: {patterns}")
    quantities = _COLUMN.findall(file.rules[0].fields["quantity"])
    totals = summing(file.totals, quantities[0] if quantities else "quantity")
    return table_of(body, shape_of(settings, file.cells), totals, needed_columns(file))


def _on_channel(part: Mapped, channel: str) -> Mapped:
    item = part.item
    if not isinstance(item, Fact) or item.channel or item.kind not in _ON_A_CHANNEL:
        return part
    return Mapped(place=part.place, item=msgspec.structs.replace(item, channel=channel))

"""Rows of a file by a form of what goes out: which columns it has, and what stands in them."""

from collections.abc import Sequence
from typing import Any, Final
from zoneinfo import ZoneInfo

from stockwright.sdk.bodies import form_out, lost_by
from stockwright.sdk.files.settings import FileSettings
from stockwright.sdk.inverting import inverse_of, target_of
from stockwright.sdk.messages import Failure, Outgoing
from stockwright.sdk.outbound import Out
from stockwright.sdk.sources import Style, text_of

UTC: Final = ZoneInfo("UTC")


def style_of(settings: FileSettings) -> Style:
    """How numbers and times are written in files of this partner."""
    return Style(file=True, time_format=settings.time_format, decimal=settings.decimal)


def columns_of(out: Out) -> list[str]:
    """The columns of such a file: those of fields, body and when, in that order."""
    targets = [inverse_of(source).target for source in out.fields.values()]
    targets += [target_of(place) for place in [*out.body, *out.when]]
    names = [str(target.steps[0]) for target in targets if target is not None]
    return list(dict.fromkeys(names))


def rows_of(
    out: Out, message: Outgoing, settings: FileSettings, zone: ZoneInfo = UTC
) -> list[list[str]] | Failure:
    """A row for each level or line, one where there are none; its cells in the columns' order."""
    found = form_out(out, message, style_of(settings), zone)
    if isinstance(found, Failure):
        return found
    columns = columns_of(out)
    return [[_cell(row.get(name)) for name in columns] for row in found]


def lost_in(
    out: Out,
    message: Outgoing,
    rows: Sequence[Sequence[str]],
    settings: FileSettings,
    zone: ZoneInfo,
) -> tuple[str, ...]:
    """The fields that would be read from these rows otherwise than they were."""
    columns = columns_of(out)
    bodies = [dict(zip(columns, (cell.strip() for cell in row), strict=True)) for row in rows]
    return lost_by(out, message, bodies, style_of(settings), zone)


def _cell(value: Any) -> str:
    return text_of(value) or ""

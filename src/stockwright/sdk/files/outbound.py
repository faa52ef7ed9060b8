"""The file that a message would become, without writing it."""

from typing import Final
from zoneinfo import ZoneInfo

from stockwright.sdk.bodies import kind_of
from stockwright.sdk.files.documents import content_of, file_of
from stockwright.sdk.files.levels import merged, rendered
from stockwright.sdk.files.rows import UTC, lost_in, rows_of
from stockwright.sdk.files.settings import FileSettings
from stockwright.sdk.messages import Document, Failure, LevelToSend, Outbound, Outgoing, Refused
from stockwright.sdk.outbound import body_for

CONTENT_TYPE: Final = "text/csv"


def map_out(message: Outgoing, settings: FileSettings, zone: ZoneInfo) -> list[Outbound] | Failure:
    """The file of a message; of levels, as if there were no others."""
    if isinstance(message, tuple):
        return _levels(message, settings)
    return _document(message, settings, zone)


def _levels(levels: tuple[LevelToSend, ...], settings: FileSettings) -> list[Outbound] | Failure:
    if not settings.outbox:
        return []
    rows, results = merged({}, levels, settings)
    for number, result in enumerate(results):
        if isinstance(result, Refused):
            return Failure(path=f"$.levels[{number}]", reason=result.message)
    body, _ = rendered(rows.values(), settings)
    return [_outbound(settings.levels_file, body, levels, settings, UTC)]


def _document(
    document: Document, settings: FileSettings, zone: ZoneInfo
) -> list[Outbound] | Failure:
    if not settings.outbox or kind_of(document) not in settings.documents:
        return []
    body = content_of(document, settings, zone)
    if isinstance(body, Refused):
        return Failure(path="$", reason=body.message)
    return [_outbound(file_of(document, settings), body, document, settings, zone)]


def _outbound(
    to: str, body: bytes, message: Outgoing, settings: FileSettings, zone: ZoneInfo
) -> Outbound:
    out = body_for(settings.out, kind_of(message))
    lost = None
    if out is not None:
        rows = rows_of(out, message, settings, zone)
        assert not isinstance(rows, Failure)
        lost = lost_in(out, message, rows, settings, zone)
    return Outbound(to=to, body=body, content_type=CONTENT_TYPE, lost=lost)

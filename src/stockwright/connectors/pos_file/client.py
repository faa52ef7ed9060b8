"""Exchanges files with the tills of one retail system."""

from stockwright.connectors.pos_file.declaration import PosFileSettings
from stockwright.connectors.pos_file.mapping import file_problem, map_file
from stockwright.sdk.connector import Opening
from stockwright.sdk.files.connection import FileConnection, Reading
from stockwright.sdk.messages import Failure, Mapped, Payload


class PosFileConnection(FileConnection):
    """Tills: stock out to them, sales of theirs mapped."""

    def __init__(self, opening: Opening, settings: PosFileSettings) -> None:
        super().__init__(opening, settings, lambda _name: settings.totals)
        self._settings = settings

    def map(self, payload: Payload) -> list[Mapped]:
        """The sales and returns of one file."""
        return map_file(payload, self._settings, self._zone, self._channel)


class ReadingPosFileConnection(PosFileConnection, Reading):
    """Tills that drop files of sales."""

    def problem_with(self, name: str, body: bytes, control: str) -> Failure | None:
        """Why nothing of a file may count: its name, its header, its totals."""
        return file_problem(name, body, control, self._settings)


def open_connection(opening: Opening, settings: PosFileSettings) -> PosFileConnection:
    """A connection with the verbs its settings allow: without an inbox it reads nothing."""
    if settings.inbox:
        return ReadingPosFileConnection(opening, settings)
    return PosFileConnection(opening, settings)

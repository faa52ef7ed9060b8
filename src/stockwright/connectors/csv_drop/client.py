"""Exchanges files with one partner, whose rows are mapped by rules."""

from stockwright.connectors.csv_drop.declaration import CsvDropSettings
from stockwright.connectors.csv_drop.mapping import file_problem, map_file, totals_for
from stockwright.sdk.connector import Opening
from stockwright.sdk.files.connection import FileConnection, Reading
from stockwright.sdk.messages import Failure, Mapped, Payload


class CsvDropConnection(FileConnection):
    """One partner. Publishes to the outbox, maps."""

    def __init__(self, opening: Opening, settings: CsvDropSettings) -> None:
        super().__init__(opening, settings, lambda name: totals_for(name, settings))
        self._settings = settings

    def map(self, payload: Payload) -> list[Mapped]:
        """The facts of one file."""
        return map_file(payload, self._settings, self._zone, self._channel)


class ReadingCsvDropConnection(CsvDropConnection, Reading):
    """A partner that drops files as well."""

    def problem_with(self, name: str, body: bytes, control: str) -> Failure | None:
        """Why nothing of a file may count: its name, its header, its totals."""
        return file_problem(name, body, control, self._settings)


def open_connection(opening: Opening, settings: CsvDropSettings) -> CsvDropConnection:
    """A connection with the verbs its settings allow: without an inbox it reads nothing."""
    if settings.inbox:
        return ReadingCsvDropConnection(opening, settings)
    return CsvDropConnection(opening, settings)

"""What lint has to say: where, what is wrong, and what to do about it."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from stockwright.config.locator import Path, line_of
from stockwright.domain.codes import field_name

Level = Literal["error", "warning"]


class Finding(Struct, frozen=True, kw_only=True):
    """One thing to change. An error keeps Stockwright from starting, a warning does not.

    column is 0 where there is none to tell, as for what no file holds.
    """

    file: str
    line: int
    field: str
    problem: str
    fix: str
    level: Level = "error"
    column: int = 0

    def __str__(self) -> str:
        at = f"{self.line}:{self.column}" if self.column else f"{self.line}"
        return f"{self.file}:{at}: {self.level}: {self.field}: {self.problem}; {self.fix}"


class Report:
    """Collects findings about one file while its parts are read."""

    def __init__(
        self, file: str, lines: Mapping[Path, int], columns: Mapping[Path, int] | None = None
    ) -> None:
        self.file = file
        self._lines = lines
        self._columns = columns
        self._findings: list[Finding] = []

    def add(self, path: Path, problem: str, fix: str, level: Level = "error") -> None:
        """Notes a finding at a path of the file."""
        line = line_of(self._lines, path)
        finding = Finding(
            file=self.file,
            line=line,
            field=field_name(path),
            problem=problem,
            fix=fix,
            level=level,
            column=line_of(self._columns, path) if self._columns is not None else 0,
        )
        if finding not in self._findings:
            self._findings.append(finding)

    def line(self, path: Path) -> int:
        """The line of a path, to speak of one place at another."""
        return line_of(self._lines, path)

    def findings(self) -> list[Finding]:
        """All findings, in the order of the file."""
        return sorted(self._findings, key=lambda finding: (finding.line, finding.field))

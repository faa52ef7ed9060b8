"""What lint has to say: where, what is wrong, and what to do about it."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from stockwright.config.locator import Path, line_of
from stockwright.domain.codes import field_name

Level = Literal["error", "warning"]


class Finding(Struct, frozen=True, kw_only=True):
    """One thing to change. An error keeps Stockwright from starting, a warning does not."""

    file: str
    line: int
    field: str
    problem: str
    fix: str
    level: Level = "error"

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.level}: {self.field}: {self.problem}; {self.fix}"


class Report:
    """Collects findings about one file while its parts are read."""

    def __init__(self, file: str, lines: Mapping[Path, int]) -> None:
        self.file = file
        self._lines = lines
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
        )
        if finding not in self._findings:
            self._findings.append(finding)

    def line(self, path: Path) -> int:
        """The line of a path, to speak of one place at another."""
        return line_of(self._lines, path)

    def findings(self) -> list[Finding]:
        """All findings, in the order of the file."""
        return sorted(self._findings, key=lambda finding: (finding.line, finding.field))

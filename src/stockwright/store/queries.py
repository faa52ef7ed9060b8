"""Named SQL from `queries/*.sql`: a heading, what the query answers, then the statement.

-- name: levels_to_send
-- Levels whose desired quantity is not the verified one, oldest first.
SELECT ...
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

QUERIES = Path(__file__).parent / "queries"
_HEADING = re.compile(r"^-- name: *(.*?) *$", re.MULTILINE)
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Queries(Mapping[str, str]):
    """The queries of one file, by name. `answers` holds what each one answers."""

    def __init__(self, source: str, text: str) -> None:
        self._source = source
        self._sql: dict[str, str] = {}
        self.answers: dict[str, str] = {}
        before, *parts = _HEADING.split(text)
        if any(line and not line.startswith("--") for line in before.splitlines()):
            raise ValueError(f"{source}: SQL before the first `-- name:` heading")
        for name, body in zip(parts[::2], parts[1::2], strict=True):
            self._add(name, body.strip().splitlines())

    def _add(self, name: str, lines: list[str]) -> None:
        split = next((i for i, line in enumerate(lines) if not line.startswith("--")), len(lines))
        answer = " ".join(line.removeprefix("--").strip() for line in lines[:split])
        statement = "\n".join(lines[split:]).strip().removesuffix(";")
        if not _NAME.fullmatch(name) or name in self._sql or not answer or not statement:
            raise ValueError(
                f"{self._source}: `-- name: {name}` needs a snake_case name of its own, a comment "
                "that says what it answers, and a statement"
            )
        self._sql[name] = statement
        self.answers[name] = answer

    def __getitem__(self, name: str) -> str:
        return self._sql[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sql)

    def __len__(self) -> int:
        return len(self._sql)


@cache
def load(stem: str) -> Queries:
    """The queries of `queries/STEM.sql`, read once. Raises ValueError if it is not well formed."""
    path = QUERIES / f"{stem}.sql"
    return Queries(path.name, path.read_text(encoding="utf-8"))

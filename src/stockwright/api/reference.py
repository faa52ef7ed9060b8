"""The generated parts of docs/reference/api.md: outcomes, problems, scopes, operations.

`python -m stockwright.api.reference` writes them, and openapi.json, into the working copy.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from stockwright.api import openapi
from stockwright.api.bound import REACH, REACHES
from stockwright.api.operations import Operation
from stockwright.api.problems import KINDS, STATUS
from stockwright.api.routes import TABLE
from stockwright.domain.events import OUTCOMES
from stockwright.store.access import SCOPES

DOCS: Final = Path(__file__).parents[3] / "docs" / "reference"
_PART: Final = re.compile(r"(<!-- begin (\w+) -->\n)(.*?)(<!-- end \2 -->)", re.DOTALL)


def outcomes() -> str:
    """Every outcome in order of precedence, with the status it has alone."""
    rows = [f"| `{code}` | {STATUS[code]} | {meaning} |" for code, meaning in OUTCOMES]
    return _table("| code | alone | meaning |", rows)


def problems() -> str:
    """Every other problem with its status and what to do next."""
    codes = {code for code, _ in OUTCOMES}
    rows = [
        f"| `{code}` | {kind.status} | {kind.title} | {kind.next} |"
        for code, kind in KINDS.items()
        if code not in codes
    ]
    return _table("| code | status | meaning | next |", rows)


def scopes() -> str:
    """Every scope and what it allows."""
    return _table(
        "| scope | allows |", [f"| `{scope}` | {allows} |" for scope, allows in SCOPES.items()]
    )


def operations() -> str:
    """Every operation in the order of the route table."""
    rows = [
        f"| `{row.method} {row.path}` | {_scope(row.scope)} | {_reach(row)} | {row.summary} |"
        for row in TABLE
    ]
    return _table("| call | scope | of a bound key | |", rows)


def reaches() -> str:
    """What a key that is bound to one system gets of a call."""
    return _table(
        "| word | a bound key reaches |", [f"| {word} | {what} |" for word, what in REACHES.items()]
    )


def _scope(scope: str) -> str:
    return f"`{scope}`" if scope else ""


def _reach(row: Operation) -> str:
    return REACH[row.name] if row.scope else ""


def _table(head: str, rows: list[str]) -> str:
    rule = "|" + "---|" * (head.count("|") - 1)
    return "\n".join([head, rule, *rows]) + "\n"


PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "outcomes": outcomes,
    "problems": problems,
    "scopes": scopes,
    "reaches": reaches,
    "operations": operations,
}


def renewed(text: str) -> str:
    """The page with its generated parts as they should be."""
    return _PART.sub(lambda found: f"{found[1]}\n{PARTS[found[2]]()}\n{found[4]}", text)


def main() -> None:
    """Writes the generated parts of api.md, and openapi.json."""
    page = DOCS / "api.md"
    page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")
    (DOCS / "openapi.json").write_text(openapi.text(TABLE), encoding="utf-8")


if __name__ == "__main__":
    main()

"""docs/reference/event-kinds.md is the posting table, the outcomes and the fields of the code."""

from pathlib import Path

import msgspec

from stockwright.domain.events import OUTCOMES, Fact, Request, RequestLine
from stockwright.domain.postings import TABLE
from stockwright.domain.reservations import STATES

PAGE = Path(__file__).parents[2] / "docs/reference/event-kinds.md"

HEAD = """# Event kinds, requests and outcomes

What the ledger takes and answers. This page is compared with the code by a test; run
`python -m tests.domain.test_kinds_page` to write it again. How it decides is explained in
[the ledger](../explanation/the-ledger.md).
"""

FACTS = """Recorded, never refused. `$bucket` is the field of that name. A later `revision` that
names another SKU, place, lot, bucket or order line takes the former one back where it stood
([told again, and taken back](../explanation/the-ledger.md#told-again-and-taken-back)).
"""


def page() -> str:
    """The whole page."""
    facts = [row for row in TABLE if not row.may_refuse and row.kind != "expiry"]
    requests = [row for row in TABLE if row.may_refuse]
    parts = [HEAD, "## Facts\n", FACTS]
    parts.append("| kind | from | to | authority | meaning |\n|---|---|---|---|---|")
    parts += [
        f"| `{row.kind}` | {row.source} | {row.target} | {row.group or '-'} | {row.meaning} |"
        for row in facts
    ]
    parts += ["\n## Requests\n", "Decided, and refused with a reason.\n"]
    parts.append("| kind | from | to | meaning |\n|---|---|---|---|")
    parts += [
        f"| `{row.kind}` | {row.source or '-'} | {row.target or '-'} | {row.meaning} |"
        for row in requests
    ]
    parts += ["\n## States of a reservation's line\n", "| state | meaning |\n|---|---|"]
    parts += [f"| `{state}` | {meaning} |" for state, meaning in STATES.items()]
    parts += ["\n## Outcomes\n", "In order of precedence: the first that applies is the answer.\n"]
    parts.append("| code | meaning |\n|---|---|")
    parts += [f"| `{code}` | {meaning} |" for code, meaning in OUTCOMES]
    for struct in (Fact, Request, RequestLine):
        parts += [f"\n## Fields of {struct.__name__}\n", fields(struct)]
    return "\n".join(parts) + "\n"


def fields(struct: type[msgspec.Struct]) -> str:
    """A table of one struct's fields with their defaults."""
    rows = ["| field | default |", "|---|---|"]
    for field in msgspec.structs.fields(struct):
        default = "required" if field.required else f"`{field.default!r}`"
        if field.default_factory is not msgspec.NODEFAULT:
            default = "`[]`"
        rows.append(f"| `{field.encode_name}` | {default} |")
    return "\n".join(rows)


def test_the_page_says_what_the_code_does() -> None:
    assert PAGE.read_text() == page()


if __name__ == "__main__":
    PAGE.write_text(page())

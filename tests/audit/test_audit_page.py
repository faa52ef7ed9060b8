"""The page about the audit tells what the audit does."""

import re
from pathlib import Path

from stockwright.store.audit import check_names, meaning_of

PAGE = Path(__file__).parents[2] / "docs/reference/audit.md"


def test_the_page_lists_every_proof_in_its_order_with_its_meaning() -> None:
    told = re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert told == [(name, meaning_of(name)) for name in check_names()]

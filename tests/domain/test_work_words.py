"""Every kind of work item that the code raises has a sentence that says what to do."""

import re
from pathlib import Path

import stockwright
from stockwright.domain.work_words import MEANINGS

SOURCE = Path(stockwright.__file__).parent
RAISED = (
    r'raise_work\(\s*"(\w+)"',
    r'(?:append\(|note = )\(\s*(?:"open"|what),\s*"(\w+)",',
    r'open_refusal\(\s*connection, "(\w+)"',
    r'close_work"\], \("(\w+)"',
    r'(?:UNSEEN|WEBHOOK_OFF): Final = "(\w+)"',
)
# Raised by a query.
BY_SQL = r"insert into work_item \(kind[^)]*\)\s*(?:select|values \()\s*'(\w+)'"


def raised() -> set[str]:
    floors = [file for name in ("domain", "flow", "store") for file in (SOURCE / name).glob("*.py")]
    queries = [file.read_text("utf-8") for file in (SOURCE / "store/queries").glob("*.sql")]
    return {
        kind
        for file in floors
        for pattern in RAISED
        for kind in re.findall(pattern, file.read_text("utf-8"))
    } | {kind for query in queries for kind in re.findall(BY_SQL, query)}


def test_every_kind_that_is_raised_has_its_meaning_and_no_other_kind_has():
    assert raised() == set(MEANINGS)


def test_a_meaning_is_one_short_paragraph():
    for kind, meaning in MEANINGS.items():
        assert meaning.endswith("."), kind
        assert 40 < len(meaning) < 260, kind

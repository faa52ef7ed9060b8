"""docs/reference/api.md says what the code does."""

import pytest

from stockwright.api import reference
from stockwright.api.problems import KINDS
from stockwright.domain.events import OUTCOMES
from stockwright.store.access import SCOPES

PAGE = reference.DOCS / "api.md"
KEYS_PAGE = reference.DOCS.parent / "how-to" / "create-an-api-key.md"


def test_the_generated_parts_are_as_the_code_says():
    text = PAGE.read_text()
    assert reference.renewed(text) == text, "run: python -m stockwright.api.reference"


@pytest.mark.parametrize("part", reference.PARTS)
def test_every_generated_part_is_on_the_page(part):
    assert reference.PARTS[part]() in PAGE.read_text()


def test_every_outcome_and_every_problem_is_on_the_page():
    text = PAGE.read_text()
    for code in [*(code for code, _ in OUTCOMES), *KINDS]:
        assert f"| `{code}` |" in text


def test_every_scope_is_on_the_page_about_keys():
    text = KEYS_PAGE.read_text()
    for scope in SCOPES:
        assert f"`{scope}`" in text

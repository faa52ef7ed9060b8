"""No cell of an export is run by a spreadsheet, and every cell comes back as it was."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockwright.domain.spreadsheets import OPENERS, defused, kept_plain, undone

BEGINNINGS = st.text("'=+-@\t\r\n a＝", max_size=4)
CELLS = st.builds(lambda start, rest: start + rest, BEGINNINGS, st.text(max_size=5))


def is_harmless(cell):
    return not cell.startswith(tuple(OPENERS)) or re.fullmatch(r"[+-]\d+([.,]\d+)?", cell)


@pytest.mark.parametrize("opener", OPENERS)
def test_what_would_be_run_becomes_text(opener):
    cell = f"{opener}cmd|' /C calc'!A0"
    assert defused(cell) == f"'{cell}"
    assert undone(defused(cell)) == cell


@pytest.mark.parametrize(
    "cell", ["", "A-1", "'tis", "''", 0, -3, None, "a=b", " 1", "-1", "+1.50", "'-1"]
)
def test_what_is_harmless_stays_as_it_is(cell):
    assert defused(cell) is cell
    if isinstance(cell, str):
        assert undone(cell) == cell


@given(CELLS)
def test_every_cell_comes_back_as_it_was_and_none_begins_with_an_opener(cell):
    assert undone(defused(cell)) == cell
    assert is_harmless(defused(cell))


@given(CELLS)
def test_a_refused_row_is_read_again_as_it_was_read_before(cell):
    assert undone(kept_plain(cell)) == undone(cell)
    assert is_harmless(kept_plain(cell))

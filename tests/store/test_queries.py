import pytest

from stockwright.store import queries
from stockwright.store.queries import Queries

TEXT = """-- How much there is.

-- name: on_hand
-- Goods of a SKU at every location,
-- sorted by location.
SELECT 1;

-- name: free_stock
-- What may still be promised.
SELECT 2
WHERE true -- a comment inside stays
"""


def test_a_query_is_found_by_its_name_without_its_comments_and_semicolon():
    loaded = Queries("x.sql", TEXT)
    assert loaded["on_hand"] == "SELECT 1"
    assert loaded["free_stock"] == "SELECT 2\nWHERE true -- a comment inside stays"
    assert list(loaded) == ["on_hand", "free_stock"]
    assert len(loaded) == 2


def test_a_query_says_what_it_answers():
    answers = Queries("x.sql", TEXT).answers
    assert answers["on_hand"] == "Goods of a SKU at every location, sorted by location."


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "-- name: Bad Name\n-- Answers.\nSELECT 1",
        "-- name: silent\nSELECT 1",
        "-- name: empty\n-- Answers nothing.\n",
        "-- name: twice\n-- One.\nSELECT 1\n-- name: twice\n-- Two.\nSELECT 2",
    ],
    ids=["no heading", "not snake case", "no answer", "no statement", "name twice"],
)
def test_a_malformed_file_is_refused_with_its_name(text):
    with pytest.raises(ValueError, match=r"x\.sql"):
        Queries("x.sql", text)


def test_every_query_file_of_the_product_is_well_formed():
    for path in queries.QUERIES.glob("*.sql"):
        assert len(queries.load(path.stem)) > 0

import datetime as dt

import msgspec
import psycopg
import pytest

from stockwright.store.arrays import digests, documents, numbers, shared_text, texts, times

_TEXTS = [
    "",
    "plain",
    'a "quoted" one',
    "back\\slash",
    '","',
    "{}",
    "NULL",
    "line\nbreak\ttab",
    "ö€🙂",
]
_DOCUMENTS = ["", msgspec.json.encode(_TEXTS).decode(), '{"a":"\\\\\\u0001ö"}']
_ZONE = dt.timezone(dt.timedelta(hours=5, minutes=45))
_TIMES = [
    dt.datetime(2026, 3, 2, 8, 0, tzinfo=dt.UTC),
    None,
    dt.datetime(2026, 3, 2, 8, 0, 0, 123456, tzinfo=_ZONE),
]


@pytest.mark.parametrize(
    ("literal", "kind", "values"),
    [
        (texts(_TEXTS), "text", _TEXTS),
        (texts([]), "text", []),
        (documents(_DOCUMENTS), "text", _DOCUMENTS),
        (numbers([0, -1, None, 2**62]), "bigint", [0, -1, None, 2**62]),
        (numbers(()), "integer", []),
        (numbers([True, False]), "boolean", [True, False]),
        (times(_TIMES), "timestamptz", _TIMES),
        (times([dt.date(2026, 3, 2), None]), "date", [dt.date(2026, 3, 2), None]),
        (digests([b"\x00\xff", b"ab"]), "text", ["00ff", "6162"]),
    ],
)
def test_the_database_reads_what_was_written(database_url, literal, kind, values):
    with psycopg.connect(database_url) as connection:
        assert connection.execute(f"select %s::{kind}[]", (literal,)).fetchone() == (values,)


def test_a_nul_character_is_refused_by_the_driver(database_url):
    with psycopg.connect(database_url) as connection, pytest.raises(psycopg.DataError):
        connection.execute("select %s::text[]", (texts(["a\0b", "c"]),))


def test_equal_values_are_sent_once():
    assert shared_text(["a", "a"]) == ("{}", "a")
    assert shared_text(["a", "b"]) == ('{"a","b"}', None)
    assert shared_text([]) == ("{}", None)

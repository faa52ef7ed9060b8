"""JSON as partners write it."""

import json
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockwright.sdk.json_text import read_json


class Order(msgspec.Struct):
    id: str
    lines: list[msgspec.Raw] = []


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (rb'{"id": "7", "note": "thanks \ud83d"}', {"id": "7", "note": "thanks \ufffd"}),
        (rb'{"id": "7", "note": "\ude00 \ud83d\ude00"}', {"id": "7", "note": "\ufffd \U0001f600"}),
        (b'{"id": "7", "note": "two\nlines\tof\x00it"}', {"id": "7", "note": "two\nlines\tof\0it"}),
        (rb'{"id": "7", "note": "C:\shop \u12"}', {"id": "7", "note": "C:\\shop \\u12"}),
        (rb'{"id": "\\ud83d", "a": "\q"}', {"id": r"\ud83d", "a": r"\q"}),
        (b'{"id": "NaN", "due": -Infinity}', {"id": "NaN", "due": "-Infinity"}),
        (b'{"id": "7", "paid": NaN}', {"id": "7", "paid": "NaN"}),
        (b'\xef\xbb\xbf{"id": "7"}', {"id": "7"}),
    ],
)  # fmt: skip
def test_characters_that_json_does_not_allow_are_replaced(written, read):
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(written)
    assert read_json(written) == read
    assert read_json(written, Order).id == read["id"]


def test_the_rest_of_the_text_stays_as_it_was():
    body = b'{"id": "7", "lines": [{"price":  1.10, "n": "caf\xe9"}, {"n": "a\nb"}]}'
    first, second = read_json(body, Order).lines
    assert bytes(first) == b'{"price":  1.10, "n": "caf\xe9"}'
    assert bytes(second) == rb'{"n": "a\u000ab"}'


@pytest.mark.parametrize(
    "body", [b"", b'{"id": ', b'["a" "b\n"]', b'{"id": "7', b'{"a\n": }', b"[1,]"]
)
def test_what_is_more_than_a_character_stays_unreadable_and_is_told_as_before(body):
    with pytest.raises(msgspec.DecodeError) as strict:
        msgspec.json.decode(body)
    with pytest.raises(msgspec.DecodeError) as told:
        read_json(body)
    assert str(told.value) == str(strict.value)


def test_another_form_is_told_with_its_path():
    for body in (b'{"id": 7}', b'{"note": "a\nb", "id": 7}'):
        with pytest.raises(msgspec.ValidationError, match=r"\$\.id"):
            read_json(body, Order)


def test_a_text_of_millions_of_escapes_is_read():
    note = r"\q" * 2_000_000
    assert len(read_json(b'{"id": "7", "note": "%s"}' % note.encode())["note"]) == 4_000_000


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_whatever_a_lenient_writer_writes_is_read_as_it_meant(value):
    """Python's own writer lets halves of pairs, control characters and NaN through."""
    text = json.dumps({"v": value, "half": "\ud800"})
    assert read_json(text.encode())["v"] == _meant(value)


def _meant(value):
    match value:
        case float() if math.isnan(value) or math.isinf(value):
            return json.dumps(value)
        case list():
            return [_meant(one) for one in value]
        case dict():
            return {key: _meant(one) for key, one in value.items()}
    return value

"""A key that stands twice in one object is refused and named; nothing else is."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockwright.api.repeats import refuse_repeats, seen_once
from stockwright.domain.errors import Rejected

BLANKS = st.sampled_from(["", "", "", "", " ", "\t\n"])
KEYS = st.sampled_from(["sku", "s\\u006bu", "quantity", '\\"', "a:", "lines", ""])
TEXTS = st.sampled_from(['"x"', '"sku\\":"', '" :"', '"{"', '"[]"', "1", "-2.5e3", "null", "true"])
PLAIN = TEXTS.map(lambda text: (text, False))


@st.composite
def objects(draw, values):
    """(an object as it is written, whether it or anything in it says a key twice)."""
    pairs = draw(st.lists(st.tuples(KEYS, BLANKS, BLANKS, values), max_size=4))
    said = [f'"{key}"{left}:{right}{value}' for key, left, right, (value, _) in pairs]
    keys = [msgspec.json.decode(f'"{key}"') for key, *_ in pairs]
    inside = any(twice for *_, (_, twice) in pairs)
    return "{" + ",".join(said) + "}", inside or len(keys) > len({*keys})


def lists(values):
    return st.lists(values, max_size=3).map(
        lambda some: (f"[{','.join(text for text, _ in some)}]", any(twice for _, twice in some))
    )


DOCUMENTS = st.recursive(
    objects(PLAIN), lambda inner: objects(st.one_of(inner, lists(inner), PLAIN)) | lists(inner)
)


@given(DOCUMENTS)
def test_exactly_what_says_a_key_twice_is_refused(document):
    text, twice = document
    if not twice:
        refuse_repeats(text.encode())
        return
    with pytest.raises(Rejected) as refused:
        refuse_repeats(text.encode())
    assert refused.value.reason == "malformed"
    assert f"The key {refused.value.field!r} stands twice" in refused.value.message


@pytest.mark.parametrize(
    ("body", "in_lines"),
    [
        (b'{"kind": "count", "quantity": 1}', False),
        (b'[{"sku":"A"},\n {"sku":"A"}]', False),
        (b'{"sku":"A"}\n\n{"sku":"A"}\n', True),
        (b'{"order":"O","lines":[{"sku":"A"},{"sku":"B"}]}', False),
        (b"{}", False),
        (b"[]", False),
    ],
)
def test_what_nearly_all_send_is_seen_to_be_in_order_by_counting(body, in_lines):
    assert seen_once(body, in_lines=in_lines)


def test_numbers_and_depths_that_python_would_not_read_are_none_of_our_business():
    refuse_repeats(b'{"a" : ' + b"9" * 5_000 + b"}")
    with pytest.raises(RecursionError):
        refuse_repeats(b'{"a" : ' + b"[" * 100_000 + b"]" * 100_000 + b"}")

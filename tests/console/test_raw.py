"""Raw payloads for people: laid out, cut around what failed, the failing place marked."""

import json
import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockwright.console import raw
from stockwright.console.raw import MAX_LINES, view

ORDER = {
    "number": "W-1",
    "lines": [
        {"item": "A", "quantity": 4},
        {"item": "B-7", "quantity": "x", "note": {"item": "B-7"}},
    ],
    "items": [],
}
BODY = json.dumps(ORDER).encode()


def marked(body: bytes, path: str, missing: str = "") -> list[str]:
    return [
        line.text.strip().rstrip(",") for line in view(body, path, missing).lines if line.marked
    ]


@pytest.mark.parametrize(
    ("path", "missing", "lines"),
    [
        ("$.lines[1].quantity", "", ['"quantity": "x"']),
        ("$.lines[1] quantity", "", ['"quantity": "x"']),
        ("$.number", "", ['"number": "W-1"']),
        ("$.lines[1] item", "item:B-7", ['"item": "B-7"']),
        ("$.lines[1] sku", "sku:B-7", ['"item": "B-7"', '"item": "B-7"']),
        ("$.lines[0] item", "item:none-there", ['"item": "A"']),
        ("$.items", "", ['"items": []']),
        ("$.lines[0].gone", "", ["{", '"item": "A"', '"quantity": 4', "}"]),
        ("$", "", []),
        ("", "", []),
        ("$.lines[9].item", "", None),
    ],
)
def test_the_place_that_failed_is_marked(path, missing, lines):
    found = marked(BODY, path, missing)
    if lines is None:
        assert len(found) == 13  # the whole list: that element is not in it
    else:
        assert found == lines


def test_numbers_stay_as_they_were_written():
    shown = view(b'{"price": 1.10, "big": 12345678901234567890, "on": true, "no": null}', "$.price")
    assert [line.text for line in shown.lines][1:-1] == [
        '  "price": 1.10,',
        '  "big": 12345678901234567890,',
        '  "on": true,',
        '  "no": null',
    ]


def test_a_line_of_a_text_file_is_marked():
    shown = view(b"sku,quantity\nA,4\nB,x\n", "line 3 quantity")
    assert (shown.kind, shown.found) == ("text", True)
    assert [line.number for line in shown.lines if line.marked] == [3]


def test_a_long_document_is_shown_around_what_failed():
    body = json.dumps([{"n": n} for n in range(5_000)]).encode()
    shown = view(body, "$[4000].n")
    assert len(shown.lines) == MAX_LINES
    assert shown.before > 0
    assert shown.after > 0
    assert [line.text.strip() for line in shown.lines if line.marked] == ['"n": 4000']
    assert shown.before + len(shown.lines) + shown.after == 5_000 * 3 + 2


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "text"),
        (b"{not json", "text"),
        (b"\xff\xfe\x00", "bytes"),
        (b"a\x00b", "bytes"),
        (b"\xef\xbb\xbf[1]", "json"),
        (b"[" * 100_000, "text"),
        (b'"just text"', "text"),
        (b'{"a": "' + b"x" * 50_000 + b'"}', "json"),
        (b"[1]" + b" " * (raw.MAX_BYTES + 1), "text"),
    ],
)
def test_whatever_was_sent_is_shown(body, kind):
    shown = view(body, "$.a.b[3] c", "item:x")
    assert shown.kind == kind
    assert all(len(line.text) < 3_000 for line in shown.lines)
    assert len(shown.lines) <= MAX_LINES


def test_bytes_are_shown_sixteen_a_line_and_what_is_left_out_is_counted():
    shown = view(bytes(range(256)) * 64, "$")
    assert shown.lines[4].text.startswith("00000040  40 41 42")
    assert shown.lines[4].text.endswith("@ABCDEFGHIJKLMNO")
    assert len(shown.lines) + shown.after == 256 * 64 // 16


def test_half_a_character_is_shown_as_it_was_written():
    lines = view(b'{"a": "x\\ud800", "\\udfff": 1}', "$.a").lines
    assert [line.text for line in lines] == ["{", '  "a": "x\\ud800",', '  "\\udfff": 1', "}"]
    msgspec.json.encode(lines)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
documents = st.recursive(
    st.none() | st.booleans() | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=30,
).filter(lambda found: isinstance(found, dict | list))


@given(documents)
def test_a_document_is_laid_out_as_everybody_knows_it(document):
    expected = json.dumps(document, indent=2, ensure_ascii=False).split("\n")
    found = view(json.dumps(document).encode(), "$")
    assert [line.text for line in found.lines] == expected[:MAX_LINES]
    assert (found.before, found.after) == (0, max(0, len(expected) - MAX_LINES))


def test_only_what_is_shown_is_kept_of_a_document_however_it_is_nested():
    """Laid out whole it has 140 MB, which would stop everything else for many seconds."""
    body = b"[" + b",".join([b"[" * 400 + b"]" * 400] * 900) + b"]"
    tracemalloc.start()
    found = view(body, "$[899]")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (len(found.lines), found.found) == (MAX_LINES, True)
    assert found.before + found.after == 900 * 799 + 2 - MAX_LINES
    assert most < 80_000_000

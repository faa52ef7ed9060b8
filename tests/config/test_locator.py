"""Every value in these texts is the number of its own line, written as @."""

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockwright.config.locator import Path, line_of, locate


def numbered(text: str) -> str:
    return "".join(
        line.replace("@", str(number))
        for number, line in enumerate(text.splitlines(keepends=True), start=1)
    )


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, int]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from leaves(part, (*path, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from leaves(part, (*path, index))
    elif type(value) is int:
        yield path, value


TEXTS = {
    "plain keys": "a = @\n\nb = @ # c = 9\n",
    "dotted keys": "a.b . c = @\n'a b'.\"c.d\" = @\n",
    "tables out of order": "[x.y]\na = @\n[x]\nb = @\n[z]\n[x.y.w]\nc = @\n",
    "arrays of tables": "[[p]]\na = @\n[p.q]\nb = @\n[[p.r]]\nc = @\n[[p]]\n[[p.r]]\nc = @\n",
    "inline tables": "a = { b = @, c.d = @, e = [@, { f = @ }] }\ng = @\n",
    "arrays over lines": "a = [\n  @, # [\n  @,\n  [@,\n   @],\n]\nb = @\n",
    "strings that look like TOML": 'a = "[b]\\"#"\nc = \'[d] # \\\'\ne = @\n',
    "long strings": 'a = """\n[x]\ny = 1 \\"""\n"""\nb = @\nc = \'\'\'\n""" = \'\'\'\nd = @\n',
    "quotes before the closing quotes": 'a = """"x"""""\nb = @\n',
    "escapes in keys": '"a\\u0041\\tb" = @\n[t."\\"q"]\nc = @\n',
    "dates, floats and words": "a = 2026-01-01 07:00:00Z\nb = [1.5, true, -inf]\nc = @\n",
    "windows line ends": "a = @\r\n[t]\r\nb = [\r\n  @,\r\n]\r\n",
    "a header with blanks": "[ a . 'b' ]\nc = @\n[[ d ]]\ne = @\n",
    "no line end at the end": "a = @",
    "comments only": "# a = 1\n  # b = 2",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_every_value_is_found_on_its_own_line(text: str) -> None:
    text = numbered(text)
    lines = locate(text)
    expected = dict(leaves(tomllib.loads(text)))
    assert {path: lines[path] for path in expected} == expected


def test_a_table_has_the_line_of_its_header_and_a_missing_field_that_of_its_table() -> None:
    lines = locate("[a.b]\nc = 1\n\n[[d]]\n\n[[d]]\n\n[a]\n")
    assert (lines["a", "b"], lines["d", 0], lines["d", 1], lines[("a",)]) == (1, 4, 6, 8)
    assert line_of(lines, ("a", "b", "missing", 3)) == 1
    assert line_of(lines, ("unknown",)) == 1


KEYS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=6)


def quoted(key: str) -> str:
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Tables with odd names, each with odd keys, arrays and comments between them."""
    parts = []
    for table in draw(st.lists(KEYS, max_size=5, unique=True)):
        parts.append(f"[{quoted(table)}]{draw(st.sampled_from(['', ' # [x]', '  ']))}\n")
        for key in draw(st.lists(KEYS, max_size=4, unique=True)):
            shape = draw(
                st.sampled_from(["@", "[@, @]", "[\n@,\n[@]]", "{ x = @, 'y z' = [@] }", "[\n]"])
            )
            parts.append(f"{quoted(key)} = {shape}{draw(st.sampled_from(['', '#', ' # ]']))}\n")
        parts.append(draw(st.sampled_from(["", "\n", "# = [\n"])))
    return "".join(parts)


@given(documents())
def test_lines_are_right_whatever_the_keys_are_called(text: str) -> None:
    # A key may hold @ or a character that ends a line for Python but not for TOML.
    if (
        "@" in "".join(part for part in text.split('"')[1::2])
        or text.splitlines() != text.split("\n")[:-1]
    ):
        return
    text = numbered(text)
    lines = locate(text)
    for path, line in leaves(tomllib.loads(text)):
        assert lines[path] == line

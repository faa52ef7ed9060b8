"""On which line and column of a TOML text each value stands; `tomllib` tells values only.

The text has been accepted by `tomllib` before, so that this reader only has to find its way: it
follows headers, dotted keys, arrays and inline tables, and skips over values.
"""

from collections.abc import Mapping
from typing import Final

Path = tuple[str | int, ...]

_BLANK: Final = " \t\r\n"
_ESCAPES: Final[Mapping[str, str]] = dict(zip('btnfre"\\', '\b\t\n\f\r\x1b"\\', strict=True))


def locate(text: str) -> dict[Path, int]:
    """Maps each path, such as ("channels", "web", "policies", 0, "cap"), to its line from 1.

    A table has the line of its header, or of the first key that made it.
    """
    return _Reader(text).read()


def locate_columns(text: str) -> dict[Path, int]:
    """Maps each path of `locate` to the column from 1 where its key, header or value begins."""
    reader = _Reader(text)
    reader.read()
    return reader.columns


def line_of(lines: Mapping[Path, int], path: Path) -> int:
    """The line of a path, or of what is around it where it is not written."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return 1


class _Reader:
    """Walks once over the text; `_at` only moves forward."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._counted = 0
        self._lines: dict[Path, int] = {}
        self.columns: dict[Path, int] = {}
        # How many tables each array of tables ([[name]]) has so far.
        self._arrays: dict[Path, int] = {}

    def read(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip_blank():
            if self._peek() == "[":
                table = self._header()
            else:
                self._key_value(table)
        return self._lines

    def _peek(self, count: int = 1) -> str:
        return self._text[self._at : self._at + count]

    def _note(self, path: Path, start: int | None = None) -> None:
        """Remembers the current line for a path and for the tables that it implies; the column is
        that of start, else of here.
        """
        start = self._at if start is None else start
        column = start - self._text.rfind("\n", 0, start)
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        for length in range(1, len(path) + 1):
            self._lines.setdefault(path[:length], self._line)
            self.columns.setdefault(path[:length], column)

    def _skip_blank(self) -> bool:
        """Moves over white space and comments; False at the end of the text."""
        while self._at < len(self._text):
            if self._peek() in _BLANK:
                self._at += 1
            elif self._peek() == "#":
                self._at = self._find("\n")
            else:
                return True
        return False

    def _find(self, mark: str) -> int:
        found = self._text.find(mark, self._at)
        return len(self._text) if found < 0 else found

    def _header(self) -> Path:
        start = self._at
        is_array = self._peek(2) == "[["
        self._at += 2 if is_array else 1
        keys = self._dotted_key()
        self._at += 2 if is_array else 1
        path = self._inside_arrays(keys[:-1])
        last: Path = (*path, keys[-1])
        if is_array:
            self._arrays[last] = self._arrays.get(last, 0) + 1
        path = self._inside_arrays(keys)
        # A header beats the line of a child that was written before its table.
        self._lines.pop(path, None)
        self.columns.pop(path, None)
        self._note(path, start)
        return path

    def _inside_arrays(self, keys: list[str]) -> Path:
        """The path of a header: within an array of tables it means the last one so far."""
        path: Path = ()
        for key in keys:
            path = (*path, key)
            if path in self._arrays:
                path = (*path, self._arrays[path] - 1)
        return path

    def _dotted_key(self) -> list[str]:
        keys = []
        while True:
            self._skip_blank()
            keys.append(self._key())
            self._skip_blank()
            if self._peek() != ".":
                return keys
            self._at += 1

    def _key(self) -> str:
        if self._peek() in ('"', "'"):
            return self._string()
        start = self._at
        while self._at < len(self._text) and self._peek() not in " \t\r\n.=]":
            self._at += 1
        return self._text[start : self._at]

    def _key_value(self, table: Path) -> None:
        start = self._at
        path: Path = (*table, *self._dotted_key())
        end, self._at = self._at, start
        self._note(path)
        self._at = end + 1  # past the equals sign
        self._skip_blank()
        self._value(path)

    def _value(self, path: Path) -> None:
        match self._peek():
            case "[":
                self._array(path)
            case "{":
                self._inline_table(path)
            case '"' | "'":
                self._string()
            case _:
                while self._at < len(self._text) and self._peek() not in ",]}#\n":
                    self._at += 1

    def _array(self, path: Path) -> None:
        self._at += 1
        index = 0
        while self._skip_blank() and self._peek() != "]":
            if self._peek() == ",":
                self._at += 1
                continue
            self._note((*path, index))
            self._value((*path, index))
            index += 1
        self._at += 1

    def _inline_table(self, path: Path) -> None:
        self._at += 1
        while self._skip_blank() and self._peek() != "}":
            if self._peek() == ",":
                self._at += 1
            else:
                self._key_value(path)
        self._at += 1

    def _string(self) -> str:
        quote = self._peek()
        if self._peek(3) == quote * 3:
            return self._long_string(quote * 3)
        self._at += 1
        characters = []
        while self._peek() not in (quote, ""):
            characters.append(self._character(escapes=quote == '"'))
        self._at += 1
        return "".join(characters)

    def _long_string(self, quote: str) -> str:
        self._at += 3
        start = self._at
        while self._at < len(self._text) and self._peek(3) != quote:
            self._at += 2 if quote == '"""' and self._peek() == "\\" else 1
        end = self._at
        self._at += 3
        # Up to two quotes may stand right before the closing three.
        while self._peek() == quote[0]:
            self._at += 1
        return self._text[start:end]

    def _character(self, *, escapes: bool) -> str:
        character = self._peek()
        self._at += 1
        if character != "\\" or not escapes:
            return character
        escape = self._peek()
        self._at += 1
        digits = {"x": 2, "u": 4, "U": 8}.get(escape, 0)
        if digits:
            self._at += digits
            return chr(int(self._text[self._at - digits : self._at], 16))
        return _ESCAPES.get(escape, escape)

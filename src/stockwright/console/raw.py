"""A raw payload as lines for people, with the place that failed marked."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

MAX_BYTES: Final = 1_048_576
"""Bodies beyond this are shown as text from their beginning, not taken apart."""
MAX_LINES: Final = 400
"""Lines shown, around the place that failed."""
_LONGEST_LINE: Final = 2_000
_STEP: Final = re.compile(r"\.([^.\[\]\s]+)|\[(\d+)\]")
_LINE: Final = re.compile(r"line (\d+)")

Path = tuple[str | int, ...]


class Line(msgspec.Struct, frozen=True):
    """One line of text; marked where it belongs to what failed."""

    number: int
    text: str
    marked: bool = False


class RawView(msgspec.Struct, frozen=True, kw_only=True):
    """A body for people. kind: json (laid out anew), text, or bytes. skipped: lines left out before
    and after those shown.
    """

    kind: str
    lines: list[Line]
    before: int = 0
    after: int = 0
    found: bool = False


def view(body: bytes, path: str, missing: str = "") -> RawView:
    """The body as lines, what `path` leads to marked.

    path is a mapping's: `$.lines[0].sku`, `$.lines[0] item`, `line 7 sku`. missing is the code that
    is not bound ("item:4711"): within the place, the values that are this code are marked.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return _bytes(body)
    if "\x00" in text:
        return _bytes(body)
    if len(body) <= MAX_BYTES and text.lstrip()[:1] in ("{", "["):
        try:
            root = json.loads(text, parse_float=_Number, parse_int=_Number)
            return _json(root, path, missing.partition(":")[2])
        except (ValueError, RecursionError):
            pass
    return _text(text, path)


class _Number(str):
    """A number as it was written: 1.10 stays 1.10."""


def _json(root: Any, path: str, code: str) -> RawView:
    place, _, field = path.partition(" ")
    steps = path_steps(place)
    target = _deepest(root, steps)
    if field and target == steps and field in (_at(root, target) or ()):
        target = (*target, field)
    wanted = _holding(root, target, code) or {target}
    lines = [
        Line(number, text, any(where[: len(one)] == one for one in wanted))
        for number, (text, where) in enumerate(_laid_out(root, (), "", ""), start=1)
    ]
    # All of a whole document marked says no more than nothing marked.
    if wanted == {()}:
        lines = [Line(one.number, one.text) for one in lines]
    return _around("json", lines)


def path_steps(place: str) -> Path:
    """The steps of a path such as `$.lines[0].sku`."""
    return tuple(name or int(number) for name, number in _STEP.findall(place.removeprefix("$")))


def _deepest(root: Any, steps: Path) -> Path:
    """As far along the path as the document goes: what is missing is missing there."""
    reached: list[str | int] = []
    value = root
    for step in steps:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            break
        reached.append(step)
    return tuple(reached)


def _at(root: Any, path: Path) -> Any:
    for step in path:
        root = root[step]
    return root if isinstance(root, dict) else None


def _holding(root: Any, target: Path, code: str) -> set[Path]:
    """Where below a place a value is this code; at most a hundred."""
    if not code:
        return set()
    value = root
    for step in target:
        value = value[step]
    found: set[Path] = set()
    waiting = [(target, value)]
    while waiting and len(found) < 100:
        path, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [((*path, name), inner) for name, inner in value.items()]
        elif isinstance(value, list):
            waiting += [((*path, n), inner) for n, inner in enumerate(value)]
        elif str(value) == code:
            found.add(path)
    return found


def _laid_out(value: Any, path: Path, indent: str, name: str) -> Iterator[tuple[str, Path]]:
    """A document as lines, each with the path of the value that it begins, ends or is."""
    if isinstance(value, dict | list) and value:
        opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
        yield f"{indent}{name}{opening}", path
        inner: list[tuple[str, str | int, Any]] = (
            [(f"{_quoted(key)}: ", key, one) for key, one in value.items()]
            if isinstance(value, dict)
            else [("", n, one) for n, one in enumerate(value)]
        )
        for n, (label, step, one) in enumerate(inner):
            block = list(_laid_out(one, (*path, step), indent + "  ", label))
            if n < len(inner) - 1:
                block[-1] = (block[-1][0] + ",", block[-1][1])
            yield from block
        yield f"{indent}{closing}", path
    else:
        shown = str(value) if isinstance(value, _Number) else _quoted(value)
        yield f"{indent}{name}{shown}", path


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _text(text: str, path: str) -> RawView:
    named = _LINE.search(path)
    wanted = int(named[1]) if named else 0
    lines = [
        Line(number, line, number == wanted)
        for number, line in enumerate(text.splitlines() or [""], start=1)
    ]
    return _around("text", lines)


def _bytes(body: bytes) -> RawView:
    lines = []
    for number, start in enumerate(range(0, min(len(body), 4_096), 16), start=1):
        row = body[start : start + 16]
        seen = "".join(chr(one) if 32 <= one < 127 else "." for one in row)
        lines.append(Line(number, f"{start:08x}  {row.hex(' '):<47}  {seen}"))
    after = max(0, (len(body) + 15) // 16 - len(lines))
    return RawView(kind="bytes", lines=lines, after=after)


def _around(kind: str, lines: list[Line]) -> RawView:
    """The lines around the first marked one, long ones cut short."""
    first = next((n for n, line in enumerate(lines) if line.marked), -1)
    start = max(0, min(first - MAX_LINES // 4, len(lines) - MAX_LINES))
    shown = [
        line
        if len(line.text) <= _LONGEST_LINE
        else Line(line.number, line.text[:_LONGEST_LINE] + " …", line.marked)
        for line in lines[start : start + MAX_LINES]
    ]
    return RawView(
        kind=kind,
        lines=shown,
        before=start,
        after=max(0, len(lines) - start - len(shown)),
        found=first >= 0,
    )

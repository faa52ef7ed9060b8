"""A raw payload as lines for people, with the place that failed marked."""

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec

MAX_BYTES: Final = 1_048_576
"""Bodies beyond this are shown as text from their beginning, not taken apart."""
MAX_LINES: Final = 400
"""Lines shown, around the place that failed."""
_LONGEST_LINE: Final = 2_000
_STEP: Final = re.compile(r"\.([^.\[\]\s]+)|\[(\d+)\]")
_HALF: Final = re.compile("[\ud800-\udfff]")
_LINE: Final = re.compile(r"line (\d+)")

Path = tuple[str | int, ...]
_Laid = tuple[int, str, bool]


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
    # All of a whole document marked says no more than nothing marked.
    return _around("json", _laid_out(root, _tree(wanted - {()})))


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
    # A place is its step and the place it is in: most are never needed as a whole.
    waiting: list[tuple[Any, Any]] = [(None, value)]
    while waiting and len(found) < 100:
        place, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [((place, name), inner) for name, inner in value.items()]
        elif isinstance(value, list):
            waiting += [((place, n), inner) for n, inner in enumerate(value)]
        elif str(value) == code:
            found.add((*target, *_unrolled(place)))
    return found


def _unrolled(place: Any) -> Path:
    steps = []
    while place is not None:
        place, step = place
        steps.append(step)
    return tuple(reversed(steps))


_Tree = dict[str | int, Any]


def _tree(paths: Iterable[Path]) -> _Tree:
    """Paths by their steps; one ends where nothing follows."""
    tree: _Tree = {}
    for path in paths:
        node = tree
        for step in path:
            node = node.setdefault(step, {})
    return tree


class _Open(NamedTuple):
    """What is left of a list or table that is being laid out."""

    inner: Iterator[tuple[str | int, Any]]
    left: int
    named: bool
    marks: _Tree | None
    marked: bool
    closing: str


def _laid_out(root: Any, marks: _Tree) -> Iterator[_Laid]:
    """A document as lines: how deep each stands, its text, and whether it is marked.

    Takes the time of its size, however deep it is: whoever sends a payload chooses its shape.
    """
    around: list[_Open] = []
    yield from _begun(around, root, "", "", marks or None, marked=False)
    while around:
        inner, left, named, within, marked, closing = around.pop()
        step, value = next(inner, (None, None))
        if step is None:
            yield len(around), closing, marked
            continue
        around.append(_Open(inner, left - 1, named, within, marked, closing))
        mark = within.get(step) if within else None
        yield from _begun(
            around, value, f"{_quoted(step)}: " if named else "", "," if left > 1 else "",
            mark, marked=marked or mark == {},
        )  # fmt: skip


def _begun(
    around: list[_Open], value: Any, name: str, comma: str, marks: _Tree | None, *, marked: bool
) -> Iterator[_Laid]:
    """The first line of a value; what is left of it is put on top of what it stands in."""
    depth = len(around)
    if not isinstance(value, dict | list) or not value:
        shown = str(value) if isinstance(value, _Number) else _quoted(value)
        yield depth, f"{name}{shown}{comma}", marked
        return
    named = isinstance(value, dict)
    yield depth, f"{name}{'{' if named else '['}", marked
    inner: Iterator[tuple[str | int, Any]]
    inner = iter(value.items()) if isinstance(value, dict) else enumerate(value)
    closing = f"{'}' if named else ']'}{comma}"
    around.append(_Open(inner, len(value), named, marks, marked, closing))


def _quoted(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    # Half a character can be written in JSON, and nowhere else: it stays as it was written.
    return json.dumps(value) if _HALF.search(text) else text


def _text(text: str, path: str) -> RawView:
    named = _LINE.search(path)
    wanted = int(named[1]) if named and len(named[1]) < 10 else 0
    lines = enumerate(text.splitlines() or [""], start=1)
    return _around("text", ((0, line, number == wanted) for number, line in lines))


def _bytes(body: bytes) -> RawView:
    lines = []
    for number, start in enumerate(range(0, min(len(body), 4_096), 16), start=1):
        row = body[start : start + 16]
        seen = "".join(chr(one) if 32 <= one < 127 else "." for one in row)
        lines.append(Line(number, f"{start:08x}  {row.hex(' '):<47}  {seen}"))
    after = max(0, (len(body) + 15) // 16 - len(lines))
    return RawView(kind="bytes", lines=lines, after=after)


def _around(kind: str, lines: Iterable[_Laid]) -> RawView:
    """The lines around the first marked one, long ones cut short; only these are kept."""
    first, total = -1, 0
    kept: deque[_Laid] = deque(maxlen=MAX_LINES)
    after: list[_Laid] = []
    beginning: list[_Laid] = []
    for total, line in enumerate(lines, start=1):
        if first < 0 and line[2]:
            first = total - 1
        if first >= 0:
            after += [line] if len(after) < MAX_LINES else []
        else:
            kept.append(line)
            beginning += [line] if len(beginning) < MAX_LINES else []
    if first < 0:
        start, shown = 0, beginning
    else:
        start = max(0, min(first - MAX_LINES // 4, total - MAX_LINES))
        shown = [*list(kept)[len(kept) - (first - start) :], *after][:MAX_LINES]
    return RawView(
        kind=kind,
        lines=[_line(number, *line) for number, line in enumerate(shown, start=start + 1)],
        before=start,
        after=total - start - len(shown),
        found=first >= 0,
    )


def _line(number: int, depth: int, text: str, marked: bool) -> Line:
    whole = "  " * depth + text
    if len(whole) > _LONGEST_LINE:
        whole = whole[:_LONGEST_LINE] + " …"
    return Line(number, whole, marked)

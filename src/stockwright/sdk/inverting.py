"""Sources read the other way: a value of ours put where a source would read it from.

A path, a text, a number of a line, a template around one value and alternatives can be inverted; a
template around several values cannot, since nobody could take it apart again.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from stockwright.sdk.sources import (
    MISSING,
    Option,
    Spot,
    Style,
    Wrong,
    path_of,
    resolve,
    source_of,
    text_of,
)

MAX_INDEX: Final = 99
"""The highest place in a list that a target may name."""
_TEMPLATE: Final = re.compile(r"\{([^{}]+)\}")
Steps = tuple[str | int, ...]


class Inverse(NamedTuple):
    """How one field is written. target is None where nothing is: the source says it by itself.

    before and after stand around the value; they are "" and template False where it is put as is.
    """

    source: str
    first: Option
    target: Option | None
    before: str
    after: str
    template: bool
    optional: bool
    alternatives: bool


@lru_cache(maxsize=10_000)
def inverse_of(source: str) -> Inverse:
    """The inverse of a source. Raises ValueError that names what cannot be inverted."""
    options, optional = source_of(source)
    first, more = options[0], len(options) > 1
    if first.form in ("element", "root"):
        return Inverse(
            source, target_of(first.text), target_of(first.text), "", "", False, optional, more
        )
    if first.form != "template":
        return Inverse(source, first, None, "", "", False, optional, more)
    inner = _TEMPLATE.findall(first.text)
    if len(inner) != 1:
        raise ValueError(
            f"{first.text!r} joins {len(inner)} values, which cannot be taken apart again: "
            "say in body what the partner gets"
        )
    inside = source_of(inner[0]).options
    if len(inside) != 1 or inside[0].form not in ("element", "root"):
        raise ValueError(
            f"{first.text!r} is not around one path, so it cannot be inverted: "
            "say in body what the partner gets"
        )
    before, after = _TEMPLATE.split(first.text)[::2]
    return Inverse(source, first, target_of(inside[0].text), before, after, True, optional, more)


@lru_cache(maxsize=10_000)
def target_of(text: str) -> Option:
    """A place that can be written. Raises ValueError where the text is none."""
    source = source_of(text)
    option = source.options[0]
    if len(source.options) > 1 or source.optional or option.form not in ("element", "root"):
        raise ValueError(f"{text!r} is not a place that can be written: say $.path or @.path")
    far = [step for step in option.steps if isinstance(step, int) and step > MAX_INDEX]
    if far:
        raise ValueError(f"{text!r} is beyond the place {MAX_INDEX} of a list")
    return option


class Tree:
    """A body that grows by values put at paths."""

    def __init__(self) -> None:
        self._top: list[Any] = [MISSING]

    def put(self, steps: Steps, value: Any, path: str) -> None:
        """Puts a value; again the same is fine. Raises Wrong where another one stands there."""
        held: Any = self._top
        key: str | int = 0
        for step in steps:
            inside = held[key]
            if inside is MISSING:
                inside = held[key] = {} if isinstance(step, str) else []
            if not isinstance(inside, dict if isinstance(step, str) else list):
                raise Wrong(path, "lies within what is a value, or a list, elsewhere")
            if isinstance(inside, dict):
                inside.setdefault(step, MISSING)
            elif isinstance(step, int):
                inside.extend([MISSING] * (step + 1 - len(inside)))
            held, key = inside, step
        there = held[key]
        if there is MISSING:
            held[key] = value
        elif type(there) is not type(value) or there != value:
            raise Wrong(path, f"would be {_short(there)} and {_short(value)}")

    def value(self) -> Any:
        """The body; an empty object where nothing was put."""
        return {} if self._top[0] is MISSING else _settled(self._top[0])


def _settled(value: Any) -> Any:
    """Places of a list that nothing was put at are null, which reads as missing."""
    if isinstance(value, dict):
        return {name: _settled(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_settled(one) for one in value]
    return None if value is MISSING else value


def _short(value: Any) -> str:
    return f"a {type(value).__name__}" if isinstance(value, dict | list) else repr(value)[:60]


def check_targets(targets: Iterable[tuple[str, Option]], each: str) -> None:
    """Raises Wrong with the name of the target that stands in another's way."""
    tree, inside = Tree(), walk_steps(each)
    if each:
        tree.put(inside, [], each)
    for name, target in targets:
        steps = target.steps
        if each and target.form == "element":
            steps = (*inside, 0, *steps)
        elif each and steps[: len(inside)] == inside:
            raise Wrong(name, f"{target.text!r} lies in the list {each!r}: write @.path for it")
        try:
            tree.put(steps, "", name)
        except Wrong:
            raise Wrong(name, f"{target.text!r} stands in the way of another place") from None


def walk_steps(path: str) -> Steps:
    """The steps of a path; () for none."""
    return target_of(path).steps if path else ()


class Writer:
    """Writes the elements of one body. each: the path of the list they go to, if to one."""

    def __init__(self, each: str, style: Style) -> None:
        self._tree = Tree()
        self._each = walk_steps(each)
        self._in_list = each
        self._style = style
        if each:
            self._tree.put(self._each, [], each)

    def spots(self, count: int) -> list[Spot]:
        """Where the first elements stand in what is written so far."""
        root = self._tree.value()
        if not self._in_list:
            return [Spot(root, root, "$", number + 1) for number in range(count)]
        held = root
        for step in self._each:
            held = held[step]
        return [
            Spot(root, held[n] if n < len(held) else {}, f"{self._in_list}[{n}]", n + 1)
            for n in range(count)
        ]

    def put(self, target: Option, value: Any, number: int) -> None:
        """Puts a value at a target, seen from the element of a number."""
        steps = target.steps
        path = target.text
        if self._in_list and target.form == "element":
            steps = (*self._each, number - 1, *steps)
            path = f"{self._in_list}[{number - 1}]{target.text[1:]}"
        self._tree.put(steps, value, path)

    def write(self, inverse: Inverse, name: str, value: Any, number: int) -> None:
        """Puts a field where its source reads it. Raises Wrong where the form cannot say it."""
        text = text_of(value)
        if inverse.target is None:
            said = str(number) if inverse.first.form == "number" else inverse.first.text
            if text != said:
                found = "is empty" if value is MISSING else f"is {text!r}"
                raise Wrong(name, f"{found}, but the partner's form always says {said!r}")
            return
        if value is MISSING:
            if not inverse.optional:
                raise Wrong(name, f"is empty, but {inverse.source!r} must be there")
            return
        if inverse.template:
            value = _taken_out(inverse, name, text or "")
            if not value:
                return
        self.put(inverse.target, value, number)

    def check_empties(
        self, fields: Mapping[str, Inverse], items: Sequence[Mapping[str, Any]]
    ) -> None:
        """Raises Wrong where a field that is empty would be read as something else."""
        empty = [[name for name in fields if name not in item] for item in items]
        if not any(empty):
            return
        for names, spot in zip(empty, self.spots(len(items)), strict=True):
            for name in names:
                value, option = resolve(fields[name].source, spot, self._style)
                if value is not MISSING:
                    place = path_of(option, spot, self._style)
                    reason = f"is empty, but would be read from {place} as {_short(value)}"
                    raise Wrong(name, reason)

    def value(self) -> Any:
        """The body as far as it is written."""
        return self._tree.value()


def _taken_out(inverse: Inverse, name: str, text: str) -> str:
    before, after = inverse.before, inverse.after
    around = len(before) + len(after)
    if not (text.startswith(before) and text.endswith(after) and len(text) >= around):
        raise Wrong(name, f"is {text!r}, which is not of the form {inverse.first.text!r}")
    inner = text[len(before) : len(text) - len(after)]
    optional = source_of(_TEMPLATE.findall(inverse.first.text)[0]).optional
    if not inner and not optional:
        raise Wrong(name, f"is {text!r}, which leaves nothing for {inverse.first.text!r}")
    return inner


def written(
    fields: Mapping[str, Inverse],
    constants: Sequence[tuple[Option, str]],
    items: Sequence[Mapping[str, Any]],
    each: str,
    style: Style,
) -> Writer:
    """A body with the fields of the items at the places their sources read, and constants.

    Each item maps a name to a plain value; one that is lacking is empty. Raises Wrong with the name
    of the field.
    """
    writer = Writer(each, style)
    for number, item in enumerate(items, start=1):
        for target, text in constants:
            writer.put(target, text, number)
        for name, inverse in fields.items():
            writer.write(inverse, name, item.get(name, MISSING), number)
    return writer

"""Mapping as data: from a partner's form to facts, in a closed vocabulary.

A rule says when it applies, for each of which elements, which kind of fact that is, and where its
fields come from (the forms of a source are in `sources`). What lies beyond is written in Python: a
connector's `map` is any function of the same shape. `outbound` reads the same words the other way.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import msgspec

from stockwright.domain.errors import Misconfigured
from stockwright.domain.events import Fact, FactKind
from stockwright.sdk.local_time import WallClock
from stockwright.sdk.messages import Failure, Mapped
from stockwright.sdk.sources import (
    MISSING,
    TIMES,
    Spot,
    Style,
    Wrong,
    path_of,
    resolve,
    source_of,
    text_of,
    value_of,
    walk,
)

_EXCERPT: Final = 300
_PLAIN: Final = re.compile(r"[\w-]+(\[\d+\])?")
_NOT_MAPPED: Final = frozenset({"kind", "system"})


class Rule(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One line of a mapping. fields: name of a fact's field -> source.

    when: source -> the text, or one of the texts, that it must be. each: the path of a list; one
    fact for each element. sign: only elements whose quantity is of this sign; a negative one is
    recorded as the positive quantity of this kind.
    """

    kind: FactKind
    fields: dict[str, str]
    when: dict[str, str | list[str]] = {}
    each: str = ""
    sign: Literal["any", "positive", "negative"] = "any"

    def __post_init__(self) -> None:
        known = set(Fact.__struct_fields__) - _NOT_MAPPED
        for name, source in self.fields.items():
            if name not in known:
                fields = ", ".join(sorted(known))
                raise located(f"a fact has no field {name!r}; it has {fields}", "fields", name)
            _check_source(source, "fields", name)
        for source in self.when:
            _check_source(source, "when", source)
        if self.each:
            _check_source(self.each, "each")
        lacking = {"document", "quantity"} - set(self.fields)
        if lacking:
            raise ValueError(f"a rule must say where {' and '.join(sorted(lacking))} come from")


def located(reason: str, *steps: str) -> ValueError:
    """An error of a part of a setting, with where in it: lint then tells that line and column."""
    plain = [step if _PLAIN.fullmatch(step) else f'"{step}"' for step in steps]
    if any("`" in step or '"' in step for step in steps):
        return ValueError(reason)
    return ValueError(f"{reason} - at `$.{'.'.join(plain)}`")


def _check_source(source: str, *steps: str) -> None:
    try:
        source_of(source)
    except ValueError as error:
        raise located(str(error), *steps) from None


def spots(rule: Rule, root: Any) -> Iterator[Spot]:
    """The elements a rule stands at, in their order. Raises Wrong where the list is none."""
    if not rule.each:
        yield Spot(root=root, element=root, place="$", number=1)
        return
    found = walk(root, rule.each)
    if not isinstance(found, list):
        raise Wrong(rule.each, "is not a list" if found is not MISSING else "is missing")
    for number, element in enumerate(found, start=1):
        yield Spot(root=root, element=element, place=f"{rule.each}[{number - 1}]", number=number)


def map_spot(rules: tuple[Rule, ...], spot: Spot, clock: WallClock, style: Style) -> list[Mapped]:
    """What the rules make of one element: facts, or a failure with the path; never nothing."""
    mapped: list[Mapped] = []
    for rule in rules:
        try:
            if _applies(rule, spot, style):
                item: Fact | Failure = _fact(rule, spot, clock, style)
                mapped.append(Mapped(place=spot.place, item=item))
        except Wrong as wrong:
            failure = Failure(path=wrong.path, reason=wrong.reason, found=excerpt(spot.element))
            return [Mapped(place=spot.place, item=failure)]
    if not mapped:
        reason = "no rule applies here"
        failure = Failure(path=spot.place, reason=reason, found=excerpt(spot.element))
        mapped.append(Mapped(place=spot.place, item=failure))
    return mapped


def map_document(
    rules: tuple[Rule, ...], root: Any, clock: WallClock, style: Style
) -> list[Mapped]:
    """What the rules make of one whole message; one Failure at "$" where no rule is for it."""
    whole = Spot(root=root, element=root, place="$", number=1)
    try:
        chosen = [rule for rule in rules if _chosen(rule, whole, style)]
        if not chosen:
            asked = sorted({source for rule in rules for source in rule.when if source[0] == "$"})
            return [_failed("$", asked[0] if asked else "$", "no rule is for this value")]
        mapped: list[Mapped] = []
        # Rules over the same list are tried together at each element, so that it is told once.
        for each in dict.fromkeys(rule.each for rule in chosen):
            group = tuple(rule for rule in chosen if rule.each == each)
            for spot in spots(group[0], root):
                mapped += map_spot(group, spot, clock, style)
    except Wrong as wrong:
        return [_failed("$", wrong.path, wrong.reason)]
    return mapped or [_failed("$", chosen[0].each, "is an empty list")]


def holds(when: Mapping[str, str | list[str]], spot: Spot, style: Style) -> bool:
    """Whether every condition is met here; a value that is missing meets none."""
    return all(_is(source, want, spot, style) for source, want in when.items())


def text_at(root: Any, path: str) -> str:
    """The text or whole number a path leads to; '' where there is none."""
    return text_of(walk(root, path)) or ""


def rules_from(given: list[Any], setting: str = "rules") -> tuple[Rule, ...]:
    """Rules from plain dictionaries. Raises Misconfigured naming the rule and what is wrong."""
    try:
        return msgspec.convert(tuple(given), tuple[Rule, ...])
    except msgspec.ValidationError as error:
        raise Misconfigured(setting, f"{setting}: {error}") from None


def excerpt(element: Any) -> str:
    """A part of a payload as JSON, cut short, for people who look at why it failed."""
    if isinstance(element, dict | list) and len(element) > _EXCERPT:
        return f"{len(element)} values"
    try:
        return msgspec.json.encode(element).decode()[:_EXCERPT]
    except (UnicodeEncodeError, RecursionError):
        return repr(element)[:_EXCERPT]


def _failed(place: str, path: str, reason: str) -> Mapped:
    return Mapped(place=place, item=Failure(path=path, reason=reason))


def _chosen(rule: Rule, whole: Spot, style: Style) -> bool:
    """Whether the conditions of a rule on the payload as a whole hold."""
    conditions = {source: want for source, want in rule.when.items() if source[0] == "$"}
    return holds(conditions, whole, style)


def _applies(rule: Rule, spot: Spot, style: Style) -> bool:
    if not holds(rule.when, spot, style):
        return False
    if rule.sign == "any":
        return True
    quantity = value_of("quantity", rule.fields["quantity"], spot, style)
    assert quantity is not MISSING
    return bool(quantity < 0) == (rule.sign == "negative")


def _is(source: str, want: str | list[str], spot: Spot, style: Style) -> bool:
    try:
        value, _ = resolve(source, spot, style)
    except Wrong:
        return False
    text = text_of(value)
    return text is not None and (text == want if isinstance(want, str) else text in want)


def _fact(rule: Rule, spot: Spot, clock: WallClock, style: Style) -> Fact:
    fields: dict[str, Any] = {}
    notes: list[str] = []
    for name, source in rule.fields.items():
        value = (
            _time(source, spot, clock, style, notes)
            if name in TIMES
            else value_of(name, source, spot, style)
        )
        if value is not MISSING:
            fields[name] = value
    if rule.sign == "negative":
        fields["quantity"] = -fields["quantity"]
    if notes:
        fields["reason"] = "; ".join(filter(None, [fields.get("reason", ""), *notes]))
    return Fact(kind=rule.kind, **fields)


def _time(source: str, spot: Spot, clock: WallClock, style: Style, notes: list[str]) -> Any:
    value, option = resolve(source, spot, style)
    if value is MISSING:
        return value
    text = text_of(value)
    try:
        if text is None:
            raise ValueError("is not a time written as text")
        instant = clock.read(text.strip(), style.time_format)
    except ValueError as error:
        raise Wrong(path_of(option, spot, style), str(error)) from None
    if instant.note:
        notes.append(instant.note)
    return instant.at

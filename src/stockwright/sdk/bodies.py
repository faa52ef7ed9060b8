"""Messages of ours into bodies of a partner's form and back, as an `Out` says; and facts into the
message that a rule would read them from.
"""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from stockwright.domain.events import MAX_QUANTITY, Fact
from stockwright.sdk.inverting import Inverse, Writer, inverse_of, target_of, written
from stockwright.sdk.local_time import WallClock
from stockwright.sdk.mapping import Rule
from stockwright.sdk.messages import (
    Cancellation,
    Document,
    Failure,
    LevelToSend,
    Outbound,
    Outgoing,
    Refund,
    Shipment,
    ShownLevel,
)
from stockwright.sdk.outbound import HEADS, Out, OutKind, by_element, readable, told_by
from stockwright.sdk.sources import (
    MAX_VERSION,
    MISSING,
    Option,
    Spot,
    Style,
    Wrong,
    path_of,
    plain_number,
    resolve,
    text_of,
    walk,
    whole_number,
)
from stockwright.sdk.transports import json_body

_INTEGERS: Final = frozenset({"quantity", "version", "expected"})
_MAX_AMOUNT: Final = 30
_SHOWN: Final = ("listing", "quantity", "location", "version")
UTC: Final = ZoneInfo("UTC")
_OURS: Final = Style()


# -------------------------------------------------------------------- our messages, plain


def kind_of(message: Outgoing) -> OutKind:
    """The kind of what goes out."""
    if isinstance(message, Shipment):
        return "shipment"
    if isinstance(message, Cancellation):
        return "cancellation"
    return "refund" if isinstance(message, Refund) else "level"


def parts_of(message: Outgoing, style: Style, zone: ZoneInfo) -> tuple[dict[str, Any], list[Any]]:
    """A message as plain values: its head, and its levels or lines; what is empty is left out."""
    if isinstance(message, Shipment | Cancellation | Refund):
        head, lines = message, message.lines
        plain = {name: getattr(head, name) for name in HEADS[kind_of(message)]}
        return _plain(plain, style, zone), [_plain(_of(line), style, zone) for line in lines]
    levels = [_plain(_of(level), style, zone) for level in message]
    channel = levels[0].pop("channel", "") if levels else ""
    for level in levels[1:]:
        level.pop("channel", None)
    return ({"channel": channel} if channel else {}), levels


def _of(struct: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def _plain(values: Mapping[str, Any], style: Style, zone: ZoneInfo) -> dict[str, Any]:
    made = {name: plain_of(value, style, zone) for name, value in values.items()}
    return {name: value for name, value in made.items() if value is not MISSING}


def plain_of(value: Any, style: Style, zone: ZoneInfo) -> Any:
    """A value as text, whole number or flag; MISSING where it is empty.

    A time is ISO 8601 with its zone, or in the style's form as a clock in that zone shows it.
    """
    if value is None or value == "":
        return MISSING
    if isinstance(value, dt.datetime):
        if not style.time_format:
            return value.isoformat()
        return value.astimezone(zone).strftime(style.time_format)
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, Decimal):
        text = format(value, "f")
        return text.replace(".", ",") if style.file and style.decimal == "," else text
    return value


# -------------------------------------------------------------------- out


def write_out(out: Out, message: Outgoing, style: Style, zone: ZoneInfo = UTC) -> list[Any]:
    """The partner's bodies for a message: one with a list, or one for each level or line.

    Raises Wrong with the name of the field that the form cannot say.
    """
    head, elements = parts_of(message, style, zone)
    plan = _plan_of(out)
    if out.each or not by_element(out) or not elements:
        return [_body(out, plan, head, elements, style)]
    return [_body(out, plan, head, [one], style, number) for number, one in enumerate(elements, 1)]


def form_out(
    out: Out, message: Outgoing, style: Style, zone: ZoneInfo = UTC
) -> list[Any] | Failure:
    """The same, with what the form cannot say as a Failure at the field of ours."""
    try:
        return write_out(out, message, style, zone)
    except Wrong as wrong:
        return Failure(path=wrong.path, reason=wrong.reason)


def outbound_by(
    out: Out, message: Outgoing, to: str, style: Style | None = None, zone: ZoneInfo = UTC
) -> list[Outbound] | Failure:
    """What `map_out` answers for a message in a form of JSON, with what is not read back the same.

    to: where it goes, such as "POST /stock".
    """
    style = style or Style()
    bodies = form_out(out, message, style, zone)
    if isinstance(bodies, Failure):
        return bodies
    return [
        Outbound(to=to, body=json_body(body), lost=lost_by(out, message, bodies, style, zone))
        for body in bodies
    ]


class _Plan(NamedTuple):
    """A form taken apart: fields, constants with their places, and what else stands where.

    doubtful: the fields that, left empty, something else in the body might be read as.
    """

    fields: Mapping[str, Inverse]
    constants: Sequence[tuple[Option, str]]
    entries: Sequence[tuple[str, Option, str]]
    doubtful: Mapping[str, Inverse]


def _plan_of(out: Out) -> _Plan:
    fields = {name: inverse_of(source) for name, source in out.fields.items()}
    constants = [(target_of(place), text) for place, text in out.when.items()]
    entries = [(place, target_of(place), source) for place, source in out.body.items()]
    used = Counter(one.target.steps for one in fields.values() if one.target)
    used.update(target.steps for target, _ in constants)
    used.update(target.steps for _, target, _ in entries)
    doubtful = {
        name: one
        for name, one in fields.items()
        if one.template or one.alternatives or (one.target and used[one.target.steps] > 1)
    }
    return _Plan(fields, constants, entries, doubtful)


def _without_lines(plan: _Plan, out: Out, head: Mapping[str, Any]) -> _Plan:
    """What a document without lines says in a form that has a list for them."""
    _check_headed(plan.fields, head)
    return _Plan(
        {name: one for name, one in plan.fields.items() if name in HEADS[out.kind]},
        [one for one in plan.constants if one[0].form == "root"],
        [one for one in plan.entries if one[1].form == "root"],
        {name: one for name, one in plan.doubtful.items() if name in HEADS[out.kind]},
    )


def _body(
    out: Out,
    plan: _Plan,
    head: dict[str, Any],
    elements: Sequence[Any],
    style: Style,
    first: int = 1,
) -> Any:
    items = [{**head, **one} for one in elements] or [head]
    if not elements and out.each:
        plan = _without_lines(plan, out, head)
    writer = written(plan.fields, plan.constants, items, out.each, style)
    for number, element in enumerate(elements or [{}] if plan.entries else (), start=1):
        place = _place(out.kind, first + number - 2)
        spot = Spot(root=head, element=element, place=place, number=first + number - 1)
        _put_entries(writer, plan.entries, spot, number)
    writer.check_empties(plan.doubtful, items)
    return writer.value()


def _put_entries(
    writer: Writer, entries: Sequence[tuple[str, Option, str]], spot: Spot, number: int
) -> None:
    for place, target, source in entries:
        value, _ = resolve(source, spot, _OURS)
        if value is MISSING:
            continue
        try:
            writer.put(target, value, number)
        except Wrong as wrong:
            raise Wrong(place, wrong.reason) from None


def _check_headed(fields: Mapping[str, Inverse], head: Mapping[str, Any]) -> None:
    """Raises Wrong where a document without lines has a field that only lines would say."""
    for name in head:
        target = fields[name].target if name in fields else None
        if target is not None and target.form == "element":
            raise Wrong(name, "is said on each line, and there is none")


def _place(kind: str, index: int) -> str:
    return f"{'$.levels' if kind == 'level' else '$.lines'}[{index}]"


# -------------------------------------------------------------------- back


def read_out(out: Out, body: Any, style: Style, zone: ZoneInfo = UTC) -> list[dict[str, Any]]:
    """The levels or lines that a body in this form speaks of, with the head's fields in each.

    One where there are no lines. Empty fields are left out. Raises Wrong with the path of a value
    that cannot be read.
    """
    clock = WallClock(zone)
    fields = readable(out)
    spots = [Spot(body, body, "$", 1)]
    if out.each:
        found = walk(body, out.each)
        if not isinstance(found, list):
            raise Wrong(out.each, "is not a list" if found is not MISSING else "is missing")
        spots = [Spot(body, one, f"{out.each}[{n}]", n + 1) for n, one in enumerate(found)]
        if not spots:
            spots = [Spot(body, {}, out.each, 1)]
            fields = {name: source for name, source in fields.items() if name in HEADS[out.kind]}
    return [_item(fields, spot, style, clock) for spot in spots]


def _item(fields: Mapping[str, str], spot: Spot, style: Style, clock: WallClock) -> dict[str, Any]:
    item = {}
    for name, source in fields.items():
        value, option = resolve(source, spot, style)
        if value is MISSING:
            continue
        try:
            item[name] = _typed(name, value, style, clock)
        except ValueError as error:
            raise Wrong(path_of(option, spot, style), str(error)) from None
    return item


def _typed(name: str, value: Any, style: Style, clock: WallClock) -> Any:
    text = text_of(value)
    if name in _INTEGERS:
        file = style.file and isinstance(value, str)
        most = MAX_VERSION if name == "version" else MAX_QUANTITY
        return whole_number(plain_number(value, style.decimal) if file else value, most)
    if text is None and not (name == "amount" and isinstance(value, float)):
        raise ValueError("is neither text nor a whole number")
    if name == "shipped_at":
        return clock.read((text or "").strip(), style.time_format).at
    if name != "amount":
        return text
    text = text or str(value)
    try:
        amount = Decimal(plain_number(text, style.decimal) if style.file else text)
    except InvalidOperation:
        raise ValueError(f"is {text[:40]!r}, not an amount") from None
    if not amount.is_finite() or len(text) > _MAX_AMOUNT:
        raise ValueError(f"is {text[:40]!r}, not an amount")
    return amount


def read_levels(out: Out, body: Any, style: Style) -> list[ShownLevel]:
    """The levels that a partner tells in the form it is told them. Raises Wrong."""
    found = walk(body, out.each) if out.each else body
    if found == []:
        return []
    return [
        ShownLevel(**{name: item[name] for name in _SHOWN if name in item})
        for item in read_out(out, body, style)
    ]


def lost_by(
    out: Out, message: Outgoing, bodies: Sequence[Any], style: Style, zone: ZoneInfo = UTC
) -> tuple[str, ...]:
    """The fields that bodies tell and that are read from them otherwise than they were; sorted."""
    names = told_by(out)
    items = _items_of(message)
    read: list[dict[str, Any]] = []
    try:
        for body in bodies:
            read += read_out(out, body, style, zone)
    except Wrong as wrong:
        return (wrong.path,)
    if len(read) != len(items) and by_element(out):
        return ("lines",)
    return tuple(
        sorted(
            {
                name
                for ours, theirs in zip(items, read, strict=False)
                for name in names
                if ours.get(name) != theirs.get(name)
            }
        )
    )


def _items_of(message: Outgoing) -> list[dict[str, Any]]:
    """The elements with the head's fields in each, in our own types, without what is empty."""
    if isinstance(message, Shipment | Cancellation | Refund):
        head = {name: getattr(message, name) for name in HEADS[kind_of(message)]}
        items = [{**head, **_of(line)} for line in message.lines] or [head]
    else:
        items = [_of(level) for level in message]
    return [
        {name: value for name, value in item.items() if value is not None and value != ""}
        for item in items
    ]


# -------------------------------------------------------------------- facts


def write_facts(rule: Rule, facts: Sequence[Fact], zone: ZoneInfo = UTC) -> Any:
    """A message from which a rule of mapping reads these facts: the rule inverted.

    Raises ValueError where a source of the rule cannot be inverted, Wrong where the form cannot say
    what a fact holds. Fields without a source are lost.
    """
    fields = {name: inverse_of(source) for name, source in rule.fields.items()}
    constants = [
        (target_of(place), want if isinstance(want, str) else want[0])
        for place, want in rule.when.items()
    ]
    items = []
    for fact in facts:
        values = {name: getattr(fact, name) for name in fields}
        if rule.sign == "negative":
            values["quantity"] = -values["quantity"]
        items.append(_plain(values, Style(), zone))
    writer = written(fields, constants, items, rule.each, Style())
    writer.check_empties(fields, items)
    return writer.value()


def message_from(given: Any, channel: str) -> Outgoing:
    """A message from plain values: a document, or {"levels": [...]}, each of this channel and
    version 1 where it names none. Raises ValueError with what is wrong.
    """
    try:
        if isinstance(given, dict) and "levels" in given:
            levels = given["levels"] if isinstance(given["levels"], list) else []
            full = [{"channel": channel, "version": 1, **_object(level)} for level in levels]
            if not full:
                raise ValueError("levels: must be a list with a level in it")
            return msgspec.convert(full, tuple[LevelToSend, ...])
        document: Document = msgspec.convert(given, Document)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    return document


def _object(level: Any) -> dict[str, Any]:
    if not isinstance(level, dict):
        raise ValueError("levels: each must be an object")
    return level

"""Mapping as data, outwards: levels and documents into a partner's body, and back again.

An `Out` is written in the words of a rule: `fields` says, as a rule does, where the partner's form
has each field of ours, and is read the other way; `body` says of a place what stands there, for
what cannot be inverted. What lies beyond is written in Python: a connector's `map_out` is any
function of the same shape.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from stockwright.domain.codes import did_you_mean
from stockwright.sdk.inverting import check_targets, inverse_of, target_of
from stockwright.sdk.mapping import located
from stockwright.sdk.messages import (
    Cancellation,
    DocumentLine,
    Refund,
    Shipment,
)
from stockwright.sdk.sources import (
    Option,
    Wrong,
    source_of,
)

OutKind = Literal["level", "shipment", "cancellation", "refund"]
LEVEL: Final = ("listing", "location", "quantity", "version", "expected")
LINE: Final = tuple(DocumentLine.__struct_fields__)
_DOCUMENTS: Final[Mapping[str, type[Any]]] = {
    "shipment": Shipment, "cancellation": Cancellation, "refund": Refund,
}  # fmt: skip
HEADS: Final[Mapping[str, tuple[str, ...]]] = {
    "level": ("channel",),
    **{
        kind: tuple(name for name in struct.__struct_fields__ if name != "lines")
        for kind, struct in _DOCUMENTS.items()
    },
}
"""Kind -> what `$` reaches in a message of ours; `@` reaches the fields of a level or a line."""
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "level": ("listing", "quantity"), "shipment": ("order",), "cancellation": ("order",),
    "refund": ("order",),
}  # fmt: skip


class Out(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """How one kind of message of ours is written in a partner's form.

    fields: our field -> where the partner has it, as in a rule. body: a place of the partner's ->
    what stands there, a source over our own message. when: a place -> the text that always stands
    there. each: the path of the list that levels or lines go to; "$" where the body is that list;
    without it each level or line is a body of its own.
    """

    kind: Annotated[OutKind, Meta(description="what goes out")]
    fields: Annotated[
        dict[str, str], Meta(description="our field -> where the partner's form has it")
    ] = {}
    body: Annotated[
        dict[str, str], Meta(description="a place in the partner's form -> a source of ours")
    ] = {}
    when: Annotated[
        dict[str, str], Meta(description="a place in the partner's form -> the text there")
    ] = {}
    each: Annotated[str, Meta(description="path of the list of levels or lines")] = ""

    def __post_init__(self) -> None:
        for name, source in self.fields.items():
            known = (*HEADS[self.kind], *elements_of(self.kind))
            if name not in known:
                hint = did_you_mean(name, known) or f"it has {', '.join(known)}"
                raise located(f"a {self.kind} has no field {name!r}; {hint}", "fields", name)
            _tried(inverse_of, source, "fields", name)
        for place, source in self.body.items():
            _tried(target_of, place, "body", place)
            _tried(lambda text: self._check_ours(text), source, "body", place)
        for place in self.when:
            _tried(target_of, place, "when", place)
        if self.each:
            _tried(_list_at, self.each, "each")
        told = set(self.fields) | set(names_in(self.body.values()))
        lacking = [name for name in _NEEDED[self.kind] if name not in told]
        if lacking:
            raise ValueError(f"does not say where the {' and the '.join(lacking)} goes")
        self._check_places()

    def _check_ours(self, source: str) -> None:
        """Raises ValueError where a source reaches for what our message has not."""
        for option in options_of(source):
            if option.form in ("root", "element"):
                known = HEADS[self.kind] if option.form == "root" else elements_of(self.kind)
                name = str(option.steps[0]) if option.steps else ""
                if len(option.steps) != 1 or name not in known:
                    ours = ", ".join(f"{option.text[0]}.{one}" for one in known)
                    raise ValueError(f"{option.text!r} is nothing of a {self.kind}; it has {ours}")

    def _check_places(self) -> None:
        places: dict[str, tuple[str, str]] = {}
        targets = []
        for name, source in self.fields.items():
            target = inverse_of(source).target
            if target is not None:
                places[f"fields {name}"] = ("fields", name)
                targets.append((f"fields {name}", target))
        for part in ("body", "when"):
            for place in getattr(self, part):
                places[f"{part} {place}"] = (part, place)
                targets.append((f"{part} {place}", target_of(place)))
        try:
            check_targets(targets, self.each)
        except Wrong as wrong:
            raise located(wrong.reason, *places[wrong.path]) from None


def _tried(check: Any, text: str, *where: str) -> None:
    """Runs a check and says where its ValueError stands in the rule."""
    try:
        check(text)
    except ValueError as error:
        raise located(str(error), *where) from None


def _list_at(text: str) -> None:
    if target_of(text).form != "root":
        raise ValueError(f"{text!r} is not the path of a list: begin with $")


def elements_of(kind: str) -> tuple[str, ...]:
    """What `@` reaches in a message of this kind."""
    return LEVEL if kind == "level" else LINE


def options_of(source: str) -> list[Option]:
    """Every option of a source, those inside templates too."""
    found = []
    for option in source_of(source).options:
        found.append(option)
        if option.form == "template":
            for inner in option.text.split("{")[1:]:
                found += options_of(inner.partition("}")[0])
    return found


def names_in(sources: Iterable[str]) -> list[str]:
    """The fields of ours that sources speak of."""
    return [
        str(option.steps[0])
        for source in sources
        for option in options_of(source)
        if option.form in ("root", "element") and option.steps
    ]


def by_element(out: Out) -> bool:
    """Whether a body says something of a single level or line."""
    names = [*out.fields, *names_in(out.body.values())]
    return any(name in elements_of(out.kind) for name in names) or any(
        option.form == "number" for source in out.body.values() for option in options_of(source)
    )


def readable(out: Out) -> dict[str, str]:
    """Our fields -> where they can be read again: `fields`, and places of `body` with one field."""
    found = dict(out.fields)
    for place, source in out.body.items():
        options, optional = source_of(source)
        option = options[0]
        if len(options) == 1 and option.form in ("root", "element") and option.steps:
            found.setdefault(str(option.steps[0]), place + ("?" if optional else ""))
    return found


def told_by(out: Out) -> tuple[str, ...]:
    """The fields of ours that a body says something about, in the order of the form."""
    return tuple(dict.fromkeys([*out.fields, *names_in(out.body.values())]))


def body_for(outs: Sequence[Out], kind: OutKind) -> Out | None:
    """How a kind of message is written; None where no form is given for it."""
    return next((out for out in outs if out.kind == kind), None)


def check_kinds(outs: Sequence[Out]) -> None:
    """Raises ValueError where a kind has two forms."""
    kinds = [out.kind for out in outs]
    for index, kind in enumerate(kinds):
        if kind in kinds[:index]:
            raise located(f"a {kind} has a form already", f"out[{index}]", "kind")

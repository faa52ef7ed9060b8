"""Exposure policies in words: what a row does as a sentence, and what each field of it means."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec
from msgspec import inspect as mi

from stockwright.domain.exposure import Policy
from stockwright.domain.network import ExposurePolicy

Kind = Literal["code", "whole", "number", "choice"]


class PolicyField(msgspec.Struct, frozen=True, kw_only=True):
    """A field of a policy: its name in the file, what it means, and what it takes.

    default is what it is where nothing is said, '' for nothing at all. choices are the words that a
    `choice` takes.
    """

    name: str
    meaning: str
    kind: Kind
    unit: str
    default: str
    choices: Sequence[str] = ()

    @property
    def label(self) -> str:
        """The name as people read it, without the unit at its end."""
        name = self.name.removesuffix("_s").removesuffix("_days").removesuffix("_percent")
        text = name.replace("_", " ")
        return text.replace("sku", "SKU") if "sku" in text else text.capitalize()


_LARGEST_TIMES: Final = 1_000_000
_ROUND: Final = 1e-6
_UNITS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("safety", "hard_safety", "ring_fence", "buffer", "buffer_most"), "units"),
    **dict.fromkeys(("buffer_percent", "buffer_most_percent"), "%"),
    "buffer_risk": "a share, as 0.01",
    "blind_s": "seconds",
    "degraded_cap": "units",
    "cap": "pieces",
    "pack_size": "pieces",
    "min_shelf_life_days": "days",
}

TOPICS: Final[Sequence[tuple[str, Sequence[str]]]] = (
    ("Which SKUs", ("sku", "sku_group")),
    ("Safety stock", ("safety", "safety_per", "hard_safety", "min_shelf_life_days")),
    ("For this channel alone", ("ring_fence", "ring_fence_mode")),
    (
        "Buffer against sales we learn of late",
        (
            *("buffer", "buffer_percent", "buffer_risk"),
            *("buffer_most", "buffer_most_percent", "blind_s"),
        ),
    ),
    ("Caps and packs", ("cap", "pack_size", "degraded_cap")),
)
"""Every field of a policy under what it is about, as a form shows them."""


def _field(told: mi.Field, declared: msgspec.structs.FieldInfo) -> PolicyField:
    info: Any = told.type
    meaning = ""
    while isinstance(info, mi.Metadata):
        meaning = meaning or (info.extra_json_schema or {}).get("description", "")
        info = info.type
    if isinstance(info, mi.UnionType):
        info = next(one for one in info.types if not isinstance(one, mi.NoneType))
        while isinstance(info, mi.Metadata):
            info = info.type
    kind: Kind = "code"
    if isinstance(info, mi.LiteralType):
        kind = "choice"
    elif isinstance(info, mi.IntType):
        kind = "whole"
    elif isinstance(info, mi.FloatType):
        kind = "number"
    return PolicyField(
        name=told.name,
        meaning=meaning,
        kind=kind,
        unit=_UNITS.get(told.name, ""),
        default=plain(declared.default),
        choices=[str(value) for value in info.values] if kind == "choice" else (),
    )


def plain(value: Any) -> str:
    """A value as a person types it: '' for nothing, no point where there is nothing behind it."""
    if value is None:
        return ""
    if isinstance(value, float):
        # All digits of the same number, and never an exponent.
        return str(int(value)) if value == int(value) else f"{Decimal(repr(value)):f}"
    return str(value)


def _fields() -> Iterator[PolicyField]:
    info = mi.type_info(ExposurePolicy)
    assert isinstance(info, mi.StructType)
    for told, declared in zip(info.fields, msgspec.structs.fields(ExposurePolicy), strict=True):
        yield _field(told, declared)


FIELDS: Final[Mapping[str, PolicyField]] = {one.name: one for one in _fields()}
"""Every field of a policy by its name, in the order of the file."""


def sentence(rule: Policy | ExposurePolicy) -> str:
    """What a row does, as one sentence that a warehouse manager can judge."""
    return f"{subject(rule)}: {'; '.join(_clauses(rule)) or 'all that may be sold is shown'}."


def subject(rule: Policy | ExposurePolicy) -> str:
    """Which SKUs a row speaks of."""
    if rule.sku is not None and rule.sku_group is not None:
        return f"SKU {rule.sku}, while it is of the group {rule.sku_group}"
    if rule.sku is not None:
        return f"SKU {rule.sku}"
    return "All SKUs" if rule.sku_group is None else f"SKUs of the group {rule.sku_group}"


def _clauses(rule: Policy | ExposurePolicy) -> Iterator[str]:
    if rule.safety:
        where = " at every place of the pool" if rule.safety_per == "place" else ""
        yield f"{rule.safety:,} {_are(rule.safety)} held back from what is shown{where}"
    if rule.hard_safety:
        held = f"{rule.hard_safety:,} {_are(rule.hard_safety)} held back"
        yield f"{held} from what is shown and from requests"
    if rule.ring_fence:
        until = (
            "at all times, on top of what it claims"
            if rule.ring_fence_mode == "standing"
            else "until it has claimed them"
        )
        yield f"{rule.ring_fence:,} {_are(rule.ring_fence)} kept for this channel alone, {until}"
    if buffers := list(_buffers(rule)):
        late = "against sales that we learn of late"
        if len(buffers) == 1:
            are = _are(rule.buffer) if rule.buffer else "is"
            yield f"{buffers[0]} {are} held back {late}"
        else:
            yield f"the largest of these is held back {late}: {', '.join(buffers)}"
    if rule.min_shelf_life_days:
        yield f"only lots with {_count(rule.min_shelf_life_days, 'day')} left count"
    yield from _caps(rule)


def _buffers(rule: Policy | ExposurePolicy) -> Iterator[str]:
    if rule.buffer:
        yield _count(rule.buffer, "unit")
    if rule.buffer_percent:
        yield f"{plain(rule.buffer_percent)} % of the pool"
    if rule.buffer_risk is None:
        return
    bounds = []
    if rule.buffer_most is not None:
        bounds.append(f"at most {_count(rule.buffer_most, 'unit')}")
    if rule.buffer_most_percent < 100:
        bounds.append(f"at most {plain(rule.buffer_most_percent)} % of the pool")
    if rule.blind_s:
        bounds.append(f"counting {plain(rule.blind_s)} s that cannot be measured")
    told = f" ({', '.join(bounds)})" if bounds else ""
    yield f"what keeps oversold stock-outs to {_share(rule.buffer_risk)}{told}"


def _caps(rule: Policy | ExposurePolicy) -> Iterator[str]:
    if rule.degraded_cap is not None:
        most = f"{_count(rule.degraded_cap, 'unit')} of a SKU may be open"
        yield f"while a source of the stock is silent, at most {most}"
    if rule.cap == 0:
        yield "nothing is shown"
    elif rule.cap is not None:
        yield f"never more than {_count(rule.cap, 'piece')} {_are(rule.cap)} shown"
    if rule.pack_size > 1:
        yield f"only whole packs of {rule.pack_size:,} are shown"


def _are(units: int) -> str:
    return "is" if units == 1 else "are"


def _count(units: int, word: str) -> str:
    return f"{units:,} {word}{'' if units == 1 else 's'}"


def _share(risk: float) -> str:
    """A share as one in so many, or a percentage where that is not round."""
    times = 1 / risk
    if times < _LARGEST_TIMES and abs(times - round(times)) < _ROUND:
        return f"1 in {round(times):,}"
    return f"{risk * 100:.4g} %"

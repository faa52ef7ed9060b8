"""A payload taken apart: what goes to the ledger, what waits and why."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from stockwright.domain.errors import Rejected
from stockwright.domain.events import Fact, Item
from stockwright.domain.wellformed import prepare
from stockwright.sdk.messages import Failure, Mapped, Payload

WHOLE: Final = "$"
"""The place of a failure that leaves nothing of the payload to go on with."""
_MAX_REASON: Final = 1_000
_PROMISES: Final = frozenset({"channel_order", "channel_cancel"})


class Waiting(NamedTuple):
    """One part that cannot go on, where it stands in the payload, and why."""

    place: str
    failure: Failure


class Unpacked(NamedTuple):
    """items in the payload's order, places aligned with them; waiting: parts that cannot go on."""

    items: list[Item]
    places: list[str]
    waiting: list[Waiting]

    @property
    def hopeless(self) -> Failure | None:
        """Why nothing of the payload can go on; None where something can, or nothing is in it."""
        if self.items or not self.waiting or self.waiting[0].place != WHOLE:
            return None
        return self.waiting[0].failure


class Codes(NamedTuple):
    """Our codes for a system's locations, and the (subject, code) pairs nobody knows."""

    places: Mapping[str, str]
    unknown: Set[tuple[str, str]]


def mapped(mapping: Callable[[Payload], list[Mapped]], payload: Payload) -> list[Mapped]:
    """What a mapping makes of a payload. Raises nothing, whatever the bytes or the mapping do."""
    try:
        parts = list(mapping(payload))
        if all(isinstance(part, Mapped) for part in parts):
            return parts
        reason = "the mapping failed: it made something that is no part of a payload"
    except Exception as fault:  # noqa: BLE001 - anybody's code; its fault parks the payload
        reason = f"the mapping failed: {type(fault).__name__}: {fault}"[:_MAX_REASON]
    return [Mapped(place=WHOLE, item=Failure(path=WHOLE, reason=reason))]


def map_item(payload: Payload) -> list[Mapped]:
    """The mapping of an item that the ledger itself parked: its body is that one fact."""
    try:
        return [Mapped(place=WHOLE, item=msgspec.json.decode(payload.body, type=Fact))]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return [Mapped(place=WHOLE, item=Failure(path=WHOLE, reason=str(error)))]


def codes_in(parts: Iterable[Mapped]) -> list[tuple[str, str]]:
    """All (subject, code) pairs that the facts among parts name, each once.

    What can be no code is left out: the database cannot be asked for it, and the door refuses it.
    """
    asked: dict[tuple[str, str], None] = {}
    for part in parts:
        if isinstance(part.item, Fact):
            asked.update(dict.fromkeys(_asked(part.item)))
    return [(subject, code) for subject, code in asked if _may_be_code(code)]


def _may_be_code(code: object) -> bool:
    return isinstance(code, str) and code.isprintable()


def unpack(parts: Sequence[Mapped], system: str, received_at: datetime, codes: Codes) -> Unpacked:
    """Sorts the parts of a payload into what goes on and what waits; codes answers `codes_in`."""
    sorted_out = Unpacked([], [], [])
    for part in parts:
        item = part.item
        if not isinstance(item, Failure):
            item = _ready(item, part.place, system, received_at, codes)
        if isinstance(item, Failure):
            sorted_out.waiting.append(Waiting(part.place, item))
        else:
            sorted_out.items.append(item)
            sorted_out.places.append(part.place)
    return sorted_out


def _asked(fact: Fact) -> list[tuple[str, str]]:
    item = [("sku", fact.sku)] if fact.sku else [("item", fact.item)]
    pairs = [
        *item,
        ("location", fact.location),
        ("location", fact.to_location),
        ("channel", fact.channel),
    ]
    return [(subject, code) for subject, code in pairs if code]


def _ready(
    item: Item,
    place: str,
    system: str,
    received_at: datetime,
    codes: Codes,
) -> Item | Failure:
    """The item as the ledger takes it: under its system, with our location codes; or why not."""
    item = msgspec.structs.replace(item, system=system)
    try:
        prepare(item, received_at)
    except Rejected as error:
        return Failure(path=f"{place} {error.field}".strip(), reason=error.message)
    except Exception as fault:  # noqa: BLE001 - anybody's mapping: fields of other types than ours
        reason = f"the mapping made no {type(item).__name__.lower()}: {type(fault).__name__}"
        return Failure(path=place, reason=f"{reason}: {fault}")
    if not isinstance(item, Fact):
        return item
    for subject, code in _asked(item):
        if (subject, code) in codes.unknown:
            if subject == "channel" and code == system and item.kind not in _PROMISES:
                # Goods that an ERP or a warehouse tells of: the partner sells on no channel.
                item = msgspec.structs.replace(item, channel="")
                continue
            return Failure(
                path=f"{place} {subject}",
                reason=f"{system} names the {subject} {code!r}, which is not bound yet",
                missing=f"{subject}:{code}",
            )
    return msgspec.structs.replace(
        item,
        location=codes.places.get(item.location, item.location),
        to_location=codes.places.get(item.to_location, item.to_location),
    )

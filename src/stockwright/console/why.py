"""Why a number on an item's page is what it is: steps from zero that add up to it."""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any, Final, get_args

import msgspec

from stockwright.console import formatting as f
from stockwright.domain.availability import (
    Explanation,
    Step,
    Stock,
    explain_free,
    explain_on_hand,
)
from stockwright.domain.errors import Rejected
from stockwright.flow.explaining import quantities
from stockwright.store import positions
from stockwright.store.connection import Connection

MEANINGS: Final[dict[str, str]] = {
    "on_hand": "the goods at a place, in every bucket",
    "free": "sellable goods that nobody was promised; below zero is a shortage",
    "sellable": "goods that may be promised and shipped",
    "inspection": "goods that wait to be looked at",
    "quarantined": "goods that are held back",
    "damaged": "goods that cannot be sold as they are",
    "reserved": "units promised to demand lines, not tied to goods yet",
    "allocated": "units tied to an order line at a place",
    "picked": "units taken off the shelf for an order line, not shipped yet",
    "available_to_sell": "what the channel should show: free stock through its exposure policy",
    "grantable": "what a request of the channel is compared with, before buffers and caps",
    "sent": "what the calls to the channel carried, and what became of them",
}
"""Every number that has an explanation, with what it means."""


class Asked(msgspec.Struct, frozen=True):
    """Which number is to be explained. An empty location means all places."""

    number: str
    sku: str
    location: str = ""
    channel: str = ""
    listing: str = ""


class Answer(msgspec.Struct, frozen=True):
    """An explanation with what helps to judge it.

    `book` is the number as the balance holds it, where the steps come from the ledger: both must
    agree. unit is what is counted.
    """

    asked: Asked
    meaning: str
    unit: str
    explanation: Explanation | None
    book: int | None = None
    claims: Sequence[positions.OpenClaim] = ()
    attempts: Sequence[positions.Attempt] = ()
    notes: Sequence[str] = ()

    @property
    def adds_up(self) -> bool:
        """Whether the ledger and the balance name the same number."""
        return self.book is None or (
            self.explanation is not None and self.explanation.result == self.book
        )


def explain(connection: Connection, asked: Asked, zone: dt.tzinfo = dt.UTC) -> Answer | None:
    """The explanation of one number, None where there is no such SKU or listing.

    Times within it are told in a zone.

    Raises Rejected where the number has no explanation of that name.
    """
    card = positions.item(connection, asked.sku)
    if asked.number not in MEANINGS:
        names = ", ".join(MEANINGS)
        raise Rejected("malformed", "number", f"No such number; there are: {names}.")
    if card is None:
        return None
    if asked.number in ("available_to_sell", "grantable"):
        return _of_channel(connection, asked, card.base_unit)
    if asked.number == "sent":
        return _sent(connection, asked)
    if asked.number in get_args(positions.Account):
        return _account(connection, asked, card.base_unit, zone)
    return _over_places(connection, asked, card.base_unit)


def _over_places(connection: Connection, asked: Asked, unit: str) -> Answer:
    how: Callable[..., Explanation] = explain_free if asked.number == "free" else explain_on_hand
    places = [_stock(place) for place in _places(connection, asked)]
    return Answer(asked, MEANINGS[asked.number], unit, how(asked.sku, places))


def _account(connection: Connection, asked: Asked, unit: str, zone: dt.tzinfo) -> Answer:
    account: positions.Account = asked.number  # type: ignore[assignment]  # checked by the caller
    places = _places(connection, asked)
    steps: list[Step] = []
    running = 0
    for place in places:
        for kind in positions.account_by_kind(connection, asked.sku, place.location, account):
            running += kind.units
            steps.append(
                Step(kind.kind or "earlier", kind.units, running, _told(place.location, kind, zone))
            )
    claims = (
        positions.open_claims(connection, asked.sku, asked.location)
        if asked.location and account in ("reserved", "allocated", "picked")
        else ()
    )
    return Answer(
        asked,
        MEANINGS[account],
        unit,
        Explanation(running, asked.sku, steps),
        book=sum(getattr(place, account) for place in places),
        claims=[claim for claim in claims if getattr(claim, account)],
    )


def _told(location: str, kind: positions.KindSum, zone: dt.tzinfo) -> str:
    last_at = kind.last_at.astimezone(zone)
    entries = "1 entry" if kind.entries == 1 else f"{f.number(kind.entries)} entries"
    return f"{location}: {entries}, the last at {f.clock(last_at, last_at)}"


def _of_channel(connection: Connection, asked: Asked, unit: str) -> Answer | None:
    (found,) = quantities(connection, [asked.sku], asked.channel)
    assert found is not None, "the caller knows the SKU"
    (channel,) = found.channels
    if asked.number == "grantable":
        return Answer(asked, MEANINGS["grantable"], unit, channel.grantable)
    listed = next((one for one in channel.listings if one.listing == asked.listing), None)
    if listed is None:
        return None
    explanation, notes = listed.available_to_sell, []
    if listed.level is None:
        notes.append("No level was computed for this listing yet.")
    elif listed.level.desired != explanation.result:
        notes.append(
            f"The level still stands at {f.number(listed.level.desired)}: the ledger has moved on "
            "and the projection follows."
        )
    return Answer(asked, MEANINGS["available_to_sell"], "pieces", explanation, notes=notes)


def _sent(connection: Connection, asked: Asked) -> Answer:
    tries = positions.attempts(connection, asked.channel, asked.listing)
    notes = [] if tries else ["Nothing was sent for this listing yet."]
    return Answer(asked, MEANINGS["sent"], "pieces", None, attempts=tries, notes=notes)


def _places(connection: Connection, asked: Asked) -> list[positions.Place]:
    return [
        place
        for place in positions.matrix(connection, asked.sku)
        if asked.location in ("", place.location)
    ]


def _stock(place: positions.Place) -> Stock:
    return Stock(
        location=place.location,
        **{account: getattr(place, account) for account in positions.ACCOUNTS},
    )


def content(answer: Answer, **shared: Any) -> dict[str, Any]:
    """What the template names."""
    return {"answer": answer, "asked_for": answer.asked, **shared}

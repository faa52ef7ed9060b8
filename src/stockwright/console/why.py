"""Why a number on an item's page is, or was, what it is: steps from zero that add up to it."""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any, Final, get_args

import msgspec

from stockwright.console import formatting as f
from stockwright.console.travel import check_past
from stockwright.domain.availability import (
    Explanation,
    Step,
    Stock,
    explain_free,
    explain_on_hand,
)
from stockwright.domain.errors import Rejected
from stockwright.flow import looking_back
from stockwright.flow.explaining import ListingQuantity, quantities
from stockwright.store import level_past, past, positions, told
from stockwright.store.connection import Connection
from stockwright.store.history import Revision
from stockwright.store.level_past import Found, Seen
from stockwright.store.past import Carried, Moment
from stockwright.store.stock import TOP, LedgerRow
from stockwright.store.told import ToldLine

MEANINGS: Final[dict[str, str]] = {
    "on_hand": "the goods at a place, in every bucket",
    "free": "sellable goods that nobody was promised; below zero is a shortage",
    "promised": "units promised to demand lines: reserved, allocated or picked",
    "in_transit": "units on the way between two places, in nobody's on hand",
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
    "verified": "what the channel was found to show when it was read back",
    "told": "what a partner system itself counted, against the ledger as of the same time",
}
"""Every number that has an explanation, with what it means."""
TEXTS: Final = ("number", "sku", "location", "channel", "listing", "system", "bucket")
GOODS: Final = positions.ACCOUNTS[:4]
CLAIMS: Final = positions.ACCOUNTS[4:]


class Asked(msgspec.Struct, frozen=True):
    """Which number is to be explained, now or as of a moment. An empty location means all places.

    system and bucket say whose count is meant.
    """

    number: str
    sku: str
    location: str = ""
    channel: str = ""
    listing: str = ""
    system: str = ""
    bucket: str = ""
    at: dt.datetime | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An explanation with what helps to judge it.

    `book` is the number as the balance holds it, where the steps come from the ledger: both must
    agree. unit is what is counted. entries are ledger rows the number stands on, newest first; of
    a level those that came since the number before it. carried are the calls that brought it.
    """

    asked: Asked
    meaning: str
    unit: str
    explanation: Explanation | None = None
    book: int | None = None
    claims: Sequence[positions.OpenClaim] = ()
    attempts: Sequence[positions.Attempt] = ()
    entries: Sequence[LedgerRow] = ()
    carried: Sequence[Carried] = ()
    readings: Sequence[Seen] = ()
    found: Sequence[Found] = ()
    told: Sequence[ToldLine] = ()
    rules: Revision | None = None
    notes: Sequence[str] = ()

    @property
    def adds_up(self) -> bool:
        """Whether the ledger and the balance name the same number."""
        return self.book is None or (
            self.explanation is not None and self.explanation.result == self.book
        )


class _Look(msgspec.Struct, frozen=True):
    """One question on its way: as of which moment, told in which zone, counted in which unit."""

    connection: Connection
    asked: Asked
    then: Moment
    zone: dt.tzinfo
    unit: str
    places: Sequence[positions.Place]
    held: Sequence[positions.OpenClaim]

    @property
    def upto(self) -> int:
        return TOP if self.asked.at is None else self.then.sequence

    def clock(self, at: dt.datetime) -> str:
        there = at.astimezone(self.zone)
        return f.clock(there, there)

    def entries(self, accounts: Sequence[str]) -> list[LedgerRow]:
        asked = self.asked
        return positions.account_entries(
            self.connection, asked.sku, accounts, asked.location, self.upto
        )

    def answer(self, explanation: Explanation | None = None, **more: Any) -> Answer:
        fields = {"unit": self.unit, "meaning": MEANINGS[self.asked.number], **more}
        return Answer(asked=self.asked, explanation=explanation, **fields)


def explain(connection: Connection, asked: Asked, zone: dt.tzinfo = dt.UTC) -> Answer | None:
    """The explanation of one number, None where there is no such SKU or listing.

    Times within it are told in a zone. Raises Rejected where the number has no explanation of that
    name, or the moment has not come yet.
    """
    positions.plan_for_its_values(connection)
    now = positions.moment(connection)
    check_past(asked.at, now)
    then = past.moment(connection, asked.at or now)
    card, places, held = _books(connection, asked, then)
    if asked.number not in MEANINGS:
        names = ", ".join(MEANINGS)
        raise Rejected("malformed", "number", f"No such number; there are: {names}.")
    if card is None:
        return None
    look = _Look(connection, asked, then, zone, card.base_unit, places, held)
    return _EXPLAINERS[asked.number](look)


def _books(
    connection: Connection, asked: Asked, then: Moment
) -> tuple[positions.ItemCard | None, Sequence[positions.Place], Sequence[positions.OpenClaim]]:
    """The card, the places asked for, and who holds claims there; as of then where it is asked."""
    if asked.at is not None:
        with past.visit(connection, then):
            return _read_books(connection, asked)
    return _read_books(connection, asked)


def _read_books(
    connection: Connection, asked: Asked
) -> tuple[positions.ItemCard | None, Sequence[positions.Place], Sequence[positions.OpenClaim]]:
    card = positions.item(connection, asked.sku)
    if card is None or asked.channel or asked.system or asked.number == "in_transit":
        return card, (), ()
    places = [
        place
        for place in positions.matrix(connection, asked.sku)
        if asked.location in ("", place.location)
    ]
    held = asked.location and asked.number in CLAIMS
    claims = positions.open_claims(connection, asked.sku, asked.location) if held else ()
    return card, places, claims


def _over_places(look: _Look) -> Answer:
    how: Callable[..., Explanation] = explain_on_hand
    accounts: Sequence[str] = GOODS
    if look.asked.number == "free":
        how, accounts = explain_free, ("sellable", *CLAIMS)
    stocks = [_stock(place) for place in look.places]
    return look.answer(how(look.asked.sku, stocks), entries=look.entries(accounts))


def _promised(look: _Look) -> Answer:
    steps: list[Step] = []
    for place in look.places:
        for account in CLAIMS:
            units = getattr(place, account)
            if units:
                running = units + (steps[-1].running if steps else 0)
                steps.append(Step(account, units, running, f"{place.location}: {account} units"))
    return look.answer(_added(look, steps), entries=look.entries(CLAIMS))


def _in_transit(look: _Look) -> Answer:
    steps: list[Step] = []
    for one in positions.under_way(look.connection, look.asked.sku, look.upto):
        running = one.units + (steps[-1].running if steps else 0)
        why = f"transfer {one.document or 'without a document'}: " + _entries(
            one.entries, look.clock(one.last_at)
        )
        steps.append(Step("under way", one.units, running, why))
    book = positions.in_transit(look.connection, look.asked.sku, look.upto)
    entries = look.entries(["in_transit"]) if steps else ()
    return look.answer(_added(look, steps), book=book, entries=entries)


def _account(look: _Look) -> Answer:
    account: positions.Account = look.asked.number  # type: ignore[assignment]  # by the table below
    steps: list[Step] = []
    running = 0
    for place in look.places:
        for kind in positions.account_by_kind(
            look.connection, look.asked.sku, place.location, account, look.upto
        ):
            running += kind.units
            why = f"{place.location}: {_entries(kind.entries, look.clock(kind.last_at))}"
            steps.append(Step(kind.kind or "earlier", kind.units, running, why))
    return look.answer(
        _added(look, steps),
        book=sum(getattr(place, account) for place in look.places),
        claims=[claim for claim in look.held if getattr(claim, account)],
        entries=look.entries([account]),
    )


def _added(look: _Look, steps: Sequence[Step]) -> Explanation:
    return Explanation(steps[-1].running if steps else 0, look.asked.sku, steps)


def _entries(count: int, last: str) -> str:
    entries = "1 entry" if count == 1 else f"{f.number(count)} entries"
    return f"{entries}, the last at {last}"


def _grantable(look: _Look) -> Answer:
    asked = look.asked
    (found,) = quantities(look.connection, [asked.sku], asked.channel, asked.at, with_levels=False)
    assert found is not None, "the caller knows the SKU"
    return look.answer(found.channels[0].grantable)


def _available_to_sell(look: _Look) -> Answer | None:
    asked = look.asked
    (found,) = quantities(look.connection, [asked.sku], asked.channel, asked.at)
    assert found is not None, "the caller knows the SKU"
    (channel,) = found.channels
    listed = next((one for one in channel.listings if one.listing == asked.listing), None)
    if listed is None:
        return None
    levels = past.levels_then(look.connection, [(asked.channel, asked.listing)], look.then.at)
    if asked.at is None:
        return _level_now(look, listed, levels)
    if not levels:
        note = "No level was computed for this listing by then."
        return look.answer(listed.available_to_sell, unit="pieces", notes=[note])
    shown = looking_back.shown(look.connection, levels[0], asked.sku, listed.available_to_sell)
    return _level(look, shown, _due(shown))


def _level_now(look: _Look, listed: ListingQuantity, levels: Sequence[past.LevelThen]) -> Answer:
    """What is so now is explained by the ledger of now; the calls are those of the level."""
    notes = _overtaken(listed)
    if not levels:
        return look.answer(listed.available_to_sell, unit="pieces", notes=notes)
    shown = looking_back.came_about(
        look.connection, levels[0], look.asked.sku, listed.available_to_sell
    )
    return _level(look, shown, notes)


def _level(look: _Look, shown: looking_back.Shown, notes: Sequence[str]) -> Answer:
    return look.answer(
        shown.explanation,
        unit="pieces",
        entries=shown.causes,
        carried=[
            _as_known(one, look.then.at) for one in shown.carried if one.started_at <= look.then.at
        ],
        rules=shown.rules,
        notes=notes,
    )


def _as_known(one: Carried, at: dt.datetime) -> Carried:
    """A call as it was known at a time."""
    if one.finished_at is None or one.finished_at <= at:
        return one
    return msgspec.structs.replace(one, finished_at=None, outcome=None, detail="")


def _overtaken(listed: ListingQuantity) -> list[str]:
    if listed.level is None:
        return ["No level was computed for this listing yet."]
    if listed.level.desired == listed.available_to_sell.result:
        return []
    return [
        f"The level still stands at {f.number(listed.level.desired)}: the ledger has moved on "
        "and the projection follows."
    ]


def _due(shown: looking_back.Shown) -> list[str]:
    if shown.due is None:
        return []
    return [
        f"By then the ledger and the rules asked for {f.number(shown.due)} already; the projection "
        "had not come to it."
    ]


def _sent(look: _Look) -> Answer:
    asked = look.asked
    tries = positions.attempts(look.connection, asked.channel, asked.listing, look.then.at)
    found = level_past.found_before(look.connection, asked.channel, asked.listing, look.then.at)
    notes = [] if tries else ["Nothing was sent for this listing yet."]
    return look.answer(unit="pieces", attempts=tries, found=found, notes=notes)


def _verified(look: _Look) -> Answer:
    asked = look.asked
    readings = level_past.seen_before(look.connection, asked.channel, asked.listing, look.then.at)
    found = level_past.found_before(look.connection, asked.channel, asked.listing, look.then.at)
    notes = [] if readings else ["This listing was not read back yet, or its channel cannot be."]
    return look.answer(unit="pieces", readings=readings, found=found, notes=notes)


def _told(look: _Look) -> Answer | None:
    asked = look.asked
    bucket = asked.bucket or "sellable"
    every = [
        line
        for line in told.newest_told(look.connection, asked.sku, look.upto)
        if (line.system, line.location, line.bucket) == (asked.system, asked.location, bucket)
    ]
    if not every:
        return None
    steps: list[Step] = []
    for line in every:
        steps += _told_steps(look, line, steps[-1].running if steps else 0)
    before = told.told_before(
        look.connection, asked.sku, asked.system, asked.location, bucket, look.upto
    )
    return look.answer(_added(look, steps), told=before)


def _told_steps(look: _Look, line: ToldLine, running: int) -> list[Step]:
    lot = f", lot {line.lot}" if line.lot else ""
    when = f"as of {look.clock(line.as_of)}{lot}"
    if line.difference is None:
        why = f"{line.system} told so {when}; another system's word counts here"
        return [Step("told", line.counted, running + line.counted, why)]
    held = line.counted - line.difference
    followed = "the ledger followed" if line.posted else f"{line.system} told otherwise"
    if not line.difference:
        followed = f"{line.system} told the same"
    return [
        Step("ledger", held, running + held, f"what the ledger held {when}, as it was compared"),
        Step("difference", line.difference, running + line.counted, followed),
    ]


def _stock(place: positions.Place) -> Stock:
    return Stock(
        location=place.location,
        **{account: getattr(place, account) for account in positions.ACCOUNTS},
    )


_EXPLAINERS: Final[dict[str, Callable[[_Look], Answer | None]]] = {
    "on_hand": _over_places,
    "free": _over_places,
    "promised": _promised,
    "in_transit": _in_transit,
    "available_to_sell": _available_to_sell,
    "grantable": _grantable,
    "sent": _sent,
    "verified": _verified,
    "told": _told,
    **dict.fromkeys(get_args(positions.Account), _account),
}


def content(answer: Answer, **shared: Any) -> dict[str, Any]:
    """What the template names."""
    asked = answer.asked
    at = f.moment(asked.at) if asked.at else ""
    return {"answer": answer, "asked_for": asked, "at": at, **shared}

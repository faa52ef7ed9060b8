"""available_to_promise: what may be promised by a date, and the first date for a quantity.

available_to_promise = free + dated supply up to the date - backorders owed - safety stock
"""

import datetime as dt
from collections.abc import Sequence

import msgspec

from stockwright.domain.availability import (
    Component,
    Explanation,
    Sum,
    add_owed,
    add_pool,
    add_safety,
    usable,
)
from stockwright.domain.supply import Expected


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """What may be promised of a SKU by a date, in base units.

    earliest is when `quantity` may be promised, as far as supply is known; None where never.
    """

    by: dt.datetime
    available_to_promise: Explanation
    quantity: int = 0
    earliest: dt.datetime | None = None


def available_to_promise(
    component: Component, supply: Sequence[Expected], now: dt.datetime, by: dt.datetime
) -> Explanation:
    """What may be promised of a SKU at the component's places by a date; may be below zero.

    Supply due before now counts until it is overdue for longer than its place allows. Lots are
    judged by the shelf life they have now.
    """
    sum_ = Sum(component.sku)
    add_pool(sum_, component.places)
    here = {stock.location: usable(stock) for stock in component.places}
    for one in supply:
        if one.location in here and one.counts(now, by):
            here[one.location] += one.units
            sum_.add("supply", one.units, f"{one.location}: {one.what}, due {_date(one.due_at)}")
    add_safety(sum_, component.policy, here.items())
    add_owed(sum_, component.owed)
    return sum_.explanation()


def earliest(
    component: Component, supply: Sequence[Expected], now: dt.datetime, quantity: int
) -> dt.datetime | None:
    """The first time by which so many units may be promised; None where supply does not cover it.

    Later supply never takes from what may be promised, so whatever may be promised then may be
    promised at any later time.
    """
    places = {stock.location for stock in component.places}
    dates = {max(now, one.due_at) for one in supply if one.location in places}
    for by in sorted({now, *dates}):
        if available_to_promise(component, supply, now, by).result >= quantity:
            return by
    return None


def promise(
    component: Component,
    supply: Sequence[Expected],
    now: dt.datetime,
    by: dt.datetime | None = None,
    quantity: int = 0,
) -> Promise:
    """What may be promised by a date (now where None), and when `quantity` may be (where > 0)."""
    by = max(now, by or now)
    return Promise(
        by=by,
        available_to_promise=available_to_promise(component, supply, now, by),
        quantity=quantity,
        earliest=earliest(component, supply, now, quantity) if quantity > 0 else None,
    )


def _date(at: dt.datetime) -> str:
    return f"{at.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"

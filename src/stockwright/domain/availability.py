"""The quantities of a SKU, each by its own name, and how each came about.

on_hand    the goods of a place, in every bucket
free       sellable goods that nobody was promised; below zero is a shortage
grantable  what a request of a channel is compared with
available_to_promise  free, and the supply up to a date, less what is owed and the safety stock
available_to_sell  what a channel is shown for a listing

An `Explanation` adds up: its steps start from zero, each `running` is the sum so far, and the last
one is the result.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from stockwright.domain import exposure
from stockwright.domain.exposure import Policy
from stockwright.domain.supply import Dated


class Stock(msgspec.Struct, frozen=True, kw_only=True):
    """What the two books say of one SKU at one place, all lots together, in base units.

    stale are the free units that are no use to whoever asks for a shelf life: of lots not good for
    so long, or promised to others who asked for as much.
    """

    location: str
    sellable: int = 0
    inspection: int = 0
    quarantined: int = 0
    damaged: int = 0
    reserved: int = 0
    allocated: int = 0
    picked: int = 0
    stale: int = 0


class Fence(msgspec.Struct, frozen=True, kw_only=True):
    """A ring-fence of another channel on the same SKU and pool, and what that channel claims."""

    channel: str
    ring_fence: int
    claimed: int = 0

    @property
    def unused(self) -> int:
        """Base units still held for that channel."""
        return exposure.unused_fence(self.ring_fence, self.claimed)


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """Backorders of one channel and class that go before whoever asks."""

    channel: str
    demand_class: int
    units: int
    lines: int = 1


class Component(msgspec.Struct, frozen=True, kw_only=True):
    """One SKU of a listing: how many base units one piece takes, and what it is judged by.

    places are those of the channel's pool. policy is the row of the channel that matches the SKU.
    supply is what is expected at these places; until presell_until it counts as there for what is
    shown. owed are the backorders of the channel's own class and higher ones.
    """

    sku: str
    quantity: int = 1
    places: Sequence[Stock] = ()
    policy: Policy = exposure.NEUTRAL
    fences: Sequence[Fence] = ()
    supply: Sequence[Dated] = ()
    presell_until: dt.datetime | None = None
    owed: Sequence[Owed] = ()


class Step(msgspec.Struct, frozen=True):
    """One term of a sum. `name` is a name of exposure.RULES or of a bucket."""

    name: str
    amount: int
    running: int
    why: str


class Explanation(msgspec.Struct, frozen=True):
    """A number and the steps that lead to it, for one SKU.

    For a listing of several SKUs it is that of the scarcest one; `others` explain the rest.
    """

    result: int
    sku: str
    steps: Sequence[Step]
    others: Sequence["Explanation"] = ()


class _Promised(Protocol):
    @property
    def sellable(self) -> int: ...
    @property
    def reserved(self) -> int: ...
    @property
    def allocated(self) -> int: ...
    @property
    def picked(self) -> int: ...


def on_hand(stock: Stock) -> int:
    """The goods at a place, in every bucket."""
    return stock.sellable + stock.inspection + stock.quarantined + stock.damaged


def free(stock: _Promised) -> int:
    """Sellable goods that nobody was promised; below zero where more is promised than is there."""
    return stock.sellable - stock.reserved - stock.allocated - stock.picked


def explain_on_hand(sku: str, places: Iterable[Stock]) -> Explanation:
    """on_hand over some places, one step for each."""
    sum_ = _Sum(sku)
    for stock in places:
        sum_.add("on_hand", on_hand(stock), _goods(stock))
    return sum_.explanation()


def explain_free(sku: str, places: Iterable[Stock]) -> Explanation:
    """Free over some places, one step for each; a shortage at one counts against the rest."""
    sum_ = _Sum(sku)
    _add_free(sum_, places)
    return sum_.explanation()


def explain_grantable(component: Component) -> Explanation:
    """What a request of this channel is compared with, in base units of the component's SKU."""
    sum_ = _Sum(component.sku)
    _add_free(sum_, component.places)
    hard = component.policy.hard_safety
    if hard:
        sum_.add("safety", -hard, f"hard safety stock {hard} is never granted")
    _add_owed(sum_, component.owed)
    _add_fences(sum_, component.fences)
    # The ledger compares with the plain formula; both must name the same number.
    assert sum_.running == exposure.grantable(
        sum(free(stock) for stock in component.places),
        hard_safety=hard,
        other_fences_unused=sum(fence.unused for fence in component.fences),
        backorders=sum(owed.units for owed in component.owed),
    )
    _add_fresh(sum_, component)
    return sum_.explanation()


def available_to_promise(
    components: Sequence[Component], by: dt.datetime, *, split: bool = True
) -> Explanation:
    """What can be promised of a listing, or of one SKU, for a date: in pieces of the listing.

    Below zero where more is owed than will be there. It never falls with a later date.
    """
    one_place = None if split else _sets_at_one_place([(one, by) for one in components])
    return _scarcest([_promise(component, by, one_place) for component in components])


def earliest(
    components: Sequence[Component], quantity: int, now: dt.datetime, *, split: bool = True
) -> dt.datetime | None:
    """The first date for which the quantity can be promised; None where no known supply reaches."""
    dates = sorted({now, *(one.at for component in components for one in component.supply)})
    first, last = 0, len(dates)
    while first < last:  # more can be promised for a later date, never less
        middle = (first + last) // 2
        if available_to_promise(components, dates[middle], split=split).result >= quantity:
            last = middle
        else:
            first = middle + 1
    return dates[first] if first < len(dates) else None


def available_to_sell(components: Sequence[Component], *, split: bool = True) -> Explanation:
    """What a channel is shown for a listing, in pieces of the listing; zero or more.

    The scarcest component decides; a listing without components has nothing to sell. Where an order
    may be split, the pool is summed before whole sets are taken: one piece may come from several
    places. Where not, only sets count whose parts lie at one place.
    """
    one_place = None
    if not split:
        one_place = _sets_at_one_place([(one, one.presell_until) for one in components])
    return _scarcest([_available(component, one_place) for component in components])


def _scarcest(explained: list[Explanation]) -> Explanation:
    """The explanation that decides, with the others attached."""
    if not explained:
        return Explanation(0, "", ())
    scarcest = min(range(len(explained)), key=lambda n: explained[n].result)
    chosen = explained.pop(scarcest)
    if not explained:
        return chosen
    return msgspec.structs.replace(chosen, others=tuple(explained))


class _Sum:
    """Steps that add up because only `add` makes them."""

    __slots__ = ("running", "sku", "steps")

    def __init__(self, sku: str) -> None:
        self.sku = sku
        self.running = 0
        self.steps: list[Step] = []

    def add(self, name: str, amount: int, why: str) -> None:
        self.running += amount
        self.steps.append(Step(name, amount, self.running, why))

    def explanation(self) -> Explanation:
        return Explanation(self.running, self.sku, tuple(self.steps))


def _available(component: Component, one_place: int | None) -> Explanation:
    policy = component.policy
    sum_ = _Sum(component.sku)
    _add_pool(sum_, component, component.presell_until)
    _add_fences(sum_, component.fences)
    if policy.buffer:
        sum_.add("buffer", -policy.buffer, f"buffer {policy.buffer} held back")
    _add_sets(sum_, component.quantity)
    _add_one_place(sum_, one_place)
    _add_cap(sum_, policy.cap)
    _add_packs(sum_, policy.pack_size)
    if sum_.running < 0:
        sum_.add("floor", -sum_.running, "nothing to sell is shown as zero")
    return sum_.explanation()


def _promise(component: Component, by: dt.datetime, one_place: int | None) -> Explanation:
    sum_ = _Sum(component.sku)
    _add_pool(sum_, component, by)
    _add_sets(sum_, component.quantity)
    _add_one_place(sum_, one_place)
    return sum_.explanation()


def _add_pool(sum_: _Sum, component: Component, by: dt.datetime | None) -> None:
    """The pool as it will be by a date, or is now: less what is too old, owed, or safety stock."""
    _add_free(sum_, component.places)
    days = component.policy.min_shelf_life_days
    for stock in component.places:
        if stock.stale:
            why = f"{stock.location}: {stock.stale} are not good for {days} days, or promised so"
            sum_.add("shelf_life", -stock.stale, why)
    for one in _in_time(component, by):
        sum_.add("supply", one.units, f"{one.location}: {one.what}, {one.at:%Y-%m-%d %H:%M} UTC")
    _add_safety(sum_, component, by)
    _add_owed(sum_, component.owed)


def _add_free(sum_: _Sum, places: Iterable[Stock]) -> None:
    for stock in places:
        sum_.add("free", free(stock), _promises(stock))


def _in_time(component: Component, by: dt.datetime | None) -> list[Dated]:
    return [one for one in component.supply if by is not None and one.at <= by]


def _units_at_places(component: Component, by: dt.datetime | None) -> dict[str, int]:
    """By place what is there, and good for long enough, and comes in time; below zero if short."""
    units = {stock.location: free(stock) - stock.stale for stock in component.places}
    for one in _in_time(component, by):
        units[one.location] = units.get(one.location, 0) + one.units
    return units


def _withheld_at_places(component: Component, units: Mapping[str, int]) -> dict[str, int]:
    """By place the safety stock that is withheld there; empty where it is the pool's."""
    safety = component.policy.safety
    if component.policy.safety_per != "place" or not safety:
        return {}
    return {place: min(safety, max(0, there)) for place, there in units.items()}


def _sets_at_one_place(parts: Iterable[tuple[Component, dt.datetime | None]]) -> int:
    """Sets all of whose parts lie at one place by their dates, over all places.

    A place that is short of a part makes no set; what it is short of counts against the pool.
    """
    sets: dict[str, int] | None = None
    for component, by in parts:
        units = _units_at_places(component, by)
        withheld = _withheld_at_places(component, units)
        whole = {
            place: max(0, there - withheld.get(place, 0)) // component.quantity
            for place, there in units.items()
        }
        before = whole if sets is None else sets
        sets = {place: min(before[place], whole[place]) for place in whole if place in before}
    return sum(sets.values()) if sets else 0


def _add_safety(sum_: _Sum, component: Component, by: dt.datetime | None) -> None:
    policy = component.policy
    withheld = _withheld_at_places(component, _units_at_places(component, by))
    for place, units in withheld.items():
        why = f"{place}: safety stock {policy.safety}, at most what is there"
        sum_.add("safety", -units, why)
    # Publication also withholds what no request would be granted.
    wanted = policy.hard_safety - sum(withheld.values())
    if policy.safety_per == "network":
        wanted = max(policy.safety, wanted)
    if wanted > 0:
        units = min(wanted, max(0, sum_.running))
        sum_.add("safety", -units, f"safety stock {wanted}, at most what is free")


def _add_owed(sum_: _Sum, owed: Iterable[Owed]) -> None:
    for one in owed:
        lines = "order line" if one.lines == 1 else "order lines"
        why = f"{one.channel} owes {one.units} to {one.lines} {lines} of class {one.demand_class}"
        sum_.add("backorders", -one.units, why)


def _add_fresh(sum_: _Sum, component: Component) -> None:
    """A request is met from lots that are good for long enough; all the rest may be from others."""
    if any(stock.stale for stock in component.places):
        fresh = sum(max(0, free(stock) - stock.stale) for stock in component.places)
        days = component.policy.min_shelf_life_days
        why = f"{fresh} are of lots that are good for {days} days"
        sum_.add("fresh", min(0, fresh - sum_.running), why)


def _add_fences(sum_: _Sum, fences: Iterable[Fence]) -> None:
    for fence in fences:
        sum_.add(
            "ring_fence",
            -fence.unused,
            f"{fence.channel} holds {fence.ring_fence} and has claimed {fence.claimed}",
        )


def _add_sets(sum_: _Sum, quantity: int) -> None:
    if quantity != 1:
        units = sum_.running
        sets = units // quantity
        sum_.add("component", sets - units, f"{units} units make {sets} sets of {quantity}")


def _add_one_place(sum_: _Sum, one_place: int | None) -> None:
    if one_place is not None:
        why = f"the parts of {one_place} sets lie at one place"
        sum_.add("one_place", min(0, one_place - sum_.running), why)


def _add_cap(sum_: _Sum, cap: int | None) -> None:
    if cap is not None:
        sum_.add("cap", min(0, cap - sum_.running), f"at most {cap} are shown")


def _add_packs(sum_: _Sum, pack_size: int) -> None:
    if pack_size != 1:
        sum_.add("pack_size", -(sum_.running % pack_size), f"whole packs of {pack_size} only")


def _goods(stock: Stock) -> str:
    parts = [
        f"{name} {units}"
        for name, units in (
            ("sellable", stock.sellable),
            ("inspection", stock.inspection),
            ("quarantined", stock.quarantined),
            ("damaged", stock.damaged),
        )
        if units or name == "sellable"
    ]
    return f"{stock.location}: {', '.join(parts)}"


def _promises(stock: Stock) -> str:
    return f"{stock.location}: sellable {stock.sellable}" + "".join(
        f" - {name} {units}"
        for name, units in (
            ("reserved", stock.reserved),
            ("allocated", stock.allocated),
            ("picked", stock.picked),
        )
        if units
    )

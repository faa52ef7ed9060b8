"""The quantities of a SKU, each by its own name, and how each came about.

on_hand    the goods of a place, in every bucket
free       sellable goods that nobody was promised; below zero is a shortage
grantable  what a request of a channel is compared with
available_to_sell  what a channel is shown for a listing; where its partner subtracts its own open
           orders, what the partner is given
(available_to_promise, by a date, is in domain.promising)

An `Explanation` adds up: its steps start from zero, each `running` is the sum so far, and the last
one is the result.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from stockwright.domain import exposure
from stockwright.domain.backorders import Owed
from stockwright.domain.exposure import Policy


class Stock(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the two books say of one SKU at one place, all lots together, in base units.

    fresh is what is free in lots with the shelf life asked for; None where none is asked for.
    """

    location: str
    sellable: int = 0
    inspection: int = 0
    quarantined: int = 0
    damaged: int = 0
    reserved: int = 0
    allocated: int = 0
    picked: int = 0
    fresh: int | None = None


class Fence(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A ring-fence of another channel on the same SKU and pool, and what that channel claims."""

    channel: str
    ring_fence: int
    claimed: int = 0
    mode: str = "consumed"

    @property
    def unused(self) -> int:
        """Base units still held for that channel."""
        return exposure.unused_fence(self.ring_fence, self.claimed, self.mode)

    @property
    def why(self) -> str:
        """What the fence holds, in words."""
        if self.mode == "standing":
            return f"{self.channel} holds {self.ring_fence}, on top of what it claims"
        return f"{self.channel} holds {self.ring_fence} and has claimed {self.claimed}"


class RiskBuffer(msgspec.Struct, frozen=True, kw_only=True):
    """A buffer computed from the risk of a policy, in base units, and what it follows from."""

    units: int
    why: str


class Component(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One SKU of a listing: how many base units one piece takes, and what it is judged by.

    places are those of the channel's pool. policy is the row of the channel that matches the SKU;
    pieces the row whose cap and pack_size count where that is another one: that of the kit which
    the SKU is part of. risk is the buffer that follows from the policy's buffer_risk. degraded
    names a silent source of the stock; claimed is what the channel has open, told only where that
    caps its requests.
    """

    sku: str
    quantity: int = 1
    places: Sequence[Stock] = ()
    policy: Policy = exposure.NEUTRAL
    fences: Sequence[Fence] = ()
    owed: Owed | None = None
    pieces: Policy | None = None
    risk: RiskBuffer | None = None
    degraded: str = ""
    claimed: int = 0


class Kit(msgspec.Struct, frozen=True, kw_only=True):
    """A kit of a listing whose parts are explained as components, and what of it is ready-made.

    alone: the listing is this kit and nothing else, so that ready-made ones can be sold.
    """

    component: Component
    alone: bool = True


class Step(msgspec.Struct, frozen=True, gc=False):
    """One term of a sum. `name` is a name of exposure.RULES or of a bucket."""

    name: str
    amount: int
    running: int
    why: str


class Explanation(msgspec.Struct, frozen=True, gc=False):
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


def usable(stock: Stock) -> int:
    """What is free at a place, of goods with the shelf life asked for where some is."""
    return free(stock) if stock.fresh is None else stock.fresh


def explain_on_hand(sku: str, places: Iterable[Stock]) -> Explanation:
    """on_hand over some places, one step for each."""
    sum_ = Sum(sku)
    for stock in places:
        sum_.add("on_hand", on_hand(stock), _goods(stock))
    return sum_.explanation()


def explain_free(sku: str, places: Sequence[Stock]) -> Explanation:
    """Free over some places, one step for each; a shortage at one counts against the rest."""
    sum_ = Sum(sku)
    add_pool(sum_, places)
    return sum_.explanation()


def explain_grantable(component: Component) -> Explanation:
    """What a request of this channel is compared with, in base units of the component's SKU."""
    sum_ = Sum(component.sku)
    add_pool(sum_, component.places)
    hard = component.policy.hard_safety
    if hard:
        sum_.add("safety", -hard, f"hard safety stock {hard} is never granted")
    add_owed(sum_, component.owed)
    _add_fences(sum_, component.fences)
    most = _add_degraded_cap(sum_, component)
    explained = sum_.explanation()
    # The ledger compares with the plain formula; both must name the same number.
    assert explained.result == exposure.grantable(
        _pool_free(component.places),
        hard_safety=hard,
        other_fences_unused=sum(fence.unused for fence in component.fences),
        backorders=component.owed.units if component.owed else 0,
        most=most,
    )
    return explained


def available_to_sell(
    components: Sequence[Component], *, allow_split: bool = True, kits: Sequence[Kit] = ()
) -> Explanation:
    """What a channel is shown for a listing, in pieces of the listing; zero or more.

    The scarcest component decides; a listing without components has nothing to sell. Where an order
    may be split the pool is summed before whole sets are taken, so that one piece may come from
    several places; else the sets are those whose parts lie together at one place.
    """
    if not components:
        return Explanation(0, "", ())
    together = None
    if not allow_split and (len(components) > 1 or components[0].quantity != 1):
        together = sets_together(components)
    explained = [_available(component, together, kits) for component in components]
    scarcest = min(range(len(explained)), key=lambda n: explained[n].result)
    chosen = explained.pop(scarcest)
    if not explained:
        return chosen
    return msgspec.structs.replace(chosen, others=tuple(explained))


def gross_of(explained: Explanation, open_units: Iterable[tuple[int, int]]) -> Explanation:
    """The number for a partner that subtracts its own open orders, from what a listing may sell.

    open_units are the units on such orders and the quantity of a piece, for each SKU of the
    listing; what makes no whole piece is not added.
    """
    pieces = min((max(0, units) // quantity for units, quantity in open_units), default=0)
    if not pieces:
        return explained
    result = explained.result + pieces
    why = f"{pieces} on this channel's open orders, which its partner subtracts itself"
    steps = (*explained.steps, Step("gross", pieces, result, why))
    return msgspec.structs.replace(explained, result=result, steps=steps)


def sets_together(components: Sequence[Component]) -> Mapping[str, int]:
    """By place, the whole sets whose parts all lie there; a shortage there is below zero.

    sum over places of min over components of floor(units / quantity).
    """
    units: list[dict[str, int]] = []
    for component in components:
        mine: dict[str, int] = {}
        for stock in component.places:
            left = usable(stock) - _safety_at(component.policy, usable(stock))
            mine[stock.location] = mine.get(stock.location, 0) + left
        units.append(mine)
    places = dict.fromkeys(place for mine in units for place in mine)
    return {
        place: min(
            mine.get(place, 0) // component.quantity
            for mine, component in zip(units, components, strict=True)
        )
        for place in places
    }


class Sum:
    """Steps that add up because only `add` makes them."""

    __slots__ = ("running", "sku", "steps")

    def __init__(self, sku: str) -> None:
        self.sku = sku
        self.running = 0
        self.steps: list[Step] = []

    def add(self, name: str, amount: int, why: str) -> None:
        """One more term."""
        self.running += amount
        self.steps.append(Step(name, amount, self.running, why))

    def explanation(self) -> Explanation:
        """What they add up to."""
        return Explanation(self.running, self.sku, tuple(self.steps))


def _available(
    component: Component, together: Mapping[str, int] | None, kits: Sequence[Kit]
) -> Explanation:
    sum_ = _sellable_units(component)
    _add_sets(sum_, component.quantity)
    _add_together(sum_, together)
    for kit in kits:
        _add_assembled(sum_, kit)
    pieces = component.policy if component.pieces is None else component.pieces
    _add_cap(sum_, pieces.cap)
    _add_packs(sum_, pieces.pack_size)
    if sum_.running < 0:
        sum_.add("floor", -sum_.running, "nothing to sell is shown as zero")
    return sum_.explanation()


def _sellable_units(component: Component) -> Sum:
    """What a channel may sell of one SKU, in base units, before it is cut into pieces."""
    policy = component.policy
    sum_ = Sum(component.sku)
    add_pool(sum_, component.places)
    add_safety(sum_, policy, [(stock.location, usable(stock)) for stock in component.places])
    add_owed(sum_, component.owed)
    _add_fences(sum_, component.fences)
    _add_degraded_cap(sum_, component)
    _add_buffer(sum_, component)
    return sum_


def _pool_free(places: Iterable[Stock]) -> int:
    return sum(usable(stock) for stock in places)


def add_pool(sum_: Sum, places: Sequence[Stock]) -> None:
    """What is free at each place, and what of it has too short a shelf life."""
    for stock in places:
        sum_.add("free", free(stock), _promises(stock))
    for stock in places:
        if stock.fresh is not None:
            why = f"{stock.location}: {stock.fresh} have the shelf life asked for"
            sum_.add("shelf_life", stock.fresh - free(stock), why)


def _safety_at(policy: Policy, units: int) -> int:
    """Safety stock withheld at one place that has so many units."""
    return min(policy.safety, max(0, units)) if policy.safety_per == "place" else 0


def add_safety(sum_: Sum, policy: Policy, units: Iterable[tuple[str, int]]) -> None:
    """Withholds safety stock, given the units at each place of the pool."""
    # Publication also withholds what no request would be granted.
    wanted, kept = max(policy.safety, policy.hard_safety), 0
    if policy.safety_per == "place" and policy.safety:
        for place, here in units:
            withheld = _safety_at(policy, here)
            why = f"{place}: safety stock {policy.safety}, at most what is free there"
            sum_.add("safety", -withheld, why)
            kept += withheld
        wanted = max(0, policy.hard_safety - kept)
    if wanted:
        withheld = min(wanted, max(0, sum_.running))
        sum_.add("safety", -withheld, f"safety stock {wanted}, at most what is free")


def add_owed(sum_: Sum, owed: Owed | None) -> None:
    """Leaves what is owed on backorders that come first."""
    if owed is not None and owed.units:
        lines = "1 order line" if owed.lines == 1 else f"{owed.lines} order lines"
        sum_.add("backorder", -owed.units, f"{owed.units} owed on {lines} that come first")


def _add_fences(sum_: Sum, fences: Iterable[Fence]) -> None:
    for fence in fences:
        sum_.add("ring_fence", -fence.unused, fence.why)


def _add_buffer(sum_: Sum, component: Component) -> None:
    units, why = buffer_of(component)
    if units:
        sum_.add("buffer", -units, why)


def buffer_of(component: Component) -> tuple[int, str]:
    """The buffer held back, in base units, and why: the largest of those the policy asks for."""
    policy = component.policy
    pool = max(0, _pool_free(component.places))
    buffers = [(policy.buffer, f"buffer {policy.buffer} held back")]
    if policy.buffer_percent:
        share = percent_of(policy.buffer_percent, pool, round_up=True)
        buffers.append((share, f"{policy.buffer_percent:g} % of the pool's {pool}, rounded up"))
    if policy.buffer_risk is not None and component.risk is not None:
        risky, why = component.risk.units, component.risk.why
        most = percent_of(policy.buffer_most_percent, pool)
        if risky > most:
            risky, why = (
                most,
                f"{policy.buffer_most_percent:g} % of the pool's {pool} at most; {why}",
            )
        buffers.append((risky, why))
    return max(buffers, key=lambda one: one[0])


def percent_of(percent: float, units: int, *, round_up: bool = False) -> int:
    """A share of some units in whole units. Ten-thousandths of a percent count, finer ones not."""
    parts = round(percent * 10_000)
    return -(-units * parts // 1_000_000) if round_up else units * parts // 1_000_000


def _add_degraded_cap(sum_: Sum, component: Component) -> int | None:
    """What a degraded_cap leaves to be granted; None where none is in force."""
    cap = component.policy.degraded_cap
    if cap is None or not component.degraded:
        return None
    room = max(0, cap - component.claimed)
    why = f"{component.degraded}: at most {cap} open, {component.claimed} are"
    sum_.add("degraded_cap", min(0, room - sum_.running), why)
    return room


def _add_sets(sum_: Sum, quantity: int) -> None:
    if quantity != 1:
        units = sum_.running
        sets = units // quantity
        sum_.add("component", sets - units, f"{units} units make {sets} sets of {quantity}")


def _add_together(sum_: Sum, together: Mapping[str, int] | None) -> None:
    if together is not None:
        each = ", ".join(f"{place} {sets}" for place, sets in together.items())
        why = f"whole sets that lie together: {each or 'none'}"
        sum_.add("places", min(0, sum(together.values()) - sum_.running), why)


def _add_assembled(sum_: Sum, kit: Kit) -> None:
    part = kit.component
    there = _pool_free(part.places)
    if there < 0:
        why = f"{-there} of kit {part.sku} are promised and still to be made"
        sum_.add("assembled", there // part.quantity, why)
    elif there and kit.alone:
        ready = max(0, _sellable_units(part).running) // part.quantity
        sum_.add("assembled", ready, f"{there} of kit {part.sku} are ready-made")


def _add_cap(sum_: Sum, cap: int | None) -> None:
    if cap is not None:
        sum_.add("cap", min(0, cap - sum_.running), f"at most {cap} are shown")


def _add_packs(sum_: Sum, pack_size: int) -> None:
    if pack_size != 1:
        sum_.add("pack_size", -(sum_.running % pack_size), f"whole packs of {pack_size} only")


def _goods(stock: Stock) -> str:
    text = f"{stock.location}: sellable {stock.sellable}"
    if stock.inspection:
        text += f", inspection {stock.inspection}"
    if stock.quarantined:
        text += f", quarantined {stock.quarantined}"
    if stock.damaged:
        text += f", damaged {stock.damaged}"
    return text


def _promises(stock: Stock) -> str:
    text = f"{stock.location}: sellable {stock.sellable}"
    if stock.reserved:
        text += f" - reserved {stock.reserved}"
    if stock.allocated:
        text += f" - allocated {stock.allocated}"
    if stock.picked:
        text += f" - picked {stock.picked}"
    return text

"""The quantities of a SKU, each by its own name, and how each came about.

on_hand    the goods of a place, in every bucket
free       sellable goods that nobody was promised; below zero is a shortage
grantable  what a request of a channel is compared with
available_to_sell  what a channel is shown for a listing

An `Explanation` adds up: its steps start from zero, each `running` is the sum so far, and the last
one is the result.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from stockwright.domain import exposure
from stockwright.domain.exposure import Policy


class Stock(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the two books say of one SKU at one place, all lots together, in base units."""

    location: str
    sellable: int = 0
    inspection: int = 0
    quarantined: int = 0
    damaged: int = 0
    reserved: int = 0
    allocated: int = 0
    picked: int = 0


class Fence(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A ring-fence of another channel on the same SKU and pool, and what that channel claims."""

    channel: str
    ring_fence: int
    claimed: int = 0

    @property
    def unused(self) -> int:
        """Base units still held for that channel."""
        return exposure.unused_fence(self.ring_fence, self.claimed)


class Component(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One SKU of a listing: how many base units one piece takes, and what it is judged by.

    places are those of the channel's pool. policy is the row of the channel that matches the SKU.
    """

    sku: str
    quantity: int = 1
    places: Sequence[Stock] = ()
    policy: Policy = exposure.NEUTRAL
    fences: Sequence[Fence] = ()


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


def explain_on_hand(sku: str, places: Iterable[Stock]) -> Explanation:
    """on_hand over some places, one step for each."""
    sum_ = _Sum(sku)
    for stock in places:
        sum_.add("on_hand", on_hand(stock), _goods(stock))
    return sum_.explanation()


def explain_free(sku: str, places: Iterable[Stock]) -> Explanation:
    """Free over some places, one step for each; a shortage at one counts against the rest."""
    sum_ = _Sum(sku)
    _add_pool(sum_, places)
    return sum_.explanation()


def explain_grantable(component: Component) -> Explanation:
    """What a request of this channel is compared with, in base units of the component's SKU."""
    sum_ = _Sum(component.sku)
    _add_pool(sum_, component.places)
    hard = component.policy.hard_safety
    if hard:
        sum_.add("safety", -hard, f"hard safety stock {hard} is never granted")
    _add_fences(sum_, component.fences)
    explained = sum_.explanation()
    # The ledger compares with the plain formula; both must name the same number.
    assert explained.result == exposure.grantable(
        _pool_free(component.places),
        hard_safety=hard,
        other_fences_unused=sum(fence.unused for fence in component.fences),
    )
    return explained


def available_to_sell(components: Sequence[Component]) -> Explanation:
    """What a channel is shown for a listing, in pieces of the listing; zero or more.

    The scarcest component decides; a listing without components has nothing to sell. The pool is
    summed before whole sets are taken, so one piece may come from several places.
    """
    if not components:
        return Explanation(0, "", ())
    explained = [_available(component) for component in components]
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


def _available(component: Component) -> Explanation:
    policy = component.policy
    sum_ = _Sum(component.sku)
    _add_pool(sum_, component.places)
    _add_safety(sum_, policy)
    _add_fences(sum_, component.fences)
    if policy.buffer:
        sum_.add("buffer", -policy.buffer, f"buffer {policy.buffer} held back")
    _add_sets(sum_, component.quantity)
    _add_cap(sum_, policy.cap)
    _add_packs(sum_, policy.pack_size)
    if sum_.running < 0:
        sum_.add("floor", -sum_.running, "nothing to sell is shown as zero")
    return sum_.explanation()


def _pool_free(places: Iterable[Stock]) -> int:
    return sum(free(stock) for stock in places)


def _add_pool(sum_: _Sum, places: Iterable[Stock]) -> None:
    for stock in places:
        sum_.add("free", free(stock), _promises(stock))


def _add_safety(sum_: _Sum, policy: Policy) -> None:
    # Publication also withholds what no request would be granted.
    wanted = max(policy.safety, policy.hard_safety)
    if wanted:
        withheld = min(wanted, max(0, sum_.running))
        sum_.add("safety", -withheld, f"safety stock {wanted}, at most what is free")


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


def _add_cap(sum_: _Sum, cap: int | None) -> None:
    if cap is not None:
        sum_.add("cap", min(0, cap - sum_.running), f"at most {cap} are shown")


def _add_packs(sum_: _Sum, pack_size: int) -> None:
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

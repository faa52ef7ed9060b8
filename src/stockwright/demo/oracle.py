"""The judge: the true free stock, kept apart from everything that sells or synchronises it.

Both worlds are judged by this one rule, each with its own stock: pieces on the shelf that nobody
was promised. An accepted line takes its whole quantity, also below zero: who was promised too much
waits for the next receipt.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """What one seller did, in lines and pieces."""

    orders: int = 0
    lines: int = 0
    units: int = 0
    accepted_lines: int = 0
    accepted_units: int = 0
    oversold_lines: int = 0
    oversold_units: int = 0
    refused_lines: int = 0
    refused_servable: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        """The sum of two sellers' doings."""
        return Tally(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


@dataclass(slots=True)
class Oracle:
    """True free stock by SKU, and the tally of every seller.

    `untold` are pieces sold that the seller has not told anyone yet. A line that was asked for and
    granted meanwhile, and finds only those missing, is charged to the seller that did not ask: the
    piece counts as oversold either way, once.
    """

    free: Counter[str]
    untold: Counter[str] = field(default_factory=Counter)
    charged_untold: Tally = field(default_factory=Tally)
    sellers: dict[str, Tally] = field(default_factory=dict)

    @classmethod
    def opening(cls, stock: Mapping[str, int]) -> "Oracle":
        """A world that starts with this stock and no promise."""
        return cls(Counter(stock))

    def move(self, sku: str, gain: int) -> None:
        """The shelf gained (or lost) sellable pieces."""
        self.free[sku] += gain

    def order(self, seller: str) -> None:
        """A customer placed an order."""
        self._tally(seller).orders += 1

    def accepted(self, seller: str, sku: str, quantity: int, *, asked: bool = False) -> int:
        """The seller promised these pieces; returns how many of them did not exist."""
        free = self.free[sku]
        short = min(quantity, max(0, quantity - max(0, free)))
        self.free[sku] = free - quantity
        tally = self._line(seller, quantity)
        tally.accepted_lines += 1
        tally.accepted_units += quantity
        charged = self.charged_untold if asked and short <= self.untold[sku] else tally
        charged.oversold_lines += short > 0
        charged.oversold_units += short
        return short

    def refused(self, seller: str, sku: str, quantity: int) -> bool:
        """The seller turned these pieces down; returns whether stock could have served them."""
        servable = self.free[sku] >= quantity
        tally = self._line(seller, quantity)
        tally.refused_lines += 1
        tally.refused_servable += servable
        return servable

    def kept_back(self, sku: str, quantity: int) -> None:
        """A sale took place that the hub cannot know of yet."""
        self.untold[sku] += quantity

    def told(self, sku: str, quantity: int) -> None:
        """The hub confirmed that it heard of the sale."""
        self.untold[sku] -= quantity

    def total(self, sellers: Mapping[str, object] | None = None) -> Tally:
        """The sum over these sellers, or over all; charges for sales not told are not in it."""
        chosen = (
            tally for code, tally in self.sellers.items() if sellers is None or code in sellers
        )
        return sum(chosen, Tally())

    def _line(self, seller: str, quantity: int) -> Tally:
        tally = self._tally(seller)
        tally.lines += 1
        tally.units += quantity
        return tally

    def _tally(self, seller: str) -> Tally:
        return self.sellers.setdefault(seller, Tally())

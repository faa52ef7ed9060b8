"""How long a change takes from the partner it happened at to every seller that shows it.

Measured outside Stockwright: from the moment before a partner sends, to the moment a seller has the
new number and answers.
"""

import time
from collections.abc import Iterable, Sequence

from stockwright.domain.errors import StockwrightError


class LatencyMeter:
    """Samples by seller, in seconds. The oldest change not shown yet is the one that counts.

    numbers is how many numbers sellers were given, measured or not.
    """

    def __init__(self, sellers: Iterable[str]) -> None:
        self.samples: dict[str, list[float]] = {code: [] for code in sellers}
        self.numbers = 0
        self._waiting: dict[str, dict[str, float]] = {code: {} for code in self.samples}

    def sent(self, skus: Iterable[str], at: float | None = None) -> None:
        """A partner is about to tell of a change to these SKUs; at is a monotonic time."""
        now = time.monotonic() if at is None else at
        for sku in skus:
            for waiting in self._waiting.values():
                waiting.setdefault(sku, now)

    def shown(self, seller: str, sku: str, at: float | None = None) -> None:
        """A seller shows a new number of this SKU."""
        self.numbers += 1
        began = self._waiting[seller].pop(sku, None)
        if began is not None:
            now = time.monotonic() if at is None else at
            self.samples[seller].append(now - began)

    def rested(self) -> None:
        """Nothing is under way: what still waits changed no seller's number."""
        for waiting in self._waiting.values():
            waiting.clear()

    def all(self) -> list[float]:
        """Every sample of every seller, sorted, in seconds."""
        return sorted(sample for samples in self.samples.values() for sample in samples)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of sorted samples; 0 < share <= 1. Raises where there is none."""
    if not ordered:
        raise StockwrightError("no seller ever showed a change: there is no latency to report")
    rank = max(1, -(-len(ordered) * round(share * 1000) // 1000))
    return ordered[rank - 1]

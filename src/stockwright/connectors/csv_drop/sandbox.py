"""A partner that takes files of levels and drops files of orders, on this machine."""

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path

from stockwright.sdk.connector import utc_now
from stockwright.sdk.files.partner import FolderPartner

Line = tuple[str, int]


class Sandbox(FolderPartner):
    """A house that sells what its last file of levels shows, and tells by a file of orders.

    It answers no calls, so that none can be spoilt: HAS_FAULTS is not said.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        every_s: float = 0.0,
        clock: Callable[[], dt.datetime] = utc_now,
    ) -> None:
        super().__init__(folder, every_s=every_s, clock=clock)
        self._files = 0

    def sell(
        self,
        order: str,
        lines: Sequence[Line],
        *,
        occurred_at: dt.datetime | None = None,
    ) -> Path:
        """A customer bought (listing, quantity) lines: lowers what is shown and drops a file."""
        at = (occurred_at or self.clock()).isoformat()
        rows = []
        for number, (listing, quantity) in enumerate(lines, start=1):
            self.lower(listing, quantity)
            rows.append([order, str(number), listing, str(quantity), at])
        self._files += 1
        header = ["order", "line", "sku", "quantity", "occurred_at"]
        return self.drop(f"orders-{self._files:06d}.csv", [header, *rows])

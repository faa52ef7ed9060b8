"""A store with tills on this machine: sells, takes goods back, and tells at the end of the day."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Final

from stockwright.sdk.connector import utc_now
from stockwright.sdk.files.partner import FolderPartner

HEADER: Final = ("store", "terminal", "receipt", "line", "sku", "quantity", "time")


class Sandbox(FolderPartner):
    """Rings up lines, and closes days: one file for all that was rung up since the last."""

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        every_s: float = 0.0,
        clock: Callable[[], dt.datetime] = utc_now,
    ) -> None:
        super().__init__(folder, every_s=every_s, clock=clock)
        self._rows: list[list[str]] = []
        self._receipts: dict[str, int] = {}
        self._closed = 0

    def ring_up(self, *lines: tuple[str, int], store: str = "S1", terminal: str = "1") -> str:
        """A receipt of (sku, quantity) lines, negative for goods brought back; its number."""
        number = self._receipts[terminal] = self._receipts.get(terminal, 0) + 1
        receipt, at = f"{number:04d}", self.clock().isoformat()
        for line, (sku, quantity) in enumerate(lines, start=1):
            self.lower(sku, quantity)
            self._rows.append([store, terminal, receipt, str(line), sku, str(quantity), at])
        return receipt

    def close_day(self) -> Path:
        """Drops the file of all that was rung up, and begins a new one; answers its path."""
        rows, self._rows = self._rows, []
        self._closed += 1
        return self.drop(f"sales-{self._closed:06d}.csv", [HEADER, *rows])

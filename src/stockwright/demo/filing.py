"""The mail-order house: reads its numbers from dropped files, drops files of what it sold."""

from pathlib import Path

from stockwright.demo.happenings import Order
from stockwright.demo.overlay import Seller
from stockwright.demo.sellers import Promised
from stockwright.demo.stage import Stage


class FilingSeller:
    """Sells what its last file shows and tells afterwards, by file."""

    def __init__(self, seller: Seller, drop: Path, stage: Stage, promised: Promised) -> None:
        self.seller = seller
        self._stage = stage

    async def order(self, order: Order) -> None:
        """Promise what the shown number covers, and drop a file of it."""
        self._stage.oracle.order(self.seller.code)
        for line in order.lines:
            self._stage.oracle.refused(self.seller.code, line.sku, line.quantity)

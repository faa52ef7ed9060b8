"""What sellers showed of one SKU and what there was: a chart's points, on the replay's clock."""

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass, field

Point = tuple[dt.datetime, int]


@dataclass
class Picture:
    """Shown against true free stock of one SKU; what is said of others is passed over."""

    sku: str
    true: list[Point] = field(default_factory=list)
    shown: defaultdict[str, list[Point]] = field(default_factory=lambda: defaultdict(list))

    def see_true(self, at: dt.datetime, sku: str, free: int) -> None:
        """The true free stock changed."""
        if sku == self.sku:
            self.true.append((at, free))

    def see_shown(self, at: dt.datetime, seller: str, sku: str, quantity: int) -> None:
        """A seller shows another number."""
        if sku == self.sku:
            self.shown[seller].append((at, quantity))

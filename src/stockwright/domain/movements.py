"""Facts by kind: which function decides each one."""

from collections.abc import Callable
from typing import Final

from stockwright.domain import counting, fulfilment, goods, transfers
from stockwright.domain.books import Overlay
from stockwright.domain.events import Outcome
from stockwright.domain.goods import Told
from stockwright.domain.postings import POSTINGS

Rule = Callable[[Overlay, Told], Outcome]

RULES: Final[dict[str, Rule]] = {
    "goods": goods.goods,
    "till": goods.sold_at_till,
    "shipment": fulfilment.shipment,
    "returned": fulfilment.returned,
    "inspect": goods.inspect,
    "transfer_out": transfers.transfer_out,
    "transfer_in": transfers.transfer_in,
    "transfer_close": transfers.transfer_close,
    "count": counting.count,
    "snapshot": counting.snapshot,
    "recall": counting.recall,
    "expire_lot": counting.expire_lot,
    "conversion": goods.conversion,
    "pick": fulfilment.pick,
    "unpick": fulfilment.unpick,
    "channel_order": fulfilment.channel_order,
    "channel_cancel": fulfilment.channel_cancel,
}
RULES_BY_KIND: Final = {
    kind: RULES[row.rule] for kind, row in POSTINGS.items() if row.rule in RULES
}

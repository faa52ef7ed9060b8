"""Facts by kind: which function decides each one, and how an earlier event is taken back."""

import datetime as dt
from collections.abc import Callable
from typing import Final

from stockwright.domain import counting, counts, fulfilment, goods, transfers
from stockwright.domain.books import Overlay
from stockwright.domain.errors import Rejected
from stockwright.domain.events import Fact, Outcome
from stockwright.domain.goods import Told, recorded
from stockwright.domain.postings import POSTINGS

_NOT_REVERSIBLE: Final = frozenset({"in_transit"})


def reverse(overlay: Overlay, fact: Fact, at: dt.datetime) -> Outcome:
    """Takes back the goods moves of an earlier event, once; its claims are mended by requests
    instead.
    """
    moves = overlay.books.reversible.get(fact.reverses)
    subject = f"reversal|{fact.reverses}"
    if not moves:
        raise Rejected("unknown_demand", "reverses", f"event {fact.reverses} moved no goods")
    if subject in overlay.books.revisions:
        return Outcome(code="superseded", message="this event was taken back before")
    if any({move[2], move[4]} & _NOT_REVERSIBLE for move in moves):
        overlay.raise_work(
            "reversal_by_hand",
            subject,
            moves[0][0],
            moves[0][3] or moves[0][5],
            reverses=fact.reverses,
        )
        return Outcome(
            code="observed", message="a transfer is mended by its own documents; see the work item"
        )
    if overlay.books.told_by.get(fact.reverses, fact.system) != fact.system:
        return Outcome(code="observed", message="only the system that told an event takes it back")
    overlay.rare.documents[subject] = (1, 0)
    for sku, lot, source, from_location, target, to_location, units, moved_at, *_ in moves:
        counts.move_goods(
            overlay, sku, lot, target, to_location, source, from_location, units, moved_at
        )
    return recorded()


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

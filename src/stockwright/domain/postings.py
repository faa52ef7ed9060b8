"""The posting table: for each kind, which goods move, what its claims do, and whether it may be refused.

Adding a kind is one member of FactKind or RequestKind, one row here, and one row in the table test.
A `$name` stands for the field of that name on the fact.
"""

from typing import Final, NamedTuple


class Posting(NamedTuple):
    """One row. rule names the function of the ledger that decides; `goods` is the plain move."""

    kind: str
    may_refuse: bool
    group: str
    source: str
    target: str
    claims: str
    rule: str
    quantity: str
    meaning: str


def _fact(
    kind: str,
    group: str,
    source: str,
    target: str,
    meaning: str,
    claims: str = "",
    rule: str = "goods",
    quantity: str = "positive",
) -> Posting:
    return Posting(kind, False, group, source, target, claims, rule, quantity, meaning)


def _request(kind: str, source: str, target: str, meaning: str, claims: str) -> Posting:
    return Posting(kind, True, "", source, target, claims, kind, "lines", meaning)


TABLE: Final = (
    _fact("receipt", "inbound", "supplier", "$bucket", "goods came in from a supplier"),
    _fact("shipment", "outbound", "sellable", "customer", "goods left for a customer", "close", "shipment"),
    _fact("pos_sale", "pos", "sellable", "customer", "sold and taken away at the till"),
    _fact("return_receipt", "inbound", "customer", "inspection", "a customer sent goods back", "", "returned"),
    _fact("inspection_result", "internal", "inspection", "$to_bucket", "what the inspection decided", "", "inspect"),
    _fact("transfer_out", "outbound", "sellable", "in_transit", "goods left for another place", "", "transfer_out"),
    _fact("transfer_in", "inbound", "in_transit", "$bucket", "goods arrived from another place", "", "transfer_in"),
    _fact(
        "transfer_close", "inbound", "in_transit", "adjustment",
        "the rest of a transfer was lost or found", "", "transfer_close", "optional",
    ),
    _fact("adjustment", "internal", "adjustment", "$bucket", "a correction by a signed quantity", quantity="signed"),
    _fact("count", "count", "adjustment", "$bucket", "counted as of a time", "", "count", "whole"),
    _fact("snapshot", "", "adjustment", "$bucket", "a partner's own number as of a time", "", "snapshot", "whole"),
    _fact("damage", "internal", "sellable", "damaged", "found damaged"),
    _fact("quarantine", "internal", "sellable", "quarantined", "blocked from sale"),
    _fact("unquarantine", "internal", "quarantined", "sellable", "free for sale again"),
    _fact("scrap", "internal", "$bucket", "scrap", "thrown away"),
    _fact("lot_recall", "", "sellable", "quarantined", "a lot is blocked everywhere", "", "recall", "optional"),
    _fact("lot_expiry", "", "sellable", "quarantined", "a lot reached its date", "", "expire_lot", "optional"),
    _fact("conversion", "internal", "sellable", "adjustment", "sets were opened into singles", "", "conversion"),
    _fact("pick", "outbound", "allocated", "picked", "taken from the shelf for an order", "advance", "pick"),
    _fact("unpick", "outbound", "picked", "allocated", "put back on the shelf", "back", "unpick"),
    _fact("channel_order", "", "unclaimed", "reserved", "a channel sold without asking", "open", "channel_order"),
    _fact("channel_cancel", "", "reserved", "unclaimed", "a channel cancelled", "close", "channel_cancel"),
    _fact("reversal", "", "", "", "an earlier event is taken back", "", "reversal", "optional"),
    _request("reserve", "unclaimed", "reserved", "hold units for a customer", "open"),
    _request("extend", "", "", "move the end of a hold", ""),
    _request("confirm", "", "", "the customer bought", ""),
    _request("allocate", "reserved", "allocated", "tie the promise to a place and release it to the warehouse", "advance"),
    _request("deallocate", "allocated", "reserved", "the warehouse gave an allocation back", "back"),
    _request("release", "reserved", "unclaimed", "the hold is no longer wanted", "close"),
    _request("cancel", "reserved", "unclaimed", "the order line is cancelled", "close"),
    Posting("expiry", False, "", "reserved", "unclaimed", "close", "expiry", "lines", "a hold ran out"),
)

POSTINGS: Final = {row.kind: row for row in TABLE}

"""The posting table: per kind, which goods move, what its claims do, whether it may be refused.

Adding a kind is one member of FactKind or RequestKind, one row here, and one row in the table test.
"""

from typing import Final, NamedTuple


class Posting(NamedTuple):
    """One row. `rule` names the function that decides; source and target are the plain move."""

    kind: str
    group: str
    source: str
    target: str
    claims: str
    quantity: str
    rule: str
    meaning: str

    @property
    def may_refuse(self) -> bool:
        """True for requests: facts are recorded, requests are decided."""
        return self.rule == "request"


# group: the movement group whose authority is asked. A `$name` is the field of that name on the
# fact. claims: what happens to the promises on the demand line. quantity: what is well formed.
_ROWS: Final = """
kind              | group    | source      | target      | claims  | quantity | rule           | meaning
receipt           | inbound  | supplier    | $bucket     |         | positive | goods          | goods came in from a supplier
shipment          | outbound | sellable    | customer    | close   | positive | shipment       | goods left for a customer
pos_sale          | pos      | sellable    | customer    |         | positive | till           | sold and taken away at the till
return_receipt    | inbound  | customer    | inspection  |         | positive | returned       | a customer sent goods back
inspection_result | internal | inspection  | $to_bucket  |         | positive | inspect        | what the inspection decided
transfer_out      | outbound | sellable    | in_transit  |         | positive | transfer_out   | goods left for another place
transfer_in       | inbound  | in_transit  | $bucket     |         | positive | transfer_in    | goods arrived from another place
transfer_close    | inbound  | in_transit  | adjustment  |         | optional | transfer_close | the rest of a transfer was lost or found
adjustment        | internal | adjustment  | $bucket     |         | signed   | goods          | a correction by a signed quantity
count             | count    | adjustment  | $bucket     |         | whole    | count          | counted as of a time
snapshot          |          | adjustment  | $bucket     |         | whole    | snapshot       | a partner's own number as of a time
damage            | internal | sellable    | damaged     |         | positive | goods          | found damaged
quarantine        | internal | sellable    | quarantined |         | positive | goods          | blocked from sale
unquarantine      | internal | quarantined | sellable    |         | positive | goods          | free for sale again
scrap             | internal | $bucket     | scrap       |         | positive | goods          | thrown away
lot_recall        |          | sellable    | quarantined |         | optional | recall         | a lot is blocked everywhere
lot_expiry        |          | sellable    | quarantined |         | optional | expire_lot     | a lot reached its date at a place
conversion        | internal | sellable    | adjustment  |         | positive | conversion     | sets were opened into singles
pick              | outbound | allocated   | picked      | advance | positive | pick           | taken from the shelf for an order
unpick            | outbound | picked      | allocated   | back    | positive | unpick         | put back on the shelf
channel_order     |          | unclaimed   | reserved    | open    | positive | channel_order  | a channel sold without asking
channel_cancel    |          | reserved    | unclaimed   | close   | positive | channel_cancel | a channel cancelled
reversal          |          |             |             |         | optional | reversal       | an earlier event is taken back
reserve           |          | unclaimed   | reserved    | open    | lines    | request        | hold units for a customer
extend            |          |             |             |         | lines    | request        | move the end of a hold
confirm           |          |             |             |         | lines    | request        | the customer bought
allocate          |          | reserved    | allocated   | advance | lines    | request        | tie a promise to its place and tell the warehouse
deallocate        |          | allocated   | reserved    | back    | lines    | request        | the warehouse gave an allocation back
release           |          | reserved    | unclaimed   | close   | lines    | request        | the hold is no longer wanted
cancel            |          | reserved    | unclaimed   | close   | lines    | request        | the order line is cancelled
expiry            |          | reserved    | unclaimed   | close   | lines    | expiry         | a hold ran out
"""  # noqa: E501 - a table is read across

TABLE: Final = tuple(
    Posting(*(cell.strip() for cell in row.split("|"))) for row in _ROWS.strip().splitlines()[1:]
)
POSTINGS: Final = {row.kind: row for row in TABLE}

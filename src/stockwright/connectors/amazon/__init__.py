"""Amazon's Selling Partner API: levels by patch and by feed, orders in, documents out.

client         every verb, handed on; api and plans: its calls, at Amazon's pace
levels out     lanes says which way they go: listings, or listing_feeds with their forms
orders in      orders polls, from order_cursor on, by orders_2026 or orders_v0, which both tell
               order_forms; mapping makes facts of order_messages
documents out  documents says which way they go: shipping, or order_feeds with their forms and
               order_amounts; order_jobs knows what became of them
feed_calls     the calls of one feed, for both kinds
"""

from pathlib import Path

from stockwright.connectors.amazon.client import open_connection
from stockwright.connectors.amazon.declaration import DECLARATION, AmazonSettings
from stockwright.connectors.amazon.sandbox import Sandbox
from stockwright.sdk.connector import Connector

CONNECTOR: Connector[AmazonSettings] = Connector(
    declaration=DECLARATION,
    open=open_connection,
    cases=Path(__file__).parent / "cases",
    sandbox=Sandbox,
)

__all__ = ["CONNECTOR", "AmazonSettings", "Sandbox"]

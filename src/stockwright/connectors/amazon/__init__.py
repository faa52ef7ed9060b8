"""Amazon's Selling Partner API: levels by patch and by feed, orders in, shipments out."""

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

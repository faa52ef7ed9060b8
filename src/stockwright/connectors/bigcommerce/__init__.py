"""BigCommerce: levels by Inventory v3, orders and refunds in, shipments and refunds out."""

from pathlib import Path

from stockwright.connectors.bigcommerce.client import open_connection
from stockwright.connectors.bigcommerce.declaration import DECLARATION, BigSettings
from stockwright.connectors.bigcommerce.sandbox import Sandbox
from stockwright.sdk.connector import Connector

CONNECTOR: Connector[BigSettings] = Connector(
    declaration=DECLARATION,
    open=open_connection,
    cases=Path(__file__).parent / "cases",
    sandbox=Sandbox,
)

__all__ = ["CONNECTOR", "BigSettings", "Sandbox"]

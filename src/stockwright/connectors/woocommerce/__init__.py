"""WooCommerce's REST API v3: levels and documents out, orders and refunds in."""

from pathlib import Path

from stockwright.connectors.woocommerce.client import open_connection
from stockwright.connectors.woocommerce.declaration import DECLARATION, WooSettings
from stockwright.connectors.woocommerce.sandbox import Sandbox
from stockwright.sdk.connector import Connector

CONNECTOR: Connector[WooSettings] = Connector(
    declaration=DECLARATION,
    open=open_connection,
    cases=Path(__file__).parent / "cases",
    sandbox=Sandbox,
)

__all__ = ["CONNECTOR", "Sandbox", "WooSettings"]

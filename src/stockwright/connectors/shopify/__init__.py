"""Shopify's Admin GraphQL API: levels and documents out, orders and refunds in."""

from pathlib import Path

from stockwright.connectors.shopify.client import open_connection
from stockwright.connectors.shopify.declaration import DECLARATION, ShopifySettings
from stockwright.connectors.shopify.sandbox import Sandbox
from stockwright.sdk.connector import Connector

CONNECTOR: Connector[ShopifySettings] = Connector(
    declaration=DECLARATION,
    open=open_connection,
    cases=Path(__file__).parent / "cases",
    sandbox=Sandbox,
)

__all__ = ["CONNECTOR", "Sandbox", "ShopifySettings"]

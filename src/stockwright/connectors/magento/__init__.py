"""Adobe Commerce and Magento 2 with Inventory (MSI): source items out, orders in, documents out."""

from pathlib import Path

from stockwright.connectors.magento.client import open_connection
from stockwright.connectors.magento.declaration import DECLARATION, MagentoSettings
from stockwright.connectors.magento.sandbox import Sandbox
from stockwright.sdk.connector import Connector

CONNECTOR: Connector[MagentoSettings] = Connector(
    declaration=DECLARATION,
    open=open_connection,
    cases=Path(__file__).parent / "cases",
    sandbox=Sandbox,
)

__all__ = ["CONNECTOR", "MagentoSettings", "Sandbox"]

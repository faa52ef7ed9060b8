"""Medusa v2's Admin API: levels and documents out, orders and returns in."""

from pathlib import Path

from stockwright.connectors.medusa.client import open_connection
from stockwright.connectors.medusa.declaration import DECLARATION, MedusaSettings
from stockwright.connectors.medusa.sandbox import Sandbox
from stockwright.sdk.connector import Connector

CONNECTOR: Connector[MedusaSettings] = Connector(
    declaration=DECLARATION,
    open=open_connection,
    cases=Path(__file__).parent / "cases",
    sandbox=Sandbox,
)

__all__ = ["CONNECTOR", "MedusaSettings", "Sandbox"]

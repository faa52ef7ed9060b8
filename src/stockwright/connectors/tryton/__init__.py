"""Tryton, an ERP: stock moves, quantities, items and expected receipts in."""

from pathlib import Path

from stockwright.connectors.tryton.client import open_connection
from stockwright.connectors.tryton.declaration import DECLARATION, TrytonSettings
from stockwright.connectors.tryton.sandbox import Sandbox
from stockwright.sdk.connector import Connector

CONNECTOR: Connector[TrytonSettings] = Connector(
    declaration=DECLARATION,
    open=open_connection,
    cases=Path(__file__).parent / "cases",
    sandbox=Sandbox,
)

__all__ = ["CONNECTOR", "Sandbox", "TrytonSettings"]

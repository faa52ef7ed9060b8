"""Tills that tell of a day's sales and returns by file; stock out to them as a file."""

from pathlib import Path

from stockwright.connectors.pos_file.client import PosFileConnection, open_connection
from stockwright.connectors.pos_file.declaration import DECLARATION, PosFileSettings
from stockwright.connectors.pos_file.sandbox import Sandbox
from stockwright.sdk.connector import Connector

CONNECTOR: Connector[PosFileSettings] = Connector(
    declaration=DECLARATION,
    open=open_connection,
    cases=Path(__file__).parent / "cases",
    sandbox=Sandbox,
)

__all__ = ["CONNECTOR", "PosFileConnection", "PosFileSettings", "Sandbox"]

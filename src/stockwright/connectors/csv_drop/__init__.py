"""A file drop: levels out as one complete file, sales and stock in as files of rows."""

from pathlib import Path

from stockwright.connectors.csv_drop.client import CsvDropConnection, open_connection
from stockwright.connectors.csv_drop.declaration import DECLARATION, CsvDropSettings
from stockwright.connectors.csv_drop.sandbox import Sandbox
from stockwright.sdk.connector import Connector

CONNECTOR: Connector[CsvDropSettings] = Connector(
    declaration=DECLARATION,
    open=open_connection,
    cases=Path(__file__).parent / "cases",
    sandbox=Sandbox,
)

__all__ = ["CONNECTOR", "CsvDropConnection", "CsvDropSettings", "Sandbox"]

"""A generic channel: JSON over HTTP. Levels out, orders in by signed webhook and by polling."""

from pathlib import Path

from stockwright.connectors.json_http.client import JsonHttpConnection, open_connection
from stockwright.connectors.json_http.declaration import DECLARATION, JsonHttpSettings
from stockwright.connectors.json_http.sandbox import Sandbox
from stockwright.sdk.connector import Connector

CONNECTOR: Connector[JsonHttpSettings] = Connector(
    declaration=DECLARATION,
    open=open_connection,
    cases=Path(__file__).parent / "cases",
    sandbox=Sandbox,
)

__all__ = ["CONNECTOR", "JsonHttpConnection", "JsonHttpSettings", "Sandbox"]

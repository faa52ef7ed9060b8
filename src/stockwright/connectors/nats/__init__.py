"""NATS JetStream: JSON messages in by mapping; levels, documents and subscriptions out."""

from pathlib import Path

from stockwright.connectors.nats.declaration import DECLARATION, NatsSettings, open_connection
from stockwright.sdk.connector import Connector

CONNECTOR: Connector[NatsSettings] = Connector(
    declaration=DECLARATION, open=open_connection, cases=Path(__file__).parent / "cases"
)

__all__ = ["CONNECTOR", "NatsSettings"]

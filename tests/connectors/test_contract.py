"""Every connector folder passes the contract suite: it joins by being there."""

from importlib import import_module
from pathlib import Path
from typing import Any

from stockwright import connectors
from stockwright.config.connectors import OURS
from stockwright.sdk import contract
from stockwright.sdk.secrets import Secret

NOWHERE = "http://127.0.0.1:9"
FOLDERS = sorted(path.parent.name for path in Path(connectors.__path__[0]).glob("*/__init__.py"))
SETTINGS: dict[str, dict[str, Any]] = {
    "json_http": {"base_url": NOWHERE, "timeout_s": 2.0},
    "woocommerce": {
        "base_url": NOWHERE,
        "consumer_key": Secret("ck"),
        "consumer_secret": Secret("cs"),
        "timeout_s": 2.0,
    },
    "shopify": {
        "base_url": NOWHERE,
        "access_token": Secret("shpat"),
        "location": "501",
        "timeout_s": 2.0,
    },
    "csv_drop": {"stable_s": 0, "documents": ["shipment", "cancellation", "refund"]},
    "pos_file": {"stable_s": 0, "documents": ["shipment", "cancellation", "refund"]},
    "amazon": {
        "region": "na",
        "seller_id": "A3TH9S8BH6GOGM",
        "marketplaces": ["ATVPDKIKX0DER"],
        "client_id": Secret("id"),
        "client_secret": Secret("secret"),
        "refresh_token": Secret("refresh"),
        "feed_look_s": 0.1,
        "timeout_s": 6.0,
    },
    "bigcommerce": {
        "base_url": NOWHERE,
        "store_hash": "sandbox",
        "access_token": Secret("token"),
        "timeout_s": 2.0,
    },
    "magento": {"base_url": NOWHERE, "access_token": Secret("token"), "timeout_s": 2.0},
    "nats": {"servers": ["nats://127.0.0.1:9"]},
    "rabbitmq": {"host": "127.0.0.1"},
    "kafka": {"bootstrap_servers": ["127.0.0.1:9"]},
    "medusa": {
        "base_url": NOWHERE,
        "api_key": Secret("sk"),
        "location": "sloc_SANDBOX",
        "timeout_s": 2.0,
        "settle_s": 0,
    },
    "tryton": {
        "base_url": NOWHERE,
        "database": "erp",
        "user": "hub",
        "password": Secret("password"),
        "timeout_s": 2.0,
    },
}
"""What a connector must be given; a folder that is not named here is given nothing."""

for name in FOLDERS:
    connector = import_module(f"{connectors.__name__}.{name}").CONNECTOR
    suite = contract.suite(connector, settings=SETTINGS.get(name, {}))
    globals()[f"Test{connector.declaration.name.title().replace('_', '')}"] = suite


def test_every_folder_is_a_connector_that_can_be_configured():
    assert {name: f"{connectors.__name__}.{name}" for name in FOLDERS} == OURS

"""Every connector folder passes the contract suite."""

from stockwright.connectors import (
    amazon,
    bigcommerce,
    csv_drop,
    json_http,
    kafka,
    magento,
    medusa,
    nats,
    pos_file,
    rabbitmq,
    shopify,
    tryton,
    woocommerce,
)
from stockwright.sdk import contract
from stockwright.sdk.secrets import Secret

TestJsonHttp = contract.suite(
    json_http.CONNECTOR, settings={"base_url": "http://127.0.0.1:9", "timeout_s": 0.3}
)
TestWoo = contract.suite(
    woocommerce.CONNECTOR,
    settings={
        "base_url": "http://127.0.0.1:9",
        "consumer_key": Secret("ck"),
        "consumer_secret": Secret("cs"),
        "timeout_s": 0.3,
    },
)
TestShopify = contract.suite(
    shopify.CONNECTOR,
    settings={
        "base_url": "http://127.0.0.1:9",
        "access_token": Secret("shpat"),
        "location": "501",
        "timeout_s": 0.3,
    },
)
TestCsvDrop = contract.suite(csv_drop.CONNECTOR, settings={"stable_s": 0})
TestPosFile = contract.suite(pos_file.CONNECTOR, settings={"stable_s": 0})
TestAmazon = contract.suite(
    amazon.CONNECTOR,
    settings={
        "region": "na",
        "seller_id": "A3TH9S8BH6GOGM",
        "marketplaces": ["ATVPDKIKX0DER"],
        "client_id": Secret("id"),
        "client_secret": Secret("secret"),
        "refresh_token": Secret("refresh"),
        "timeout_s": 3.0,
    },
)
TestBigCommerce = contract.suite(
    bigcommerce.CONNECTOR,
    settings={
        "base_url": "http://127.0.0.1:9",
        "store_hash": "sandbox",
        "access_token": Secret("token"),
        "timeout_s": 0.3,
    },
)
TestMagento = contract.suite(
    magento.CONNECTOR,
    settings={
        "base_url": "http://127.0.0.1:9",
        "access_token": Secret("token"),
        "timeout_s": 0.3,
    },
)
TestNats = contract.suite(nats.CONNECTOR, settings={"servers": ["nats://127.0.0.1:9"]})
TestRabbitmq = contract.suite(rabbitmq.CONNECTOR, settings={"host": "127.0.0.1"})
TestKafka = contract.suite(kafka.CONNECTOR, settings={"bootstrap_servers": ["127.0.0.1:9"]})
TestMedusa = contract.suite(
    medusa.CONNECTOR,
    settings={
        "base_url": "http://127.0.0.1:9",
        "api_key": Secret("sk"),
        "location": "sloc_SANDBOX",
        "timeout_s": 0.3,
        "settle_s": 0,
    },
)
TestTryton = contract.suite(
    tryton.CONNECTOR,
    settings={
        "base_url": "http://127.0.0.1:9",
        "database": "erp",
        "user": "hub",
        "password": Secret("password"),
        "timeout_s": 0.3,
    },
)

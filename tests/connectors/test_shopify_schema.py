"""Shopify against its published schemas: what we send is valid, what our sandbox says is true."""

import datetime as dt
from decimal import Decimal

import msgspec
import pytest

from stockwright.connectors.shopify import (
    CONNECTOR,
    Sandbox,
    ShopifySettings,
    documents,
    levels,
    queries,
    webhooks,
)
from stockwright.connectors.shopify.declaration import MOST_AT_ONCE
from stockwright.connectors.shopify.mapping import Reading, map_message
from stockwright.domain.errors import Transient
from stockwright.sdk.connector import Opening
from stockwright.sdk.messages import (
    Cancellation,
    DocumentLine,
    LevelKey,
    LevelToSend,
    Refund,
    Shipment,
)
from stockwright.sdk.secrets import resolve_secret
from tests.connectors.shopify_schemas import FOLDER, cost, executed, problems, schema_of

VERSIONS = ("2026-07", "2025-10")
NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def all_documents(version):
    fixed = [
        value
        for name, value in vars(queries).items()
        if name.isupper() and not name.startswith("_") and isinstance(value, str)
    ]
    return [*fixed, queries.set_quantities(version), queries.pay_back(version)]


def name_of(document):
    return document.split()[1].split("(")[0]


async def everything(version):
    """A shop in which everything we can say was said, on every page there is."""
    shop = Sandbox(("MUG", "PLATE", "O'CLOCK"), version=version, points=1e9)
    await shop.start()
    connections = []

    def connect(**settings):
        given = {**shop.settings(), "timeout_s": 5.0, "locations": {"BER": "502"}, **settings}
        parsed = CONNECTOR.declaration.parse_settings(given, resolve_secret)
        connections.append(CONNECTOR.open(Opening(system="shop"), parsed))
        return connections[-1]

    try:
        for address in ("https://hub.example/v1/hooks/shop", "http://127.0.0.1:9/v1/hooks/shop"):
            await connect(webhook_url=address).watch_webhooks()
        connection = connect()
        shop.shop.add("BUNDLE", bundle=True)
        listings = [("MUG", None), ("PLATE", 0), ("O'CLOCK", 9), ("BUNDLE", None), ("NONE", None)]
        asked = [
            LevelToSend(channel="shop", listing=name, quantity=5, version=1, expected=expected)
            for name, expected in listings
        ]
        await connection.publish(asked)
        at = LevelToSend(channel="shop", listing="MUG", location="BER", quantity=5, version=1)
        await connection.publish([at])
        await connection.read_back([LevelKey(listing=name) for name, _ in listings])
        await connection.snapshot()
        by_variant = connect(listings="variant")
        variant = str(shop.shop.item_of("MUG")["variant"])
        await by_variant.publish(
            [
                LevelToSend(channel="shop", listing=name, quantity=6, version=2)
                for name in (variant, "17")
            ]
        )
        await orders_and_documents(shop, connection)
        with pytest.raises(Transient):
            await connection._shop.ask("query Other { shop { id } }", {})
        return shop.told
    finally:
        for one in connections:
            await one.close()
        await shop.stop()


async def orders_and_documents(shop, connection):
    large = await shop.sell([("MUG", 1)] * 140)
    lines = [str(row["id"]) for row in shop.shop.orders[large]["lines"]]
    await shop.pay_back(large, [(int(line), 1) for line in lines[:12]])
    for line in lines[12:24]:
        await shop.pay_back(large, [(int(line), 1)], restock="RETURN")
    small = await shop.sell([("PLATE", 4)])
    (line,) = [str(row["id"]) for row in shop.shop.orders[small]["lines"]]

    def units(quantity):
        return (DocumentLine(line=line, quantity=quantity),)

    told = [
        Shipment(key="S-1", order=str(small), lines=units(1), shipped_at=NOW),
        Shipment(
            key="S-2",
            order=str(small),
            lines=units(1),
            shipped_at=NOW,
            carrier="DHL",
            tracking="JD1",
            tracking_url="https://dhl.example/JD1",
        ),
        Shipment(key="S-3", order="999", lines=units(1), shipped_at=NOW),
        Refund(key="R-1", order=str(small), lines=units(1)),
        Refund(key="R-2", order=str(small), lines=units(1), amount=Decimal("3.50"), currency="EUR"),
        Refund(key="R-3", order=str(small), lines=units(9), amount=Decimal("1.00")),
        Cancellation(key="C-1", order=str(small), lines=units(1)),
        Cancellation(key="C-2", order=str(small)),
        Cancellation(key="C-3", order="999"),
        Cancellation(key="C-4", order=str(large), reason="inventory"),
    ]
    for document in told:
        await connection.submit(document)
    await connection.submit(told[1])
    cursor, complete = "", False
    while not complete:
        page = await connection.read(cursor)
        cursor, complete = page.next_cursor, page.complete
    await connection.read(cursor)


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_call_is_valid_and_every_answer_is_as_the_schema_says(version):
    told = await everything(version)
    assert {name_of(one.document) for one in told} == {
        name_of(document) for document in all_documents(version)
    }
    for one in told:
        assert one.version == version
        assert problems(version, one.document, one.variables) == [], name_of(one.document)
        data, errors = executed(version, one.document, one.variables, one.data)
        assert errors == [], name_of(one.document)
        assert data == one.data, name_of(one.document)


def webhook(name, topic):
    """What is made of a sample of Shopify's own, sent as a webhook."""
    (body,) = msgspec.json.decode((FOLDER / "fixtures" / f"{name}.json").read_bytes()).values()
    mapped = map_message(msgspec.json.encode(body), topic, Reading(channel="shop"))
    return [
        (
            x.item.kind,
            x.item.document,
            x.item.order,
            x.item.order_line,
            x.item.item,
            x.item.quantity,
        )
        for x in mapped
    ]


def test_shopifys_own_samples_of_webhooks_are_read():
    order = "450789469"
    assert webhook("order", "orders/create") == [
        ("channel_order", order, order, "466157049", "IPOD2008GREEN", 1),
        ("channel_order", order, order, "518995019", "IPOD2008RED", 1),
        ("channel_order", order, order, "703073504", "IPOD2008BLACK", 1),
    ]
    assert webhook("refund", "refunds/create") == [
        ("channel_cancel", "R509562969", order, "703073504", "IPOD2008BLACK", 1),
        ("channel_cancel", "R509562969", order, "466157049", "IPOD2008GREEN", 1),
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_no_document_costs_more_than_the_shop_takes(version):
    largest = {"first": 12, "ids": ["gid://shopify/InventoryItem/1"] * MOST_AT_ONCE}
    costs = {name_of(one): cost(one, largest) for one in all_documents(version)}
    assert max(costs.values()) <= 1_000, costs
    (field,) = [one for one in msgspec.structs.fields(ShopifySettings) if one.name == "page_size"]
    assert "le=12" in str(field.type)


def test_the_validation_finds_what_is_wrong():
    document = queries.set_quantities("2026-07")
    good = {"inventoryItemId": "gid://x", "locationId": "gid://y", "quantity": 1}

    def asked(**more):
        told = {"name": "available", "reason": "correction", "quantities": [{**good, **more}]}
        return {"input": told, "key": "k"}

    assert problems("2026-07", document, asked(changeFromQuantity=None)) == []
    assert problems("2026-07", document, asked(compareQuantity=1)) != []
    assert problems("2026-07", document, asked(quantity="1")) != []
    assert problems("2025-10", document, asked()) != []
    assert problems("2026-07", document, {**asked(), "other": 1}) != []
    wrong = {"order": {"id": "gid://shopify/Order/1", "cancelledAt": None}}
    assert executed("2026-07", queries.TO_CANCEL, {"id": "1"}, wrong)[1] == []
    assert executed("2026-07", queries.TO_CANCEL, {"id": "1"}, {"order": {"id": "1"}})[1] != []
    assert executed("2026-07", queries.TO_CANCEL, {"id": "1"}, {"order": {"id": None}})[1] != []


@pytest.mark.parametrize("version", VERSIONS)
def test_every_code_we_know_is_one_of_the_version(version):
    theirs = set(schema_of(version).type_map["InventorySetQuantitiesUserErrorCode"].values)
    ours = {*levels._WORDS, *levels.STALE, *levels._AGAIN, "IDEMPOTENCY_CONCURRENT_REQUEST"}
    newer = {one for one in ours if one.startswith(("IDEMPOTENCY", "CHANGE_FROM"))}
    assert ours - theirs == (newer if version == "2025-10" else set())
    reasons = set(schema_of(version).type_map["OrderCancelReason"].values)
    assert {*documents.REASONS, "OTHER"} == reasons
    topics = set(schema_of(version).type_map["WebhookSubscriptionTopic"].values)
    assert topics >= set(webhooks.TOPICS)
    cancel = set(schema_of(version).type_map["OrderCancelUserErrorCode"].values)
    assert {*documents._RIGHTS, "INTERNAL_ERROR", "NOT_FOUND"} <= cancel
    statuses = set(schema_of(version).type_map["FulfillmentStatus"].values)
    assert statuses >= documents._OVER
    open_ = set(schema_of(version).type_map["FulfillmentOrderStatus"].values)
    assert open_ >= documents._OPEN

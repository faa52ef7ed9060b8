"""Every quantity by its own name, as the ledger, the API and the command line answer it."""

import pytest

from stockwright.domain.errors import Rejected
from stockwright.domain.events import Fact, Request, RequestLine
from stockwright.flow.explaining import quantities, why
from stockwright.flow.projection import Projection
from stockwright.flow.recording import Recorder
from stockwright.store.connection import Pool, connect
from tests.flow.channels import World


@pytest.fixture
def world(database_url):
    return World(database_url, channels=("WEB", "B2B"))


@pytest.fixture
def record(world, database_url):
    with Recorder(database_url) as recorder:
        yield lambda *items: recorder.submit(items).result(30)


@pytest.fixture
def connection(database_url):
    with connect(database_url, autocommit=True) as connection:
        yield connection


def receipt(quantity, sku="SKU-000", location="MAIN", document="GR"):
    return Fact(
        kind="receipt",
        system="WMS",
        document=f"{document}-{sku}-{location}",
        sku=sku,
        location=location,
        quantity=quantity,
    )


def reserve(quantity, channel, document="R-1"):
    return Request(
        kind="reserve",
        system=channel,
        document=document,
        channel=channel,
        lines=[RequestLine(sku="SKU-000", quantity=quantity)],
    )


def test_one_sku_has_every_quantity_under_its_own_name(world, record, connection):
    world.policy("B2B", ring_fence=30, buffer=3)
    world.policy("WEB", safety=10, hard_safety=4, buffer=5, cap=40)
    record(receipt(100), receipt(20, location="STORE"))
    record(reserve(8, "B2B"))
    (found,) = quantities(connection, ["SKU-000"])
    assert (found.on_hand.result, found.free.result) == (120, 112)
    b2b, web = found.channels
    assert (b2b.channel, b2b.grantable.result) == ("B2B", 112)
    assert b2b.listings[0].available_to_sell.result == 109
    assert (web.channel, web.grantable.result) == ("WEB", 112 - 4 - 22)
    assert [(step.name, step.amount) for step in web.listings[0].available_to_sell.steps] == [
        ("free", 92),
        ("free", 20),
        ("safety", -10),
        ("ring_fence", -22),
        ("buffer", -5),
        ("cap", -35),
    ]
    assert web.listings[0].available_to_sell.result == 40


@pytest.mark.parametrize("channel", ["WEB", "B2B"])
def test_a_request_is_granted_exactly_what_is_called_grantable(world, record, connection, channel):
    world.policy("B2B", ring_fence=30)
    world.policy("WEB", hard_safety=4, buffer=50, cap=1)
    record(receipt(100), reserve(8, "B2B"))
    (found,) = quantities(connection, ["SKU-000"], channel)
    (asked,) = found.channels
    too_much, all_of_it = record(
        reserve(asked.grantable.result + 1, channel, "R-2"),
        reserve(asked.grantable.result, channel, "R-3"),
    )
    assert (too_much.code, all_of_it.code) == ("insufficient", "granted")


def test_what_is_explained_is_what_is_projected(world, record, connection, database_url):
    world.policy("B2B", ring_fence=7)
    world.policy("WEB", safety=3, pack_size=2)
    world.list_item("WEB", "SET", {"SKU-000": 2, "SKU-001": 3})
    record(receipt(45), receipt(20, sku="SKU-001"))
    with Pool(database_url, size=1) as pool:
        Projection(pool).step()
    for found in quantities(connection, ["SKU-000", "SKU-001"]):
        for channel in found.channels:
            for listing in channel.listings:
                assert listing.level.desired == listing.available_to_sell.result
                assert listing.level.sequence == found.sequence == 2


def test_many_skus_are_answered_in_the_order_they_were_asked(world, record, connection):
    record(receipt(1), receipt(2, sku="SKU-002"))
    found = quantities(connection, ["SKU-002", "NOT-THERE", "SKU-000", "SKU-002"], "WEB")
    assert [one and one.free.result for one in found] == [2, None, 1, 2]
    assert [channel.channel for channel in found[0].channels] == ["WEB"]


def test_a_sku_nobody_ever_moved_has_zeroes(world, connection):
    (found,) = quantities(connection, ["SKU-000"], "WEB")
    assert (found.on_hand.result, found.free.result, found.channels[0].grantable.result) == (
        0,
        0,
        0,
    )
    assert found.channels[0].listings[0].level is None


def test_the_ledger_rows_below_a_number_add_up_to_it(world, record, connection):
    record(receipt(100), reserve(8, "B2B"))
    record(
        Fact(
            kind="damage",
            system="WMS",
            document="D-1",
            sku="SKU-000",
            location="MAIN",
            quantity=6,
        ),
        Fact(
            kind="shipment",
            system="WMS",
            document="S-1",
            order_system="B2B",
            order="R-1",
            order_line="1",
            sku="SKU-000",
            location="MAIN",
            quantity=5,
        ),
    )
    found = why(connection, "SKU-000")
    sums = {}
    for row in found.ledger_sums:
        sums[row.account] = sums.get(row.account, 0) + row.units
    assert {account: units for account, units in sums.items() if units} == {
        "sellable": 89,
        "damaged": 6,
        "reserved": 3,
    }
    assert found.quantities.on_hand.result == 95
    assert found.quantities.free.result == 86
    assert [row.kind for row in found.ledger][-1] == "receipt"
    assert [row.sequence for row in found.ledger] == sorted(
        (row.sequence for row in found.ledger), reverse=True
    )
    assert [(claim.system, claim.order, claim.reserved) for claim in found.claims] == [
        ("B2B", "R-1", 3)
    ]


@pytest.mark.parametrize(
    ("sku", "channel", "field", "words"),
    [
        ("SKU-9", None, "sku", "No SKU SKU-9"),
        ("SKU-000", "WEBB", "channel", "did you mean WEB?"),
        ("SKU-000", "other", "channel", "there are: B2B, WEB"),
    ],
)
def test_an_unknown_code_is_named_with_the_next_step(world, connection, sku, channel, field, words):
    with pytest.raises(Rejected) as refused:
        why(connection, sku, channel)
    assert refused.value.field == field
    assert words in refused.value.message

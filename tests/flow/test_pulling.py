"""A partner's items and its expected supply, taken over as an import does it, over and over."""

import datetime as dt
from types import SimpleNamespace

import pytest

from stockwright.domain.items import Binding, Sku, Unit
from stockwright.domain.supply import ToldSupply
from stockwright.flow.pulling import pull_items, pull_supply
from stockwright.flow.row_import import Importer
from stockwright.store import supply
from stockwright.store.connection import connect
from stockwright.store.master import read, save

DUE = dt.datetime(2026, 4, 1, 12, tzinfo=dt.UTC)
IMPORTER = Importer(actor="tests", origin="erp items")


class Partner:
    """Tells pages of rows, and what it expects."""

    sku_fields = ("code", "description", "base_unit", "active")

    def __init__(self):
        self.pages = []
        self.coming = []

    async def items(self):
        for page in self.pages:
            yield page

    async def expected(self):
        return self.coming


@pytest.fixture
def db(database):
    with connect(database, idle_in_transaction_s=0) as opened:
        yield opened


@pytest.fixture
def partner():
    return Partner()


def item(code, description=""):
    return [
        Sku(code=code, description=description, base_unit="u"),
        Unit(sku=code, code="dz", factor=12),
        Binding(system="erp", partner_code=code, code=code),
    ]


async def pulled(db, partner, refused=None):
    """(new, changed, unchanged, refused) of SKUs, units and bindings."""
    reports = await pull_items(db, partner, importer=IMPORTER, refused=refused)
    return {one.kind: (one.new, one.changed, one.unchanged, one.refused) for one in reports}


async def test_items_come_with_units_and_codes_page_by_page_and_only_once(db, partner):
    partner.pages = [item("X-1") + item("X-2"), item("X-3")]
    first = await pulled(db, partner)
    assert first == {"skus": (3, 0, 0, 0), "units": (3, 0, 0, 0), "bindings": (3, 0, 0, 0)}
    # What is bound already is not told again.
    second = await pulled(db, partner)
    assert second == {"skus": (0, 0, 3, 0), "units": (0, 0, 3, 0), "bindings": (0, 0, 0, 0)}
    assert ("erp", "item", "X-3") in read(db, "bindings", [("erp", "item", "X-3")])


async def test_what_the_partner_does_not_tell_of_an_sku_stays(db, partner):
    save(db, "skus", [Sku(code="X-1", base_unit="u", sku_group="GIFTS", control="lot")])
    partner.pages = [item("X-1", "Mug")]
    await pulled(db, partner)
    (found,) = read(db, "skus", [("X-1",)]).values()
    assert (found.description, found.sku_group, found.control) == ("Mug", "GIFTS", "lot")


async def test_a_code_that_is_bound_to_another_sku_stays_so_and_makes_none(db, partner):
    save(db, "bindings", [Binding(system="erp", partner_code="X-1", code="A", unit="CS")])
    partner.pages = [item("X-1") + item("X-2")]
    assert (await pulled(db, partner))["skus"] == (1, 0, 0, 0)
    assert read(db, "skus", [("X-1",)]) == {}
    (bound,) = read(db, "bindings", [("erp", "item", "X-1")]).values()
    assert (bound.code, bound.unit) == ("A", "CS")


async def test_what_no_item_master_takes_is_reported_and_the_rest_comes_in(db, partner):
    kept = []
    refused = SimpleNamespace(write=lambda refusal, cells: kept.append((refusal.field, cells[0])))
    partner.pages = [[Sku(code=""), *item("X-1")], item("x" * 200)]
    found = await pulled(db, partner, refused)
    assert found["skus"] == (1, 0, 0, 2)
    assert found["units"] == (1, 0, 0, 1)
    assert [field for field, _ in kept] == ["code", "code", "sku", "partner_code"]
    assert kept[0][1].startswith('{"kind":"skus","code":""')


def line(number, quantity=5, location="W-EAST", item="A"):
    return ToldSupply(
        system="erp",
        kind="purchase_order",
        document=f"po-{number}",
        item=item,
        location=location,
        quantity=quantity,
        due_at=DUE,
    )


async def test_supply_is_what_the_partner_expects_now(db, partner):
    bound = [
        Binding(system="erp", partner_code="A", code="A"),
        Binding(system="erp", partner_code="W-EAST", code="EAST", subject="location"),
    ]
    save(db, "bindings", bound)
    partner.coming = [line(1), line(2), line(3)]
    first = await pull_supply(db, partner, "erp", "tests")
    assert (first.new, first.closed, first.refused) == (3, 0, [])
    partner.coming = [line(1), line(2, quantity=8), line(4, item="NONE")]
    second = await pull_supply(db, partner, "erp", "tests")
    assert (second.new, second.changed, second.unchanged, second.closed) == (0, 1, 1, 1)
    (why,) = second.refused
    assert why.startswith("po-4 line 1: ")
    left = {(one.document, one.location, one.quantity) for one in supply.page(db, system="erp")}
    assert left == {("po-1", "EAST", 5), ("po-2", "EAST", 8)}
    closed = supply.find(db, ("erp", "po-3", "1"))
    assert (closed.closed_by, closed.closed_why) == ("tests", "the partner expects it no more")


async def test_supply_of_other_systems_is_left_alone(db, partner):
    save(db, "bindings", [Binding(system="wms", partner_code="A", code="A")])
    other = ToldSupply(
        system="wms", kind="asn", document="n-1", item="A", location="EAST", quantity=1, due_at=DUE
    )
    supply.save(db, [other], "tests")
    assert (await pull_supply(db, partner, "erp", "tests")).closed == 0
    assert supply.find(db, ("wms", "n-1", "1")).closed_at is None

import threading
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from stockwright.domain.errors import Rejected
from stockwright.domain.items import Binding, Component, Kit, Listing, Sku, Unit, path_to
from stockwright.domain.network import Channel, Location, Network
from stockwright.store import master
from stockwright.store.connection import Connection, connect
from stockwright.store.kinds import Row
from stockwright.store.master import save, save_one
from stockwright.store.network import apply_config
from tests.master.conftest import NETWORK, dirty_skus, revision


def parts(*skus: str, quantity: int = 1) -> tuple[Component, ...]:
    return tuple(Component(sku=sku, quantity=quantity) for sku in skus)


def outcome(result: master.Result) -> str:
    return f"{result.field}: {result.reason}" if isinstance(result, Rejected) else result


def told(connection: Connection, kind: str, rows: Sequence[Row]) -> list[str]:
    return [outcome(result) for result in save(connection, kind, rows)]


# kind, rows given together, one outcome per row
TABLE: list[tuple[str, list[Row], list[str]]] = [
    (
        "skus",
        [Sku(code="A"), Sku(code="a"), Sku(code="0A"), Sku(code="B", unit_cost=Decimal("1.5"))],
        ["unchanged", "new", "new", "changed"],
    ),
    (
        "skus",
        [Sku(code="X"), Sku(code="X"), Sku(code="X", description="other")],
        ["new", "unchanged", "code: duplicate"],
    ),
    (
        "units",
        [
            Unit(sku="A", code="CASE", factor=12),
            Unit(sku="NONE", code="CASE", factor=12),
            Unit(sku="A", code="EA", factor=2),
            Unit(sku="A", code="EA", factor=1),
        ],
        ["new", "sku: unknown_sku", "factor: base_unit", "new"],
    ),
    (
        "bindings",
        [
            Binding(system="SHOP", partner_code="007", code="A"),
            Binding(system="shop", partner_code="007", code="A"),
            Binding(system="SHOP", partner_code="8", code="a"),
            Binding(system="SHOP", partner_code="9", code="A", unit="BOX"),
            Binding(system="SHOP", partner_code="10", code="A", unit="EA"),
            Binding(system="SHOP", partner_code="M", code="MAIN", subject="location"),
            Binding(system="SHOP", partner_code="A", code="A", subject="location"),
            Binding(system="SHOP", partner_code="N", code="MAIN", subject="location", unit="EA"),
        ],
        [
            "new",
            "system: unknown_system",
            "code: unknown_sku",
            "unit: unknown_unit",
            "new",
            "new",
            "code: unknown_location",
            "unit: unit_of_location",
        ],
    ),
    (
        "kits",
        [
            Kit(sku="A", components=parts("B")),
            Kit(sku="B", components=parts("C")),
            Kit(sku="C", components=parts("A")),
            Kit(sku="C", components=parts("C")),
            Kit(sku="C", components=parts("NONE")),
            Kit(sku="A", components=parts("C", "C")),
            Kit(sku="NONE", components=parts("C")),
        ],
        [
            "new",
            "new",
            "component: kit_cycle",
            "component: kit_cycle",
            "component: unknown_sku",
            "component: component_twice",
            "sku: unknown_sku",
        ],
    ),
    (
        "listings",
        [
            Listing(channel="WEB", code="pack", components=parts("B", "A", quantity=2)),
            Listing(channel="WEB", code="twice", components=parts("A", "B", "A")),
            Listing(channel="NONE", code="pack", components=parts("A")),
            Listing(channel="WEB", code="other", components=parts("A", "NONE")),
        ],
        ["new", "sku: component_twice", "channel: unknown_channel", "sku: unknown_sku"],
    ),
    (
        "locations",
        [
            Location(code="STORE", groups=("SHOPS", "ALL", "SHOPS")),
            Location(code="EUROPE"),
            Location(code="OTHER", groups=("MAIN",)),
            Location(code="SHOPS"),
            Location(code="LATER", groups=("STORE",)),
        ],
        [
            "new",
            "code: location_is_group",
            "groups: group_is_location",
            "code: location_is_group",
            "groups: group_is_location",
        ],
    ),
]


def test_no_channel_loses_the_group_that_it_sells_from(connection: Connection) -> None:
    """One PUT of a location, and all of a channel went to zero; the configuration refused that."""
    alone = [Location(code="MAIN")]
    assert told(connection, "locations", alone) == ["groups: in_use"]
    moved = [Location(code="MAIN"), Location(code="EAST", groups=("EUROPE",))]
    assert told(connection, "locations", moved) == ["changed", "changed"]
    assert told(connection, "locations", [Location(code="EAST")]) == ["groups: in_use"]
    apply_config(
        connection,
        Network(
            systems=NETWORK.systems,
            locations=(Location(code="EAST"),),
            channels=(Channel(code="WEB", system="SHOP", pool=("MAIN",)),),
        ),
    )
    assert master.read(connection, "locations", [("EAST",)])[("EAST",)] == Location(code="EAST")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # Whoever was to stand in for it is refused, or given twice.
        (
            [Location(code="MAIN"), Location(code="EAST", groups=("EUROPE", "MAIN"))],
            ["groups: in_use", "groups: group_is_location"],
        ),
        (
            [Location(code="MAIN"), Location(code="MAIN", groups=("EUROPE",))],
            ["groups: in_use", "groups: in_use"],
        ),
        # A row that is refused leaves its location where it is.
        (
            [Location(code="WEST", groups=("EUROPE",)), Location(code="MAIN", groups=("WEST",))],
            ["new", "groups: group_is_location"],
        ),
    ],
)
def test_a_row_that_is_refused_keeps_no_group_for_a_channel(
    connection: Connection, rows: list[Row], expected: list[str]
) -> None:
    assert [outcome(result) for result in save(connection, "locations", rows)] == expected
    left = connection.execute("select from location_group where code = 'EUROPE'").rowcount
    assert left > 0
    connection.rollback()


def test_what_is_awaited_or_owed_fixes_the_base_unit_as_stock_does(connection: Connection) -> None:
    """A hundred pieces that were ordered became a hundred boxes that were promised."""
    connection.execute(
        "insert into supply (system, document, line, kind, sku, location, quantity, due_at)"
        " values ('WMS', 'PO', '1', 'purchase_order', 'A', 'MAIN', 100, now())"
    )
    boxes = [Sku(code="A", base_unit="BOX"), Sku(code="B", base_unit="BOX")]
    assert told(connection, "skus", boxes) == ["base_unit: in_use", "changed"]
    connection.rollback()


@pytest.mark.parametrize(("kind", "rows", "expected"), TABLE)
def test_each_row_has_its_own_outcome_and_the_second_time_nothing_changes(
    connection: Connection, kind: str, rows: list[Row], expected: list[str]
) -> None:
    assert [outcome(result) for result in save(connection, kind, rows)] == expected
    before = revision(connection)
    again = [outcome(result) for result in save(connection, kind, rows)]
    assert again == ["unchanged" if each in ("new", "changed") else each for each in expected]
    assert revision(connection) == before


def test_what_is_saved_is_read_back_exactly(connection: Connection) -> None:
    sku = Sku(
        code="00a-Ä 7",
        description="Löffel; 'silver'",
        sku_group="g",
        unit_cost=Decimal("12.345678"),
        currency="GBP",
        base_unit="PC",
        control="lot",
        active=False,
    )
    kit = Kit(sku="A", components=parts("B", "C", quantity=10**12))
    listing = Listing(channel="WEB", code="#1", components=kit.components, active=False)
    place = Location(code="01", name="Süd", time_zone="Asia/Tokyo", feed="snapshot", priority=3)
    rows: dict[str, Row] = {"skus": sku, "kits": kit, "listings": listing, "locations": place}
    for kind, row in rows.items():
        save_one(connection, kind, row)
    assert master.read(connection, "skus", [(sku.code,)]) == {(sku.code,): sku}
    assert master.read(connection, "kits", [("A",)]) == {("A",): kit}
    assert master.read(connection, "listings", [("WEB", "#1")]) == {("WEB", "#1"): listing}
    assert master.read(connection, "locations", [("01",)]) == {("01",): place}


def test_fields_that_are_kept_survive_and_new_rows_take_what_is_given(
    connection: Connection,
) -> None:
    save_one(connection, "skus", Sku(code="A", description="Anvil", unit_cost=Decimal(3)))
    costs = [Sku(code="A", unit_cost=Decimal(4)), Sku(code="N", unit_cost=Decimal(5))]
    assert save(connection, "skus", costs, kept=("description",)) == ["changed", "new"]
    found = master.read(connection, "skus", [("A",), ("N",)])
    assert [(row.description, row.unit_cost) for row in found.values()] == [  # type: ignore[union-attr]
        ("Anvil", Decimal(4)),
        ("", Decimal(5)),
    ]


def test_base_unit_and_control_are_fixed_once_there_is_stock(connection: Connection) -> None:
    connection.execute("insert into balance (sku, location) values ('A', 'MAIN')")
    rows = [Sku(code="A", base_unit="KG"), Sku(code="B", control="lot"), Sku(code="C")]
    results = [outcome(result) for result in save(connection, "skus", rows)]
    assert results == ["base_unit: in_use", "changed", "unchanged"]
    with pytest.raises(Rejected, match="control none"):
        save_one(connection, "skus", Sku(code="A", control="lot"))
    assert save_one(connection, "skus", Sku(code="A", description="still fine")) == "changed"


def test_a_kit_that_is_replaced_may_turn_a_former_circle_around(connection: Connection) -> None:
    assert save_one(connection, "kits", Kit(sku="A", components=parts("B"))) == "new"
    assert save_one(connection, "kits", Kit(sku="A", components=parts("C"))) == "changed"
    assert save_one(connection, "kits", Kit(sku="B", components=parts("A"))) == "new"
    with pytest.raises(Rejected, match="C > B > A > C"):
        save_one(connection, "kits", Kit(sku="C", components=parts("B")))


TOUCHES: list[tuple[str, str, Row, list[str]]] = [
    ("a description", "skus", Sku(code="A", description="new words"), []),
    ("a group", "skus", Sku(code="A", sku_group="G"), ["A"]),
    ("an end of trade", "skus", Sku(code="A", active=False), ["A"]),
    ("a new SKU", "skus", Sku(code="N"), []),
    ("a unit", "units", Unit(sku="A", code="CASE", factor=6), []),
    ("a binding", "bindings", Binding(system="SHOP", partner_code="b", code="C"), ["B", "C"]),
    ("a kit", "kits", Kit(sku="A", components=parts("B")), ["A"]),
    (
        "a listing",
        "listings",
        Listing(channel="WEB", code="pair", components=parts("C")),
        ["A", "B", "C"],
    ),
    (
        "a place in the pool's group",
        "locations",
        Location(code="EAST", groups=("EUROPE",)),
        ["A", "B"],
    ),
    ("a place elsewhere", "locations", Location(code="FAR", groups=("ASIA",)), []),
    ("a place's name", "locations", Location(code="MAIN", groups=("EUROPE",), name="Main"), []),
]


@pytest.mark.parametrize(
    ("kind", "row", "marked"), [row[1:] for row in TOUCHES], ids=[row[0] for row in TOUCHES]
)
def test_a_change_marks_the_levels_it_touches_and_raises_the_revision(
    connection: Connection, kind: str, row: Row, marked: list[str]
) -> None:
    pair = Listing(channel="WEB", code="pair", components=parts("A", "B"))
    save_one(connection, "listings", pair)
    save_one(connection, "bindings", Binding(system="SHOP", partner_code="b", code="B"))
    dirty_skus(connection)
    before = revision(connection)
    assert save_one(connection, kind, row) in ("new", "changed")
    assert dirty_skus(connection) == marked
    assert revision(connection) == before + 1


def test_binding_and_unbinding_keep_case_and_zeros_apart(connection: Connection) -> None:
    assert master.bind(connection, "SHOP", "item", "007", "A") == "new"
    assert master.bind(connection, "SHOP", "item", "7", "B") == "new"
    assert master.bind(connection, "SHOP", "item", "x", "A") == "new"
    assert master.bind(connection, "SHOP", "item", "X", "B") == "new"
    assert master.bind(connection, "SHOP", "item", "007", "A") == "unchanged"
    found = master.list_bindings(connection, system="SHOP").items
    assert [(row.partner_code, row.code) for row in found] == [
        ("007", "A"),
        ("7", "B"),
        ("X", "B"),
        ("x", "A"),
    ]
    assert master.unbind(connection, "SHOP", "item", "007")
    assert not master.unbind(connection, "SHOP", "item", "007")
    with pytest.raises(Rejected) as caught:
        master.bind(connection, "SHOP", "item", "007", "NONE")
    assert (caught.value.reason, caught.value.field) == ("unknown_sku", "code")


def test_list_all_lists_what_is_traded_and_not_listed_yet(connection: Connection) -> None:
    save(connection, "skus", [Sku(code="B", active=False)])
    single = Listing(channel="WEB", code="A", components=parts("A", quantity=6))
    save_one(connection, "listings", single)
    dirty_skus(connection)
    assert master.list_all(connection, "WEB") == 1
    assert dirty_skus(connection) == ["C"]
    assert [row.code for row in master.list_listings(connection, channel="WEB").items] == ["A", "C"]
    assert master.read(connection, "listings", [("WEB", "A")]) == {("WEB", "A"): single}
    before = revision(connection)
    assert master.list_all(connection, "WEB") == 0
    assert revision(connection) == before
    with pytest.raises(Rejected, match="no channel NONE"):
        master.list_all(connection, "NONE")


def test_pages_follow_each_other_without_gap_or_repetition(connection: Connection) -> None:
    codes = sorted([f"{n:03}" for n in range(25)] + ["A", "B", "C"])
    save(connection, "skus", [Sku(code=code, sku_group="G") for code in codes])
    save(
        connection, "units", [Unit(sku=code, code=unit, factor=2) for code in "AB" for unit in "xy"]
    )
    seen: list[str] = []
    cursor: Any = None
    while True:
        page = master.list_skus(connection, cursor, limit=7)
        seen += [row.code for row in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == codes
    units: list[tuple[str, str]] = []
    cursor = None
    while True:
        found = master.list_units(connection, cursor, limit=1)
        units += [(row.sku, row.code) for row in found.items]
        cursor = found.next_cursor
        if cursor is None:
            break
    assert units == [("A", "x"), ("A", "y"), ("B", "x"), ("B", "y")]
    assert [row.code for row in master.list_units(connection, sku="B").items] == ["x", "y"]
    assert master.list_skus(connection, sku_group="none").items == ()
    with pytest.raises(Rejected, match="cursor"):
        master.list_units(connection, ("A",))


def test_two_writers_cannot_close_a_circle_of_kits_between_them(
    connection: Connection, master_url: str
) -> None:
    barrier = threading.Barrier(2)
    outcomes: list[str] = []

    def write(sku: str, component: str) -> None:
        with connect(master_url) as own:
            barrier.wait()
            (result,) = save(own, "kits", [Kit(sku=sku, components=parts(component))])
            outcomes.append(outcome(result))

    threads = [threading.Thread(target=write, args=pair) for pair in (("A", "B"), ("B", "A"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["component: kit_cycle", "new"]


def test_the_way_down_through_bills_of_materials_is_found() -> None:
    boms = {"A": ["B", "C"], "C": ["D"], "D": ["E", "C"]}
    assert path_to(boms, "A", "E") == ["A", "C", "D", "E"]
    assert path_to(boms, "E", "A") == []
    assert path_to(boms, "A", "A") == ["A"]


def test_nothing_is_kept_of_a_transaction_that_fails(connection: Connection) -> None:
    before = revision(connection)
    save(connection, "skus", [Sku(code="LOST")])
    connection.rollback()
    assert master.read(connection, "skus", [("LOST",)]) == {}
    assert revision(connection) == before


def test_rows_can_be_replaced_field_by_field(connection: Connection) -> None:
    row = Sku(code="A", sku_group="G")
    assert save_one(connection, "skus", row) == "changed"
    assert save_one(connection, "skus", replace(row, active=False)) == "changed"

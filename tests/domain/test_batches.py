"""Batches: aligned outcomes, identity, revisions, authority, parking, and a failing neighbour."""

import datetime as dt
from typing import Any

import pytest

from stockwright.domain import movements
from stockwright.domain.catalog import Catalog, System
from stockwright.domain.events import OUTCOMES, Fact, Item, Request, RequestLine
from tests.domain.worlds import START, World, catalog


def receipt(document: str, quantity: int = 1, **fields: Any) -> Fact:
    base = {"system": "wms", "sku": "A", "location": "EAST"}
    return Fact(kind="receipt", document=document, quantity=quantity, **(base | fields))


def test_outcomes_are_aligned_and_a_bad_item_leaves_its_neighbours_alone() -> None:
    world = World()
    items: list[Item] = [
        receipt("1"), receipt("2", sku="ZZ"), receipt("1"), receipt("1", 2), receipt("3"),
        Request(kind="confirm", system="web", document="K", order="none"),
    ]  # fmt: skip
    codes = [(one.code, one.replay) for one in world.batch(items)]
    assert codes == [
        ("recorded", False), ("parked", False), ("recorded", True), ("conflict", False),
        ("recorded", False), ("unknown_demand", False),
    ]  # fmt: skip
    assert world.at().sellable == 2


def test_an_item_that_fails_halfway_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def half(overlay: Any, told: Any) -> Any:
        overlay.move("A", "", "supplier", "", "sellable", "EAST", 99, START)
        raise ZeroDivisionError("planted")

    monkeypatch.setitem(movements.RULES_BY_KIND, "damage", half)
    world = World()
    bad = Fact(kind="damage", system="wms", document="B", sku="A", quantity=1, location="EAST")
    outcomes = world.batch([receipt("1"), bad, receipt("2")])
    assert [one.code for one in outcomes] == ["recorded", "poison", "recorded"]
    assert world.at().sellable == 2
    assert [sequence for sequence, _ in world.moves] == [1, 2]


@pytest.mark.parametrize(
    ("fields", "path", "missing"),
    [
        ({"sku": "ZZ"}, "sku", "sku:ZZ"),
        ({"sku": "", "item": "0043", "system": "erp"}, "item", "item:0043"),
        ({"location": "NORTH"}, "location", "location:NORTH"),
        ({"unit": "PAL"}, "unit", "unit:A:PAL"),
    ],
)
def test_an_unknown_code_parks_the_item_and_takes_no_number(
    fields: dict[str, Any], path: str, missing: str
) -> None:
    world = World()
    outcome = world.one(receipt("1", **fields))
    assert (outcome.code, outcome.field, outcome.sequence) == ("parked", path, 0)
    assert world.decision is not None
    assert [one.missing for one in world.decision.parked] == [missing]
    assert world.books.sequence == 0


def test_a_partners_code_is_bound_with_its_zeros_and_its_unit() -> None:
    world = World()
    world.one(receipt("1", 2, system="erp", sku="", item="0042"))
    world.one(receipt("2", 2, system="erp", sku="", item="42-CS"))
    assert world.at().sellable == 14


# ------------------------------------------------------------- revisions


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 2, 1)])
def test_revisions_that_replace_post_the_difference_in_any_order(order: tuple[int, ...]) -> None:
    quantities = {0: 3, 1: 7, 2: 5}
    world = World()
    for revision in order:
        world.one(receipt("1", quantities[revision], system="tpl", revision=revision))
    assert world.at().sellable == 5


def test_a_lower_revision_that_comes_late_is_superseded() -> None:
    world = World()
    world.one(receipt("1", 7, system="tpl", revision=2))
    assert world.one(receipt("1", 9, system="tpl", revision=1)).code == "superseded"
    assert world.at().sellable == 7


def test_a_revised_shipment_gives_back_what_it_had_taken() -> None:
    world = World()
    world.fact("receipt", 20)
    world.reserve(5)
    ship: dict[str, Any] = {
        "system": "tpl", "document": "S", "order_system": "web", "order": "O1", "order_line": "1",
    }  # fmt: skip
    world.fact("shipment", 5, **ship)
    assert world.at().sellable == 15
    world.fact("shipment", 3, revision=1, **ship)
    assert world.at().sellable == 17
    assert (world.line().shipped, world.line().open) == (3, 2)


def test_a_later_revision_of_an_order_line_replaces_its_quantity() -> None:
    world = World()
    order: dict[str, Any] = {"system": "web", "order": "O1", "channel": "web", "document": "O1"}
    world.fact("channel_order", 5, **order)
    world.fact("channel_order", 2, revision=1, **order)
    assert (world.line().ordered, world.line().open) == (2, 2)


def test_an_event_is_taken_back_once() -> None:
    world = World()
    sequence = world.fact("receipt", 20).sequence
    assert world.fact("reversal", 0, reverses=sequence).code == "recorded"
    assert world.at().sellable == 0
    assert world.fact("reversal", 0, reverses=sequence).code == "superseded"
    assert world.at().sellable == 0


def test_an_event_is_taken_back_by_the_system_that_told_it() -> None:
    world = World()
    sequence = world.fact("receipt", 20).sequence
    assert world.fact("reversal", 0, system="erp", reverses=sequence).code == "observed"
    assert world.at().sellable == 20


def test_a_shipment_revised_to_less_is_owed_again() -> None:
    world = World()
    world.fact("receipt", 20)
    world.reserve(5, confirmed=True)
    ship: dict[str, Any] = {
        "system": "tpl", "document": "S", "order_system": "web", "order": "O1", "order_line": "1",
    }  # fmt: skip
    world.fact("shipment", 5, **ship)
    assert world.line().state == "fulfilled"
    world.fact("shipment", 1, revision=1, **ship)
    assert (world.line().state, world.line().open) == ("part_fulfilled", 4)


def test_a_time_with_any_offset_is_kept_in_utc() -> None:
    world = World()
    far = dt.timezone(dt.timedelta(hours=23, minutes=59))
    world.fact("receipt", 1, occurred_at=(START - dt.timedelta(days=2)).astimezone(far))
    assert world.moves[0][1][7].utcoffset() == dt.timedelta(0)


# ------------------------------------------------------------- authority

SWITCH = START - dt.timedelta(days=1)


def governed() -> Catalog:
    since = START - dt.timedelta(days=100)
    return catalog(
        authorities={
            ("EAST", "outbound"): [(since, "erp"), (SWITCH, "wms")],
            ("EAST", "inbound"): [(since, "wms")],
        }
    )


def test_a_movement_told_by_another_system_is_observed_and_moves_nothing() -> None:
    world = World(governed())
    assert world.one(receipt("1", 5, system="erp")).code == "observed"
    assert world.at().sellable == 0
    assert world.one(receipt("2", 5)).code == "recorded"


def test_authority_is_judged_when_it_happened() -> None:
    world = World(governed())
    before, after = SWITCH - dt.timedelta(hours=1), SWITCH + dt.timedelta(hours=1)
    codes = [
        world.fact("shipment", 1, system=system, occurred_at=at, document=f"{system}{at}").code
        for system in ("erp", "wms")
        for at in (before, after)
    ]
    assert codes == ["recorded", "observed", "observed", "recorded"]


def test_whoever_began_a_document_finishes_it() -> None:
    world = World(governed())
    before, after = SWITCH - dt.timedelta(hours=1), SWITCH + dt.timedelta(hours=1)
    order: dict[str, Any] = {"order": "O1", "order_system": "web", "order_line": "1"}
    assert world.fact("shipment", 1, system="erp", occurred_at=before, **order).code == "recorded"
    assert world.fact("shipment", 1, system="wms", occurred_at=after, **order).code == "observed"
    assert world.fact("shipment", 1, system="erp", occurred_at=after, **order).code == "recorded"


# ------------------------------------------------------------- systems nobody declared


@pytest.mark.parametrize("field", ["system", "order_system"])
def test_what_an_undeclared_system_tells_waits_for_its_declaration(field: str) -> None:
    world = World()
    ghost = receipt("1", 5, **{field: "wsm"})
    outcome = world.one(ghost)
    assert (outcome.code, outcome.field) == ("parked", field)
    assert "stockwright.toml" in outcome.message
    assert world.decision is not None
    assert [parked.missing for parked in world.decision.parked] == ["system:wsm"]
    assert world.at().sellable == 0
    systems = {**world.catalog.systems, "wsm": System("wsm")}
    world.books.catalog = catalog(systems=systems)
    assert world.one(ghost).code == "recorded"
    assert world.at().sellable == 5


def test_what_an_undeclared_system_asks_is_refused_under_every_name_it_could_have() -> None:
    world = World()
    world.fact("receipt", 20)
    for kind in ("reserve", "confirm", "release"):
        outcome = world.ask(kind, lines={"1": ("A", 1)}, system="wbe", channel="web")
        assert (outcome.code, outcome.field) == ("unknown_system", "system")
    assert world.free() == 20


# ------------------------------------------------------------- outcomes


def test_every_outcome_code_is_listed_once() -> None:
    codes = [code for code, _ in OUTCOMES]
    assert len(codes) == len(set(codes))


def test_a_request_with_two_reasons_is_refused_with_the_first_listed() -> None:
    world = World()
    lines = [RequestLine(line="1", sku="ZZ", quantity=1, location="NORTH")]
    nobody = world.ask("reserve", lines=lines, channel="none", system="nobody")
    assert nobody.code == "unknown_system"
    assert world.ask("reserve", lines=lines, channel="none").code == "unknown_channel"
    assert world.ask("reserve", lines=lines).code == "unknown_sku"


def test_the_order_of_precedence_is_the_one_documented() -> None:
    codes = [code for code, _ in OUTCOMES]
    told = [
        "malformed",
        "conflict",
        "poison",
        "parked",
        "unknown_system",
        "unknown_channel",
        "unknown_sku",
    ]
    told += ["unknown_location", "unknown_unit", "superseded", "observed", "insufficient"]
    assert [code for code in codes if code in told] == told

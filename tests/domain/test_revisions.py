"""A later revision of a system that states totals posts the difference, upwards and downwards."""

import datetime as dt
from typing import Any

import pytest

from stockwright.domain.events import Fact
from tests.domain.worlds import START, World


def told(world: World, kind: str, first: int, then: int, **fields: Any) -> World:
    """One line, and its revision, of a system whose revisions state totals."""
    for revision, quantity in enumerate((first, then)):
        more = {name: value[revision] for name, value in fields.items() if type(value) is tuple}
        world.fact(kind, quantity, system="tpl", document="X", revision=revision, **(fields | more))
    return world


def stocked(units: int = 20, **fields: Any) -> World:
    world = World()
    world.fact("receipt", units, **fields)
    return world


@pytest.mark.parametrize(("first", "then"), [(2, 3), (3, 2), (3, 3)])
@pytest.mark.parametrize("per_set", [5, 7])
def test_a_conversion_is_made_once(first: int, then: int, per_set: int) -> None:
    made = (first * 5, then * per_set)
    world = told(stocked(), "conversion", first, then, to_sku="B", to_quantity=made)
    assert (world.at().sellable, world.at(sku="B").sellable) == (20 - then, then * per_set)


@pytest.mark.parametrize(("sent", "excess", "under_way"), [(10, 0, 3), (5, 2, 0)])
def test_less_arrived_than_was_told(sent: int, excess: int, under_way: int) -> None:
    world = stocked()
    world.fact("transfer_out", sent, transfer="T")
    told(world, "transfer_in", 10, 7, location="WEST", transfer="T")
    transfer = world.books.transfers[("T", "A", "")]
    assert world.at("WEST").sellable == 7
    assert (transfer.excess, transfer.under_way) == (excess, under_way)


def test_less_was_sent_than_arrived_and_transit_stays_above_zero() -> None:
    world = stocked(location="WEST")
    world.fact("transfer_in", 10, transfer="T")
    told(world, "transfer_out", 10, 7, location="WEST", transfer="T")
    transfer = world.books.transfers[("T", "A", "")]
    assert (world.at("EAST").sellable, world.at("WEST").sellable) == (10, 13)
    assert (transfer.under_way, transfer.arrived, transfer.excess) == (0, 7, 3)
    assert world.work[("transfer_excess", "T/A/")] == {"excess": 3, "sent": 7}


@pytest.mark.parametrize(("first", "then"), [(3, 3), (4, 1), (1, 4)])
def test_a_closing_told_again_closes_no_more_than_it_says(first: int, then: int) -> None:
    world = stocked()
    world.fact("transfer_out", 10, transfer="T")
    told(world, "transfer_close", first, then, transfer="T")
    transfer = world.books.transfers[("T", "A", "")]
    assert (transfer.under_way, transfer.closed) == (10 - then, then)


@pytest.mark.parametrize(("returned", "good", "left"), [(10, 5, 5), (7, 5, 2), (4, 4, 0)])
def test_fewer_units_passed_the_inspection(returned: int, good: int, left: int) -> None:
    world = World()
    world.fact("return_receipt", returned)
    told(world, "inspection_result", 8, 5)
    assert (world.at().sellable, world.at().inspection) == (good, left)


def test_fewer_units_were_picked_or_put_back() -> None:
    world = stocked()
    world.reserve(10)
    world.ask("allocate")
    told(world, "pick", 8, 5, order="O1", order_system="web")
    assert (world.at().picked, world.at().allocated) == (5, 5)
    told(world, "unpick", 4, 1, order="O1", order_system="web")
    assert (world.at().picked, world.at().allocated) == (4, 6)


def test_a_channel_cancelled_less_than_it_said() -> None:
    world = stocked()
    order = {"system": "tpl", "order": "O9", "channel": "web"}
    world.fact("channel_order", 10, document="sold", **order)
    told(world, "channel_cancel", 10, 4, order="O9")
    line = world.line("O9", system="tpl")
    assert (line.cancelled, line.open, line.state) == (4, 6, "confirmed")
    assert world.at().reserved == 6


def test_lines_whose_codes_hold_bars_are_not_taken_for_each_other() -> None:
    world = World()
    for document, line in (("D|E", "1"), ("D", "E|1"), ("D|", "1"), ("D", "|1"), ("D||", "|")):
        answer = world.fact("receipt", 5, system="tpl", document=document, line=line)
        assert answer.code == "recorded"
    assert world.at().sellable == 25


@pytest.mark.parametrize(("kind", "goods"), [("transfer_in", 27), ("transfer_out", 13)])
def test_a_revision_that_names_another_transfer_leaves_the_first_as_it_was(
    kind: str, goods: int
) -> None:
    world = told(stocked(), kind, 10, 7, transfer=("T1", "T2"))
    first, second = (world.books.transfers[(name, "A", "")] for name in ("T1", "T2"))
    assert (first.sent, first.arrived, first.excess) == (0, 0, 0)
    assert second.excess + second.under_way == 7
    assert world.at().sellable == goods


def test_a_closing_that_names_another_transfer_is_for_a_person() -> None:
    world = stocked()
    world.fact("transfer_out", 10, transfer="T1")
    world.fact("transfer_close", 4, transfer="T1", system="tpl", document="X")
    again = world.fact("transfer_close", 4, transfer="T2", system="tpl", document="X", revision=1)
    assert (again.code, again.field) == ("observed", "transfer")
    assert world.books.transfers[("T1", "A", "")].closed == 4
    assert world.work[("revision_by_hand", "tpl|X|1|transfer_close")]["field"] == "transfer"


# ------------------------------------------------------------- told of something else

LINE: dict[str, Any] = {"order_system": "web", "order": "O1", "order_line": "1"}
CONTROLLED: dict[str, Any] = {"sku": "L", "lot": "x"}
WEST: dict[str, Any] = {"location": "WEST"}

# kind, what the first revision says, what the second says of it in other words
ELSEWHERE: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("receipt", {}, WEST),
    ("receipt", {}, {"sku": "B"}),
    ("receipt", CONTROLLED, {"sku": "L", "lot": "y"}),
    ("receipt", {"bucket": "inspection"}, {"bucket": "damaged"}),
    ("receipt", {"unit": "CS"}, WEST),
    ("shipment", {}, WEST),
    ("shipment", {}, {"sku": "B"}),
    ("shipment", CONTROLLED, {"sku": "L", "lot": "y"}),
    ("shipment", {"sku": "L"}, WEST | {"sku": "L"}),
    ("shipment", LINE, LINE | WEST),
    ("shipment", LINE, LINE | {"order": "O2"}),
    ("shipment", LINE | {"final": True}, LINE),
    ("shipment", LINE, {}),
    ("shipment", LINE | {"location": "SNAP"}, LINE),
    ("pos_sale", {}, WEST),
    ("pos_sale", {"sku": "L"}, {"sku": "A"}),
    ("return_receipt", LINE, LINE | WEST),
    ("return_receipt", LINE, LINE | {"order": "O2"}),
    ("return_receipt", CONTROLLED, {"sku": "L", "lot": "y"}),
    ("adjustment", {}, WEST),
    ("adjustment", {"bucket": "damaged"}, {}),
    ("damage", {}, {"sku": "B"}),
    ("quarantine", {}, WEST),
    ("unquarantine", CONTROLLED, {"sku": "L", "lot": "y"}),
    ("scrap", {"bucket": "damaged"}, {"bucket": "quarantined"}),
    ("inspection_result", {"to_bucket": "damaged"}, {"to_bucket": "sellable"}),
    ("conversion", {"to_sku": "B", "to_quantity": 3}, WEST | {"to_sku": "B", "to_quantity": 3}),
    ("pick", LINE, LINE | {"order": "O2"}),
    ("channel_cancel", LINE, LINE | {"order": "O2"}),
    ("channel_order", {"order": "C1", "channel": "web"}, WEST | {"order": "C1", "channel": "web"}),
    ("channel_order", {"order": "C1", "channel": "web"},
     {"order": "C1", "channel": "web", "sku": "B"}),
    ("channel_order", {"order": "C1", "channel": "web"}, {"order": "C2", "channel": "web"}),
]  # fmt: skip


def company() -> World:
    """Stock of everything everywhere, and two orders of ten."""
    world = World()
    for place in ("EAST", "WEST", "SNAP"):
        for sku, lot in (("A", ""), ("B", ""), ("L", "x"), ("L", "y")):
            fields: dict[str, Any] = {"location": place, "lot": lot}
            kind = "snapshot" if place == "SNAP" else "receipt"
            world.fact(kind, 40, sku, **fields)
            if place != "SNAP":
                world.fact("receipt", 3, sku, bucket="inspection", **fields)
    for order in ("O1", "O2"):
        world.reserve(10, order, confirmed=True)
    return world


def say(world: World, kind: str, revision: int, fields: dict[str, Any], quantity: int = 5) -> str:
    at: dict[str, Any] = {"system": "tpl", "document": "X", "occurred_at": world.now}
    at["revision"] = revision
    return world.fact(kind, quantity, **(at | fields)).code


def of_interest(world: World) -> Any:
    """The end without lines that nothing is known of: once heard of, a line stays."""
    balances, lines = world.end()
    return balances, {key: one for key, one in lines.items() if any(one[:-1])}


@pytest.mark.parametrize(("kind", "first", "then"), ELSEWHERE)
@pytest.mark.parametrize("quantity", [5, 3, 6])
def test_a_revision_that_names_something_else_is_posted_there_and_nowhere_else(
    kind: str, first: dict[str, Any], then: dict[str, Any], quantity: int
) -> None:
    straight = company()
    say(straight, kind, 1, then, quantity)
    revised = company()
    say(revised, kind, 0, first)
    assert say(revised, kind, 1, then, quantity) in ("recorded", "cancel_requested")
    assert of_interest(revised) == of_interest(straight)


@pytest.mark.parametrize(("kind", "first", "then"), ELSEWHERE)
def test_a_revision_may_come_back_to_what_the_first_one_said(
    kind: str, first: dict[str, Any], then: dict[str, Any]
) -> None:
    straight = company()
    say(straight, kind, 3, first, 4)
    revised = company()
    for revision, (fields, quantity) in enumerate(((first, 5), (then, 6), (then, 3), (first, 4))):
        say(revised, kind, revision, fields, quantity)
    assert of_interest(revised) == of_interest(straight)


@pytest.mark.parametrize(("kind", "first", "then"), ELSEWHERE)
def test_a_lower_revision_that_comes_later_is_superseded_wherever_it_says(
    kind: str, first: dict[str, Any], then: dict[str, Any]
) -> None:
    world = company()
    say(world, kind, 2, then)
    end = world.end()
    assert say(world, kind, 1, first) == "superseded"
    assert world.end() == end
    assert say(world, kind, 2, then) in ("recorded", "cancel_requested")
    assert world.end() == end


@pytest.mark.parametrize(("kind", "first", "then"), ELSEWHERE)
def test_a_revision_in_the_same_batch_and_a_count_in_between_change_nothing(
    kind: str, first: dict[str, Any], then: dict[str, Any]
) -> None:
    told_once = {"system": "tpl", "document": "X", "occurred_at": START} | {"location": "EAST"}
    facts = [
        Fact(kind=kind, quantity=5, revision=n, **({"sku": "A"} | told_once | fields))  # type: ignore[arg-type]
        for n, fields in enumerate((first, then))
    ]
    together, apart = company(), company()
    together.batch(facts)
    for one in facts:
        apart.one(one)
    assert together.end() == apart.end()


def test_what_was_counted_since_stays_as_it_was_counted() -> None:
    world = World(now=START + dt.timedelta(hours=3))
    at = {"occurred_at": START}
    say(world, "receipt", 0, at)
    world.fact("count", 7, occurred_at=START + dt.timedelta(hours=1))
    say(world, "receipt", 1, at | WEST)
    assert (world.at().sellable, world.at("WEST").sellable) == (7, 5)


def test_goods_of_a_recalled_lot_are_taken_back_from_quarantine() -> None:
    world = World()
    say(world, "receipt", 0, CONTROLLED)
    world.fact("lot_recall", 0, "L", lot="x")
    say(world, "receipt", 1, CONTROLLED | WEST)
    east, west = world.at("EAST", "L", "x"), world.at("WEST", "L", "x")
    assert (east.sellable, east.quarantined) == (0, 0)
    assert (west.sellable, west.quarantined) == (0, 5)


def test_an_order_of_which_the_warehouse_has_some_does_not_become_one_of_another_sku() -> None:
    world = company()
    order = {"order": "C1", "channel": "web"}
    say(world, "channel_order", 0, order)
    world.fact("pick", 2, order="C1", order_system="tpl", order_line="1")
    end = world.end()
    again = world.fact("channel_order", 5, "B", system="tpl", document="X", revision=1, **order)
    assert (again.code, again.field) == ("observed", "sku")
    assert "order under a new one" in again.message
    assert world.work[("revision_by_hand", "tpl|X|1|channel_order")]["field"] == "sku"
    assert world.end() == end

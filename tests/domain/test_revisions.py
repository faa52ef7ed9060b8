"""A later revision of a system that states totals posts the difference, upwards and downwards."""

from typing import Any

import pytest

from tests.domain.worlds import World


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


@pytest.mark.parametrize("kind", ["transfer_in", "transfer_out"])
def test_a_revision_that_corrects_another_transfer_is_parked(kind: str) -> None:
    world = told(stocked(), kind, 10, 7, transfer=("T1", "T2"))
    assert ("poison", f"tpl|X|1|{kind}|1") in world.work
    assert world.books.transfers.keys() == {("T1", "A", "")}

"""Goods between two places, with the arrival heard of first, twice, in parts, or never."""

import itertools

import pytest

from stockwright.domain.events import Fact
from tests.domain.worlds import START, World

OUT = Fact(
    kind="transfer_out", system="wms", document="OUT", transfer="T1", sku="A", quantity=10,
    location="EAST", to_location="WEST", occurred_at=START,
)  # fmt: skip


def arrival(quantity: int, document: str) -> Fact:
    return Fact(
        kind="transfer_in", system="wms", document=document, transfer="T1", sku="A",
        quantity=quantity, location="WEST", occurred_at=START,
    )  # fmt: skip


def test_goods_under_way_are_in_nobodys_stock() -> None:
    world = World()
    world.fact("receipt", 30)
    world.one(OUT)
    assert (world.at("EAST").on_hand, world.at("WEST").on_hand) == (20, 0)
    assert world.books.transfers[("T1", "A", "")].under_way == 10


@pytest.mark.parametrize("batched", [False, True])
def test_arrivals_and_departure_end_the_same_in_any_order(batched: bool) -> None:
    for facts in itertools.permutations([OUT, arrival(6, "IN1"), arrival(4, "IN2")]):
        world = World()
        world.fact("receipt", 30)
        if batched:
            world.batch(facts)
        else:
            for fact in facts:
                world.one(fact)
        transfer = world.books.transfers[("T1", "A", "")]
        assert (world.at("EAST").sellable, world.at("WEST").sellable) == (20, 10)
        assert (transfer.under_way, transfer.excess, transfer.arrived) == (0, 0, 10)
        assert world.work == {}


def test_more_than_was_sent_is_a_work_item_and_transit_never_goes_below_zero() -> None:
    world = World()
    world.fact("receipt", 30)
    world.one(OUT)
    world.one(arrival(12, "IN1"))
    assert world.books.transfers[("T1", "A", "")].under_way == 0
    assert world.at("WEST").sellable == 12
    assert world.work[("transfer_excess", "T1/A/")]["excess"] == 2


@pytest.mark.parametrize(("close_as", "west"), [("lost", 6), ("found", 10)])
def test_what_never_arrived_is_closed_as_lost_or_found(close_as: str, west: int) -> None:
    world = World()
    world.fact("receipt", 30)
    world.one(OUT)
    world.one(arrival(6, "IN1"))
    world.fact("transfer_close", 0, transfer="T1", location="WEST", close_as=close_as)
    assert world.books.transfers[("T1", "A", "")].under_way == 0
    assert world.at("WEST").sellable == west

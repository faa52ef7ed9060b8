"""Counts as of a time, with facts that arrive late, early, and from clocks that disagree."""

import datetime as dt
import itertools
import random
from typing import Any

import pytest

from stockwright.domain.events import Fact
from tests.domain.worlds import START, World

HOUR = dt.timedelta(hours=1)


def at(hours: float) -> dt.datetime:
    return START - 48 * HOUR + hours * HOUR


def told(kind: str, quantity: int, hour: float, **fields: Any) -> Fact:
    base = {
        "system": "wms",
        "sku": "A",
        "location": "EAST",
        "document": f"{kind}-{hour}-{quantity}",
    }
    return Fact(kind=kind, quantity=quantity, occurred_at=at(hour), **(base | fields))  # type: ignore[arg-type]


def test_a_count_before_a_late_shipment_does_not_subtract_it_twice() -> None:
    """Counted 7 at 10:00 after 3 had shipped at 9:00; the shipment's message comes later."""
    world = World()
    world.one(told("receipt", 10, 1))
    world.one(told("count", 7, 10))
    assert world.at().sellable == 7
    world.one(told("shipment", 3, 9))
    assert world.at().sellable == 7


def test_a_shipment_after_the_count_is_subtracted_whenever_it_arrives() -> None:
    for facts in itertools.permutations(
        [told("receipt", 10, 1), told("count", 9, 10), told("shipment", 3, 11)]
    ):
        world = World()
        for fact in facts:
            world.one(fact)
        assert world.at().sellable == 6


def test_a_late_count_is_reversed_at_the_next_later_one() -> None:
    world = World()
    world.one(told("receipt", 10, 1))
    world.one(told("count", 8, 20))
    world.one(told("count", 6, 10))
    assert world.at().sellable == 8


def truth(facts: list[Fact]) -> int:
    """The last count by time, and every movement after it."""
    stock = 0
    signs = {"receipt": 1, "shipment": -1, "damage": -1}
    order = {"count": 1}
    for fact in sorted(facts, key=lambda one: (one.occurred_at, order.get(one.kind, 0))):
        stock = fact.quantity if fact.kind == "count" else stock + signs[fact.kind] * fact.quantity
    return stock


@pytest.mark.parametrize("seed", range(300))
@pytest.mark.parametrize("batched", [False, True])
def test_random_worlds_end_at_the_truth_in_any_order_of_arrival(seed: int, batched: bool) -> None:
    chance = random.Random(seed)
    facts = [
        told(chance.choice(["receipt", "shipment", "damage", "count"]), chance.randint(1, 30), hour)
        for hour in chance.sample(range(1, 40), chance.randint(2, 7))
    ]
    expected = truth(facts)
    chance.shuffle(facts)
    world = World()
    if batched:
        world.batch(facts)
    else:
        for fact in facts:
            world.one(fact)
    assert world.at().sellable == expected, [
        (one.kind, one.quantity, one.occurred_at) for one in facts
    ]


def test_another_clock_close_to_the_count_asks_for_a_recount_instead_of_guessing() -> None:
    world = World()
    world.one(told("receipt", 10, 1))
    world.one(told("count", 7, 10))
    late = told("shipment", 3, 10, system="late", document="X")
    world.one(late)
    assert world.at().sellable == 4
    assert ("recount", "A/EAST//sellable") in world.work


def test_a_count_close_to_another_clocks_fact_posts_nothing_by_itself() -> None:
    world = World()
    world.one(told("receipt", 10, 1))
    world.one(told("shipment", 3, 10, system="late"))
    world.one(told("count", 8, 10))
    assert world.at().sellable == 7
    assert ("recount", "A/EAST//sellable") in world.work


def test_within_one_source_its_own_position_decides_at_the_same_time() -> None:
    world = World()
    world.one(told("receipt", 10, 1))
    world.one(told("count", 7, 10, position=5))
    world.one(told("shipment", 3, 10, position=4, document="before"))
    assert world.at().sellable == 7
    world.one(told("shipment", 2, 10, position=6, document="after"))
    assert world.at().sellable == 5


def test_a_shelf_count_does_not_see_what_is_picked() -> None:
    world = World()
    world.one(told("receipt", 10, 1))
    world.one(told("pick", 4, 2, order="O1", order_system="web"))
    world.one(told("count", 6, 10, picked_included=False))
    assert world.at().sellable == 10
    assert world.at().picked == 4


def test_a_fact_from_the_future_happened_when_it_was_received() -> None:
    world = World()
    world.one(told("receipt", 10, 200))
    assert world.moves[0][1][7] == world.now


def test_a_buckets_count_leaves_the_other_buckets_alone() -> None:
    world = World()
    world.one(told("receipt", 10, 1))
    world.one(told("damage", 2, 2))
    world.one(told("count", 5, 10, bucket="damaged"))
    assert (world.at().sellable, world.at().damaged) == (8, 5)


def test_a_snapshot_at_a_movement_fed_place_is_only_compared() -> None:
    world = World()
    world.one(told("receipt", 10, 1))
    outcome = world.one(told("snapshot", 7, 10, system="erp"))
    assert outcome.code == "observed"
    assert outcome.answer == {"difference": -3}
    assert world.at().sellable == 10
    assert world.work[("discrepancy", "erp/A/EAST//sellable")]["difference"] == -3
    world.one(told("snapshot", 10, 11, system="erp"))
    assert ("discrepancy", "erp/A/EAST//sellable") not in world.work


def test_a_snapshot_at_a_snapshot_fed_place_is_the_truth_and_movements_are_observed() -> None:
    world = World()
    world.one(told("snapshot", 30, 1, location="SNAP"))
    assert world.at("SNAP").sellable == 30
    assert world.one(told("receipt", 5, 2, location="SNAP")).code == "observed"
    assert world.at("SNAP").sellable == 30
    world.one(told("snapshot", 35, 3, location="SNAP"))
    world.one(told("snapshot", 20, 2, location="SNAP"))
    assert world.at("SNAP").sellable == 35


def test_a_net_number_gets_back_the_claims_its_system_has_applied() -> None:
    world = World()
    world.one(told("snapshot", 30, 1, location="SNAP", system="net"))
    world.one(told("channel_order", 4, 2, location="SNAP", order="O1", channel="web", system="web"))
    sequence = world.books.sequence
    world.one(told("snapshot", 26, 3, location="SNAP", system="net", contained=sequence))
    assert (world.at("SNAP").sellable, world.free("SNAP")) == (30, 26)
    world.one(told("snapshot", 26, 4, location="SNAP", system="net"))
    assert (world.at("SNAP").sellable, world.free("SNAP")) == (26, 22)


@pytest.mark.parametrize("system", ["wms", "net"])
def test_a_shipment_at_a_snapshot_fed_place_never_raises_free(system: str) -> None:
    world = World()
    world.one(told("snapshot", 30, 1, location="SNAP", system=system))
    world.one(told("channel_order", 4, 2, location="SNAP", order="O1", channel="web", system="web"))
    free = world.free("SNAP")
    world.one(
        told(
            "shipment",
            4,
            3,
            location="SNAP",
            system=system,
            order="O1",
            order_system="web",
            order_line="1",
        )
    )
    assert world.free("SNAP") <= free
    assert world.line().state == "fulfilled"

"""Lots: first expired first out, promised freshness, recall, expiry, serials."""

import datetime as dt
from typing import Any

from stockwright.domain.events import OWN_SYSTEM, RequestLine
from tests.domain.worlds import World

SOON, LATER = dt.date(2026, 4, 1), dt.date(2026, 9, 1)


def stocked(soon: int = 10, later: int = 5) -> World:
    world = World()
    for lot, expires_on, quantity in (("X", SOON, soon), ("Y", LATER, later)):
        if quantity:
            world.fact("receipt", quantity, "L", lot=lot, expires_on=expires_on)
    return world


def ask(world: World, quantity: int, order: str, **fields: Any) -> str:
    line = RequestLine(line="1", sku="L", quantity=quantity, **fields)
    return world.ask("reserve", order, lines=[line]).code


def test_goods_are_kept_per_lot_and_a_plain_claim_names_none() -> None:
    world = stocked()
    assert ask(world, 12, "O1") == "granted"
    assert world.at(sku="L", lot="X").sellable == 10
    assert world.at(sku="L").reserved == 12
    assert world.free(sku="L") == 3


def test_allocation_names_the_lot_that_expires_first_and_skips_empty_ones() -> None:
    world = stocked()
    world.fact("shipment", 2, "L", lot="Z")
    assert world.at(sku="L", lot="Z").sellable == -2
    ask(world, 12, "O1")
    assert world.ask("allocate", "O1").code == "done"
    assert world.at(sku="L", lot="X").allocated == 10
    assert world.at(sku="L", lot="Y").allocated == 2


def test_a_claim_may_name_its_lot_and_no_more_than_the_lot_holds() -> None:
    world = stocked()
    assert ask(world, 6, "O1", lot="Y") == "insufficient"
    assert ask(world, 5, "O2", lot="Y") == "granted"
    assert ask(world, 1, "O3", lot="Y") == "insufficient"
    assert ask(world, 10, "O4") == "granted"
    assert ask(world, 1, "O5") == "insufficient"


def test_freshness_promised_to_one_is_not_promised_to_another() -> None:
    """Ten units are good for a month, five for half a year; all fifteen are free."""
    world = stocked()
    assert ask(world, 6, "O1", min_shelf_life_days=90) == "insufficient"
    assert ask(world, 4, "O2", min_shelf_life_days=90) == "granted"
    assert ask(world, 2, "O3", min_shelf_life_days=90) == "insufficient"
    assert ask(world, 1, "O4", lot="Y") == "granted"
    assert ask(world, 1, "O5", lot="Y") == "insufficient"
    assert ask(world, 10, "O6", min_shelf_life_days=10) == "granted"
    assert ask(world, 1, "O7") == "insufficient"


def test_a_named_lot_cannot_take_the_units_another_needs_for_its_freshness() -> None:
    world = stocked()
    assert ask(world, 5, "O1", min_shelf_life_days=90) == "granted"
    assert ask(world, 1, "O2", lot="Y") == "insufficient"


def test_released_freshness_is_free_again() -> None:
    world = stocked()
    ask(world, 5, "O1", min_shelf_life_days=90)
    world.ask("release", "O1")
    assert ask(world, 5, "O2", min_shelf_life_days=90) == "granted"


def test_a_recall_blocks_the_lot_everywhere_in_one_command() -> None:
    world = stocked()
    world.fact("receipt", 3, "L", lot="X", location="WEST")
    outcome = world.fact("lot_recall", 0, "L", lot="X", location="")
    assert outcome.answer == {"quarantined": 13}
    assert world.at(sku="L", lot="X").quarantined == 10
    assert world.at("WEST", "L", "X").quarantined == 3
    assert world.at(sku="L", lot="Y").sellable == 5


def test_goods_of_a_recalled_lot_that_turn_up_later_are_blocked_too() -> None:
    world = stocked()
    world.fact("lot_recall", 0, "L", lot="X", location="")
    world.fact("receipt", 4, "L", lot="X", location="WEST")
    assert (world.at("WEST", "L", "X").sellable, world.at("WEST", "L", "X").quarantined) == (0, 4)


def test_a_lot_past_its_date_leaves_sale_at_that_place_only() -> None:
    world = stocked()
    world.fact("receipt", 3, "L", lot="X", location="WEST")
    world.fact("lot_expiry", 0, "L", lot="X")
    assert world.at(sku="L", lot="X").sellable == 0
    assert world.at("WEST", "L", "X").sellable == 3


def test_the_calendar_speaks_for_itself_and_nobody_declares_it() -> None:
    """Once undeclared systems were parked, so was each lot that reached its date: it was sold."""
    world = stocked()
    assert world.fact("lot_expiry", 0, "L", lot="X", system=OWN_SYSTEM).code == "recorded"
    assert world.at(sku="L", lot="X").sellable == 0
    assert world.fact("receipt", 1, "L", lot="X", system=OWN_SYSTEM).code == "parked"


def test_goods_without_a_lot_are_recorded_and_asked_about() -> None:
    world = World()
    assert world.fact("receipt", 4, "L").code == "recorded"
    assert any(kind == "lot_missing" for kind, _ in world.work)


def test_a_shipment_without_a_lot_takes_what_expires_first() -> None:
    world = stocked()
    world.fact("shipment", 12, "L")
    assert world.at(sku="L", lot="X").sellable == 0
    assert world.at(sku="L", lot="Y").sellable == 3

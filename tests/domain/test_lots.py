"""Lots: first expired first out, promised freshness, recall, expiry, serials."""

import datetime as dt
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from stockwright.domain.events import RequestLine
from stockwright.domain.exposure import Policy
from stockwright.domain.shelf_life import room_for
from tests.domain.worlds import START, World, catalog

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


def test_goods_without_a_lot_are_recorded_and_asked_about() -> None:
    world = World()
    assert world.fact("receipt", 4, "L").code == "recorded"
    assert any(kind == "lot_missing" for kind, _ in world.work)


def test_a_shipment_without_a_lot_takes_what_expires_first() -> None:
    world = stocked()
    world.fact("shipment", 12, "L")
    assert world.at(sku="L", lot="X").sellable == 0
    assert world.at(sku="L", lot="Y").sellable == 3


def fresh_only(days: int) -> World:
    """A shop that sells only what is good for so many days, beside one that sells everything."""
    policy = Policy(channel="web", position=1, min_shelf_life_days=days)
    known = catalog()
    channels = dict(known.channels)
    channels["web"] = replace(channels["web"], policies=(policy,))
    world = World(replace(known, channels=channels))
    for lot, expires_on, quantity in (("X", SOON, 10), ("Y", LATER, 5)):
        world.fact("receipt", quantity, "L", lot=lot, expires_on=expires_on)
    return world


def test_a_channel_that_sells_fresh_goods_claims_them_without_being_told() -> None:
    world = fresh_only(90)
    assert ask(world, 6, "O1") == "insufficient"
    assert ask(world, 3, "O2") == "granted"
    assert world.line("O2").fresh_until == START.date() + dt.timedelta(days=90)
    assert ask(world, 2, "O3", min_shelf_life_days=10) == "granted", "never less than the channel"
    assert ask(world, 1, "O4") == "insufficient"
    assert ask(world, 6, "O5", min_shelf_life_days=400) == "insufficient"


def test_a_fresh_sale_that_was_not_asked_for_keeps_others_from_the_fresh_lots() -> None:
    world = fresh_only(90)
    world.fact("channel_order", 4, "L", system="web", channel="web", order="M1", location="EAST")
    assert world.line("M1").fresh_until == START.date() + dt.timedelta(days=90)
    assert ask(world, 2, "O1") == "insufficient"
    assert ask(world, 1, "O2") == "granted"
    other = {"system": "b2b", "channel": "b2b"}
    line = RequestLine(line="1", sku="L", quantity=2, lot="Y")
    assert world.ask("reserve", "O3", lines=[line], **other).code == "insufficient"


@given(
    st.integers(0, 30),
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=5),
    st.dictionaries(st.integers(0, 20), st.integers(0, 10), max_size=4),
    st.integers(0, 20),
)
def test_the_room_for_fresh_goods_is_the_most_that_leaves_every_claim_a_lot(
    loose: int, lots: list[tuple[int, int]], asked: dict[int, int], until: int
) -> None:
    """Against the definition: serve those who ask for most first; all must be served."""

    def day(n: int) -> dt.date:
        return SOON + dt.timedelta(days=n)

    def served(claims: dict[int, int]) -> bool:
        left = sorted(lots)
        for n in sorted(claims, reverse=True):
            wanted = claims[n]
            for i, (last, units) in sorted(enumerate(left), key=lambda one: -one[1][0]):
                if last >= n:
                    taken = min(wanted, units)
                    left[i] = (last, units - taken)
                    wanted -= taken
            if wanted:
                return False
        return True

    assume(served(asked))
    free = loose + sum(units for _, units in lots) - sum(asked.values())
    known = [(day(last), units) for last, units in lots]
    room = room_for(free, known, {day(n): units for n, units in asked.items()}, day(until))
    assert room <= free
    if room > 0:
        assert served({**asked, until: asked.get(until, 0) + room})
    if room < free and room >= 0:
        assert not served({**asked, until: asked.get(until, 0) + room + 1})

"""An event that is taken back leaves the books as if it had never been recorded."""

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stockwright.domain.catalog import System
from stockwright.domain.wellformed import Expiry
from tests.domain.test_revisions import ELSEWHERE, company, of_interest
from tests.domain.worlds import World, catalog

LINE: dict[str, Any] = {"order_system": "web", "order": "O1", "order_line": "1"}
CLAIMS_ONLY = {"pick", "unpick", "channel_order", "channel_cancel"}
TOLD = [(kind, first) for kind, first, _ in ELSEWHERE if kind not in CLAIMS_ONLY]

Story = list[tuple[str, int, dict[str, Any]]]


def tell(world: World, kind: str, quantity: int, **fields: Any) -> int:
    """Tells a fact of the warehouse; its sequence number."""
    return world.fact(kind, quantity, **({"occurred_at": world.now} | fields)).sequence


def take_back(world: World, sequence: int, **fields: Any) -> Any:
    return world.fact("reversal", 0, location="", sku="", reverses=sequence, **fields)


@pytest.mark.parametrize(("kind", "fields"), TOLD)
def test_what_was_taken_back_was_never_there(kind: str, fields: dict[str, Any]) -> None:
    never, world = company(), company()
    assert take_back(world, tell(world, kind, 5, **fields)).code == "recorded"
    assert of_interest(world) == of_interest(never)


# What happens to the order before the shipment that is taken back, and after it.
AROUND: dict[str, tuple[Story, Story]] = {
    "nothing": ([], []),
    "picked": ([("pick", 8, LINE)], []),
    "picked, told late": ([], [("pick", 8, LINE)]),
    "cancelled": ([], [("channel_cancel", 4, LINE)]),
    "cancel crossed it": ([("channel_cancel", 9, LINE)], []),
    "picked and cancelled": ([("pick", 8, LINE)], [("channel_cancel", 10, LINE)]),
    "another shipment": ([("shipment", 3, LINE)], [("shipment", 2, LINE)]),
    "another shipment, the last": ([], [("shipment", 2, LINE | {"final": True})]),
    "sent back": ([], [("return_receipt", 2, LINE)]),
    "shipped from elsewhere": ([("pick", 2, LINE | {"location": "WEST"})], []),
}


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("fields", [{}, {"final": True}, {"location": "WEST"}])
@pytest.mark.parametrize("units", [4, 10, 12])
def test_a_line_is_as_if_its_shipment_had_never_been(
    around: str, fields: dict[str, Any], units: int
) -> None:
    before, after = AROUND[around]
    never, world = company(), company()
    sequence = 0
    for one in (never, world):
        for kind, quantity, its in before:
            tell(one, kind, quantity, **its)
        if one is world:
            sequence = tell(one, "shipment", units, **(LINE | fields))
        for kind, quantity, its in after:
            tell(one, kind, quantity, **its)
    take_back(world, sequence)
    assert counters(world) == counters(never)
    if fields.get("location") != "WEST":
        assert of_interest(world) == of_interest(never)


def counters(world: World) -> Any:
    """What the line says of itself, wherever its claims lie."""
    balances, lines = world.end()
    totals = [sum(cell) for cell in zip(*balances.values(), strict=True)]
    return lines[("web", "O1", "1")], totals[:4], sum(totals[4:])


STEPS = st.tuples(
    st.sampled_from(("pick", "channel_cancel", "shipment", "return_receipt")), st.integers(1, 9)
)


@given(before=st.lists(STEPS, max_size=3), after=st.lists(STEPS, max_size=3), taken=STEPS)
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_whatever_happened_around_it_the_line_ends_as_without_it(
    before: list[tuple[str, int]], after: list[tuple[str, int]], taken: tuple[str, int]
) -> None:
    kind = "shipment" if taken[0] in CLAIMS_ONLY else taken[0]
    never, world = company(), company()
    sequence = 0
    for one in (never, world):
        for step in before:
            tell(one, *step, **LINE)
        if one is world:
            sequence = tell(one, kind, taken[1], **LINE)
        for step in after:
            tell(one, *step, **LINE)
    take_back(world, sequence)
    assert of_interest(world) == of_interest(never)


def test_a_shipment_that_came_before_its_order_is_owed_once_it_is_taken_back() -> None:
    world = World()
    world.fact("receipt", 20)
    sequence = tell(world, "shipment", 5, order="C1", order_system="web", order_line="1")
    world.fact("channel_order", 5, system="web", order="C1", channel="web", order_line="1")
    assert (world.line("C1").open, world.line("C1").state) == (0, "fulfilled")
    take_back(world, sequence)
    line = world.line("C1")
    assert (line.shipped, line.open, line.state) == (0, 5, "confirmed")
    assert (world.at().sellable, world.at().reserved) == (20, 5)


@pytest.mark.parametrize("given_up", ["release", "expiry"])
def test_a_claim_that_was_given_up_is_not_opened_again(given_up: str) -> None:
    world = World()
    world.fact("receipt", 20)
    world.reserve(5, hold_s=60)
    if given_up == "release":
        world.ask("release")
    else:
        expire(world)
    state = world.line().state
    sequence = tell(world, "shipment", 5, **LINE)
    assert world.line().state == "fulfilled"
    take_back(world, sequence)
    assert (world.line().state, world.line().open, world.free()) == (state, 0, 20)
    assert [one for _, _, one in world.transitions][-2:] == ["fulfilled", state]


def expire(world: World) -> None:
    world.now += (world.line().expires_at - world.now) * 2
    world.one(Expiry(system="web", order="O1", lines=["1"], document="O1@1"))


def test_a_claim_is_opened_again_only_up_to_what_remains() -> None:
    world = World()
    world.fact("receipt", 20)
    world.reserve(10, confirmed=True)
    first = tell(world, "shipment", 6, **LINE)
    tell(world, "shipment", 7, **LINE)
    take_back(world, first)
    assert (world.line().shipped, world.line().open, world.line().state) == (7, 3, "part_fulfilled")


def test_an_event_is_taken_back_once_and_its_reversal_never() -> None:
    world = company()
    sequence = tell(world, "shipment", 5, **LINE)
    reversal = take_back(world, sequence)
    end = world.end()
    assert take_back(world, sequence).code == "superseded"
    again = take_back(world, reversal.sequence)
    assert (again.code, ("reversal_by_hand", f"reversal|{reversal.sequence}") in world.work) == (
        "observed",
        True,
    )
    assert world.end() == end


def test_of_a_line_that_was_revised_the_latest_event_takes_all_of_it_back() -> None:
    never, world = company(), company()
    sums: dict[str, Any] = {"system": "tpl", "document": "X", "occurred_at": world.now} | LINE
    first, second = (
        world.fact("shipment", quantity, revision=n, **sums).sequence
        for n, quantity in enumerate((5, 8))
    )
    refused = take_back(world, first, system="tpl")
    assert (refused.code, refused.field) == ("superseded", "reverses")
    assert take_back(world, second, system="tpl").code == "recorded"
    assert of_interest(world) == of_interest(never)
    world.fact("shipment", 3, revision=2, **sums)
    assert world.line().shipped == 3


def test_a_serial_of_corrections_within_the_clock_error_leaves_no_trace() -> None:
    for counted_by, error in itertools.product(("wms", "late"), (0, 60)):
        systems = {"wms": System("wms"), "late": System("late", clock_error_s=error)}
        world = World(catalog(systems=systems))
        world.fact("count", 7, system=counted_by)
        sequence = tell(world, "receipt", 5)
        stood = world.at().sellable
        take_back(world, sequence)
        assert world.at().sellable == stood - (0 if stood == 7 else 5)

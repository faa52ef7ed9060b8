"""Reservations: granted against what is really free, each transition once."""

import datetime as dt
from typing import Any

import pytest

from stockwright.domain.catalog import Channel
from stockwright.domain.events import RequestLine
from stockwright.domain.exposure import Policy
from stockwright.domain.wellformed import Expiry
from tests.domain.worlds import World, catalog


def stocked(east: int = 10, west: int = 10, **changes: Any) -> World:
    world = World(catalog(**changes))
    for place, quantity in (("EAST", east), ("WEST", west)):
        if quantity:
            world.fact("receipt", quantity, location=place)
    return world


def places(answer: dict[str, Any] | None, line: int = 0) -> list[tuple[str, int]]:
    assert answer is not None
    return [(one["location"], one["quantity"]) for one in answer["lines"][line]["places"]]


# ------------------------------------------------------------- granting


def test_lines_of_one_request_on_one_sku_are_summed() -> None:
    """97 + 23 on 108: a check line by line would have let both pass."""
    world = stocked(108, 0)
    assert world.ask("reserve", lines={"1": ("A", 97), "2": ("A", 23)}).code == "insufficient"
    assert world.at().reserved == 0


def test_requests_of_one_batch_see_each_other() -> None:
    world = stocked(108, 0)
    from stockwright.domain.events import Request

    asks = [
        Request(
            kind="reserve", system="web", document=f"K{n}", lines=[RequestLine(sku="A", quantity=q)]
        )
        for n, q in enumerate((97, 23, 11, 1))
    ]
    assert [one.code for one in world.batch(asks)] == [
        "granted",
        "insufficient",
        "granted",
        "insufficient",
    ]
    assert world.at().free == 0


def test_a_whole_order_comes_from_one_place_first() -> None:
    world = stocked(3, 10)
    answer = world.ask("reserve", lines={"1": ("A", 3), "2": ("A", 4)}).answer
    assert places(answer, 0) == [("WEST", 3)]
    assert places(answer, 1) == [("WEST", 4)]


def test_an_order_is_split_by_priority_where_no_place_holds_it() -> None:
    assert places(stocked(6, 6).reserve(9).answer) == [("EAST", 6), ("WEST", 3)]


def test_two_places_of_equal_stock_are_two_places() -> None:
    world = stocked(5, 5)
    assert world.reserve(10).code == "granted"
    assert world.reserve(1, "O2").code == "insufficient"


def test_a_channel_that_may_not_split_gets_one_place_or_nothing() -> None:
    world = stocked(6, 6)
    assert world.reserve(9, system="b2b", channel="b2b").code == "insufficient"
    answer = world.reserve(9, "O2", system="b2b", channel="b2b", mode="partial").answer
    assert places(answer) == [("EAST", 6)]


def test_a_fixed_place_is_the_only_place() -> None:
    world = stocked(3, 10)
    line = [RequestLine(line="1", sku="A", quantity=5, location="EAST")]
    assert world.ask("reserve", lines=line).code == "insufficient"


def test_a_shortage_at_one_place_counts_against_the_pool() -> None:
    world = stocked(10, 0)
    world.fact("channel_order", 7, location="WEST", order="M1", channel="web", system="web")
    assert world.free("WEST") == -7
    assert world.reserve(4).code == "insufficient"
    assert world.reserve(3, "O2").code == "granted"


def policied(**policy: Any) -> dict[str, Any]:
    return {
        "channels": {
            "web": Channel("web", "web", ("EAST", "WEST")),
            "b2b": Channel("b2b", "b2b", ("EAST", "WEST"), policies=(Policy(**policy),)),
        }
    }


@pytest.mark.parametrize(
    ("policy", "web", "b2b"),
    [
        ({"buffer": 5}, 20, 20),
        ({"cap": 5}, 20, 20),
        ({"safety": 5}, 20, 20),
        ({"hard_safety": 5}, 20, 15),
        ({"ring_fence": 5}, 15, 20),
    ],
)
def test_what_a_request_is_compared_with(policy: dict[str, Any], web: int, b2b: int) -> None:
    """Buffers and caps shape publication only; fences of others and hard safety bind requests."""
    for channel, most in (("web", web), ("b2b", b2b)):
        world = stocked(20, 0, **policied(**policy))
        assert world.reserve(most + 1, system=channel, channel=channel).code == "insufficient"
        assert world.reserve(most, "O2", system=channel, channel=channel).code == "granted"


def test_a_fence_binds_a_request_without_a_channel_at_a_fixed_place() -> None:
    world = stocked(20, 0, **policied(ring_fence=5))
    line = [RequestLine(line="1", sku="A", quantity=16, location="EAST")]
    assert world.ask("reserve", system="erp", lines=line).code == "insufficient"
    line = [RequestLine(line="1", sku="A", quantity=15, location="EAST")]
    assert world.ask("reserve", "O2", system="erp", lines=line).code == "granted"


def test_a_fence_that_its_channel_has_used_holds_nothing_back_any_more() -> None:
    world = stocked(20, 0, **policied(ring_fence=5))
    world.reserve(5, "B1", system="b2b", channel="b2b")
    assert world.reserve(15).code == "granted"


def test_partial_grants_what_there_is() -> None:
    world = stocked(6, 0)
    outcome = world.reserve(9, mode="partial")
    assert outcome.code == "partial"
    assert places(outcome.answer) == [("EAST", 6)]
    assert world.line().ordered == 6


# ------------------------------------------------------------- transitions


def expire(world: World, order: str = "O1") -> str:
    world.now += dt.timedelta(hours=1)
    item = Expiry(system="web", order=order, lines=["1"], document=f"{order}@{world.now}")
    return world.one(item).code


def test_each_transition_is_recorded_once() -> None:
    world = stocked()
    world.reserve(5)
    for _ in range(2):
        assert world.ask("confirm").code == "done"
    for _ in range(2):
        assert world.ask("release").code == "done"
    assert [state for _, _, state in world.transitions] == ["open", "confirmed", "released"]
    assert [n for _, n, _ in world.transitions] == [1, 2, 3]
    assert world.at().reserved == 0


def test_only_a_recorded_expiry_ends_a_hold() -> None:
    world = stocked()
    world.reserve(5)
    world.now += dt.timedelta(days=1)
    assert world.ask("confirm").code == "done"
    assert expire(world) == "closed"
    assert world.at().reserved == 5


def test_confirm_after_expiry_is_granted_again_while_the_stock_is_there() -> None:
    world = stocked()
    world.reserve(5)
    assert expire(world) == "done"
    assert world.at().reserved == 0
    assert world.ask("confirm").code == "regranted"
    assert world.at().reserved == 5
    assert world.line().state == "confirmed"


def test_confirm_after_expiry_is_refused_once_the_stock_is_gone() -> None:
    world = stocked(5, 0)
    world.reserve(5)
    expire(world)
    world.reserve(3, "O2")
    assert world.ask("confirm").code == "expired"
    assert world.at().reserved == 3


def test_confirm_after_expiry_grants_no_unit_again_that_was_picked_late() -> None:
    world = stocked()
    world.reserve(5)
    expire(world)
    world.fact("pick", 3, order="O1", order_system="web")
    assert world.ask("confirm").code == "regranted"
    assert (world.at().picked, world.at().reserved) == (3, 2)


def test_extend_moves_the_end_of_an_open_hold() -> None:
    world = stocked()
    world.reserve(5)
    world.now += dt.timedelta(minutes=10)
    world.ask("extend", hold_s=3600)
    world.now += dt.timedelta(minutes=30)
    item = Expiry(system="web", order="O1", lines=["1"], document="early")
    assert world.one(item).code == "closed"


def test_a_released_reservation_cannot_be_confirmed() -> None:
    world = stocked()
    world.reserve(5)
    world.ask("release")
    assert world.ask("confirm").code == "closed"


def test_the_same_key_is_answered_as_the_first_time_and_a_refusal_is_an_answer() -> None:
    world = stocked(5, 0)
    first = world.reserve(6, document="K")
    world.fact("receipt", 50)
    again = world.reserve(6, document="K")
    assert (first.code, again.code, again.replay) == ("insufficient", "insufficient", True)
    assert again.message == first.message
    assert world.reserve(6, document="K2").code == "granted"


def test_the_same_key_with_other_content_is_a_conflict_and_is_raised() -> None:
    world = stocked()
    world.reserve(5, document="K")
    assert world.reserve(6, document="K").code == "conflict"
    assert any(kind == "conflict" for kind, _ in world.work)
    assert world.at().reserved == 5


# ------------------------------------------------------------- shipping and cancelling

SHIP: dict[str, Any] = {"order_system": "web", "order": "O1", "order_line": "1"}


def test_a_shipment_draws_its_own_claim_and_never_anothers() -> None:
    world = stocked(10, 0)
    world.reserve(4)
    world.reserve(6, "O2")
    world.fact("shipment", 5, **SHIP)
    assert world.line().open == 0
    assert world.line("O2").open == 6
    assert world.free() == -1


def test_a_partial_shipment_leaves_the_rest_promised() -> None:
    world = stocked()
    world.reserve(5)
    world.fact("shipment", 2, **SHIP)
    assert (world.line().state, world.line().open) == ("part_fulfilled", 3)
    world.fact("shipment", 3, **SHIP)
    assert (world.line().state, world.line().open) == ("fulfilled", 0)
    assert world.ask("cancel").code == "already_fulfilled"


def test_a_cancel_after_release_to_the_warehouse_frees_on_the_warehouses_word() -> None:
    world = stocked()
    world.reserve(5)
    world.ask("allocate")
    assert world.ask("cancel").code == "cancel_requested"
    assert world.at().allocated == 5
    assert ("cancel_requested", "web/O1/1") in world.work
    world.ask("deallocate")
    assert (world.at().allocated, world.at().reserved, world.line().state) == (0, 0, "cancelled")
    assert ("cancel_requested", "web/O1/1") not in world.work


def test_a_cancel_that_the_warehouse_overtakes_is_a_work_item() -> None:
    world = stocked()
    world.reserve(5)
    world.ask("allocate")
    world.ask("cancel")
    world.fact("shipment", 5, **SHIP)
    line = world.line()
    assert (line.state, line.cancelled, line.cancel_requested) == ("fulfilled", 0, 0)
    assert ("shipped_after_cancel", "web/O1/1") in world.work


def test_unpicked_goods_of_a_cancelled_order_are_free_again() -> None:
    world = stocked()
    world.reserve(5)
    world.ask("allocate")
    world.fact("pick", 5, **SHIP)
    world.ask("cancel")
    world.fact("unpick", 5, **SHIP)
    assert (world.at().picked, world.at().allocated, world.free()) == (0, 0, 10)


def test_more_returned_than_shipped_is_asked_about_and_recorded() -> None:
    world = stocked()
    world.reserve(2)
    world.fact("shipment", 2, **SHIP)
    assert world.fact("return_receipt", 3, **SHIP).code == "recorded"
    assert ("returned_more_than_shipped", "web/O1/1") in world.work
    world.fact("shipment", 1, **SHIP)
    assert ("returned_more_than_shipped", "web/O1/1") not in world.work


def test_a_reserve_for_an_order_already_shipped_is_already_fulfilled() -> None:
    world = stocked()
    world.fact("shipment", 5, **SHIP)
    assert world.reserve(5).code == "already_fulfilled"
    assert world.at().reserved == 0
    assert world.line().ordered == 5


def test_no_more_is_cancelled_than_was_ordered_however_much_was_picked() -> None:
    world = stocked()
    world.reserve(2)
    world.fact("pick", 4, order="O1", order_system="web")
    assert world.ask("cancel").code == "cancel_requested"
    assert (world.line().cancelled, world.line().cancel_requested) == (0, 2)
    world.fact("unpick", 4, order="O1", order_system="web")
    assert (world.line().cancelled, world.line().open) == (2, 0)
    assert world.at().picked == world.at().allocated == world.at().reserved == 0

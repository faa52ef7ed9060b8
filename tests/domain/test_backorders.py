"""Backorders: who comes first, what serves them, what ends them."""

import datetime as dt
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockwright.domain.catalog import Channel, Sku
from stockwright.domain.events import Fact, RequestLine
from stockwright.domain.owing import Backorder, Standing, queue
from stockwright.domain.wellformed import Expiry
from tests.domain.worlds import START, World, catalog

HOUR = dt.timedelta(hours=1)
POOLS = {"web": ("EAST", "WEST"), "b2b": ("EAST",), "far": ("FAR",)}


def backorder(quantity, order="B1", demand_class=50, since=0, n=1, **changes):
    told = {
        "id": n,
        "system": "web",
        "order": order,
        "line": "1",
        "sku": "A",
        "channel": "web",
        "demand_class": demand_class,
        "quantity": quantity,
        "owed_since": START - since * HOUR,
    }
    return Backorder(**(told | changes))


def world(*owed, stock=0):
    channels = {
        "web": Channel("web", "web", ("EAST", "WEST"), demand_class=50),
        "b2b": Channel("b2b", "b2b", ("EAST",), demand_class=10),
        "late": Channel("late", "web", ("EAST",), demand_class=90),
        "far": Channel("far", "web", ("WEST",), demand_class=90),
    }
    found = World(catalog(channels=channels, skus={"A": Sku("A", owed=True), "B": Sku("B")}))
    found.books.backorders = {one.key: one for one in owed}
    if stock:
        found.fact("receipt", stock)
    return found


def owed(world, order="B1", system="web"):
    return world.books.backorders[(system, order, "1")]


# ---------------------------------------------------------------- the queue


QUEUES = [
    # (who asks, class, own line, own, ahead, others)
    ("a lower class waits for all of its own and higher", 50, None, 0, 3 + 5 + 7, 3 + 5 + 7),
    ("a higher class waits for none of the lower", 9, None, 0, 0, 0),
    ("its own class goes before a newcomer", 10, None, 0, 3, 3),
    ("whoever names no class waits for all", None, None, 0, 3 + 5 + 7 + 11, 3 + 5 + 7 + 11),
    ("the first of the queue waits for nobody", 90, "FIRST", 3, 0, 0),
    ("within a class the oldest goes first", 90, "OLD", 5, 3, 3 + 7),
    ("the youngest goes last", 90, "NEW", 7, 3 + 5, 3 + 5),
]


@pytest.mark.parametrize(
    ("demand_class", "own", "mine", "ahead", "others"),
    [one[1:] for one in QUEUES],
    ids=[one[0] for one in QUEUES],
)
def test_who_goes_before_whom(demand_class, own, mine, ahead, others):
    waiting = [
        backorder(7, "NEW", since=1, n=4),
        backorder(3, "FIRST", demand_class=10, channel="b2b", n=3),
        backorder(5, "OLD", since=9, n=9),
        backorder(11, "LOW", demand_class=80, n=1),
        backorder(99, "ELSEWHERE", demand_class=1, channel="far", n=2),
        backorder(99, "DONE", demand_class=1, state="closed", n=5),
    ]
    key = ("web", own, "1") if own else None
    for order in (waiting, waiting[::-1]):
        assert queue(order, POOLS, ("EAST",), demand_class, key) == (mine, ahead, others)


# ---------------------------------------------------------------- requests


def test_nothing_is_granted_over_the_heads_of_those_who_wait():
    shop = world(backorder(6), stock=10)
    assert shop.reserve(5, "O1").code == "insufficient"
    assert shop.reserve(4, "O2").code == "granted"
    assert shop.reserve(1, "O3").code == "insufficient"
    assert owed(shop).owed == 6


def test_a_higher_class_is_served_first_and_a_lower_one_waits():
    shop = world(backorder(6), stock=10)
    assert shop.reserve(5, "O1", system="web", channel="late").code == "insufficient"
    assert shop.reserve(10, "O2", system="b2b", channel="b2b").code == "granted"


def test_a_channel_that_sells_from_other_places_is_not_held_up():
    shop = world(backorder(6, channel="b2b", demand_class=1), stock=4)
    shop.fact("receipt", 3, location="WEST")
    assert shop.reserve(3, "O1", channel="far").code == "granted"
    assert shop.reserve(1, "O2").code == "insufficient", "this one may sell from there as well"


def test_a_backorder_becomes_a_reservation_in_its_turn():
    shop = world(backorder(6, "FIRST", since=9, n=1), backorder(5, "SECOND", since=3, n=2), stock=8)
    assert shop.reserve(5, "SECOND").code == "insufficient"
    assert shop.reserve(2, "SECOND", confirmed=True).code == "granted"
    assert (owed(shop, "SECOND").owed, owed(shop, "FIRST").owed) == (3, 6)
    assert shop.reserve(6, "FIRST", confirmed=True).code == "granted"
    assert (owed(shop, "FIRST").state, shop.free()) == ("served", 0)
    shop.fact("receipt", 3)
    assert shop.reserve(3, "SECOND", confirmed=True).code == "granted"
    assert owed(shop, "SECOND").state == "served"


def test_more_than_was_owed_waits_like_everybody_elses():
    shop = world(backorder(6, "MINE", since=1, n=1), backorder(5, "OTHER", n=2), stock=10)
    assert shop.reserve(7, "MINE").code == "insufficient"
    shop.fact("receipt", 2)
    assert shop.reserve(7, "MINE").code == "granted"


def test_a_line_that_was_granted_in_part_may_claim_what_it_is_owed():
    shop = world(stock=4)
    assert shop.reserve(10, "O1", mode="partial", confirmed=True).code == "partial"
    line = shop.line("O1")
    shop.books.backorders = {
        ("web", "O1", "1"): backorder(6, "O1", claimed_before=line.open + line.shipped)
    }
    shop.fact("receipt", 6)
    assert shop.reserve(6, "O1", confirmed=True).code == "granted"
    assert (shop.line("O1").open, shop.line("O1").ordered) == (10, 10)
    assert owed(shop, "O1").state == "served"
    assert shop.reserve(1, "O1").code == "already_claimed"


def test_two_lines_of_one_request_are_not_compared_twice_with_what_the_first_was_owed():
    shop = world(backorder(6, "O1"), stock=10)
    lines = [RequestLine(line="1", sku="A", quantity=6), RequestLine(line="2", sku="A", quantity=4)]
    assert shop.ask("reserve", "O1", lines=lines, confirmed=True).code == "granted"


def test_a_hold_that_runs_out_leaves_its_customer_in_the_queue():
    shop = world(backorder(6, "O1"), stock=6)
    assert shop.reserve(6, "O1").code == "granted"
    assert (owed(shop, "O1").owed, owed(shop, "O1").state) == (0, "owed")
    shop.now += 2 * HOUR
    shop.one(Expiry(system="web", order="O1", lines=["1"], document="X"))
    assert (owed(shop, "O1").owed, owed(shop, "O1").state) == (6, "owed")
    assert shop.reserve(1, "O2").code == "insufficient"
    assert shop.ask("confirm", "O1").code == "regranted"
    assert owed(shop, "O1").state == "served"


def test_a_hold_that_is_given_up_ends_what_was_owed():
    shop = world(backorder(6, "O1"), stock=6)
    shop.reserve(6, "O1")
    shop.ask("release", "O1")
    assert owed(shop, "O1").state == "cancelled"
    assert shop.reserve(6, "O2").code == "granted"


def test_nobody_else_is_compared_with_what_is_not_owed():
    shop = world(backorder(6), stock=4)
    shop.fact("receipt", 4, sku="B")
    assert shop.reserve(4, "O1", sku="B").code == "granted"


# ---------------------------------------------------------------- facts


def test_a_shipment_that_nobody_asked_for_serves_it():
    shop = world(backorder(6), stock=10)
    shop.fact("shipment", 4, order_system="web", order="B1", order_line="1")
    assert (owed(shop).owed, owed(shop).served) == (2, 4)
    shop.fact("shipment", 2, order_system="web", order="B1", order_line="1")
    assert owed(shop).state == "served"


def test_the_last_shipment_ends_it():
    shop = world(backorder(6), stock=10)
    shop.fact("shipment", 4, order_system="web", order="B1", order_line="1", final=True)
    assert (owed(shop).served, owed(shop).cancelled, owed(shop).state) == (4, 2, "served")


def test_a_channel_order_for_the_same_line_is_not_owed_beside():
    shop = world(backorder(6), stock=2)
    shop.fact("channel_order", 6, system="web", channel="web", order="B1", order_line="1")
    assert (shop.free(), owed(shop).owed, owed(shop).state) == (-4, 0, "served")


def test_a_cancel_takes_from_what_nobody_claims():
    shop = world(backorder(6), stock=10)
    shop.fact("channel_cancel", 2, system="web", order="B1", order_line="1")
    assert (owed(shop).owed, owed(shop).cancelled) == (4, 2)
    shop.fact("channel_cancel", 4, system="web", order="B1", order_line="1")
    assert owed(shop).state == "cancelled"


def test_whatever_comes_first_the_backorder_ends_the_same():
    facts = [
        Fact(
            kind="shipment",
            system="wms",
            document="S1",
            quantity=3,
            sku="A",
            location="EAST",
            order_system="web",
            order="B1",
            order_line="1",
        ),
        Fact(
            kind="channel_cancel",
            system="web",
            document="C1",
            quantity=1,
            sku="A",
            order="B1",
            order_line="1",
        ),
        Fact(kind="receipt", system="wms", document="R1", quantity=9, sku="A", location="EAST"),
    ]
    ends = set()
    for order in permutations(facts):
        shop = world(backorder(6))
        for fact in order:
            shop.one(fact)
        one = owed(shop)
        ends.add((one.served, one.cancelled, one.owed, one.state))
    assert ends == {(3, 1, 2, "owed")}


# ---------------------------------------------------------------- laws


units = st.integers(0, 30)


@given(
    st.integers(0, 30),
    st.lists(st.tuples(units, st.integers(1, 5), st.booleans()), max_size=6),
    st.lists(st.tuples(st.integers(1, 12), st.sampled_from(["web", "b2b", "late"])), max_size=8),
)
def test_whoever_waits_could_always_be_served_before_those_who_asked_later(stock, waiting, asked):
    """After any grants to newcomers, what is free covers those who go before them, as it did."""
    owed_to = [
        backorder(n, f"B{i}", rank * 20, i, i, channel="b2b" if b2b else "web")
        for i, (n, rank, b2b) in enumerate(waiting)
    ]
    shop = world(*owed_to, stock=stock)
    ranks = {code: one.demand_class for code, one in shop.catalog.channels.items()}
    for i, (quantity, channel) in enumerate(asked):
        answer = shop.reserve(quantity, f"O{i}", system="web", channel=channel)
        if answer.code == "granted":
            before = sum(one.owed for one in owed_to if one.demand_class <= ranks[channel])
            assert shop.free() + shop.free("WEST") >= before


@given(units, units, units, st.booleans(), st.booleans())
def test_a_backorder_never_owes_more_than_it_did_nor_less_than_nothing(
    quantity, claimed, cancelled, held, ended
):
    one = backorder(quantity).after(Standing(claimed, cancelled, held, ended))
    assert 0 <= one.owed <= quantity
    assert one.served + one.cancelled <= quantity
    assert one.after(Standing(claimed, cancelled, held, ended)) is not one
    again = one.after(Standing(claimed, cancelled, held, ended))
    assert (again.served, again.cancelled, again.state) == (one.served, one.cancelled, one.state)

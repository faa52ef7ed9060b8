"""What order lines are owed lowers what others are granted, and is settled by what they get."""

import datetime as dt
from itertools import permutations

import pytest

from stockwright.domain.backorders import Backorder, Owed, owed_before, owed_first
from stockwright.domain.catalog import Channel
from stockwright.domain.events import RequestLine
from stockwright.domain.wellformed import Expiry
from tests.domain.worlds import START, World, catalog

POOLS = {"web": ("EAST", "WEST"), "b2b": ("WEST",), "far": ("SNAP",)}
HOUR = dt.timedelta(hours=1)


def owed(order, units, *, channel="web", demand_class=100, hours=0, line="1", sku="A"):
    return Backorder("web", order, line, sku, channel, demand_class, units, START + hours * HOUR)


QUEUE = [
    # (what it shows, class, places, the line that asks, owed first)
    ("the same or a higher class comes first", 50, ("EAST",), None, Owed(units=3, lines=1)),
    ("a lower class waits for all", 100, ("EAST", "WEST"), None, Owed(units=15, lines=4)),
    ("no class at all comes last", None, ("WEST",), None, Owed(units=31, lines=5)),
    ("only pools that share a place", 200, ("SNAP",), None, Owed(units=0, lines=0)),
    ("a line does not wait for itself", 100, ("EAST",), "O2", Owed(units=8, lines=2)),
]
BEFORE = [("O1", 0), ("O2", 3), ("O3", 7), ("O5", 12)]


def queue():
    return [
        owed("O1", 3, demand_class=50, hours=9),
        owed("O2", 4, hours=1),
        owed("O3", 5, hours=2),
        owed("O4", 3, channel="b2b", hours=3),
        owed("O5", 16, demand_class=200),
        owed("O6", 0),
    ]


@pytest.mark.parametrize(
    ("demand_class", "places", "own", "expected"),
    [row[1:] for row in QUEUE],
    ids=[row[0] for row in QUEUE],
)
def test_who_is_served_first(demand_class, places, own, expected):
    key = ("web", own, "1") if own else None
    for some in list(permutations(queue()))[::97]:
        assert owed_first(some, demand_class, places, POOLS, key) == expected


@pytest.mark.parametrize(("order", "units"), BEFORE)
def test_an_owed_line_waits_for_a_higher_class_and_for_those_owed_longer(order, units):
    for some in list(permutations(queue()))[::97]:
        (mine,) = [one for one in some if one.order == order]
        assert owed_before(some, mine, ("EAST",), {"web": POOLS["web"]}).units == units


def world(*backorders, **channels):
    known = catalog(owed=frozenset({"A"}))
    known.channels = {
        code: Channel(
            channel.code, channel.system, channel.pool, channel.allow_split,
            demand_class=channels.get(code, 100),
        )
        for code, channel in known.channels.items()
    }  # fmt: skip
    made = World(known)
    made.books.backorders = {one.key: one for one in backorders}
    return made


def left(made, order, line="1"):
    return made.books.backorders[("web", order, line)].owed


def test_what_is_owed_is_granted_to_nobody_else():
    made = world(owed("O1", 7))
    made.fact("receipt", 10)
    assert made.reserve(4, "O2").code == "insufficient"
    assert made.reserve(3, "O2").code == "granted"


def test_a_higher_class_does_not_wait_for_a_lower_one():
    made = world(owed("O1", 7, channel="b2b", demand_class=100), web=10)
    made.fact("receipt", 10)
    assert made.reserve(10, "O2").code == "granted"


def test_the_owed_line_gets_its_goods_and_is_owed_them_no_more():
    made = world(owed("O1", 7), owed("O2", 7, hours=1))
    made.fact("receipt", 10)
    assert made.reserve(7, "O2").code == "insufficient", "O1 came first"
    assert made.reserve(7, "O1").code == "granted"
    assert (left(made, "O1"), left(made, "O2")) == (0, 7)
    assert made.reserve(3, "O2").code == "granted"
    assert left(made, "O2") == 4
    assert made.reserve(1, "O3").code == "insufficient"
    assert made.decision.written.backorders == {}


def test_a_promotion_is_written_with_its_event():
    made = world(owed("O1", 7))
    made.fact("receipt", 10)
    outcome = made.reserve(5, "O1")
    ((sequence, one),) = made.decision.written.backorders.values()
    assert (sequence, one.owed, one.promoted) == (outcome.sequence, 2, 5)


def test_the_rest_of_a_line_granted_in_part_is_promoted_on_top():
    made = world()
    made.fact("receipt", 4)
    assert made.reserve(10, "O1", mode="partial").code == "partial"
    made.books.backorders = {("web", "O1", "1"): owed("O1", 6)}
    made.fact("receipt", 6)
    assert made.reserve(1, "O2").code == "insufficient"
    assert made.reserve(6, "O1").code == "granted"
    assert (made.line("O1").ordered, made.line("O1").open, left(made, "O1")) == (10, 10, 0)


def test_two_lines_of_one_order_do_not_stand_in_each_others_way():
    made = world(owed("O1", 5), owed("O1", 5, line="2"))
    made.fact("receipt", 10)
    assert made.ask("reserve", "O1", lines={"1": ("A", 5), "2": ("A", 5)}).code == "granted"
    assert (left(made, "O1"), left(made, "O1", "2")) == (0, 0)


def test_a_refusal_settles_nothing():
    made = world(owed("O1", 5), owed("O1", 6, line="2"))
    made.fact("receipt", 10)
    assert made.ask("reserve", "O1", lines={"1": ("A", 5), "2": ("A", 6)}).code == "insufficient"
    assert (left(made, "O1"), left(made, "O1", "2")) == (5, 6)


def test_goods_that_ship_without_a_claim_are_not_owed_any_more():
    made = world(owed("O1", 7))
    made.fact("receipt", 10)
    made.fact("shipment", 3, order="O1", order_system="web", order_line="1")
    assert left(made, "O1") == 4


def test_what_was_claimed_before_and_ships_settles_nothing():
    made = world()
    made.fact("receipt", 10)
    made.reserve(4, "O1", mode="partial")
    made.books.backorders = {("web", "O1", "1"): owed("O1", 6)}
    made.fact("shipment", 4, order="O1", order_system="web", order_line="1")
    assert left(made, "O1") == 6


def test_an_order_that_is_only_owed_is_cancelled():
    made = world(owed("O1", 7), owed("O1", 2, line="2"))
    assert made.ask("cancel", "O1", lines=[RequestLine(line="1", quantity=3)]).code == "done"
    assert left(made, "O1") == 4
    outcome = made.ask("cancel", "O1")
    assert (outcome.code, outcome.answer["state"]) == ("done", "cancelled")
    assert (left(made, "O1"), left(made, "O1", "2")) == (0, 0)
    assert made.books.backorders[("web", "O1", "1")].cancelled == 7
    assert made.ask("cancel", "O1").code == "unknown_demand"


@pytest.mark.parametrize(
    ("quantity", "still_owed", "still_claimed"), [(2, 4, 4), (6, 0, 4), (8, 0, 2), (0, 0, 0)]
)
def test_a_cancel_takes_what_is_owed_before_what_is_claimed(quantity, still_owed, still_claimed):
    made = world()
    made.fact("receipt", 4)
    made.reserve(10, "O1", mode="partial")
    made.books.backorders = {("web", "O1", "1"): owed("O1", 6)}
    outcome = made.ask("cancel", "O1", lines=[RequestLine(line="1", quantity=quantity)])
    assert outcome.code == "done"
    assert (left(made, "O1"), made.line("O1").open) == (still_owed, still_claimed)


def test_a_request_without_a_channel_waits_for_all():
    made = world(owed("O1", 7, demand_class=900))
    made.fact("receipt", 10)
    line = RequestLine(sku="A", quantity=4, location="EAST")
    assert made.ask("reserve", "O2", system="erp", lines=[line]).code == "insufficient"


def test_an_expired_hold_is_confirmed_against_what_is_owed_to_others():
    made = world()
    made.fact("receipt", 10)
    made.reserve(8, "O1", hold_s=60)
    made.now += HOUR
    made.one(Expiry(system="web", order="O1", lines=["1"], document="late"))
    made.books.backorders = {("web", "O2", "1"): owed("O2", 5)}
    assert made.ask("confirm", "O1").code == "expired"
    made.books.backorders = {("web", "O2", "1"): owed("O2", 2)}
    assert made.ask("confirm", "O1").code == "regranted"


def test_a_receipt_that_names_its_supply_is_kept_with_its_event_and_taken_back_with_it():
    made = world()
    outcome = made.fact("receipt", 10, order="PO-1", order_system="erp", order_line="3")
    assert made.decision.written.received == [(outcome.sequence, "erp", "PO-1", "3", "A", 10)]
    back = made.fact("reversal", sku="", reverses=outcome.sequence, location="")
    assert back.code == "recorded"
    assert made.decision.written.received == [(back.sequence, "erp", "PO-1", "3", "A", -10)]
    made.fact("receipt", 10)
    assert made.decision.written.received == []


def test_a_revised_receipt_counts_for_the_supply_it_names_now():
    made = world()
    line = {"system": "tpl", "document": "GR-1", "order_system": "erp", "order_line": "3"}
    made.fact("receipt", 10, order="PO-1", **line)
    made.fact("receipt", 12, order="PO-1", revision=1, **line)
    assert [row[1:] for row in made.decision.written.received] == [("erp", "PO-1", "3", "A", 2)]
    made.fact("receipt", 12, order="PO-2", revision=2, **line)
    assert [row[1:] for row in made.decision.written.received] == [
        ("erp", "PO-1", "3", "A", -12),
        ("erp", "PO-2", "3", "A", 12),
    ]


@pytest.mark.parametrize(
    ("order", "system", "asked", "granted"),
    [
        ("O-1", "b2b", 3, 3),
        ("O-2", "web", 5, 5),
        ("O-2", "web", 10, 5),
        ("O-3", "web", 4, 2),
        ("X", "web", 10, 0),
        ("X", "b2b", 10, 7),
    ],
)
def test_the_example_of_the_documentation(order, system, asked, granted):
    """Ten arrive; twelve are owed, three of them to a class that is served first."""
    queue = [
        owed("O-1", 3, demand_class=50),
        owed("O-2", 5, hours=-168),
        owed("O-3", 4, hours=-24),
    ]
    queue[0].system = "b2b"
    made = world(*queue, b2b=50)
    made.fact("receipt", 10)
    outcome = made.reserve(asked, order, system=system, mode="partial")
    told = outcome.answer["lines"][0]["granted"] if outcome.answer else 0
    assert told == granted

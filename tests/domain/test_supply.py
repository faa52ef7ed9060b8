"""What is still expected of purchase orders, ship notices and transfers, whatever came first."""

import datetime as dt
from itertools import permutations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockwright.domain.supply import SupplyLine, UnderWay, dated, left_of

NOW = dt.datetime(2026, 11, 26, 12, 0, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
PO = ("erp", "PO-1", "1")
GRACE = {"EAST": DAY, "WEST": dt.timedelta()}


def order(quantity=100, due=10, **changes):
    told = {
        "system": "erp",
        "document": "PO-1",
        "line": "1",
        "kind": "purchase_order",
        "sku": "A",
        "location": "EAST",
        "quantity": quantity,
        "due_at": NOW + due * DAY,
    }
    return SupplyLine(**(told | changes))


def notice(quantity, due=2, document="ASN-1", of=PO, **changes):
    return order(
        quantity, due, kind="ship_notice", system="sup", document=document, of=of, **changes
    )


def left(lines, received=None, under_way=()):
    found = left_of(lines, received or {}, under_way)
    return {(one.line.document, one.line.line): (one.units, one.done) for one in found}


ASN = ("sup", "ASN-1", "1")
EXAMPLES = [
    # (what it shows, lines, received by name, left by document: (units, done))
    ("an order alone", [order()], {}, {"PO-1": (100, False)}),
    ("what came is not expected twice", [order()], {PO: 30}, {"PO-1": (70, False)}),
    ("all of it came", [order()], {PO: 100}, {"PO-1": (0, True)}),
    ("more than ordered came", [order()], {PO: 130}, {"PO-1": (0, True)}),
    (
        "a ship notice replaces as much as it specifies",
        [order(), notice(60)],
        {},
        {"PO-1": (40, False), "ASN-1": (60, False)},
    ),
    (
        "a receipt that names the notice draws both down",
        [order(), notice(60)],
        {ASN: 25},
        {"PO-1": (40, False), "ASN-1": (35, False)},
    ),
    (
        "a receipt that names the order is what was due first",
        [order(), notice(60)],
        {PO: 70},
        {"PO-1": (30, False), "ASN-1": (0, True)},
    ),
    (
        "a notice of more than was ordered stands",
        [order(), notice(120)],
        {},
        {"PO-1": (0, False), "ASN-1": (120, False)},
    ),
    (
        "a cancelled notice gives back what did not come",
        [order(), notice(60, state="cancelled")],
        {ASN: 20},
        {"PO-1": (80, False), "ASN-1": (0, True)},
    ),
    (
        "goods on their way come though the rest of the order is cancelled",
        [order(state="cancelled"), notice(60)],
        {},
        {"PO-1": (0, False), "ASN-1": (60, False)},
    ),
    (
        "a notice whose order is not known, and a receipt for that order",
        [notice(60)],
        {PO: 10},
        {"ASN-1": (50, False)},
    ),
    (
        "two notices and receipts under every name",
        [order(), notice(30, 1), notice(40, 3, document="ASN-2")],
        {PO: 35, ("sup", "ASN-2", "1"): 10},
        {"PO-1": (30, False), "ASN-1": (0, True), "ASN-2": (25, False)},
    ),
    (
        "a correction takes a receipt back",
        [order(state="done")],
        {PO: 60},
        {"PO-1": (40, False)},
    ),
]


@pytest.mark.parametrize(
    ("lines", "received", "expected"),
    [example[1:] for example in EXAMPLES],
    ids=[example[0] for example in EXAMPLES],
)
def test_what_is_left(lines, received, expected):
    for some in permutations(lines):
        found = {key[0]: one for key, one in left(list(some), received).items()}
        assert found == expected


def test_a_planned_transfer_is_counted_under_way_once_it_was_sent():
    plan = order(50, 4, kind="transfer", document="TR-1")
    sent = UnderWay(document="TR-1", location="EAST", eta=NOW + DAY, sent=30, units=20)
    assert left([plan], under_way=[sent]) == {("TR-1", "1"): (20, False)}
    found = dated([plan], {}, [sent], GRACE, NOW)
    assert [(one.units, one.at - NOW) for one in found] == [(20, DAY), (20, 4 * DAY)]


def test_a_transfer_that_arrived_before_it_was_sent_is_not_expected_again():
    plan = order(50, 4, kind="transfer", document="TR-1")
    early = UnderWay(document="TR-1", location="EAST", eta=None, sent=0, units=0, excess=50)
    assert left([plan], under_way=[early]) == {("TR-1", "1"): (0, True)}
    assert dated([plan], {}, [early], GRACE, NOW) == []


def test_a_transfer_without_an_eta_is_due_when_it_was_planned_for():
    plan = order(50, 4, kind="transfer", document="TR-1", location="WEST")
    sent = UnderWay(document="TR-1", location="WEST", eta=None, sent=50, units=50)
    (found,) = dated([plan], {}, [sent], GRACE, NOW)
    assert (found.units, found.at, found.location) == (50, NOW + 4 * DAY, "WEST")
    nobody_knows = msgspec.structs.replace(sent, document="TR-2")
    assert [one.units for one in dated([], {}, [nobody_knows], GRACE, NOW)] == []


@pytest.mark.parametrize(
    ("location", "due", "counted_on"),
    [
        ("EAST", dt.timedelta(hours=3), dt.timedelta(hours=3)),
        ("EAST", -dt.timedelta(hours=23), dt.timedelta()),  # late, and believed in for a day
        ("EAST", -DAY, None),
        ("WEST", dt.timedelta(), None),  # no grace there
        ("WEST", dt.timedelta(seconds=1), dt.timedelta(seconds=1)),
    ],
)
def test_overdue_supply_is_not_counted_on(location, due, counted_on):
    line = order(location=location, due_at=NOW + due)
    found = dated([line], {}, [], GRACE, NOW)
    assert [one.at - NOW for one in found] == ([] if counted_on is None else [counted_on])


units = st.integers(0, 200)
notices = st.lists(
    st.builds(
        notice,
        units,
        st.integers(0, 20),
        document=st.sampled_from(["ASN-1", "ASN-2", "ASN-3"]),
        state=st.sampled_from(["expected", "done", "cancelled", "closed"]),
    ),
    max_size=3,
    unique_by=lambda line: line.document,
)


@given(st.builds(order, units, st.integers(0, 20)), notices, units, st.lists(units, max_size=3))
def test_no_unit_is_expected_twice_and_none_is_forgotten(line, some, direct, by_notice):
    received = {PO: direct}
    for one, came in zip(some, by_notice, strict=False):
        received[one.name] = came
    found = left_of([line, *some], received)
    assert all(one.units >= 0 for one in found)
    to_come = sum(one.units for one in found)
    came = sum(received.values())
    standing = sum(
        max(one.quantity, received.get(one.name, 0)) if one.stands else received.get(one.name, 0)
        for one in some
    )
    assert to_come == max(0, max(line.quantity, standing) - came)


@given(st.builds(order, units), notices, units, st.integers(1, 50), st.randoms())
def test_receiving_more_never_lets_expect_more(line, some, direct, more, random):
    names = [PO, *(one.name for one in some)]
    received = {name: random.randrange(60) for name in names} | {PO: direct}
    before = sum(one.units for one in left_of([line, *some], received))
    received[random.choice(names)] += more
    assert sum(one.units for one in left_of([line, *some], received)) <= before

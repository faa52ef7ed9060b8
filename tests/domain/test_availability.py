"""on_hand, free, grantable and available_to_sell, each with the steps that lead to it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockwright.domain.availability import (
    Component,
    Explanation,
    Fence,
    RiskBuffer,
    Stock,
    available_to_sell,
    explain_free,
    explain_grantable,
    explain_on_hand,
    free,
    gross_of,
    on_hand,
)
from stockwright.domain.exposure import RULES, Policy, grantable

BRISTOL = Stock(
    location="BRISTOL",
    sellable=100,
    inspection=7,
    quarantined=2,
    damaged=1,
    reserved=20,
    allocated=10,
    picked=5,
)
LEEDS = Stock(location="LEEDS", sellable=30, reserved=45)


def test_every_bucket_is_on_hand_and_only_unpromised_sellable_goods_are_free():
    assert on_hand(BRISTOL) == 110
    assert free(BRISTOL) == 65
    assert on_hand(LEEDS) == 30
    assert free(LEEDS) == -15, "more is promised than is there: a shortage"


def steps(explanation):
    return [(step.name, step.amount, step.running) for step in explanation.steps]


def test_a_shortage_at_one_place_counts_against_the_rest_of_the_pool():
    assert steps(explain_free("S", [BRISTOL, LEEDS])) == [("free", 65, 65), ("free", -15, 50)]
    assert explain_on_hand("S", [BRISTOL, LEEDS]).result == 140


POOL_OF_65 = [BRISTOL]
EXAMPLES = [
    # (what it shows, policy, fences, quantity per piece, steps after the pool, result)
    ("nothing withheld", Policy(), [], 1, [], 65),
    ("safety stock", Policy(safety=15), [], 1, [("safety", -15)], 50),
    ("hard safety is withheld too", Policy(safety=5, hard_safety=9), [], 1, [("safety", -9)], 56),
    ("safety takes at most what is free", Policy(safety=99), [], 1, [("safety", -65)], 0),
    (
        "other channels' fences, less what they claimed",
        Policy(),
        [Fence(channel="B2B", ring_fence=40, claimed=12), Fence(channel="SHOP", ring_fence=5)],
        1,
        [("ring_fence", -28), ("ring_fence", -5)],
        32,
    ),
    ("a fixed buffer", Policy(buffer=6), [], 1, [("buffer", -6)], 59),
    ("a share of the pool, rounded up", Policy(buffer_percent=10), [], 1, [("buffer", -7)], 58),
    (
        "of several buffers the largest",
        Policy(buffer=6, buffer_percent=10, buffer_risk=0.01),
        [],
        1,
        [("buffer", -9)],
        56,
    ),
    (
        "a risk may hold back a share of the pool at most",
        Policy(buffer_risk=0.01, buffer_most_percent=10),
        [],
        1,
        [("buffer", -6)],
        59,
    ),
    (
        "a standing fence, whatever was claimed",
        Policy(),
        [Fence(channel="B2B", ring_fence=40, claimed=12, mode="standing")],
        1,
        [("ring_fence", -40)],
        25,
    ),
    ("a cap for silences, and nobody is silent", Policy(degraded_cap=3), [], 1, [], 65),
    ("a cap that bites", Policy(cap=10), [], 1, [("cap", -55)], 10),
    ("a cap that does not", Policy(cap=1000), [], 1, [("cap", 0)], 65),
    ("whole packs", Policy(pack_size=12), [], 1, [("pack_size", -5)], 60),
    ("a multipack of six", Policy(), [], 6, [("component", -55)], 10),
    (
        "all in their order",
        Policy(safety=5, ring_fence=99, buffer=3, cap=7, pack_size=4),
        [Fence(channel="B2B", ring_fence=10, claimed=4)],
        5,
        [
            ("safety", -5),
            ("ring_fence", -6),
            ("buffer", -3),
            ("component", -41),
            ("cap", -3),
            ("pack_size", -3),
        ],
        4,
    ),
    (
        "below zero is shown as zero",
        Policy(buffer=70),
        [],
        1,
        [("buffer", -70), ("floor", 5)],
        0,
    ),
]


@pytest.mark.parametrize(
    ("policy", "fences", "quantity", "expected", "result"),
    [example[1:] for example in EXAMPLES],
    ids=[example[0] for example in EXAMPLES],
)
def test_what_a_channel_may_sell_and_why(policy, fences, quantity, expected, result):
    explained = available_to_sell(
        [
            Component(
                sku="S",
                quantity=quantity,
                places=POOL_OF_65,
                policy=policy,
                fences=fences,
                risk=RiskBuffer(units=9, why="risk"),
            )
        ]
    )
    assert [(step.name, step.amount) for step in explained.steps] == [("free", 65), *expected]
    assert explained.result == result


def test_while_a_source_is_silent_what_is_open_counts_against_the_cap():
    silent = Component(
        sku="S",
        places=POOL_OF_65,
        policy=Policy(degraded_cap=30),
        degraded="WMS is silent",
        claimed=12,
    )
    for explained in (explain_grantable(silent), available_to_sell([silent])):
        assert steps(explained) == [("free", 65, 65), ("degraded_cap", -47, 18)]
        assert explained.steps[-1].why == "WMS is silent: at most 30 open, 12 are"
    more = msgspec.structs.replace(silent, claimed=31)
    assert explain_grantable(more).result == 0


def test_a_channel_does_not_give_up_its_own_ring_fence():
    own = Component(sku="S", places=POOL_OF_65, policy=Policy(ring_fence=50))
    assert available_to_sell([own]).result == 65


def test_a_shortage_is_not_made_smaller_by_safety_stock():
    short = Component(sku="S", places=[LEEDS], policy=Policy(safety=4))
    assert steps(available_to_sell([short])) == [
        ("free", -15, -15),
        ("safety", 0, -15),
        ("floor", 15, 0),
    ]


def test_the_scarcest_component_decides_and_the_others_are_explained_too():
    frame = Component(sku="FRAME", places=[Stock(location="L", sellable=9)])
    wheels = Component(sku="WHEEL", quantity=2, places=[Stock(location="L", sellable=7)])
    bicycle = available_to_sell([frame, wheels])
    assert (bicycle.result, bicycle.sku) == (3, "WHEEL")
    assert [(other.sku, other.result) for other in bicycle.others] == [("FRAME", 9)]


def test_a_listing_without_components_sells_nothing():
    assert available_to_sell([]) == Explanation(0, "", ())


def test_a_request_is_compared_without_buffer_and_cap():
    asked = Component(
        sku="S",
        places=POOL_OF_65,
        policy=Policy(safety=30, hard_safety=5, buffer=50, cap=1, pack_size=10),
        fences=[Fence(channel="B2B", ring_fence=10, claimed=4)],
    )
    assert steps(explain_grantable(asked)) == [
        ("free", 65, 65),
        ("safety", -5, 60),
        ("ring_fence", -6, 54),
    ]


def test_each_step_says_why():
    asked = Component(
        sku="S",
        places=[BRISTOL],
        policy=Policy(safety=15),
        fences=[Fence(channel="B2B", ring_fence=40, claimed=12)],
    )
    assert [step.why for step in available_to_sell([asked]).steps] == [
        "BRISTOL: sellable 100 - reserved 20 - allocated 10 - picked 5",
        "safety stock 15, at most what is free",
        "B2B holds 40 and has claimed 12",
    ]


units = st.integers(0, 500)
stocks = st.builds(
    Stock,
    location=st.sampled_from(["A", "B", "C"]),
    sellable=st.integers(-300, 500),
    inspection=units,
    damaged=units,
    reserved=units,
    allocated=units,
    picked=units,
)
policies = st.builds(
    Policy,
    safety=units,
    hard_safety=units,
    ring_fence=units,
    buffer=units,
    buffer_percent=st.floats(0, 100),
    buffer_risk=st.none() | st.just(0.01),
    buffer_most_percent=st.floats(0, 100),
    degraded_cap=st.none() | units,
    cap=st.none() | units,
    pack_size=st.integers(1, 50),
)
fences = st.builds(
    Fence,
    channel=st.just("B2B"),
    ring_fence=units,
    claimed=units,
    mode=st.sampled_from(["consumed", "standing"]),
)
components = st.builds(
    Component,
    sku=st.sampled_from(["S", "T"]),
    quantity=st.integers(1, 20),
    places=st.lists(stocks, max_size=4),
    policy=policies,
    fences=st.lists(fences, max_size=3),
    risk=st.none() | st.builds(RiskBuffer, units=units, why=st.just("risk")),
    degraded=st.sampled_from(["", "WMS is silent"]),
    claimed=units,
)


def assert_adds_up(explanation):
    running = 0
    for step in explanation.steps:
        running += step.amount
        assert step.running == running
    assert explanation.result == running
    order = [name for name, _ in RULES]
    ranks = [order.index(step.name) for step in explanation.steps if step.name in order]
    assert ranks == sorted(ranks), "the rules apply in their documented order"
    for other in explanation.others:
        assert_adds_up(other)


@given(st.lists(components, min_size=1, max_size=3))
def test_steps_add_up_to_a_result_that_is_never_negative(parts):
    explained = available_to_sell(parts)
    assert_adds_up(explained)
    assert explained.result >= 0
    assert all(explained.result <= other.result for other in explained.others)


@given(components)
def test_every_quantity_adds_up(part):
    for explained in (
        explain_on_hand(part.sku, part.places),
        explain_free(part.sku, part.places),
        explain_grantable(part),
    ):
        assert_adds_up(explained)


@given(components)
def test_a_channel_never_shows_more_than_it_would_be_granted(part):
    shown = available_to_sell([part]).result * part.quantity
    free_units = sum(free(stock) for stock in part.places)
    granted = grantable(
        free_units,
        hard_safety=part.policy.hard_safety,
        other_fences_unused=sum(fence.unused for fence in part.fences),
        most=explain_grantable(part).result if part.degraded else None,
    )
    assert shown <= max(0, granted)


@given(components, st.integers(1, 100))
def test_more_stock_never_shows_less(part, more):
    fuller = msgspec.structs.replace(
        part, places=[*part.places, Stock(location="Z", sellable=more)]
    )
    assert available_to_sell([fuller]).result >= available_to_sell([part]).result


@given(components, st.sampled_from(["safety", "hard_safety", "buffer"]), st.integers(1, 100))
def test_withholding_more_never_shows_more(part, rule, more):
    policy = msgspec.structs.replace(part.policy, **{rule: getattr(part.policy, rule) + more})
    stricter = msgspec.structs.replace(part, policy=policy)
    assert available_to_sell([stricter]).result <= available_to_sell([part]).result


@given(components)
def test_a_cap_and_whole_packs_are_kept(part):
    shown = available_to_sell([part]).result
    assert part.policy.cap is None or shown <= part.policy.cap
    assert shown % part.policy.pack_size == 0


GROSS = [
    ("nothing is open", [(0, 1)], 0),
    ("open units of a single", [(3, 1)], 3),
    ("whole packs only", [(11, 6)], 1),
    ("a set is as many as its scarcest part", [(4, 1), (6, 2)], 3),
    ("what is below zero is none", [(-2, 1)], 0),
    ("a listing of nothing", [], 0),
]


@pytest.mark.parametrize(("units", "pieces"), [one[1:] for one in GROSS], ids=[g[0] for g in GROSS])
def test_a_gross_number_is_what_may_be_sold_and_the_open_pieces(units, pieces):
    net = available_to_sell([Component(sku="S", places=[Stock(location="A", sellable=5)])])
    gross = gross_of(net, units)
    assert gross.result == net.result + pieces
    added = gross.steps[len(net.steps) :]
    assert [(step.name, step.amount, step.running) for step in added] == (
        [("gross", pieces, gross.result)] if pieces else []
    )

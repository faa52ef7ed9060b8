"""The judge, the counterfactual and the overlay: by hand, by law and by seed."""

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockwright.demo.batch import BatchWorld
from stockwright.demo.happenings import Move, Order, OrderLine, happenings, together
from stockwright.demo.lines import Line
from stockwright.demo.oracle import Oracle
from stockwright.demo.overlay import SELLERS, Chance, inspected, plan_stock, seller_of
from stockwright.demo.picture import Picture
from stockwright.demo.world import World, profile_lines

NINE = dt.datetime(2011, 12, 5, 9, tzinfo=dt.UTC)
HALF_HOUR = dt.timedelta(minutes=30)
CHANCE = Chance(1)


def invoice_at(seller: str, n: int = 0) -> str:
    """The n-th invoice number that belongs to a seller."""
    found = (str(i) for i in range(10_000) if seller_of(str(i), CHANCE).code == seller)
    return [next(found) for _ in range(n + 1)][-1]


def order(minute: float, seller: str, *quantities: int, n: int = 0, sku="A") -> Order:
    lines = tuple(OrderLine(str(i), sku, sku, q) for i, q in enumerate(quantities))
    return Order(NINE + dt.timedelta(minutes=minute), invoice_at(seller, n), lines)


def move(minute: float, kind, quantity: int, **more) -> Move:
    at = NINE + dt.timedelta(minutes=minute)
    return Move(at, kind, "D", "1", "A", "A", quantity, **more)


def batch(opening: int, *world, interval=HALF_HOUR) -> Oracle:
    return BatchWorld({"A": opening}, interval, CHANCE).run(world)


def test_two_sellers_sell_the_same_last_pieces_between_two_synchronisations():
    oracle = batch(10, order(1, "webshop", 8), order(2, "bazaar", 8))
    assert oracle.sellers["webshop"].oversold_units == 0
    assert oracle.sellers["bazaar"].oversold_lines == 1
    assert oracle.sellers["bazaar"].oversold_units == 6
    assert oracle.free["A"] == -6


def test_a_seller_knows_its_own_sales_at_once():
    oracle = batch(10, order(1, "webshop", 8), order(2, "webshop", 8, n=1))
    assert (oracle.total().oversold_lines, oracle.total().refused_lines) == (0, 1)


def test_a_synchronisation_between_two_sales_prevents_the_second():
    oracle = batch(10, order(29, "webshop", 8), order(31, "bazaar", 8))
    assert (oracle.total().oversold_lines, oracle.total().refused_lines) == (0, 1)
    assert oracle.total().refused_servable == 0


def test_stock_that_came_after_the_synchronisation_is_refused_though_it_could_serve():
    oracle = batch(0, order(0, "portal", 1), move(1, "receipt", 5), order(2, "portal", 5, n=1))
    assert oracle.sellers["portal"].refused_lines == 2
    assert oracle.sellers["portal"].refused_servable == 1


def test_a_write_off_between_two_synchronisations_is_sold_once_more():
    oracle = batch(5, order(0, "portal", 1), move(1, "damage", -4), order(2, "bazaar", 3))
    assert oracle.sellers["bazaar"].oversold_units == 3


def test_an_order_at_the_minute_of_the_timetable_sees_the_new_number():
    assert batch(4, order(1, "webshop", 3), order(30, "bazaar", 3)).total().oversold_lines == 0


def test_the_picture_holds_what_batch_sellers_showed_and_what_there_was():
    picture = Picture("A")
    steps = [order(1, "webshop", 8), order(2, "bazaar", 8), order(31, "portal", 1)]
    BatchWorld({"A": 10}, HALF_HOUR, CHANCE, picture).run(steps)
    minutes = [((at - NINE).total_seconds() / 60, free) for at, free in picture.true]
    assert minutes == [(1, 10), (1, 2), (2, -6), (30, -6)]
    assert [quantity for _, quantity in picture.shown["webshop"]] == [10, 2, 0]
    assert [quantity for _, quantity in picture.shown["bazaar"]] == [10, 2, 0]
    assert [quantity for _, quantity in picture.shown["emporium"]] == [10, 0]


def test_backlog_is_served_before_new_buyers():
    oracle = batch(
        2,
        order(1, "webshop", 2),
        order(2, "bazaar", 2),
        move(3, "receipt", 3),
        order(31, "portal", 2),
    )
    assert oracle.free["A"] == 1
    assert oracle.sellers["portal"].refused_lines == 1


quantities = st.integers(1, 30)
steps = st.lists(
    st.one_of(
        st.builds(
            lambda minute, seller, q: order(minute, seller.code, *q),
            st.integers(0, 300),
            st.sampled_from(SELLERS),
            st.lists(quantities, min_size=1, max_size=4),
        ),
        st.builds(lambda m, q: move(m, "receipt", q), st.integers(0, 300), quantities),
        st.builds(lambda m, q: move(m, "damage", -q), st.integers(0, 300), quantities),
    ),
    max_size=40,
).map(lambda found: sorted(found, key=lambda step: step.at))


@given(steps, st.integers(0, 100), st.integers(0, 90))
def test_pieces_are_conserved_whatever_the_interval(world, opening, minutes):
    oracle = batch(opening, *world, interval=dt.timedelta(minutes=minutes))
    gained = sum(step.gain for step in world if isinstance(step, Move))
    assert oracle.free["A"] == opening + gained - oracle.total().accepted_units


@given(steps, st.integers(0, 100))
def test_synchronising_at_once_neither_oversells_nor_turns_away(world, opening):
    total = batch(opening, *world, interval=dt.timedelta()).total()
    assert (total.oversold_lines, total.oversold_units, total.refused_servable) == (0, 0, 0)


@given(steps, st.integers(0, 100))
def test_every_line_is_either_accepted_or_refused_and_oversold_lines_were_accepted(world, opening):
    total = batch(opening, *world).total()
    assert total.accepted_lines + total.refused_lines == total.lines
    assert total.oversold_lines <= total.accepted_lines
    assert total.oversold_lines <= total.oversold_units <= total.accepted_units
    assert total.refused_servable <= total.refused_lines


def test_a_sale_not_told_yet_is_charged_to_its_seller_once():
    oracle = Oracle.opening({"A": 5})
    assert oracle.accepted("bazaar", "A", 4) == 0
    oracle.kept_back("A", 4)
    assert oracle.accepted("portal", "A", 3, asked=True) == 2
    assert oracle.sellers["portal"].oversold_units == 0
    assert oracle.charged_untold.oversold_units == 2


def test_a_granted_line_beyond_what_was_kept_back_is_the_granting_side_s_fault():
    oracle = Oracle.opening({"A": 5})
    oracle.accepted("bazaar", "A", 4)
    oracle.kept_back("A", 4)
    oracle.told("A", 4)
    oracle.accepted("portal", "A", 3, asked=True)
    assert oracle.sellers["portal"].oversold_units == 2
    assert oracle.charged_untold.oversold_units == 0


def row(number: int, invoice: str, minute: int, quantity=1, price="1", code="22"):
    at = NINE + dt.timedelta(minutes=minute)
    return Line(number, invoice, code, quantity, at, Decimal(price), "", "")


def orders(*lines: Line) -> list[Order]:
    return [step for step in happenings(lines) if isinstance(step, Order)]


def test_documents_of_one_minute_share_it_out_in_the_order_of_the_file():
    found = orders(row(1, "7", 0), row(2, "5", 0), row(3, "7", 0))
    assert [(o.invoice, (o.at - NINE).total_seconds(), len(o.lines)) for o in found] == [
        ("7", 0.0, 2),
        ("5", 30.0, 1),
    ]


def test_repeated_rows_are_two_lines():
    (found,) = orders(row(1, "7", 0), row(2, "7", 0))
    assert [line.line for line in found.lines] == ["1", "2"]


def test_moves_of_one_document_are_told_together_and_orders_alone():
    lines = [row(1, "C7", 0, quantity=-1), row(2, "C7", 0, quantity=-2), row(3, "8", 0)]
    first, second = together(happenings(lines))
    assert isinstance(first, list)
    assert [move.line for move in first] == ["1", "2"]
    assert isinstance(second, Order)


def test_an_invoice_typed_over_two_minutes_is_two_documents():
    assert [o.invoice for o in orders(row(1, "7", 0), row(2, "7", 1))] == ["7", "7-2"]


def test_a_return_gains_nothing_until_it_passed_inspection():
    (returned,) = happenings([row(1, "C7", 0, quantity=-3)])
    assert isinstance(returned, Move)
    assert (returned.kind, returned.quantity, returned.gain) == ("return", 3, 0)
    result = inspected(returned, CHANCE)
    assert result._replace(passes=True).gain == 3
    assert result._replace(passes=False).gain == 0
    assert result.at - returned.at == dt.timedelta(hours=2)


def test_the_shares_of_the_sellers_are_what_they_say():
    drawn = [seller_of(str(n), CHANCE).code for n in range(20_000)]
    for seller in SELLERS:
        assert drawn.count(seller.code) / 200 == pytest.approx(seller.share, abs=1.5)


def test_hot_skus_get_less_than_is_asked_and_the_others_more():
    lines = [row(n, str(n), n % 60, code="HOT", quantity=10) for n in range(10)]
    lines += [row(20 + n, "x", 59, code=f"C{n}", quantity=100) for n in range(3)]
    plan = plan_stock(sorted(lines, key=lambda line: line.at), CHANCE)
    assert plan.hot == {"HOT"}
    assert plan.hottest == "HOT"
    supplied = plan.opening["HOT"] + sum(move.quantity for move in plan.receipts)
    assert supplied == 80
    assert plan.opening["C0"] == 115


def test_opening_stock_holds_what_will_be_written_off():
    lines = [row(1, "1", 0, quantity=10), row(2, "2", 1, quantity=-7, price="0")]
    assert plan_stock(lines, CHANCE).opening["22"] == 8 + 7


def test_the_same_seed_gives_the_same_world_and_another_seed_another():
    lines = profile_lines("peak")
    first, again, other = (World.over(lambda: lines, seed) for seed in (1, 1, 2))
    assert list(first.play()) == list(again.play())
    assert first.plan == again.plan
    assert first.plan.receipts != other.plan.receipts


def test_a_world_is_played_in_the_order_of_time():
    lines = profile_lines("peak")
    played = list(World.over(lambda: lines, 3).play())
    assert [step.at for step in played] == sorted(step.at for step in played)
    assert sum(len(step.lines) for step in played if isinstance(step, Order)) == 6_393


def test_the_profiles_hold_the_days_they_promise():
    assert len(profile_lines("days")) == 5_331 + 3_365
    assert len(profile_lines("week")) == 16_074
    assert len(profile_lines("peak")) == 1_114 + 5_331

"""Amazon's order feeds as they should not be: odd amounts, feeds without an end, reports that are
none, answers that are lost.
"""

from decimal import Decimal

import msgspec
import pytest

from stockwright.connectors.amazon.order_amounts import Refusal, units_of, with_amounts
from stockwright.connectors.amazon.order_forms import KnownOrder, Line
from stockwright.connectors.amazon.orders_2026 import Item
from stockwright.connectors.amazon.orders_2026 import line_of as line_2026
from stockwright.connectors.amazon.orders_v0 import line_of as line_v0
from stockwright.sdk.messages import DocumentLine, Refund

ORDER = "902-0000001-0000001"


# ------------------------------------------------------------ amounts


def paid(lines, **more):
    """The rows that a refund of one unit of each line pays."""
    order = KnownOrder("", "Shipped", {str(n): line for n, line in enumerate(lines)})
    asked = tuple(DocumentLine(line=name, quantity=1) for name in order.lines)
    refund = Refund(key="R", order=ORDER, lines=asked, **more)
    rows, currency = with_amounts(units_of(refund, order), order, refund)
    return [(str(row.principal), str(row.tax)) for row in rows], currency


def priced(price, tax="0", currency="EUR"):
    return Line(1, 1, Decimal(price), Decimal(tax), currency)


@pytest.mark.parametrize(
    ("line", "amount", "reason"),
    [
        (priced("10.00"), "NaN", "amount"),
        (priced("10.00"), "sNaN", "amount"),
        (priced("10.00"), "Infinity", "amount"),
        (priced("10.00"), "-1", "amount"),
        (priced("10.00"), "1E+99", "amount"),
        (priced("10.00"), "1.005", "amount"),
        (priced("10.00"), "1E-9", "amount"),
        (priced("1000", currency="JPY"), "100.50", "amount"),
        (priced("1000", currency="JPY"), "0.01", "amount"),
        (priced("-1.00"), None, "no_price"),
        (priced("5.00", "-1.00"), None, "no_price"),
    ],
)
def test_an_amount_that_is_none_is_refused_before_it_is_asked(line, amount, reason):
    with pytest.raises(Refusal) as told:
        paid([line], amount=Decimal(amount) if amount else None)
    assert told.value.told.reason == reason


def test_a_refund_in_two_currencies_is_refused():
    with pytest.raises(Refusal) as told:
        paid([priced("10.00"), priced("1000", currency="JPY")])
    assert told.value.told.reason == "currency"


@pytest.mark.parametrize(
    ("price", "amount", "expected"),
    [("1000", None, "1000"), ("1000.00", None, "1000"), ("1000", "100.00", "100"),
     ("1000", "1E+2", "100")],
)  # fmt: skip
def test_yen_have_no_smaller_part(price, amount, expected):
    line = priced(price, "0", "JPY")
    assert paid([line], amount=Decimal(amount) if amount else None) == ([(expected, "0")], "JPY")


ODD = ["", "1.234,50", "NaN", "Infinity", "1e999999", "-", "12 EUR"]


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("name", ["ItemPrice", "ItemTax", "PromotionDiscount"])
def test_an_amount_of_v0_that_cannot_be_read_is_no_price(text, name):
    """Read as nothing it would pay nothing back, and say that it did."""
    money = {"CurrencyCode": "EUR", "Amount": "10.00"}
    item = {"OrderItemId": "1", "QuantityOrdered": 1, "ItemPrice": money, "ItemTax": money}
    assert line_v0(item).price == 10
    assert line_v0({**item, name: {"CurrencyCode": "EUR", "Amount": text}}).price is None
    assert line_v0({**item, name: {"CurrencyCode": "EUR"}}).price is None


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("kind", ["ITEM", "TAX", "DISCOUNT"])
def test_an_amount_of_2026_that_cannot_be_read_is_no_price(text, kind):
    def item(**amounts):
        parts = [
            {"type": name, "subtotal": {"amount": amount, "currencyCode": "EUR"}}
            for name, amount in amounts.items()
        ]
        told = {"orderItemId": "1", "quantityOrdered": 1, "proceeds": {"breakdowns": parts}}
        return msgspec.convert(told, Item)

    good = {"ITEM": "10.00", "TAX": "2.00", "DISCOUNT": "-1.00"}
    assert line_2026(item(**good)).price == 9
    assert line_2026(item(**{**good, kind: text})).price is None

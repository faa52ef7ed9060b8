"""Parts of a payload that may go on although one of their codes is not known."""

import datetime as dt

import pytest

from stockwright.domain.events import Fact
from stockwright.flow.unpacking import Codes, unpack
from stockwright.sdk.messages import Mapped

NOON = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)


def unpacked(fact: Fact):
    codes = Codes(places={}, unknown={("channel", "ERP"), ("channel", "SHOP")})
    return unpack([Mapped(place="$", item=fact)], "ERP", NOON, codes)


def fact(kind, channel="ERP", **more) -> Fact:
    return Fact(
        kind=kind, document="D", quantity=1, item="X", location="N", channel=channel, **more
    )


@pytest.mark.parametrize("kind", ["return_receipt", "pos_sale"])
def test_goods_of_a_partner_that_is_no_channel_are_recorded_without_one(kind):
    (item,) = unpacked(fact(kind)).items
    assert isinstance(item, Fact)
    assert (item.kind, item.channel) == (kind, "")


def test_a_sale_of_a_partner_that_is_no_channel_waits_for_one():
    (waiting,) = unpacked(fact("channel_order", order="1", order_line="1")).waiting
    assert waiting.failure.missing == "channel:ERP"


def test_goods_that_name_an_unknown_channel_wait_for_it():
    (waiting,) = unpacked(fact("return_receipt", channel="SHOP")).waiting
    assert waiting.failure.missing == "channel:SHOP"

"""Rules of the ledger as plain functions on an in-memory world; each fails where its rule is gone.

The tests run them as they are; the planted bugs must make them fail.
"""

import datetime as dt
from typing import Any
from unittest.mock import patch

from stockwright.domain import movements
from stockwright.domain.catalog import Channel
from stockwright.domain.events import Fact
from stockwright.domain.exposure import Policy
from stockwright.domain.wellformed import Expiry
from tests.domain.worlds import START, World, catalog


def at(hours: int) -> dt.datetime:
    """Hours after the world's beginning."""
    return START + dt.timedelta(hours=hours)


def a_count_holds_as_of_its_time() -> None:
    """Ten came, eight were counted at nine, three left at ten, the count is told at eleven: 5."""
    world = World(now=at(3))
    world.fact("receipt", 10, occurred_at=at(0))
    world.fact("pos_sale", 3, occurred_at=at(2))
    told = world.fact("count", 8, occurred_at=at(1))
    assert told.answer == {"difference": -2}
    assert world.at().sellable == 5


def what_a_count_has_seen_counts_once() -> None:
    """The count at nine had seen the receipt of eight o'clock that is told only afterwards."""
    world = World(now=at(3))
    world.fact("count", 12, occurred_at=at(1))
    world.fact("receipt", 12, occurred_at=at(0))
    world.fact("receipt", 5, occurred_at=at(2))
    assert world.at().sellable == 17


def a_failing_item_leaves_its_neighbours_alone() -> None:
    """An item that fails halfway is parked; the unit it had moved by then is not there."""

    def half(overlay: Any, told: Any) -> Any:
        overlay.move("A", "", "supplier", "", "sellable", "EAST", 99, START)
        raise ZeroDivisionError("in the middle")

    world = World()
    world.fact("receipt", 5)
    bad = Fact(kind="damage", system="wms", document="bad", sku="A", quantity=1, location="EAST")
    good = Fact(kind="receipt", system="wms", document="g", sku="A", quantity=2, location="EAST")
    with patch.dict(movements.RULES_BY_KIND, damage=half):
        outcomes = world.batch([bad, good])
    assert [one.code for one in outcomes] == ["poison", "recorded"]
    assert world.at().sellable == 7


def a_buffer_hides_stock_and_refuses_nobody() -> None:
    """A channel that asks is not blind: what its buffer and cap hide may be granted."""
    hidden = Policy(channel="web", position=1, buffer=4, cap=3)
    channel = Channel("web", "web", ("EAST", "WEST"), policies=(hidden,))
    world = World(catalog(channels={"web": channel}))
    world.fact("receipt", 5)
    assert world.reserve(5).code == "granted"
    assert world.free() == 0


def a_confirm_after_expiry_needs_stock_again() -> None:
    """The hold ran out and a rival took its unit: the late confirm is refused."""
    world = World()
    world.fact("receipt", 1)
    world.reserve(1, order="late", hold_s=60)
    world.now = at(1)
    expiry = Expiry(system="web", order="late", lines=["1"], document="late@1")
    assert world.one(expiry).code == "done"
    assert world.reserve(1, order="rival").code == "granted"
    assert world.ask("confirm", order="late").code == "expired"
    assert world.free() == 0
    assert world.line("late").state == "expired"


def other_content_under_the_same_name_is_a_conflict() -> None:
    """Answered before with other content: kept and raised, never taken for the same."""
    world = World()
    first = world.fact("receipt", 5, document="D")
    other = world.fact("receipt", 6, document="D")
    assert (other.code, other.sequence) == ("conflict", first.sequence)
    assert world.at().sellable == 5
    assert ("conflict", "wms|D|1|receipt|0") in world.work


def a_shipment_draws_the_claim_of_its_own_line() -> None:
    """Promised, then shipped: the units leave once, and the promise is gone with them."""
    world = World()
    world.fact("receipt", 10)
    world.reserve(4, confirmed=True)
    world.reserve(3, order="other", confirmed=True)
    world.fact("shipment", 4, order="O1", order_line="1", order_system="web", final=True)
    assert (world.at().sellable, world.at().reserved, world.free()) == (6, 3, 3)
    assert world.line("O1").state == "fulfilled"
    assert world.line("other").open == 3

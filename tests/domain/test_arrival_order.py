"""Shipment, reservation, cancel, pick and return of one line, in every order of arrival."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stockwright.domain.events import Fact, Item, Request, RequestLine
from tests.domain.worlds import START, World

LINE: dict[str, Any] = {"order_system": "web", "order": "O1", "order_line": "1"}


def fact(kind: str, quantity: int, **fields: Any) -> Fact:
    told = {"system": "wms", "document": kind, "location": "EAST", "sku": "A", "line": "1"} | LINE
    return Fact(kind=kind, quantity=quantity, occurred_at=START, **(told | fields))  # type: ignore[arg-type]


def reserve(quantity: int) -> Request:
    lines = [RequestLine(line="1", sku="A", quantity=quantity)]
    return Request(
        kind="reserve", system="web", document="R1", order="O1", lines=lines, confirmed=True
    )


CANCEL = {"system": "web", "location": "", "document": "cancel"}
ORDER = {"system": "web", "channel": "web", "document": "order"}

OF_A_LINE = ("pick", "channel_cancel", "shipment", "return_receipt")

STORIES: dict[str, list[Item]] = {
    "shipped in full": [reserve(5), fact("shipment", 5)],
    "reserved, shipped short and final": [reserve(5), fact("shipment", 3, final=True)],
    "ordered, picked, shipped": [
        fact("channel_order", 5, **ORDER), fact("pick", 5), fact("shipment", 5),
    ],
    "ordered, cancelled": [fact("channel_order", 5, **ORDER), fact("channel_cancel", 5, **CANCEL)],
    "ordered, part cancelled, rest shipped": [
        fact("channel_order", 5, **ORDER), fact("channel_cancel", 2, **CANCEL), fact("shipment", 3),
    ],
    "cancel crosses the shipment": [
        fact("channel_order", 5, **ORDER), fact("channel_cancel", 5, **CANCEL), fact("shipment", 5),
    ],
    "shipped, sent back, inspected": [
        reserve(5), fact("shipment", 5), fact("return_receipt", 2),
        fact("inspection_result", 2, to_bucket="sellable"),
    ],
    "reserved, cancelled, shipped, returned": [
        reserve(4), fact("channel_cancel", 4, **CANCEL), fact("shipment", 4),
        fact("return_receipt", 4),
    ],
    "picked, more cancelled than was picked, ordered": [
        fact("pick", 3), fact("channel_cancel", 5, **CANCEL), fact("channel_order", 10, **ORDER),
    ],
    "picked in part, cancelled, shipped": [
        fact("channel_order", 10, **ORDER), fact("pick", 4), fact("channel_cancel", 8, **CANCEL),
        fact("shipment", 4),
    ],
    "more picked than was left after the cancel": [
        fact("channel_order", 10, **ORDER), fact("pick", 8), fact("channel_cancel", 5, **CANCEL),
    ],
    "two shipments of one line": [
        fact("channel_order", 5, **ORDER), fact("shipment", 2, document="S1"),
        fact("shipment", 3, document="S2", final=True),
    ],
}  # fmt: skip


def ends_of(story: Sequence[Item], batched: bool) -> dict[tuple[str, ...], Any]:
    """How the story ends, by every order in which it may arrive."""
    ends = {}
    for arrival in itertools.permutations(story):
        world = World()
        world.fact("receipt", 100)
        if batched:
            world.batch(arrival)
        else:
            for item in arrival:
                world.one(item)
        ends[tuple(f"{item.kind} {item.document}" for item in arrival)] = world.end()
    return ends


def assert_the_same(ends: dict[tuple[str, ...], Any]) -> None:
    first = next(iter(ends.values()))
    assert {told: end for told, end in ends.items() if end != first} == {}, first


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("batched", [False, True])
def test_every_order_of_arrival_ends_the_same(story: str, batched: bool) -> None:
    assert_the_same(ends_of(STORIES[story], batched))


@given(
    ordered=st.integers(0, 8),
    told=st.lists(st.tuples(st.sampled_from(OF_A_LINE), st.integers(1, 9)), max_size=3),
    last=st.booleans(),
    batched=st.booleans(),
)
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
def test_whatever_is_told_of_a_line_ends_the_same_in_every_order(
    ordered: int, told: list[tuple[str, int]], last: bool, batched: bool
) -> None:
    story: list[Item] = [fact("channel_order", ordered, **ORDER)] if ordered else []
    for n, (kind, units) in enumerate(told):
        fields: dict[str, Any] = {"document": f"{kind}{n}", "final": last and kind == "shipment"}
        story.append(fact(kind, units, **(CANCEL if kind == "channel_cancel" else {}) | fields))
    assert_the_same(ends_of(story, batched))

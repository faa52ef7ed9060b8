"""Shipment, reservation, cancel, pick and return of one line, in every order of arrival."""

import itertools
from typing import Any

import pytest

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
    "two shipments of one line": [
        fact("channel_order", 5, **ORDER), fact("shipment", 2, document="S1"),
        fact("shipment", 3, document="S2", final=True),
    ],
}  # fmt: skip


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("batched", [False, True])
def test_every_order_of_arrival_ends_the_same(story: str, batched: bool) -> None:
    ends = {}
    for arrival in itertools.permutations(STORIES[story]):
        world = World()
        world.fact("receipt", 100)
        if batched:
            world.batch(arrival)
        else:
            for item in arrival:
                world.one(item)
        ends[tuple(item.kind for item in arrival)] = world.end()
    first = next(iter(ends.values()))
    assert {kinds: end for kinds, end in ends.items() if end != first} == {}, first

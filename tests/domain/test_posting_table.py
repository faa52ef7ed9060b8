"""One row per kind: what it does to a place that holds 20 of A and 8 claimed by order O1."""

from typing import Any

import pytest

from stockwright.domain.postings import POSTINGS
from tests.domain.worlds import World

ORDER: dict[str, Any] = {"order_system": "web", "order": "O1", "order_line": "1"}
START = {"sellable": 20, "reserved": 8}

# kind, quantity, fields, outcome, what changes at EAST
FACTS: list[tuple[str, int, dict[str, Any], str, dict[str, int]]] = [
    ("receipt", 5, {}, "recorded", {"sellable": 25}),
    ("receipt", 5, {"bucket": "inspection"}, "recorded", {"inspection": 5}),
    ("receipt", 2, {"unit": "CS"}, "recorded", {"sellable": 32}),
    ("shipment", 5, {}, "recorded", {"sellable": 15}),
    ("shipment", 5, ORDER, "recorded", {"sellable": 15, "reserved": 3}),
    ("shipment", 5, ORDER | {"final": True}, "recorded", {"sellable": 15, "reserved": 0}),
    ("shipment", 25, {}, "recorded", {"sellable": -5}),
    ("pos_sale", 5, {}, "recorded", {"sellable": 15}),
    ("return_receipt", 2, {}, "recorded", {"inspection": 2}),
    ("inspection_result", 2, {}, "recorded", {}),
    ("transfer_out", 4, {"to_location": "WEST"}, "recorded", {"sellable": 16}),
    ("transfer_in", 4, {}, "recorded", {"sellable": 24}),
    ("transfer_close", 0, {}, "recorded", {}),
    ("adjustment", 3, {}, "recorded", {"sellable": 23}),
    ("adjustment", -3, {}, "recorded", {"sellable": 17}),
    ("adjustment", 3, {"bucket": "damaged"}, "recorded", {"damaged": 3}),
    ("count", 18, {}, "recorded", {"sellable": 18}),
    ("count", 0, {}, "recorded", {"sellable": 0}),
    ("snapshot", 18, {}, "observed", {}),
    ("damage", 2, {}, "recorded", {"sellable": 18, "damaged": 2}),
    ("quarantine", 2, {}, "recorded", {"sellable": 18, "quarantined": 2}),
    ("unquarantine", 2, {}, "recorded", {"sellable": 22, "quarantined": -2}),
    ("scrap", 2, {}, "recorded", {"sellable": 18}),
    ("scrap", 2, {"bucket": "damaged"}, "recorded", {"damaged": -2}),
    ("conversion", 2, {"to_sku": "B", "to_quantity": 12}, "recorded", {"sellable": 18}),
    ("pick", 3, ORDER, "recorded", {"reserved": 5, "picked": 3}),
    ("unpick", 3, ORDER, "recorded", {}),
    ("channel_order", 8, ORDER | {"channel": "web"}, "recorded", {}),
    ("channel_order", 9, {"order": "O2", "channel": "web"}, "recorded", {"reserved": 17}),
    ("channel_cancel", 3, ORDER, "recorded", {"reserved": 5}),
    ("lot_recall", 0, {"lot": "X"}, "observed", {}),
    ("lot_expiry", 0, {"lot": "X"}, "observed", {}),
    ("reversal", 0, {"reverses": 1}, "recorded", {"sellable": 0}),
]  # fmt: skip

PARTIAL = {"order": "O2", "lines": {"1": ("A", 13)}, "mode": "partial"}
NOWHERE = {"order": "O2", "channel": "nowhere", "lines": {"1": ("A", 1)}}

REQUESTS: list[tuple[str, dict[str, Any], str, dict[str, int]]] = [
    ("reserve", {"order": "O2", "lines": {"1": ("A", 5)}}, "granted", {"reserved": 13}),
    ("reserve", {"order": "O2", "lines": {"1": ("A", 12)}}, "granted", {"reserved": 20}),
    ("reserve", {"order": "O2", "lines": {"1": ("A", 13)}}, "insufficient", {}),
    ("reserve", PARTIAL, "partial", {"reserved": 20}),
    ("reserve", {"order": "O2", "lines": {"1": ("A", 7), "2": ("A", 6)}}, "insufficient", {}),
    ("reserve", {"order": "O2", "lines": {"1": ("ZZ", 1)}}, "unknown_sku", {}),
    ("reserve", NOWHERE, "unknown_channel", {}),
    ("reserve", {"lines": {"1": ("A", 8)}}, "already_claimed", {}),
    ("extend", {}, "done", {}),
    ("confirm", {}, "done", {}),
    ("confirm", {"order": "O9"}, "unknown_demand", {}),
    ("allocate", {}, "done", {"reserved": 0, "allocated": 8}),
    ("deallocate", {}, "already_claimed", {}),
    ("release", {}, "done", {"reserved": 0}),
    ("cancel", {}, "done", {"reserved": 0}),
    ("cancel", {"lines": {"1": ("A", 3)}}, "done", {"reserved": 5}),
]  # fmt: skip


def stocked() -> World:
    world = World()
    world.fact("receipt", 20)
    world.reserve(8)
    return world


def changed(world: World) -> dict[str, int]:
    balance = world.at()
    accounts = (
        "sellable",
        "inspection",
        "quarantined",
        "damaged",
        "reserved",
        "allocated",
        "picked",
    )
    return {
        name: getattr(balance, name)
        for name in accounts
        if getattr(balance, name) != START.get(name, 0)
    }


@pytest.mark.parametrize(("kind", "quantity", "fields", "outcome", "expected"), FACTS)
def test_a_fact_moves_what_its_row_says(
    kind: str, quantity: int, fields: dict[str, Any], outcome: str, expected: dict[str, int]
) -> None:
    world = stocked()
    assert world.fact(kind, quantity, **fields).code == outcome
    assert changed(world) == expected


@pytest.mark.parametrize(("kind", "fields", "outcome", "expected"), REQUESTS)
def test_a_request_is_granted_or_refused_with_its_code(
    kind: str, fields: dict[str, Any], outcome: str, expected: dict[str, int]
) -> None:
    world = stocked()
    assert world.ask(kind, **fields).code == outcome
    assert changed(world) == expected


def test_every_kind_of_the_table_has_a_row_here() -> None:
    told = {row[0] for row in FACTS} | {row[0] for row in REQUESTS} | {"expiry"}
    assert told == set(POSTINGS)


def test_facts_are_never_refused() -> None:
    refusable = {kind for kind, row in POSTINGS.items() if row.may_refuse}
    assert refusable == {row[0] for row in REQUESTS}

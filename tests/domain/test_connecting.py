"""The steps of a connection: which are needed, what is missing, what comes next."""

import pytest

from stockwright.domain.connecting import STEPS, Step, checklist, entitled, missing, next_of
from stockwright.domain.network import Role

ALL = {name: Step(name=name, state="done") for name in STEPS}


def test_a_shop_has_no_opening_stock_and_a_warehouse_no_shadow():
    shop = {step.name: step.state for step in checklist({}, role="shop", sells=True)}
    assert (shop["opening_stock"], shop["shadow"]) == ("skipped", "open")
    warehouse = {step.name: step.state for step in checklist({}, role="wms", sells=False)}
    assert (warehouse["opening_stock"], warehouse["shadow"]) == ("open", "skipped")


def test_steps_come_in_order_and_what_was_taken_counts():
    steps = checklist({"items": Step(name="items", state="failed")}, role="3pl", sells=True)
    assert [step.name for step in steps] == list(STEPS)
    assert steps[3].state == "failed"


@pytest.mark.parametrize("state", ["done", "attention", "skipped"])
def test_one_may_go_on_after(state):
    found = {**ALL, "items": Step(name="items", state=state)}
    assert missing(checklist(found, role="erp", sells=True)) == []


@pytest.mark.parametrize(("state", "note"), [("open", ""), ("failed", "1 in conflict")])
def test_one_may_not_go_on_after(state, note):
    found = {**ALL, "items": Step(name="items", state=state, note=note)}
    steps = checklist(found, role="erp", sells=True)
    assert missing(steps) == [f"Items matched: {note or 'not done yet'}"]
    assert next_of(steps, "ERP") == "stockwright connection items ERP"


def test_going_live_is_no_reason_against_itself():
    found = {name: step for name, step in ALL.items() if name != "live"}
    steps = checklist(found, role="erp", sells=True)
    assert missing(steps) == []
    assert next_of(steps, "ERP") == "stockwright connection live ERP --reason WHY"
    assert next_of(checklist(ALL, role="erp", sells=True), "ERP") == ""


@pytest.mark.parametrize(
    ("role", "tells"), [("wms", True), ("erp", True), ("shop", False), ("marketplace", False)]
)
def test_who_tells_how_much_lies_there(role: Role, tells: bool):
    assert entitled(role) == tells

"""The steps of a connection: which are needed, what is missing, what comes next."""

import pytest

from stockwright.domain.connecting import (
    STEPS,
    Step,
    checklist,
    entitled,
    missing,
    next_of,
    places_missing,
)
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


def test_a_shop_without_a_channel_is_to_be_looked_at_and_keeps_nobody_from_going_on():
    (shop,) = [one for one in checklist({}, role="shop", sells=False) if one.name == "shadow"]
    assert (shop.state, shop.passed) == ("attention", True)
    assert shop.note.endswith("connection add once more, with --channel and --pool")


def test_a_setting_at_fault_is_mended_before_the_step_is_taken_again():
    detail = {"setting": "systems.ERP.settings.inbox"}
    failed = Step(name="credentials", state="failed", note="inbox: no folder", detail=detail)
    steps = checklist({**ALL, "credentials": failed}, role="erp", sells=True)
    assert next_of(steps, "ERP") == "mend inbox, then stockwright connection test ERP"
    away = Step(name="credentials", state="failed", detail={"setting": ""})
    steps = checklist({**ALL, "credentials": away}, role="erp", sells=True)
    assert next_of(steps, "ERP") == "stockwright connection test ERP"


@pytest.mark.parametrize(
    ("role", "said"), [("shop", "a shop"), ("planning", "a system for planning"), ("crm", "a CRM")]
)
def test_a_role_is_called_by_a_name_that_can_begin_a_sentence(role: Role, said: str):
    (step,) = [one for one in checklist({}, role=role, sells=True) if one.name == "opening_stock"]
    assert step.note.startswith(f"{said} shows what it is told")


@pytest.mark.parametrize("stage", ["shadow", "live"])
def test_what_the_file_alone_may_change_is_not_asked_for_by_connection_add(stage):
    detail = {"broken": [{"missing": "channel:SHOP"}]}
    sample = Step(name="sample", state="failed", detail=detail)
    steps = checklist({**ALL, "sample": sample}, role="shop", sells=True)
    assert next_of(steps, "SHOP", stage).startswith("set channel in [systems.SHOP.settings]")
    (shop,) = [
        one for one in checklist({}, role="shop", sells=False, stage=stage) if one.name == "shadow"
    ]
    assert shop.note.endswith("[channels.CODE] in the file, then config apply")


def test_a_place_that_is_not_bound_is_bound_before_the_sample_is_tested_again():
    broken = [{"missing": "location:LAGER"}, {"missing": None}, {"missing": "location:LAGER"}]
    sample = Step(name="sample", state="failed", detail={"broken": broken})
    steps = checklist({**ALL, "sample": sample}, role="wms", sells=False)
    assert places_missing(steps) == ("LAGER",)
    assert next_of(steps, "WMS") == (
        "stockwright connection items WMS --bindings FILE, import it,"
        " then stockwright connection test WMS --sample FILE"
    )
    assert places_missing(checklist(ALL, role="wms", sells=False)) == ()


def test_orders_of_no_known_channel_ask_for_the_channel_and_not_for_another_sample():
    for missing_code, said in (
        ("channel:SHOP", "stockwright connection add SHOP ... --channel CODE --pool PLACE"),
        ("item:MUG", "stockwright connection test SHOP --sample FILE"),
    ):
        detail = {"broken": [{"missing": missing_code}]}
        sample = Step(name="sample", state="failed", detail=detail)
        steps = checklist({**ALL, "sample": sample}, role="shop", sells=False)
        assert next_of(steps, "SHOP") == said

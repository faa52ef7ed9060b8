"""The audit log: whatever a key changes is in it, with who did it; nothing is forgotten."""

from itertools import chain
from uuid import uuid4

import msgspec
import pytest

from stockwright.api.routes import TABLE

NOT_NOTED = {
    "post_events": "the ledger keeps them, with their payload",
    "post_count": "the ledger keeps it, with its payload",
    "post_reservation": "the ledger keeps it",
    "post_transition": "the ledger keeps it",
    "post_availability": "reads only",
    "post_preview": "a dry run",
    "plan_config": "a dry run",
    "post_heartbeat": "a sign of life, told again and again",
    "test_connection": "changes no rule; the step is kept with who took it",
    "match_items": "changes no rule; the step is kept with who took it",
    "post_hook": "no key: the payload is kept with its system",
}
"""Operations that leave no line in the audit log, and why that is right."""

ITEM = {"why": "because"}


class Stage:
    """Things to change, each of its own."""

    def __init__(self, house) -> None:
        self.house = house
        self.sku = f"audit-{uuid4().hex[:8]}"
        house.admin.put(f"/v1/items/{self.sku}", {})
        self.code = uuid4().hex

    def item(self, closed: bool = False) -> int:
        ((made,),) = self.house.sql(
            "INSERT INTO work_item (kind, subject, closed_at) VALUES ('recount', %s, "
            "CASE WHEN %s THEN now() END) RETURNING id", uuid4().hex, closed,
        )  # fmt: skip
        return int(made)

    def parked(self) -> int:
        fact: dict[str, object] = {
            "kind": "receipt",
            "system": "erp",
            "document": uuid4().hex,
            "item": uuid4().hex,
        }
        fact |= {"quantity": 1, "location": "main"}
        assert self.house.admin.post("/v1/events", fact).status == 202
        found = self.house.admin.get(f"/v1/parked?missing=item:{fact['item']}").json["items"]
        return int(found[0]["id"])

    def supply(self) -> dict[str, object]:
        due = "2999-01-01T00:00:00Z"
        line = {"system": "erp", "document": self.code, "line": "1", "sku": self.sku}
        return line | {
            "kind": "purchase_order", "location": "main", "quantity": 2, "due_at": due,
        }  # fmt: skip

    def owed(self) -> dict[str, object]:
        line = {"system": "shop", "order": self.code, "line": "1", "sku": self.sku}
        return line | {"channel": "web", "quantity": 2}

    def told(self, path: str, line: dict[str, object]) -> str:
        """The address of a line that somebody else told."""
        assert self.house.admin.post(path, [line]).status == 207
        return f"{path}/{line['system']}/{self.code}/1"

    def applied(self) -> dict[str, object]:
        (web,) = self.house.admin.get("/v1/config").json["channels"]
        web["hold_s"] += 1
        return {"reason": "because", "channels": [web]}

    def rolled_back(self) -> dict[str, object]:
        before = self.house.admin.get("/v1/config").json["revision"]
        assert self.house.admin.post("/v1/config/apply", self.applied()).status == 200
        return {"reason": "because", "revision": before}


CHANGES = {
    "put_item": lambda s: ("PUT", f"/v1/items/{s.code}", {}),
    "put_unit": lambda s: ("PUT", f"/v1/units/{s.sku}/BOX", {"factor": 6}),
    "put_kit": lambda s: ("PUT", f"/v1/kits/{s.sku}", {"components": [{"sku": "A"}]}),
    "put_listing": lambda s: (
        "PUT", f"/v1/listings/web/{s.code}", {"components": [{"sku": s.sku}]},
    ),
    "put_binding": lambda s: ("PUT", f"/v1/bindings/erp/item/{s.code}", {"code": s.sku}),
    "put_location": lambda s: ("PUT", f"/v1/locations/{s.code}", {}),
    "close_work_item": lambda s: ("POST", f"/v1/work-items/{s.item()}/close", ITEM),
    "reopen_work_item": lambda s: ("POST", f"/v1/work-items/{s.item(closed=True)}/reopen", ITEM),
    "assign_work_item": lambda s: (
        "POST", f"/v1/work-items/{s.item()}/assign", {"assigned_to": "Ada"},
    ),
    "resume_payload": lambda s: ("POST", f"/v1/parked/{s.parked()}/resume", None),
    "discard_payload": lambda s: ("POST", f"/v1/parked/{s.parked()}/discard", ITEM),
    "replay_payload": lambda s: (
        "POST", f"/v1/parked/{s.parked()}/replay", {"code": s.sku, "wait_s": 0},
    ),
    "post_supply": lambda s: ("POST", "/v1/supply", [s.supply()]),
    "close_supply": lambda s: ("POST", s.told("/v1/supply", s.supply()) + "/close", ITEM),
    "post_backorders": lambda s: ("POST", "/v1/backorders", [s.owed()]),
    "close_backorder": lambda s: ("POST", s.told("/v1/backorders", s.owed()) + "/close", ITEM),
    "apply_config": lambda s: ("POST", "/v1/config/apply", s.applied()),
    "roll_back_config": lambda s: ("POST", "/v1/config/rollback", s.rolled_back()),
    "import_kind": lambda s: ("POST", "/v1/import/skus", {"code": s.code}),
    "import_master": lambda s: ("POST", "/v1/import", {"kind": "skus", "code": s.code}),
}  # fmt: skip
"""For each operation that changes something, a call that does."""


ELSEWHERE = {
    "tests/flow/test_steering.py": ("pause_channel", "resume_channel", "resync_channel"),
    "tests/api/test_subscriptions.py": (
        *("post_subscription", "pause_subscription", "resume_subscription"),
        *("rotate_subscription_secret", "replay_subscription", "delete_subscription"),
    ),
    "tests/flow/test_connecting.py": (
        *("add_connection", "post_opening_stock", "shadow_connection", "live_connection"),
    ),
    "tests/flow/test_retrying.py": ("retry_connection",),
}
"""Noted as well; shown there, where channels have a connector."""


def test_every_operation_that_changes_something_is_accounted_for():
    changing = {row.name for row in TABLE if row.method != "GET"}
    assert changing == CHANGES.keys() | NOT_NOTED.keys() | set(chain(*ELSEWHERE.values()))


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_is_noted_with_who_made_it(house, name):
    method, path, body = CHANGES[name](Stage(house))
    key = house.key("admin")
    headers = {"authorization": f"Bearer {key.key}"}
    raw = msgspec.json.encode(body) if body is not None else None
    if raw is not None:
        lines = name.startswith("import")
        headers["content-type"] = "application/x-ndjson" if lines else "application/json"
    answer = house.admin.call(method, path, raw, headers)
    assert answer.status < 300, answer
    noted = house.admin.get(f"/v1/audit?actor=key%20{key.id}").json["items"]
    assert noted, f"{name} left no line"
    assert all(one["action"] for one in noted)


def test_the_log_is_asked_by_actor_action_subject_and_time(house):
    before = house.sql("SELECT clock_timestamp()")[0][0].isoformat().replace("+00:00", "Z")
    first, second = f"a-{uuid4().hex[:8]}", f"b-{uuid4().hex[:8]}"
    for code in (first, second):
        house.admin.put(f"/v1/items/{code}", {})
    between = house.sql("SELECT clock_timestamp()")[0][0].isoformat().replace("+00:00", "Z")
    house.admin.put(f"/v1/locations/{first}", {})

    def subjects(query: str) -> list[str]:
        items = house.admin.get(f"/v1/audit?{query}").json["items"]
        return [one["subject"] for one in items]

    assert subjects(f"since={before}") == [first, second, first]
    assert subjects(f"since={before}&until={between}") == [second, first]
    assert subjects(f"since={before}&action=locations.put") == [first]
    assert subjects(f"subject={second}") == [second]
    assert subjects("actor=nobody") == []
    pages = []
    cursor = ""
    while cursor is not None:
        page = house.admin.get(f"/v1/audit?since={before}&limit=1&cursor={cursor}").json
        pages += [one["subject"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert pages == [first, second, first]


def test_the_log_needs_its_own_right(house):
    assert house.client("audit:read").get("/v1/audit").status == 200
    assert house.client("work:read").get("/v1/audit").status == 403


def test_who_asks_for_a_time_names_its_zone(house):
    answer = house.admin.get("/v1/audit?since=2026-01-01T00:00:00")
    assert (answer.status, answer.json["param"]) == (422, "since")

"""Parked payloads: facets, a dry run beside what stands, and a replay that tells the difference."""

import threading
from contextlib import contextmanager
from uuid import uuid4

import msgspec
import pytest

from stockwright.connectors.json_http import CONNECTOR
from stockwright.domain.items import Binding
from stockwright.sdk.connector import Opening
from stockwright.sdk.messages import Payload
from stockwright.store import master

SETTINGS = {"base_url": "http://127.0.0.1:9"}


@pytest.fixture(scope="module")
def shop(house):
    """The house with a connection that maps the shop's messages."""
    parsed = CONNECTOR.declaration.parse_settings(SETTINGS, str)
    house.services.connections.put("shop", CONNECTOR.open(Opening(system="shop"), parsed))
    return house


def order(*codes: str) -> Payload:
    lines = [{"line": str(n), "sku": code, "quantity": n} for n, code in enumerate(codes, start=1)]
    number = uuid4().hex
    told = {"order": number, "lines": lines, "channel": "web"}
    body = msgspec.json.encode({"type": "order.placed", "data": told})
    return Payload(body=body, content_type="application/json")


def parked(house, *codes: str) -> list[int]:
    """Hands an order in and works on it; ids of what waits of it, oldest first."""
    payload = house.services.intake.accept("shop", "webhook", order(*codes))
    house.work()
    rows = house.sql(
        "SELECT id FROM payload WHERE state = 'parked' AND (id = %s OR parent = %s) ORDER BY id",
        payload,
        payload,
    )
    return [row[0] for row in rows]


def bind(house, code: str, sku: str, unit: str = "") -> None:
    row = Binding(system="shop", partner_code=code, code=sku, unit=unit)
    with house.services.pool.connection() as connection:
        master.save_one(connection, "bindings", row)


@contextmanager
def at_work(house):
    """The loop of the intake, for as long as the block runs."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            house.services.intake.step()
            stop.wait(0.02)

    working = threading.Thread(target=work)
    working.start()
    try:
        yield
    finally:
        stop.set()
        working.join()


def counts(house) -> tuple[int, ...]:
    return tuple(
        house.sql(f"SELECT count(*) FROM {table}")[0][0]
        for table in ("event", "entry", "payload", "binding", "work_item", "change_log", "dirty")
    )


def test_a_dry_run_tells_what_would_wait_and_writes_nothing(shop):
    code = f"p-{uuid4().hex[:8]}"
    (one,) = parked(shop, code)
    before = counts(shop)
    told = shop.admin.get(f"/v1/parked/{one}/replay").json
    assert counts(shop) == before
    assert (told["new"], told["standing"], told["waiting"]) == (0, 0, 1)
    (part,) = told["parts"]
    assert part["would"]["code"] == "parked"
    assert part["would"]["missing"] == f"item:{code}"
    assert part["recorded"] is None


def test_a_dry_run_supposes_a_binding_and_tells_what_it_would_move(shop, new_sku):
    code, sku = f"p-{uuid4().hex[:8]}", new_sku()
    shop.receive(sku, 10)
    (one,) = parked(shop, code)
    before = counts(shop)
    told = shop.admin.get(f"/v1/parked/{one}/replay?code={sku}").json
    assert counts(shop) == before
    assert (told["new"], told["waiting"]) == (1, 0)
    (part,) = told["parts"]
    assert part["item"]["kind"] == "channel_order"
    assert (part["would"]["code"], part["would"]["replay"]) == ("recorded", False)
    (move,) = part["would"]["moves"]
    assert (move["sku"], move["to_account"], move["quantity"]) == (sku, "reserved", 1)
    unknown = shop.admin.get(f"/v1/parked/{one}/replay?code=nobody").json
    assert unknown["parts"][0]["would"]["missing"] == "sku:nobody"


def test_a_replay_binds_records_and_finds_what_was_foreseen(shop, new_sku):
    code, sku = f"p-{uuid4().hex[:8]}", new_sku()
    shop.receive(sku, 10)
    (one,) = parked(shop, code)
    with at_work(shop):
        answer = shop.admin.post(f"/v1/parked/{one}/replay", {"code": sku})
    assert answer.status == 200, answer
    told = answer.json
    assert (told["settled"], told["payload"]["state"], told["differs"]) == (True, "recorded", [])
    (foreseen,), (after,) = told["foreseen"], told["after"]
    assert after["recorded"]["kind"] == "channel_order"
    assert after["recorded"]["moves"] == foreseen["would"]["moves"]
    assert shop.free(sku) == 9
    log = shop.admin.get(f"/v1/audit?action=bindings.put&subject=shop%20item%20{code}").json
    assert [change["detail"]["code"] for change in log["items"]] == [sku]


def test_a_replay_tells_where_the_world_moved_on_meanwhile(shop, new_sku, monkeypatch):
    """What was foreseen of a part is not what came of it: the difference is named."""
    code, first, second = f"p-{uuid4().hex[:8]}", new_sku(), new_sku()
    shop.receive(first, 5)
    shop.receive(second, 5)
    (one,) = parked(shop, code)
    bind(shop, code, first)
    from stockwright.api import parked as handlers

    real = handlers.resume

    def resume(connection, *rest):
        row = Binding(system="shop", partner_code=code, code=second)
        master.save_one(connection, "bindings", row)
        resumed = real(connection, *rest)
        connection.commit()
        shop.work()
        return resumed

    monkeypatch.setattr(handlers, "resume", resume)
    told = shop.admin.post(f"/v1/parked/{one}/replay").json
    (foreseen,), (after,) = told["foreseen"], told["after"]
    assert foreseen["would"]["moves"][0]["sku"] == first
    assert after["recorded"]["moves"][0]["sku"] == second
    assert told["differs"] == [after["place"]]


def test_a_part_of_an_order_shows_beside_it_what_stands(shop, new_sku):
    known, late = f"k-{uuid4().hex[:8]}", f"l-{uuid4().hex[:8]}"
    bind(shop, known, new_sku())
    (part,) = parked(shop, known, late)
    parent = shop.admin.get(f"/v1/parked/{part}").json["parent"]
    whole = shop.admin.get(f"/v1/parked/{parent}/replay").json
    assert (whole["standing"], whole["waiting"], whole["new"]) == (1, 1, 0)
    stands = next(one for one in whole["parts"] if one["recorded"])
    assert stands["would"]["replay"]
    assert stands["recorded"]["payload"] == parent
    alone = shop.admin.get(f"/v1/parked/{part}/replay").json
    assert (alone["standing"], alone["waiting"]) == (0, 1)


def test_without_a_worker_the_replay_says_that_it_is_not_done(shop, new_sku):
    code, sku = f"p-{uuid4().hex[:8]}", new_sku()
    (one,) = parked(shop, code)
    answer = shop.admin.post(f"/v1/parked/{one}/replay", {"code": sku, "wait_s": 0.1})
    assert (answer.status, answer.json["settled"]) == (202, False)
    shop.work()
    assert shop.admin.get(f"/v1/parked/{one}").json["state"] == "recorded"
    again = shop.admin.post(f"/v1/parked/{one}/replay")
    assert (again.status, again.json["type"]) == (409, "urn:stockwright:problem:already_closed")


def test_a_code_that_no_binding_cures_is_refused(shop):
    payload = shop.services.intake.accept("shop", "webhook", Payload(body=b"not json"))
    shop.work()
    answer = shop.admin.get(f"/v1/parked/{payload}/replay?code=A")
    assert (answer.status, answer.json["param"]) == (422, "code")
    assert answer.json["type"].endswith("not_bindable")


def test_binding_by_replay_needs_the_right_to_change_the_master(shop, new_sku):
    code = f"p-{uuid4().hex[:8]}"
    (one,) = parked(shop, code)
    clerk = shop.client("work:read", "work:write")
    answer = clerk.post(f"/v1/parked/{one}/replay", {"code": new_sku()})
    assert answer.status == 403
    assert shop.admin.get(f"/v1/parked/{one}").json["state"] == "parked"
    other = shop.client("work:write", "master:write", system="erp")
    assert other.post(f"/v1/parked/{one}/replay", {"code": new_sku()}).status == 403


def test_facets_count_what_waits_and_filters_narrow_it(shop):
    code = f"f-{uuid4().hex[:8]}"
    for _ in range(2):
        parked(shop, code)
    told = shop.admin.get(f"/v1/parked/facets?missing=item:{code}").json
    assert told["total"] == 2
    assert told["by"]["system"] == [{"value": "shop", "count": 2}]
    everything = shop.admin.get("/v1/parked/facets").json
    missing = {one["value"]: one["count"] for one in everything["by"]["missing"]}
    assert missing[f"item:{code}"] == 2
    found = shop.admin.get(f"/v1/parked?text={code.upper()}").json["items"]
    assert len(found) == 2


def test_a_set_aside_payload_is_found_by_its_state(shop):
    (one,) = parked(shop, f"d-{uuid4().hex[:8]}")
    assert shop.admin.post(f"/v1/parked/{one}/discard", {"why": "a test order"}).status == 200
    found = shop.admin.get("/v1/parked?state=discarded&text=a%20test%20order").json["items"]
    assert one in [item["id"] for item in found]


def test_a_key_of_one_system_decides_about_its_own_payloads_alone(shop):
    """A key of another partner could set a payload aside for ever."""
    (payload,) = parked(shop, uuid4().hex)
    stranger, own = (shop.client("work:read", "work:write", system=one) for one in ("erp", "shop"))
    for call, body in (("replay", {}), ("resume", None), ("discard", {"why": "not ours"})):
        answer = stranger.post(f"/v1/parked/{payload}/{call}", body)
        assert (answer.status, answer.json["type"].rpartition(":")[2]) == (403, "forbidden_system")
    assert own.get(f"/v1/parked/{payload}").json["state"] == "parked"
    assert own.post(f"/v1/parked/{payload}/discard", {"why": "ours"}).status == 200

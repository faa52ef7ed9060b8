"""Import and export of the item master over HTTP."""

import gzip
import threading
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import msgspec
import pytest

from stockwright.api.transport import MAX_LINES, SHOWN_REFUSALS
from stockwright.app.services import READERS, SLOW

NDJSON = {"content-type": "application/x-ndjson"}
CSV = {"content-type": "text/csv"}
JSON = {"content-type": "application/json"}


def lines(answer) -> list[dict[str, Any]]:
    assert answer.status == 200, answer
    return [msgspec.json.decode(line) for line in answer.body.splitlines()]


def test_what_is_exported_is_imported_without_a_change(house):
    told = house.admin.get("/v1/export")
    assert told.headers["content-type"] == "application/x-ndjson"
    assert {line["kind"] for line in lines(told)} >= {"skus", "units", "listings", "locations"}
    answer = house.admin.call("POST", "/v1/import", told.body, NDJSON)
    assert answer.status == 200, answer
    for report in answer.json["reports"]:
        assert (report["new"], report["changed"], report["refused"]) == (0, 0, 0), report


@pytest.mark.parametrize("kind", ["skus", "units", "listings", "locations"])
@pytest.mark.parametrize("media", ["text/csv", "application/x-ndjson"])
def test_each_kind_comes_and_goes_in_both_forms(house, kind, media):
    told = house.admin.get(f"/v1/export/{kind}", headers={"accept": media})
    assert told.headers["content-type"] == media
    assert int(told.headers["stockwright-master-revision"]) > 0
    answer = house.admin.call("POST", f"/v1/import/{kind}", told.body, {"content-type": media})
    (report,) = answer.json["reports"]
    assert report["unchanged"] == report["rows"] > 0


def test_good_rows_are_kept_bad_ones_told_and_all_is_in_the_audit_log(house):
    code = f"imp-{uuid4().hex[:8]}"
    body = f"code,unit_cost\n{code},1.50\nbad,-1\n".encode()
    answer = house.admin.call("POST", "/v1/import/skus", gzip.compress(body),
                              {**CSV, "content-encoding": "gzip"})  # fmt: skip
    (report,) = answer.json["reports"]
    assert (report["new"], report["refused"]) == (1, 1)
    (refusal,) = report["first_refusals"]
    assert (refusal["line"], refusal["field"]) == (3, "unit_cost")
    assert house.admin.get(f"/v1/items/{code}").json["unit_cost"] == "1.50"
    log = house.admin.get("/v1/audit?action=skus.import&limit=1").json["items"][0]
    assert log["actor"].startswith("key ")
    assert (log["subject"], log["detail"]) == (
        "POST /v1/import/skus", {"rows": 1, "keys": [code]},
    )  # fmt: skip


def test_a_key_of_one_system_imports_bindings_of_that_system_alone(house, new_sku):
    sku, code = new_sku(), f"c-{uuid4().hex[:8]}"
    body = "".join(
        msgspec.json.encode({"system": system, "partner_code": code, "code": sku}).decode() + "\n"
        for system in ("erp", "shop")
    ).encode()
    clerk = house.client("master:write", system="erp")
    (report,) = clerk.call("POST", "/v1/import/bindings", body, NDJSON).json["reports"]
    assert (report["new"], report["refused"]) == (1, 1)
    assert "bound to the system erp" in report["first_refusals"][0]["reason"]
    assert house.admin.get(f"/v1/bindings/shop/item/{code}").status == 404


def test_what_is_exported_as_csv_is_no_formula_and_is_imported_as_it_was(house):
    code = f"=HYPERLINK({uuid4().hex[:8]})"
    house.admin.put(f"/v1/items/{quote(code, safe='')}", {"description": "+A1"})
    exported = house.admin.get("/v1/export/skus", headers={"accept": "text/csv"}).body
    assert f"\n'{code},'+A1,".encode() in exported
    assert b"\n=" not in exported
    (report,) = house.admin.call("POST", "/v1/import/skus", exported, CSV).json["reports"]
    assert (report["new"], report["changed"], report["refused"]) == (0, 0, 0)
    house.receive(code, 3)
    stock = house.admin.get("/v1/stock", headers={"accept": "text/csv"}).body
    assert f"'{code},main".encode() in stock


def test_what_waited_for_a_code_goes_on_once_it_is_imported(house, new_sku):
    sku, code = new_sku(), f"w-{uuid4().hex[:8]}"
    fact = {"kind": "receipt", "system": "erp", "document": uuid4().hex, "item": code}
    fact |= {"quantity": 3, "location": "main"}
    assert house.admin.post("/v1/events", fact).status == 202
    body = msgspec.json.encode({"system": "erp", "partner_code": code, "code": sku})
    house.admin.call("POST", "/v1/import/bindings", body, NDJSON)
    house.work()
    assert house.free(sku) == 3


def test_a_long_list_of_refusals_is_cut_and_counted(house):
    body = b"code,unit_cost\n" + b"".join(b"x%d,-1\n" % n for n in range(SHOWN_REFUSALS + 5))
    (report,) = house.admin.call("POST", "/v1/import/skus", body, CSV).json["reports"]
    assert (report["refused"], len(report["first_refusals"])) == (
        SHOWN_REFUSALS + 5,
        SHOWN_REFUSALS,
    )


@pytest.mark.parametrize(
    ("path", "headers", "body", "status", "field"),
    [
        ("/v1/import/nothing", CSV, b"code\n", 404, "kind"),
        ("/v1/import/skus", {"content-type": "application/json"}, b"[]", 415, "Content-Type"),
        ("/v1/import", CSV, b"code\n", 415, "Content-Type"),
        ("/v1/import/skus", CSV, b"", 422, "header"),
        ("/v1/import/skus", CSV, b"cod\nA\n", 422, "cod"),
    ],
)
def test_a_call_that_is_useless_as_a_whole_is_a_problem(house, path, headers, body, status, field):
    answer = house.admin.call("POST", path, body, headers)
    assert (answer.status, answer.json["param"]) == (status, field), answer


@pytest.mark.parametrize("line", [b"{}\n", b"\n", b"\r"])
def test_a_body_of_millions_of_empty_lines_is_refused_before_it_is_read(house, line):
    """Sixteen mebibytes of them kept a thread busy for minutes, also once the client had gone."""
    for path, headers in (("", NDJSON), ("/skus", NDJSON), ("/skus", CSV)):
        answer = house.admin.call("POST", f"/v1/import{path}", line * (MAX_LINES + 1), headers)
        assert (answer.status, answer.json["type"].rpartition(":")[2]) == (413, "too_many")


def test_reads_do_not_wait_behind_imports_and_previews(house, new_sku):
    sku, asleep = new_sku(), threading.Event()
    try:
        for _ in range(SLOW):
            house.services.slow_threads.submit(asleep.wait, 20)
        calls: list[tuple[Any, ...]] = [("/v1/import/skus", b"code\nslow-1\n", CSV)] * (READERS + 1)
        calls += [("/v1/policies/preview", b'{"channels":{"web":[]}}', JSON)] * (READERS + 1)
        done: list[int] = []
        waiting = [
            threading.Thread(
                target=lambda one=one: done.append(house.admin.call("POST", *one).status)
            )
            for one in calls
        ]
        for one in waiting:
            one.start()
        assert house.admin.get(f"/v1/items/{sku}").status == 200
        assert done == []
    finally:
        asleep.set()
    for one in waiting:
        one.join()
    assert done == [200] * len(calls)


def test_an_unknown_kind_is_not_exported(house):
    assert house.admin.get("/v1/export/nothing").status == 404

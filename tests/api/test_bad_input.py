"""Bad input: a clear problem that names the field, neighbours recorded, never a 500."""

import gzip
import threading
from uuid import uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stockwright.api import bodies
from stockwright.api.bodies import read_body, split_array, split_lines
from stockwright.api.problems import ProblemRaised

JSON = {"content-type": "application/json"}


def fact(**more):
    return {
        "kind": "receipt",
        "system": "erp",
        "document": uuid4().hex,
        "sku": "A",
        "quantity": 1,
        "location": "main",
        **more,
    }


def raw(text: str) -> bytes:
    """A fact as it is written, with one part written by hand."""
    return (
        f'{{"kind":"receipt","system":"erp","document":"{uuid4().hex}",'
        f'"location":"main","sku":"A",{text}}}'
    ).encode()


BROKEN_BODIES = {
    "nothing": b"",
    "half an object": b'{"kind":',
    "half an array": b'[{"kind":"receipt"}',
    "two objects": b"{}{}",
    "a comma too many": b'{"kind":"receipt",}',
    "not utf-8": b'{"kind":"\xff"}',
    "a lone surrogate": b'{"kind":"receipt","document":"\\ud800"}',
    "a lone surrogate in bytes": b'{"kind":"receipt","document":"\xed\xa0\x80"}',
    "brackets without end": b"[" * 100_000,
    "braces without end": b'{"kind":' * 50_000,
    "a number alone": b"17",
    "a text alone": b'"receipt"',
    "null": b"null",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "not json at all": b"kind=receipt",
}


@pytest.mark.parametrize("body", BROKEN_BODIES.values(), ids=BROKEN_BODIES)
@pytest.mark.parametrize("path", ["/v1/events", "/v1/reservations"])
def test_a_broken_body_is_a_problem_of_the_caller(house, path, body):
    answer = house.admin.call("POST", path, body, JSON)
    assert answer.status in (400, 422), answer
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json
    assert told["type"].startswith("urn:stockwright:problem:")
    assert told["title"]
    assert told["detail"]
    assert told["next"]


BAD_FIELDS = {
    "a negative quantity": ('"quantity":-1', "quantity"),
    "a quantity of zero": ('"quantity":0', "quantity"),
    "a quantity with a fraction": ('"quantity":1.5', "quantity"),
    "a quantity beyond every float": ('"quantity":1e400', "quantity"),
    "a quantity of 71 bits": (f'"quantity":{2**70}', "quantity"),
    "a quantity beyond the limit": (f'"quantity":{10**12 + 1}', "quantity"),
    "a quantity of 5,000 digits": (f'"quantity":{"9" * 5000}', "quantity"),
    "a quantity as text": ('"quantity":"1"', "quantity"),
    "no quantity": ('"line":"1"', "quantity"),
    "a quantity of null": ('"quantity":null', "quantity"),
    "a revision of 71 bits": (f'"quantity":1,"revision":{2**70}', "revision"),
    "a position of 71 bits": (f'"quantity":1,"position":{2**70}', "position"),
    "a position of 64 bits": (f'"quantity":1,"position":{2**63}', "position"),
    "a sequence of 71 bits": (f'"quantity":1,"reverses":{2**70}', "reverses"),
    "contained units of 71 bits": (f'"quantity":1,"contained":{-(2**70)}', "contained"),
    "a NUL in a code": ('"quantity":1,"lot":"\\u0000"', "lot"),
    "a code that is too long": (f'"quantity":1,"lot":"{"x" * 200}"', "lot"),
    "a NUL in a remark": ('"quantity":1,"reason":"\\u0000"', "reason"),
    "an unknown bucket": ('"quantity":1,"bucket":"cellar"', "bucket"),
    "an unknown field": ('"quantity":1,"colour":"red"', "colour"),
    "a time without zone": ('"quantity":1,"occurred_at":"2026-01-01T00:00:00"', "occurred_at"),
    "a time before all": ('"quantity":1,"occurred_at":"0001-01-01T00:00:00Z"', "occurred_at"),
    "a time that is none": ('"quantity":1,"occurred_at":"yesterday"', "occurred_at"),
    "a deep nest": (f'"quantity":1,"lot":{"[" * 100_000}{"]" * 100_000}', "lot"),
    "a list for a text": ('"quantity":1,"lot":["a"]', "lot"),
}


@pytest.mark.parametrize(("text", "field"), BAD_FIELDS.values(), ids=BAD_FIELDS)
def test_a_bad_field_is_named_and_its_neighbours_are_recorded(house, text, field):
    neighbours = [msgspec.json.encode(fact()) for _ in range(2)]
    body = b"[" + b",".join([neighbours[0], raw(text), neighbours[1]]) + b"]"
    answer = house.admin.call("POST", "/v1/events", body, JSON)
    assert answer.status == 207
    first, bad, last = answer.json["results"]
    assert (first["code"], last["code"]) == ("recorded", "recorded")
    assert (bad["index"], bad["status"], bad["code"]) == (1, 422, "malformed")
    assert bad["param"] == field
    assert bad["detail"]
    alone = house.admin.call("POST", "/v1/events", raw(text), JSON)
    assert (alone.status, alone.json["param"]) == (422, field)


BROKEN_ITEMS = {
    "a lone surrogate": b'{"kind":"receipt","document":"\\ud800"}',
    "bytes that are not utf-8": b'{"kind":"receipt","document":"\xff"}',
    "a comma too many": b'{"kind":"receipt",}',
    "a deep nest": b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a bare word": b"receipt",
    "nothing": b"",
    "a NUL byte": b'{"kind":"rec\x00eipt"}',
}


@pytest.mark.parametrize("broken", BROKEN_ITEMS.values(), ids=BROKEN_ITEMS)
def test_an_item_that_is_not_even_json_does_not_hurt_its_neighbours(house, broken):
    first, last = (msgspec.json.encode(fact()) for _ in range(2))
    body = b"[" + b",".join([first, broken, last]) + b"]"
    answer = house.admin.call("POST", "/v1/events", body, JSON)
    assert answer.status == 207
    assert [r["code"] for r in answer.json["results"]] == ["recorded", "malformed", "recorded"]
    if broken:
        lines = b"\n".join([first, broken, last])
        answer = house.admin.call(
            "POST", "/v1/events", lines, {"content-type": "application/x-ndjson"}
        )
        codes = [(r["code"], r.get("replay", False)) for r in answer.json["results"]]
        assert codes == [("recorded", True), ("malformed", False), ("recorded", True)]


@pytest.mark.parametrize("lines", [False, True])
def test_a_fact_that_says_a_key_twice_is_refused_by_name_and_its_neighbours_are_recorded(
    house, lines
):
    first, last = fact(reason="as said : by phone"), fact()
    twice = msgspec.json.encode(fact()).replace(b'"quantity":', b'"quantity":7,"quantity":')
    items = [msgspec.json.encode(first), twice, msgspec.json.encode(last)]
    body = b"\n".join(items) if lines else b"[" + b",".join(items) + b"]"
    headers = {"content-type": "application/x-ndjson"} if lines else JSON
    answer = house.admin.call("POST", "/v1/events", body, headers)
    assert [r["code"] for r in answer.json["results"]] == ["recorded", "malformed", "recorded"]
    assert answer.json["results"][1]["param"] == "quantity"
    alone = house.admin.call("POST", "/v1/events", twice, JSON)
    assert (alone.status, alone.json["param"]) == (422, "quantity")
    assert "stands twice" in alone.json["detail"]


def test_a_reservation_whose_line_says_its_quantity_twice_is_refused(house):
    body = b"""{"system": "web", "channel": "web", "order": "O-1",
               "lines": [{"sku": "A", "quantity": 1, "quantity": 9}]}"""
    answer = house.admin.call("POST", "/v1/reservations", body, JSON)
    assert (answer.status, answer.json["param"]) == (422, "quantity")


def test_what_slips_through_the_door_is_parked_alone(house, monkeypatch):
    monkeypatch.setattr("stockwright.domain.wellformed._NUMBERS", ())
    facts = [fact(), fact(kind="count", position=2**70), fact()]
    answer = house.admin.post("/v1/events", facts)
    assert answer.status == 207
    assert [r["code"] for r in answer.json["results"]] == ["recorded", "poison", "recorded"]


def test_an_unknown_unit_is_named_and_parked(house):
    answer = house.admin.post("/v1/events", [fact(unit="CRATE"), fact(unit="BOX")])
    codes = [result["code"] for result in answer.json["results"]]
    assert codes == ["parked", "recorded"]
    assert answer.json["results"][0]["param"] == "unit"


@pytest.mark.parametrize("path", ["/v1/events", "/v1/reservations"])
@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data"])
def test_a_body_of_another_type_is_415(house, path, kind):
    answer = house.admin.call("POST", path, b"{}", {"content-type": kind})
    assert answer.status == 415
    assert answer.json["param"] == "Content-Type"
    assert "application/json" in answer.json["detail"]


GZIP = gzip.compress(b"[" + msgspec.json.encode(fact()) + b"]")
BAD_STREAMS = {
    "cut off": (GZIP[:-9], 400),
    "not gzip": (b"[]", 400),
    "more after its end": (GZIP + b"more", 400),
    "a bomb": (gzip.compress(b" " * (17 * 1024 * 1024)), 413),
}


@pytest.mark.parametrize(("body", "status"), BAD_STREAMS.values(), ids=BAD_STREAMS)
def test_a_bad_gzip_stream_is_told(house, body, status):
    answer = house.admin.call("POST", "/v1/events", body, {**JSON, "content-encoding": "gzip"})
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_another_content_encoding_is_415(house):
    answer = house.admin.call("POST", "/v1/events", b"[]", {**JSON, "content-encoding": "br"})
    assert (answer.status, answer.json["param"]) == (415, "Content-Encoding")


def test_a_body_beyond_the_limit_is_413_and_nothing_is_recorded(house):
    body = b" " * (17 * 1024 * 1024) + msgspec.json.encode(fact())
    answer = house.admin.call("POST", "/v1/events", body, JSON)
    assert answer.status == 413
    assert answer.json["type"] == "urn:stockwright:problem:too_large"


async def test_a_body_whose_sender_hung_up_is_not_taken_for_whole():
    messages = iter(
        [
            {"type": "http.request", "body": b'{"kind":"receipt"}\n', "more_body": True},
            {"type": "http.disconnect"},
        ]
    )

    async def receive():
        return next(messages)

    with pytest.raises(ProblemRaised) as raised:
        await read_body(receive, {})
    assert raised.value.problem.status == 408


@pytest.mark.parametrize(("size", "beside"), [(100, False), (2_000_000, True)])
async def test_what_may_be_large_is_unpacked_beside_the_event_loop(monkeypatch, size, beside):
    seen = []

    def unzip(packed):
        seen.append(threading.current_thread() is not threading.main_thread())
        return gzip.decompress(packed)

    async def receive():
        return {"type": "http.request", "body": gzip.compress(bytes(size))}

    monkeypatch.setattr(bodies, "_unzip", unzip)
    body = await read_body(receive, {b"content-encoding": b"gzip"})
    assert (len(body), seen) == (size, [beside])


BAD_ASKS = {
    "no lines": ({"lines": []}, "lines"),
    "a negative quantity": ({"lines": [{"sku": "A", "quantity": -1}]}, "lines[0].quantity"),
    "a quantity of zero": ({"lines": [{"sku": "A", "quantity": 0}]}, "lines[0].quantity"),
    "a huge quantity": ({"lines": [{"sku": "A", "quantity": 2**70}]}, "lines[0].quantity"),
    "lines that are none": ({"lines": "all"}, "lines"),
    "a line without sku": ({"lines": [{"quantity": 1}]}, "lines[0].sku"),
    "a misspelt field": ({"lines": [{"skuu": "A", "quantity": 1}]}, "lines[0].skuu"),
    "a NUL in the order": (
        {"order": "\0", "lines": [{"sku": "A", "quantity": 1}]},
        "order",
    ),
    "a negative hold": ({"hold_s": -1, "lines": [{"sku": "A", "quantity": 1}]}, "hold_s"),
    "a hold beyond all": ({"hold_s": 2**63, "lines": [{"sku": "A", "quantity": 1}]}, "hold_s"),
    "a mode that is none": ({"mode": "some", "lines": [{"sku": "A", "quantity": 1}]}, "mode"),
    "too many lines": (
        {"lines": [{"line": str(n), "sku": "A", "quantity": 1} for n in range(1001)]},
        "lines",
    ),
    "the same line twice": ({"lines": [{"sku": "A", "quantity": 1}] * 2}, "lines[1].line"),
}


@pytest.mark.parametrize(("ask", "field"), BAD_ASKS.values(), ids=BAD_ASKS)
def test_a_bad_reservation_names_its_field(house, ask, field):
    answer = house.admin.post("/v1/reservations", {"system": "shop", "channel": "web", **ask})
    assert answer.status == 422, answer
    assert answer.json["param"] == field


BAD_PATHS = [
    "/v1/ledger/%00",
    "/v1/ledger/%ff",
    "/v1/ledger/a%0Ab",
    "/v1/items/" + "x" * 300,
    "/v1/reservations/shop/%20x",
    "/v1/work-items/1e9",
    "/v1/work-items/-1",
    "/v1/work-items/99999999999999999999999",
    "/v1/parked/x",
    "/v1/bindings/erp/%00/x",
]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_bad_address_is_a_problem_of_the_caller(house, path):
    answer = house.admin.get(path)
    assert answer.status in (400, 404), answer
    assert answer.json["detail"]


BAD_QUERIES = [
    ("limit=0", "limit"),
    ("limit=1001", "limit"),
    ("limit=many", "limit"),
    ("limit=1.5", "limit"),
    ("cursor=nonsense", "cursor"),
    ("cursor=" + "A" * 2000, "cursor"),
    ("colour=red", "colour"),
    ("kind=%00", "kind"),
    ("state=ajar", "state"),
]


@pytest.mark.parametrize(("query", "field"), BAD_QUERIES)
def test_a_bad_query_names_its_parameter(house, query, field):
    answer = house.admin.get(f"/v1/work-items?{query}")
    assert answer.status == 422, answer
    assert answer.json["param"] == field


def test_a_query_that_is_not_utf8_is_told(house):
    assert house.admin.get("/v1/work-items?kind=%ff").status == 400


BAD_ITEMS = [
    ({"unit_cost": -1}, ""),
    ({"unit_cost": "NaN"}, ""),
    ({"control": "strict"}, "control"),
    ({"code": "other"}, "code"),
    ({"colour": "red"}, "colour"),
    ({"description": "\0"}, ""),
    ({"base_unit": ""}, "base_unit"),
]


@pytest.mark.parametrize(("body", "field"), BAD_ITEMS)
def test_a_bad_item_is_not_saved(house, body, field):
    code = f"bad-{uuid4().hex[:8]}"
    answer = house.admin.put(f"/v1/items/{code}", body)
    assert answer.status == 422, answer
    assert answer.json.get("param", "") == field
    assert house.admin.get(f"/v1/items/{code}").status == 404


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    ["kind", "document", "quantity", "system", "sku", "location", "occurred_at", "lot", "revision"]
)


@given(items=st.lists(JUNK | st.dictionaries(FIELDS, JUNK, max_size=9), min_size=1, max_size=5))
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_whatever_the_items_are_each_gets_an_answer_of_its_own(house, items):
    answer = house.admin.post("/v1/events", items)
    assert answer.status == 207
    assert [result["index"] for result in answer.json["results"]] == list(range(len(items)))
    assert all(result["status"] < 500 for result in answer.json["results"])


@given(body=st.binary(max_size=200))
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_whatever_the_bytes_are_the_answer_is_no_500(house, body):
    for kind in ("application/json", "application/x-ndjson"):
        answer = house.admin.call("POST", "/v1/events", body, {"content-type": kind})
        assert answer.status in (200, 207, 400, 413, 422)


@given(items=st.lists(st.binary(min_size=1, max_size=8), min_size=1, max_size=6))
@settings(deadline=None)
def test_lines_are_split_where_they_break(items):
    body = b"\n".join(items)
    expected = [line for line in body.split(b"\n") if line.strip(b" \t\r\n")]
    if expected:
        assert split_lines(body) == expected


@given(items=st.lists(JUNK, max_size=6))
def test_an_array_with_a_broken_item_is_split_where_its_commas_are(items):
    written = [msgspec.json.encode(item) for item in items]
    broken = b'{"x": \\ud800}'
    body = b"[" + b",".join([*written, broken]) + b"]"
    assert [item.strip() for item in split_array(body)] == [*written, broken]


@pytest.mark.parametrize("item", [b"1", b"", b"{}"])
def test_an_array_of_too_many_items_is_refused_before_all_are_looked_at(item):
    body = b"[" + item + (b"," + item) * 10_000 + b"]"
    with pytest.raises(ProblemRaised) as raised:
        split_array(body)
    assert (raised.value.problem.status, raised.value.problem.detail) == (
        413,
        "A call holds at most 10,000 items; this has more.",
    )
    assert len(split_array(body.replace(b"," + item, b"", 1))) == 10_000


def test_an_array_of_more_brackets_than_facts_have_is_not_looked_through():
    with pytest.raises(ProblemRaised) as raised:
        split_array(b"[" + b"[]" * 1_000_000 + b"]")
    assert raised.value.problem.status == 400


@pytest.mark.parametrize("body", [b"[1", b'["a', b"[1] 2", b"[1]]", b'[{"a]'])
def test_an_array_that_does_not_close_cannot_be_told_apart(body):
    with pytest.raises(ProblemRaised) as raised:
        split_array(body)
    assert raised.value.problem.status == 400

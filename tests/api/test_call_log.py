"""The API log: what is kept of calls, that it holds no secret, and that no answer waits for it."""

import threading
import time
from uuid import uuid4

import msgspec
import pytest

from stockwright import telemetry
from stockwright.domain.call_log import MOST_OF_A_BODY, ApiLog
from stockwright.flow import call_log as module
from stockwright.flow.call_log import CallLog, Clock
from stockwright.flow.call_notes import Noted
from stockwright.store import call_log as stored
from stockwright.store.connection import Pool, connect
from tests.api.conftest import Client


def written(house, answer):
    """The kept call that an answer belongs to, once it is written; None where it is not kept."""
    request_id = answer.headers["request-id"]
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with house.services.pool.connection() as connection:
            found = stored.rows(connection, {"request": request_id}, before=2**62, limit=1)
            if found:
                return stored.find(connection, found[0].id)
        time.sleep(0.05)
    return None


def table_text(house) -> str:
    return "\n".join(row[0] for row in house.sql("select api_call::text from api_call"))


def dropped(cause: str) -> float:
    return float(telemetry.API_LOG_DROPPED.labels(cause)._value.get())


def test_a_failing_call_is_kept_with_its_fault_its_caller_and_its_body(house):
    key = house.key("reservations:write")
    ask = {"system": "shop", "order": "O-1", "lines": [{"sku": "A", "quantity": "many"}]}
    answer = Client(house.web.port, key.key).post("/v1/reservations?x=1", ask)
    assert answer.status == 422
    call = written(house, answer)
    assert (call.kept, call.method, call.route, call.status) == (
        "failed", "POST", "/v1/reservations", 422,
    )  # fmt: skip
    assert (call.code, call.param) == ("malformed", "lines[0].quantity")
    assert (call.caller, call.name) == (f"key {key.id}", "test")
    assert call.address == "/v1/reservations?x=1"
    assert call.peer == "127.0.0.1"
    assert msgspec.json.decode(call.body) == ask
    assert call.bytes_in == len(msgspec.json.encode(ask))
    assert call.bytes_out == len(answer.body)
    assert call.problem["detail"] == answer.json["detail"]
    assert 0 <= call.took_ms < 60_000


def test_a_refused_reservation_is_kept_as_refused_and_names_its_event(house, new_sku):
    ask = {
        "system": "shop", "channel": "web", "order": f"O-{uuid4().hex}",
        "lines": [{"line": "1", "sku": new_sku(), "quantity": 1}],
    }  # fmt: skip
    answer = house.admin.post("/v1/reservations", ask)
    assert answer.status == 409
    call = written(house, answer)
    assert (call.kept, call.code, call.items, call.refused) == ("refused", "insufficient", 1, 1)
    assert call.sequences == [answer.json["outcome"]["sequence"]]


def test_a_batch_with_refused_items_tells_which(house, new_sku):
    sku = new_sku()
    good = {"kind": "receipt", "system": "erp", "sku": sku, "quantity": 1, "location": "main"}
    facts = [
        {**good, "document": f"d-{uuid4().hex}"},
        {**good, "document": f"d-{uuid4().hex}", "surprise": 1},
        {**good, "document": f"d-{uuid4().hex}", "quantity": "x"},
    ]
    answer = house.admin.post("/v1/events", facts)
    assert answer.status == 207
    call = written(house, answer)
    assert (call.kept, call.items, call.refused) == ("refused", 3, 2)
    assert [(one["index"], one["code"]) for one in call.refusals] == [
        (1, "malformed"), (2, "malformed"),
    ]  # fmt: skip
    assert (call.code, call.param) == ("malformed", "surprise")
    assert call.sequences == [
        one["sequence"] for one in answer.json["results"] if one.get("sequence")
    ]


def test_good_calls_are_counted_one_by_one_though_only_a_sample_is_kept(house):
    def counted() -> int:
        ((calls,),) = house.sql(
            "select coalesce(sum(calls), 0)::bigint from api_call_count"
            " where route = '/v1/why/{sku}' and status = 200"
        )
        return int(calls)

    # What earlier calls left is written with this one, and not before: one thread writes it all.
    assert written(house, house.admin.get("/v1/why/none-such")) is not None
    before = counted()
    answers = [house.admin.get("/v1/why/A") for _ in range(37)]
    assert {answer.status for answer in answers} == {200}
    deadline = time.monotonic() + 30
    while counted() < before + 37 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert counted() == before + 37
    assert len({answer.headers["request-id"] for answer in answers}) == 37
    kept = house.sql("select count(*) from api_call where route = '/v1/why/{sku}'")[0][0]
    assert kept < 20, "one in a hundred is kept"


def test_no_secret_lands_in_the_log(house):
    key = house.key("events:write")
    caller = Client(house.web.port, key.key)
    secret = f"hunter2-{uuid4().hex}"
    session, form = f"session-{uuid4().hex}", f"form-{uuid4().hex}"
    headers = {
        "cookie": f"stockwright_session={session}", "x-stockwright-session": form,
        "content-type": "application/json",
    }  # fmt: skip
    bodies = [
        msgspec.json.encode({"kind": "receipt", "password": secret, "note": f"use {key.key}"}),
        msgspec.json.encode([{"kind": "nothing", "system": {"client_secret": [secret]}}]),
        f'{{"kind": "receipt", "token": "{secret}'.encode(),
        f'{{"kind": "receipt", "p\\u0061ssword": "{secret}"}}'.encode(),
        f'{{"text": "{{\\"api_key\\": \\"{secret}\\"}}"}}'.encode(),
        b'{"note": "' + b"x" * MOST_OF_A_BODY + f'", "credential": {{"v": "{secret}"}}}}'.encode(),
    ]
    answers = [caller.call("POST", "/v1/events", body, headers) for body in bodies]
    answers += [
        caller.get(f"/v1/items?token={secret}&q={key.key}", headers=headers),
        caller.get(f"/v1/why/{key.key}", headers=headers),
        Client(house.web.port, key.key[:-1]).get("/v1/items"),
        Client(house.web.port).get("/v1/items", headers={"authorization": f"Basic {secret}"}),
    ]
    for answer in answers:
        assert answer.status >= 207
        assert written(house, answer) is not None
    text = table_text(house)
    assert "[hidden]" in text
    for hidden in (secret, key.key, key.key[:-1], key.key.rpartition("_")[2], session, form):
        assert hidden not in text


def test_callers_who_prove_nothing_leave_no_body(house):
    stranger = Client(house.web.port, f"sw_{'a' * 10}_{'b' * 43}")
    answer = stranger.post("/v1/events", {"kind": "receipt"})
    assert answer.status == 401
    call = written(house, answer)
    assert (call.caller, call.body, call.code) == ("", None, "wrong_key")


def test_no_answer_waits_for_the_log(house, monkeypatch):
    """The writer stands still, its buffer is full: calls are answered all the same, and counted."""
    blocked, entered = threading.Event(), threading.Event()
    plain = module._write

    def held_up(*arguments):
        entered.set()
        assert blocked.wait(60)
        plain(*arguments)

    monkeypatch.setattr(module, "_write", held_up)
    monkeypatch.setattr(module, "MOST_WAITING", 20)
    before = dropped("full")
    try:
        with house.admin.keep_alive() as client:
            first = client.get("/v1/why/none-such")
            assert entered.wait(30), "the writer has a batch in its hands, and stays there"
            statuses = [client.get("/v1/why/none-such").status for _ in range(100)]
            good = client.get("/v1/why/A").status
            assert not blocked.is_set(), "the writer still stands"
    finally:
        blocked.set()
    assert (first.status, set(statuses), good) == (422, {422}, 200)
    assert dropped("full") - before >= 70
    assert written(house, first).route == "/v1/why/{sku}"


# ---------------------------------------------------------------- the log by itself


@pytest.fixture
def pool(database_url):
    with Pool(database_url, size=2) as opened:
        yield opened


class Time:
    """Clocks that a test moves."""

    def __init__(self, at: float = 1_800_000_000.0) -> None:
        self.at = at

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.at, lambda: self.at)


def note(log: CallLog, at: float = 0.0, **changes) -> Noted:
    plain = Noted(
        request_id=log.new_id().decode(), at=at or time.time(), kept="failed", method="POST",
        route="/v1/x", address=b"/v1/x", status=422, caller="key a", peer="::1", took_s=0.01,
        bytes_in=2, bytes_out=2, items=0, refused=0, body=b"{}", answer=b"{}",
    )  # fmt: skip
    return plain._replace(**changes)


def ids(pool) -> list[str]:
    with pool.connection() as connection:
        rows = connection.execute("select request_id from api_call order by id")
        return [row[0] for row in rows]


KEPT = [
    ("a good call", (200, 0.01, 0, 0.9), None),
    ("a good call of the sample", (200, 0.01, 0, 0.0), "sample"),
    ("a failing call", (404, 0.01, 0, 0.9), "failed"),
    ("a fault of ours", (500, 0.01, 0, 0.9), "failed"),
    ("a refused item of a batch", (207, 0.01, 3, 0.9), "refused"),
    ("a refused request", (409, 0.01, 1, 0.9), "refused"),
    ("a slow call", (200, 0.5, 0, 0.9), "slow"),
]


@pytest.mark.parametrize(("name", "call", "kept"), KEPT, ids=[case[0] for case in KEPT])
def test_why_a_call_is_kept(name, call, kept):
    status, took_s, refused, chance = call
    log = CallLog(ApiLog(slow_ms=500), worker="w", chance=lambda: chance)
    assert log.count(("GET", "/v1/x", status), took_s, refused) == kept


def test_without_a_sample_no_good_call_is_kept():
    log = CallLog(ApiLog(sample=0), worker="w", chance=lambda: 0.0)
    assert log.count(("GET", "/v1/x", 200), 0.01) is None


def test_callers_who_prove_nothing_cannot_push_out_the_others():
    time_ = Time()
    log = CallLog(ApiLog(), worker="w", clock=time_.clock)
    before = dropped("strangers")
    kept = [log.keep(note(log, caller="")) for _ in range(60)]
    assert kept == [True] * module.STRANGERS_PER_S + [False] * 50
    assert dropped("strangers") == before + 50
    assert log.keep(note(log)), "a known caller is kept meanwhile"
    time_.at += 1
    assert log.keep(note(log, caller=""))


def test_counts_of_hours_and_processes_add_up_and_are_written_twice_in_vain(pool):
    time_ = Time()
    logs = [CallLog(ApiLog(), worker=name, clock=time_.clock) for name in ("one", "two")]
    good, bad = ("GET", "/v1/x", 200), ("GET", "/v1/x", 500)
    for log in logs:
        for key in (good, good, bad):
            log.count(key, 0.01)
        log.step(pool)
        log._written = {}  # as after a commit of which nobody heard
        log.step(pool)
        time_.at += 3_600
        log.count(good, 0.01)
        log.step(pool)
        log.step(pool)
    with pool.connection() as connection:
        rows = connection.execute(
            "select worker, status, array_agg(calls order by hour) from api_call_count"
            " group by 1, 2 order by 1, 2"
        ).fetchall()
    assert rows == [
        ("one", 200, [2, 1]), ("one", 500, [1]), ("two", 200, [2, 1]), ("two", 500, [1]),
    ]  # fmt: skip


def test_what_cannot_be_written_is_written_later_and_once(pool, monkeypatch):
    log = CallLog(ApiLog(), worker="w")
    log.keep(first := note(log))
    plain = module._write

    def lost(*arguments):
        plain(*arguments)
        raise ConnectionError("the answer to the commit never came")

    monkeypatch.setattr(module, "_write", lost)
    with pytest.raises(ConnectionError):
        log.step(pool)
    monkeypatch.setattr(module, "_write", plain)
    log.keep(second := note(log))
    assert log.step(pool) == 2
    assert ids(pool) == [first.request_id, second.request_id]


def test_one_call_that_cannot_be_kept_holds_up_no_other(pool, monkeypatch):
    log = CallLog(ApiLog(), worker="w")
    good, bad = note(log), note(log, route="/v1/bad")
    for one in (bad, good):
        log.keep(one)
    plain = module.row_of
    monkeypatch.setattr(
        module,
        "row_of",
        lambda noted: msgspec.structs.replace(
            plain(noted), code="\x00" if noted.route == "/v1/bad" else ""
        ),
    )
    before = dropped("unwritable")
    assert log.step(pool) == 2
    assert ids(pool) == [good.request_id]
    assert dropped("unwritable") == before + 1


def test_strange_bytes_are_kept_as_text(pool):
    log = CallLog(ApiLog(), worker="w")
    answer = b'{"type":"urn:stockwright:problem:malformed","detail":"a\\u0000b","param":"\\u0000"}'
    log.keep(note(log, body=b"\x00\xff\xed\xa0\x80", address=b"/v1/\xff\x00", answer=answer))
    assert log.step(pool) == 1
    with pool.connection() as connection:
        call = stored.find(connection, 1)
    assert call is not None
    assert call.body is not None
    assert "\x00" not in call.body
    assert (call.problem or {})["detail"] == "a?b"


def test_bodies_have_a_bound_each_and_together(pool):
    log = CallLog(ApiLog(), worker="w")
    for _ in range(12):
        log.keep(note(log, body=b"x" * (MOST_OF_A_BODY + 1)))
    assert log.step(pool) == 12
    with pool.connection() as connection:
        calls = [stored.find(connection, number) for number in range(1, 13)]
    kept = [len(call.body) for call in calls if call and call.body]
    assert kept == [MOST_OF_A_BODY] * 8
    assert [call.body_note for call in calls if call] == ["cut"] * 8 + ["left out"] * 4
    too_much = module.MOST_BYTES // MOST_OF_A_BODY + 3
    for _ in range(too_much):
        log.keep(note(log, body=b"x" * MOST_OF_A_BODY))
    assert sum(noted.weight for noted in log._waiting) <= module.MOST_BYTES
    assert len(log._waiting) == too_much
    while log.step(pool):
        pass
    log.keep(note(log, body=b"there is room again"))
    assert log._waiting[-1].body


def test_answers_that_were_read_well_are_not_held():
    log = CallLog(ApiLog(), worker="w")
    log.keep(note(log, kept="slow", method="GET", status=200, answer=b"x" * 1_000))
    log.keep(note(log, kept="sample", method="POST", status=201, answer=b"y"))
    assert [noted.answer for noted in log._waiting] == [b"", b"y"]


def test_the_refused_items_of_a_large_batch_are_told(pool):
    log = CallLog(ApiLog(), worker="w")
    good = b'{"status":200,"code":"recorded","sequence":7}'
    bad = b'{"status":422,"code":"malformed","param":"sku","detail":"a secret=hunter2"}'
    answer = b'{"results":[' + b",".join([good] * 9_000 + [bad] * 25) + b"]}"
    log.keep(note(log, kept="refused", route="/v1/events", items=9_025, refused=25, answer=answer))
    log.step(pool)
    with pool.connection() as connection:
        call = stored.find(connection, 1)
    assert call is not None
    assert [one["index"] for one in call.refusals] == list(range(9_000, 9_020))
    assert (call.code, call.param, call.sequences) == ("malformed", "sku", [7])
    assert "hunter2" not in str(call.refusals)


def test_bodies_are_not_kept_where_the_setting_says_so(pool):
    log = CallLog(ApiLog(bodies=False), worker="w")
    log.keep(note(log, body=b"a body"))
    assert log._waiting[0].body == b""


def test_old_calls_and_those_beyond_the_number_are_removed(pool, database_url):
    time_ = Time(time.time())
    log = CallLog(ApiLog(days=2, rows=1_000), worker="w", clock=time_.clock)
    old = note(log, at=time.time() - 3 * 86_400)
    log.keep(old)
    log.keep(new := note(log))
    log.count(("GET", "/v1/x", 200), 0.01)
    log.step(pool)
    assert ids(pool) == [new.request_id]
    for _ in range(1_100):
        log.keep(note(log))
        if len(log._waiting) >= module.AT_ONCE:
            log.step(pool)
    with connect(database_url) as connection:
        connection.execute("update api_call_count set hour = hour - interval '3 days'")
    time_.at += module.PRUNE_EVERY_S
    while log.step(pool):
        pass
    time_.at += module.PRUNE_EVERY_S
    log.step(pool)
    kept = ids(pool)
    assert len(kept) == 1_000
    assert new.request_id not in kept
    with connect(database_url) as connection:
        assert connection.execute("select count(*) from api_call_count").fetchone() == (0,)

"""Problems: the same shape everywhere, and nothing that went wrong elsewhere is a 500."""

import gzip
import os
import signal
import socket
import threading
import time
from contextlib import ExitStack

import msgspec
import pytest

from stockwright.api.problems import ACCEPTED_STATUS, KINDS, STATUS, Problem, as_problem
from stockwright.domain.errors import (
    Misconfigured,
    Rejected,
    StockwrightError,
    Throttled,
    Transient,
)
from stockwright.domain.events import ACCEPTED, OUTCOMES
from tests.api.conftest import Client
from tests.proof.stage import wait_until

OUTCOME_CODES = [code for code, _ in OUTCOMES]


@pytest.mark.parametrize("code", OUTCOME_CODES)
def test_every_outcome_has_one_http_status(code):
    assert (code in ACCEPTED_STATUS) != (code in KINDS)
    assert 200 <= STATUS[code] < 500


def test_an_accepted_outcome_is_never_a_problem():
    assert set(ACCEPTED) <= set(ACCEPTED_STATUS)


@pytest.mark.parametrize("code", KINDS)
def test_every_kind_of_problem_says_what_to_do_next(code):
    kind = KINDS[code]
    assert 400 <= kind.status < 600
    assert kind.title
    assert kind.next.endswith(".")


@pytest.mark.parametrize(
    ("failure", "status", "param"),
    [
        (Rejected("unknown_unit", "unit", "no"), 422, "unit"),
        (Rejected("some reason", "field", "no"), 422, "field"),
        (Throttled("busy", 1.2), 429, ""),
        (Transient("away"), 503, ""),
        (Misconfigured("server.port", "taken"), 503, "server.port"),
        (StockwrightError("?"), 500, ""),
    ],
)
def test_every_branch_of_the_error_tree_has_its_problem(failure, status, param):
    told = as_problem(failure)
    assert (told.problem.status, told.problem.param) == (status, param)


def test_a_busy_answer_says_after_how_many_whole_seconds():
    assert dict(as_problem(Throttled("busy", 1.2)).headers)[b"retry-after"] == b"2"
    assert dict(as_problem(Throttled("busy", 0.01)).headers)[b"retry-after"] == b"1"


@pytest.mark.parametrize(
    "path", ["/v1/nothing", "/v1", "/nothing", "/v1/items/A/B/C", "/v1/ledger/", "/v1/items/"]
)
def test_nothing_there_is_a_404_problem(house, path):
    answer = house.admin.get(path)
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert msgspec.json.decode(answer.body, type=Problem).type.endswith(":not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/items/A", "GET, PUT"),
        ("GET", "/v1/events", "POST"),
        ("PATCH", "/v1/reservations/shop/x", "GET"),
        ("POST", "/v1/openapi.json", "GET"),
        ("POST", "/healthz", "GET"),
    ],
)
def test_a_method_that_is_not_there_is_405_with_those_that_are(house, method, path, allowed):
    answer = house.admin.call(method, path)
    assert answer.status == 405
    assert answer.headers["allow"] == allowed
    assert answer.json["type"].endswith(":method_not_allowed")


def test_head_is_answered_as_get_without_its_body(house):
    answer = house.admin.call("HEAD", "/healthz")
    assert (answer.status, answer.body) == (200, b"")


def test_a_full_queue_is_429_with_retry_after_and_keeps_nothing(house, new_sku, monkeypatch):
    sku = new_sku()
    monkeypatch.setattr(house.services.recorder, "_max_queue", 0)
    monkeypatch.setattr(house.services.recorder, "_queued", 1)
    fact = {
        "kind": "receipt",
        "system": "erp",
        "document": "busy",
        "sku": sku,
        "quantity": 1,
        "location": "main",
    }
    answer = house.admin.post("/v1/events", fact)
    monkeypatch.undo()
    assert answer.status == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json["type"].endswith(":busy")
    assert house.sql("SELECT 1 FROM event WHERE body ->> 'sku' = %s", sku) == []
    assert house.admin.post("/v1/events", fact).status == 200


def test_more_calls_than_a_process_holds_are_answered_busy(house, monkeypatch):
    monkeypatch.setattr("stockwright.api.door.MAX_CALLS", 0)
    answer = house.admin.get("/v1/items")
    assert (answer.status, answer.json["type"]) == (429, "urn:stockwright:problem:busy")
    assert answer.headers["retry-after"] == "1"
    monkeypatch.undo()
    assert house.admin.get("/v1/items").status == 200


def test_a_body_that_never_ends_is_408(house, monkeypatch):
    monkeypatch.setattr("stockwright.api.bodies.RECEIVE_S", 0.05)
    with socket.create_connection(("127.0.0.1", house.web.port)) as slow:
        slow.sendall(
            b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
            b"Authorization: Bearer " + house.admin.key.encode() + b"\r\n\r\n{"
        )
        answer = slow.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"too_slow" in answer


class Receiving:
    """A connection that takes webhooks as far as they are let in."""

    system = "shop"

    def receive(self, headers, body):
        raise Rejected("signature", "headers", "nobody signed it")


@pytest.fixture
def receiving(house):
    """The house while its shop takes webhooks."""
    house.services.connections.put("shop", Receiving())
    yield house
    house.services.connections.drop("shop")


@pytest.mark.parametrize("system", ["nobody", "shop", "..", "%00", "SHOP "])
@pytest.mark.parametrize(
    "announced",
    [
        b"Content-Length: 100",
        b"Content-Length: 999999999999",
        b"Transfer-Encoding: chunked",
        b"Content-Encoding: gzip\r\nContent-Length: 100",
    ],
)
def test_a_webhook_that_nobody_takes_is_refused_before_it_is_read(house, system, announced):
    """Its body was received whole and unpacked, up to 16 MiB, before its address was looked at."""
    with socket.create_connection(("127.0.0.1", house.web.port), timeout=20) as stranger:
        path = f"/v1/hooks/{system}".replace(" ", "%20").encode()
        stranger.sendall(b"POST " + path + b" HTTP/1.1\r\nHost: x\r\n" + announced + b"\r\n\r\n")
        told = stranger.makefile("rb").readline()
    assert told.split()[1] in (b"400", b"404")


@pytest.mark.parametrize(("system", "status"), [("nobody", 404), ("shop", 415)])
def test_nothing_of_a_webhook_is_unpacked(receiving, monkeypatch, system, status):
    """Partners sign what they send and pack nothing: a stranger's bomb would be all it is for."""
    monkeypatch.setattr("stockwright.api.bodies._unzip", lambda _: pytest.fail("unpacked"))
    bomb = gzip.compress(bytes(16 * 1024 * 1024))
    stranger = Client(receiving.web.port)
    answer = stranger.call("POST", f"/v1/hooks/{system}", bomb, {"content-encoding": "gzip"})
    assert answer.status == status
    if status == 415:
        assert answer.json["detail"] == "Send a webhook as it was signed, without Content-Encoding."
    plain = stranger.call("POST", f"/v1/hooks/{system}", b"{}", {"content-encoding": "identity"})
    assert plain.status == (401 if system == "shop" else 404)


def test_a_webhooks_connection_that_goes_while_the_body_comes_is_not_found(receiving):
    head = b"POST /v1/hooks/shop HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"
    with socket.create_connection(("127.0.0.1", receiving.web.port), timeout=20) as line:
        line.sendall(head)
        wait_until(lambda: receiving.web.door._strangers == 1, "it is let in")
        receiving.services.connections.drop("shop")
        line.sendall(b"{}")
        assert line.makefile("rb").readline().split()[1] == b"404"


@pytest.mark.parametrize(
    ("head", "body", "status"),
    [
        ("Content-Length: 2", b"{}", 401),
        ("Transfer-Encoding: chunked", b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", 401),
        ("Transfer-Encoding: chunked", b"2;x=y\r\n{}\r\n0\r\nX-Late: 1\r\n\r\n", 401),
        ("Transfer-Encoding: chunked", b"zz\r\n{}\r\n", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 2", b"2\r\n{}\r\n0\r\n\r\n", 400),
        ("Content-Length: 2\r\nContent-Length: 3", b"{}", 400),
        ("Content-Length: -2", b"{}", 400),
        ("Content-Length: 2\r\nContent-Encoding: gzip", b"{}", 415),
        ("Content-Length: 2\r\nContent-Encoding: br", b"{}", 415),
        ("Content-Length: 2\r\nContent-Encoding: gzip, gzip", b"{}", 415),
        ("Content-Length: 2\r\nwebhook-signature: v1,\xe9\r\nwebhook-signature: ,,", b"{}", 401),
        ("Content-Length: 99999999999999999999999", b"{}", 400),
    ],
)
def test_what_no_sane_partner_sends_is_answered_and_the_next_is_served(
    receiving, head, body, status
):
    with socket.create_connection(("127.0.0.1", receiving.web.port), timeout=20) as line:
        request = f"POST /v1/hooks/shop HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}\r\n\r\n"
        line.sendall(request.encode("latin-1") + body)
        line.shutdown(socket.SHUT_WR)
        told = line.makefile("rb").readline()
    assert int(told.split()[1]) == status, told
    assert receiving.admin.get("/healthz").status == 200


def test_a_body_that_is_announced_and_never_begins_is_408(receiving, monkeypatch):
    """It held a place for as long as its sender liked, and webhooks' senders need no key."""
    monkeypatch.setattr("stockwright.api.bodies.RECEIVE_S", 0.05)
    with socket.create_connection(("127.0.0.1", receiving.web.port), timeout=20) as silent:
        silent.sendall(b"POST /v1/hooks/shop HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
        answer = silent.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("begun", [b"", b"GET /healthz HTTP/1.1\r\nHost"])
def test_who_connects_and_asks_for_nothing_is_let_go(house, monkeypatch, begun):
    """A thousand such sockets were all that a process may have, for as long as somebody liked."""
    monkeypatch.setattr("stockwright.api.http.HEAD_S", 0.05)
    with socket.create_connection(("127.0.0.1", house.web.port), timeout=20) as silent:
        silent.sendall(begun)
        assert silent.recv(100) == b""


@pytest.mark.parametrize(
    ("asked", "then"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n"),
        (b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n", b"{"),
    ],
)
def test_who_was_answered_and_sends_no_more_than_a_byte_is_let_go(house, monkeypatch, asked, then):
    """That byte ended the rest between two requests, and nothing waited for the next head."""
    with socket.create_connection(("127.0.0.1", house.web.port), timeout=20) as silent:
        silent.sendall(asked)
        assert silent.recv(10_000).startswith(b"HTTP/1.1 ")
        monkeypatch.setattr("stockwright.api.http.HEAD_S", 0.05)
        silent.sendall(then)
        assert silent.recv(100) == b""


def test_a_connection_that_asked_may_rest_and_ask_again(house, monkeypatch):
    with house.admin.keep_alive() as client:
        assert client.get("/healthz").status == 200
        monkeypatch.setattr("stockwright.api.http.HEAD_S", 0.05)
        assert client.get("/healthz").status == 200
        time.sleep(0.1)
        assert client.get("/healthz").status == 200


def test_who_announces_webhooks_and_sends_none_keeps_only_webhooks_out(receiving, monkeypatch):
    """Two thousand of them, without any key, had every other call answered busy."""
    monkeypatch.setattr("stockwright.api.door.MAX_CALLS", 1)
    monkeypatch.setattr("stockwright.api.door.MAX_STRANGERS", 2)
    announced = b"POST /v1/hooks/shop HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
    with ExitStack() as lines:
        silent = [
            lines.enter_context(
                socket.create_connection(("127.0.0.1", receiving.web.port), timeout=20)
            )
            for _ in range(3)
        ]
        for line in silent[:2]:
            line.sendall(announced)
        wait_until(lambda: receiving.web.door._strangers == 2, "both are heard")
        silent[2].sendall(announced)
        assert silent[2].makefile("rb").readline().startswith(b"HTTP/1.1 429")
        assert receiving.admin.get("/v1/items").status == 200
    wait_until(lambda: receiving.web.door._strangers == 0, "their places are free")


def test_a_busy_process_still_says_that_it_lives(house, monkeypatch):
    monkeypatch.setattr("stockwright.api.door.MAX_CALLS", 0)
    assert house.admin.get("/v1/items").status == 429
    assert house.admin.get("/healthz").status == 200


def test_a_body_that_breaks_off_is_not_taken_for_none(house):
    with socket.create_connection(("127.0.0.1", house.web.port)) as line:
        line.sendall(
            b"POST /v1/reservations/shop/nothing/cancel HTTP/1.1\r\nHost: x\r\n"
            b"Transfer-Encoding: chunked\r\n"
            b"Authorization: Bearer " + house.admin.key.encode() + b"\r\n\r\nzz\r\n"
        )
        answer = line.makefile("rb").read()
    assert answer[:13] in (b"HTTP/1.1 400 ", b"HTTP/1.1 408 ")


def test_a_fault_of_ours_is_a_problem_that_tells_no_secret(house, monkeypatch):
    def fault(*_arguments, **_named):
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr("stockwright.store.worklist.work_items", fault)
    answer = house.admin.get("/v1/work-items")
    assert answer.status == 500
    assert answer.json["type"].endswith(":internal")
    assert b"hunter2" not in answer.body


def test_a_slow_client_holds_up_nobody_else(house):
    with socket.create_connection(("127.0.0.1", house.web.port)) as slow:
        slow.sendall(
            b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
            b"Authorization: Bearer " + house.admin.key.encode() + b"\r\n\r\n{"
        )
        assert house.admin.get("/healthz").status == 200


def test_a_client_that_hangs_up_leaves_the_server_well(house):
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", house.web.port)) as rude:
            rude.sendall(
                b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
                b"Content-Type: application/json\r\n"
                b"Authorization: Bearer " + house.admin.key.encode() + b"\r\n\r\n[1,2"
            )
    assert house.admin.get("/healthz").status == 200


def test_while_the_database_is_away_reads_are_503_and_work_again_after(durable_house):
    house, server = durable_house
    reader = house.client("master:read")
    assert reader.get("/v1/items").status == 200
    stopped = threading.Event()
    answers: list = []

    def ask() -> None:
        while not stopped.is_set():
            answers.append(reader.get("/v1/items"))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        os.kill(server.pid, signal.SIGKILL)
        deadline = time.monotonic() + 60
        # The first answers may still come from the server that is being killed.
        down = False
        while time.monotonic() < deadline and not (down and answers[-1].status == 200):
            down = down or any(answer.status == 503 for answer in answers)
            time.sleep(0.05)
    finally:
        stopped.set()
        asking.join()
    assert {answer.status for answer in answers} <= {200, 503}
    for answer in answers:
        if answer.status == 503:
            assert answer.json["type"].endswith(":unavailable")
            assert int(answer.headers["retry-after"]) >= 1
    assert reader.get("/readyz").status == 200


def test_what_is_sent_again_after_a_crash_counts_once(durable_house):
    house, server = durable_house
    facts = [
        {
            "kind": "receipt",
            "system": "erp",
            "document": f"r-{n}",
            "sku": "A",
            "quantity": 1,
            "location": "main",
        }
        for n in range(300)
    ]
    statuses: list[int] = []

    def send() -> None:
        for fact in facts:
            while True:
                status = house.admin.post("/v1/events", fact).status
                statuses.append(status)
                if status == 200:
                    break
                time.sleep(0.02)

    sending = threading.Thread(target=send)
    sending.start()
    for _ in range(3):
        seen = len(statuses)
        while sending.is_alive() and len(statuses) < seen + 50:
            time.sleep(0.01)
        killed = server.pid
        os.kill(killed, signal.SIGKILL)
        while server.pid in (None, killed):  # until its keeper has noticed
            time.sleep(0.01)
    sending.join()
    assert set(statuses) <= {200, 503}
    answers = [house.admin.post("/v1/events", fact).json for fact in facts]
    assert all(answer["replay"] for answer in answers)
    assert house.free("A") == 300


def test_a_process_whose_ledger_ended_is_not_ready(house, monkeypatch):
    monkeypatch.setattr("stockwright.flow.recording.Recorder.alive", False)
    assert house.admin.get("/readyz").status == 503
    assert house.admin.get("/healthz").status == 200


def test_liveness_does_not_ask_the_database(house, monkeypatch):
    monkeypatch.setattr(house.services.pool, "connection", None)
    assert Client(house.web.port).get("/healthz").status == 200
    assert Client(house.web.port).get("/readyz").status >= 500

"""HTTP as clients really speak it: in pieces, ahead of time, too much, too little, and wrongly."""

import asyncio
import contextlib
import socket
import threading
import time

import pytest
import uvicorn

from stockwright.api import http1
from stockwright.api.http1 import HttpConnection

GET = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"


class Application:
    """Answers by the path; remembers what was asked, and whom it saw leave."""

    def __init__(self) -> None:
        self.asked: list[dict] = []
        self.left = threading.Event()
        self.go_on = threading.Event()
        self.sent = 0

    async def __call__(self, scope, receive, send) -> None:
        self.asked.append(scope)
        await getattr(self, scope["path"].strip("/").split("/")[0])(receive, send)

    async def hello(self, _receive, send) -> None:
        await _answer(send, b"hello")

    async def echo(self, receive, send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.set()
                await _answer(send, b"cut", 408)
                return
            body, more = body + message["body"], message["more_body"]
        await _answer(send, body)

    async def wait(self, _receive, send) -> None:
        await asyncio.to_thread(self.go_on.wait)
        await _answer(send, b"waited")

    async def watch(self, receive, send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left.set()

    async def flood(self, _receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1_000):
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
            self.sent += 65_536
        await send({"type": "http.response.body", "body": b""})

    async def fails(self, _receive, _send) -> None:
        raise RuntimeError("secret")

    async def breaks_off(self, _receive, send) -> None:
        headers = [(b"content-length", b"10")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"12345"})

    async def splits(self, _receive, send) -> None:
        headers = [(b"location", b"/a\r\nset-cookie: b")]
        await send({"type": "http.response.start", "status": 302, "headers": headers})


async def _answer(send, body: bytes, status: int = 200) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Served:
    def __init__(self, application: Application, quiet_s: int) -> None:
        self.application = application
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        config = uvicorn.Config(
            application,
            loop="uvloop",
            http=HttpConnection,
            ws="none",
            lifespan="off",
            log_config=None,
            timeout_keep_alive=quiet_s,
            timeout_graceful_shutdown=5,
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self._socket]})
        self.thread.start()

    def stop(self) -> None:
        self.application.go_on.set()
        self.server.should_exit = True
        self.thread.join()

    @contextlib.contextmanager
    def line(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as line:
            yield line

    def say(self, *pieces: bytes) -> bytes:
        """All that the server answers until it closes the connection."""
        with self.line() as line:
            for piece in pieces:
                line.sendall(piece)
                time.sleep(0.01)
            return everything(line)


def everything(line: socket.socket) -> bytes:
    said = b""
    with contextlib.suppress(ConnectionResetError):
        while data := line.recv(65_536):
            said += data
    return said


def until(line: socket.socket, end: bytes) -> bytes:
    said = b""
    while not said.endswith(end):
        data = line.recv(65_536)
        assert data, said
        said += data
    return said


@pytest.fixture
def served():
    served = Served(Application(), quiet_s=75)
    yield served
    served.stop()


def post(path: str, *headers: str) -> bytes:
    return "\r\n".join((f"POST {path} HTTP/1.1", "Host: x", *headers, "", "")).encode()


CLOSE = b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def test_a_request_may_come_byte_by_byte(served):
    said = served.say(*(bytes([byte]) for byte in CLOSE))
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\ndate: ")
    assert b"connection: close" in head
    assert body == b"hello"


def test_a_connection_stays_open_and_what_is_sent_ahead_is_answered_in_order(served):
    ahead = post("/echo", "Content-Length: 3") + b"one"
    said = served.say(GET, ahead + GET + ahead + CLOSE)
    assert [part[-5:] for part in said.split(b"HTTP/1.1 200 OK")[1:]] == [
        b"hello",
        b"\r\none",
        b"hello",
        b"\r\none",
        b"hello",
    ]


def test_a_slow_answer_is_not_overtaken_by_the_next(served):
    with served.line() as line:
        line.sendall(b"GET /wait HTTP/1.1\r\n\r\n" + CLOSE)
        time.sleep(0.05)
        assert len(served.application.asked) == 1
        served.application.go_on.set()
        said = everything(line)
    assert said.index(b"waited") < said.index(b"hello")


def test_chunks_and_their_trailers_are_taken_and_trailers_are_no_headers(served):
    body = b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Role: admin\r\n\r\n"
    said = served.say(post("/echo", "Transfer-Encoding: chunked") + body + CLOSE)
    assert b"\r\n\r\nabcde" in said
    assert all(name != b"x-role" for name, _ in served.application.asked[0]["headers"])


def test_a_client_that_expects_it_is_told_to_continue(served):
    with served.line() as line:
        line.sendall(post("/echo", "Content-Length: 2", "Expect: 100-continue"))
        assert until(line, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        line.sendall(b"ab")
        assert until(line, b"ab").startswith(b"HTTP/1.1 200 OK")


def test_an_answer_that_needs_no_body_does_not_ask_for_it(served):
    with served.line() as line:
        line.sendall(post("/hello", "Content-Length: 2", "Expect: 100-continue"))
        assert until(line, b"hello").startswith(b"HTTP/1.1 200 OK")


def test_head_is_answered_without_a_body(served):
    said = served.say(b"HEAD /hello HTTP/1.1\r\n\r\n" + CLOSE)
    first, second = said.split(b"HTTP/1.1 200 OK")[1:]
    assert b"content-length: 5" in first
    assert first.endswith(b"\r\n\r\n")
    assert second.endswith(b"hello")


def test_an_old_client_gets_no_chunks_and_the_connection_ends(served):
    said = served.say(b"GET /hello HTTP/1.0\r\n\r\n")
    assert said.endswith(b"\r\n\r\nhello")
    assert b"connection: close" in said


def test_a_proposal_to_speak_something_else_is_passed_over(served):
    said = served.say(b"GET /hello HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 200 OK")


def test_an_address_is_taken_apart_and_decoded_once(served):
    served.say(b"GET http://x/hello/%2541?a=%41 HTTP/1.1\r\nConnection: close\r\n\r\n")
    (scope,) = served.application.asked
    assert (scope["path"], scope["raw_path"]) == ("/hello/%41", b"/hello/%2541")
    assert scope["query_string"] == b"a=%41"


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /\xff\x00 HTTP/1.1\r\n\r\n",
        b"GET /hello HTTP/1.1\r\nX: a\x00b\r\n\r\n",
        b"GET /hello HTTP/1.1\r\nX : a\r\n\r\n",
        b"GET /hello HTTP/1.1\r\nX: a\r\n folded\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /echo HTTP/1.1\r\nContent-Length: -1\r\n\r\nab",
        b"POST /echo HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\nab",
        b"POST /echo HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"CONNECT nowhere HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_no_http_is_400_and_reaches_nobody(served, nonsense):
    said = served.say(nonsense)
    assert said.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert served.application.asked == []
    assert served.say(CLOSE).endswith(b"hello")


def test_a_body_that_breaks_off_in_nonsense_is_never_taken_for_whole(served):
    said = served.say(post("/echo", "Transfer-Encoding: chunked"), b"2\r\nab\r\n", b"zz\r\n")
    assert said.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in said


def test_nonsense_after_a_request_does_not_spoil_its_answer(served):
    said = served.say(GET + b"\x00\x00")
    assert said.count(b"HTTP/1.1") == 1
    assert said.endswith(b"hello")


@pytest.mark.parametrize(
    "endless",
    [
        (b"GET /" + b"a" * 70_000,),
        (b"GET /hello HTTP/1.1\r\n" + b"X: y\r\n" * 20_000,),
        (b"GET /hello HTTP/1.1\r\nX: " + b"a" * 70_000,),
        (b"GET /hello HTTP/1.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",),
    ],
)
def test_a_head_without_end_is_431(served, endless):
    assert served.say(*endless).startswith(b"HTTP/1.1 431 ")
    assert served.application.asked == []


@pytest.mark.parametrize("endless", [b"0\r\nX: " + b"a" * 70_000, b"1;" + b"a" * 70_000])
def test_what_is_no_body_after_the_head_is_bounded_as_well(served, endless):
    said = served.say(post("/echo", "Transfer-Encoding: chunked"), endless)
    assert said.startswith(b"HTTP/1.1 408")


def test_a_large_body_waits_for_being_asked_for(served):
    body = b"x" * 8_000_000
    with served.line() as line:
        line.sendall(b"GET /wait HTTP/1.1\r\n\r\n" + post("/echo", f"Content-Length: {len(body)}"))
        sender = threading.Thread(target=line.sendall, args=(body,))
        sender.start()
        sender.join(0.3)
        assert sender.is_alive(), "the server took all of it before anybody asked"
        served.application.go_on.set()
        said = until(line, b"x" * 1_000)
        while len(said) < len(body):
            said += line.recv(65_536)
        sender.join()


def test_a_client_that_takes_nothing_holds_up_its_own_answer_only(served):
    with served.line() as line:
        line.sendall(b"GET /flood HTTP/1.1\r\n\r\n")
        time.sleep(0.2)
        sent = served.application.sent
        time.sleep(0.1)
        assert served.application.sent == sent < 60_000_000
        assert served.say(CLOSE).endswith(b"hello")


def test_a_client_that_takes_nothing_for_long_is_let_go(served, monkeypatch):
    monkeypatch.setattr(http1, "STALLED_S", 0.1)
    monkeypatch.setattr(http1, "_LOOK_S", 0.05)
    with served.line() as line:
        line.sendall(b"GET /flood HTTP/1.1\r\n\r\n")
        time.sleep(0.6)
        assert len(everything(line)) < 60_000_000
    assert not served.server.server_state.tasks


def test_the_application_learns_that_the_client_left(served):
    with served.line() as line:
        line.sendall(b"GET /watch HTTP/1.1\r\n\r\n")
        assert until(line, b"5\r\nfirst\r\n").startswith(b"HTTP/1.1 200 OK")
    assert served.application.left.wait(5)


def test_a_client_that_leaves_in_the_middle_of_its_body_is_noticed(served):
    with served.line() as line:
        line.sendall(post("/echo", "Content-Length: 10") + b"ab")
        time.sleep(0.02)
    assert served.application.left.wait(5)


def test_an_application_that_fails_costs_the_connection_and_tells_nothing(served):
    said = served.say(b"GET /fails HTTP/1.1\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in said


@pytest.mark.parametrize("path", [b"/breaks_off", b"/splits"])
def test_an_answer_that_is_not_what_its_head_says_ends_the_connection(served, path):
    said = served.say(b"GET " + path + b" HTTP/1.1\r\n\r\n")
    assert b"set-cookie" not in said
    assert b"hello" not in said


def test_a_connection_nobody_uses_is_closed():
    served = Served(Application(), quiet_s=0)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(http1, "_LOOK_S", 0.05)
            assert served.say() == b""
            assert served.say(b"GET /hello HT") == b""
            assert served.say(GET).endswith(b"hello")
    finally:
        served.stop()


def test_a_stop_lets_what_is_under_way_end(served):
    with served.line() as idle, served.line() as line:
        line.sendall(b"GET /wait HTTP/1.1\r\n\r\n")
        time.sleep(0.05)
        served.server.should_exit = True
        assert everything(idle) == b""
        served.application.go_on.set()
        said = everything(line)
    assert said.endswith(b"waited")
    assert b"connection: close" in said

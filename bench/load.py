"""The load generator: a process of its own, so that it shares no interpreter with the server.

    python -m bench.load '{"port": 8080, "connections": 64, ...}'

Every connection sends its next request when it has the answer to the last. It builds requests by
formatting bytes and reads no more of an answer than its status, length and outcome, so that
it takes as little as possible of the machine it shares with what it measures.
"""

import asyncio
import base64
import hmac
import json
import random
import sys
import time
from collections import Counter

import msgspec
import uvloop


class Load(msgspec.Struct, kw_only=True):
    """What to send: for `seconds`, or `requests` in all; `turn` makes every document unique."""

    port: int
    path: str
    turn: str
    call: str = "reserve"
    connections: int = 64
    seconds: float = 6
    requests: int = 0
    items: int = 10_000
    batch: int = 1
    authorization: str = ""
    secret: str = ""


class Answers(msgspec.Struct, kw_only=True):
    """What came back. seconds is the time from the first request to the last answer."""

    answered: int
    seconds: float
    statuses: dict[str, int]
    outcomes: dict[str, int]
    latency_ms_p50: float
    latency_ms_p99: float

    @property
    def per_s(self) -> float:
        return self.answered / self.seconds


_RESERVE = (
    b'{"document":"%b-%d-%07d","system":"bench",'
    b'"lines":[{"sku":"SKU-%06d","quantity":1,"location":"MAIN"}]}'
)
_RECEIPT = (
    b'{"kind":"receipt","document":"%b-%d-%07d","quantity":1,"system":"bench",'
    b'"sku":"SKU-%06d","location":"MAIN"}'
)
_ORDER = (
    b'{"kind":"channel_order","document":"%b-%d-%07d","line":"1","quantity":1,"system":"bench",'
    b'"sku":"SKU-%06d","location":"MAIN","order":"%b-%d-%07d","order_line":"1"}'
)
# An order webhook of Shopify, with as much beside what we read as an address takes.
_WEBHOOK = (
    b'{"id":%d,"admin_graphql_api_id":"gid://shopify/Order/1","created_at":"2026-03-01T10:00:00Z",'
    b'"updated_at":"2026-03-01T10:00:00Z","cancelled_at":null,"test":false,"currency":"EUR",'
    b'"financial_status":"paid","line_items":[{"id":%d,"sku":"SKU-%06d","variant_id":1,'
    b'"quantity":1,"current_quantity":1,"gift_card":false,"price":"12.00","title":"A kettle"}],'
    b'"refunds":[],"note":"' + b"x" * 1_000 + b'"}'
)
_SKU = b'"SKU-%06d"'
_AVAILABILITY = b'{"skus":[%b],"explain":true}'
_SELECT = b'{"sku":"SKU-%06d"}'
# Told apart by words the product and the procedure's server both use.
_OUTCOMES = tuple(b'"code":"%b"' % code for code in (b"granted", b"insufficient", b"recorded"))
# Each SKU that availability knows is answered with the sequence number it is of.
_WORDS = {
    "reserve": _OUTCOMES,
    "receipt": _OUTCOMES,
    "order": _OUTCOMES,
    "webhook": (b'"payload":',),
    "availability": (b'"sequence":',),
    "select": (b'"sellable":',),
}


class Client(asyncio.Protocol):
    """One keep-alive connection that asks again as soon as it was answered."""

    def __init__(self, run: "Run", number: int) -> None:
        self.run = run
        self.number = number
        self.sent = 0
        self.received: list[bytes] = []
        self.missing = 0
        self.began = 0.0
        self.transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def send(self) -> None:
        body = self.run.body(self.number, self.sent)
        self.sent += 1
        self.began = time.perf_counter()
        self.transport.write(self.run.framed(body))

    def data_received(self, data: bytes) -> None:
        if self.missing:  # the rest of an answer whose head has come
            self.received.append(data)
            self.missing -= len(data)
            if self.missing > 0:
                return
            data = b"".join(self.received)
            end = data.index(b"\r\n\r\n")
        else:
            data = b"".join((*self.received, data))
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self.received = [data]
                return
            head = data[: end + 2].lower()
            at = head.index(b"content-length:") + 15
            self.missing = end + 4 + int(head[at : head.index(b"\r", at)]) - len(data)
            if self.missing > 0:
                self.received = [data]
                return
        self.received, self.missing = [], 0
        self.run.note(data[9:12], data[end + 4 :], time.perf_counter() - self.began)
        if self.run.wants_more():
            self.send()
        else:
            self.run.ended(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.run.lost(self, error)


class Run:
    """All connections of one load, and what they were answered."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.head = (
            f"POST {load.path} HTTP/1.1\r\nhost: 127.0.0.1:{load.port}\r\n"
            f"content-type: application/json\r\n"
            + (f"authorization: {load.authorization}\r\n" if load.authorization else "")
            + ("x-shopify-topic: orders/create\r\n" if load.secret else "")
        ).encode()
        self.secret = load.secret.encode()
        self.turn = load.turn.encode()
        self.random = random.Random(load.turn)
        self.statuses: Counter[bytes] = Counter()
        self.outcomes: Counter[bytes] = Counter()
        self.latencies: list[float] = []
        self.to_send = load.requests or sys.maxsize
        self.open: set[Client] = set()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.deadline = 0.0

    def framed(self, body: bytes) -> bytes:
        """A request with this body, signed where there is a secret."""
        head = self.head
        if self.secret:
            signature = base64.b64encode(hmac.digest(self.secret, body, "sha256"))
            head += b"x-shopify-hmac-sha256: %b\r\n" % signature
        return head + b"content-length: %d\r\n\r\n" % len(body) + body

    def body(self, client: int, n: int) -> bytes:
        self.to_send -= 1
        pick, items = self.random.random, self.load.items
        if self.load.call == "select":
            return _SELECT % int(pick() * items)
        if self.load.call == "availability":
            skus = [_SKU % int(pick() * items) for _ in range(self.load.batch)]
            return _AVAILABILITY % b",".join(skus)
        if self.load.call == "webhook":
            # Numbers no other turn has: turn, client and n beside each other.
            number = (int(self.load.turn) * 1_000 + client) * 10_000_000 + n
            return _WEBHOOK % (number, number, int(pick() * items))
        if self.load.call == "order":
            name = (self.turn, client, n)
            return _ORDER % (*name, int(pick() * items), *name)
        template = _RESERVE if self.load.call == "reserve" else _RECEIPT
        if self.load.batch == 1:
            return template % (self.turn, client, n, int(pick() * items))
        first = n * self.load.batch
        return b"[%b]" % b",".join(
            [
                template % (self.turn, client, first + i, int(pick() * items))
                for i in range(self.load.batch)
            ]
        )

    def note(self, status: bytes, body: bytes, latency: float) -> None:
        self.statuses[status] += 1
        self.latencies.append(latency)
        for outcome in _WORDS[self.load.call]:
            found = body.count(outcome) if self.load.batch > 1 else outcome in body
            if found:
                self.outcomes[outcome] += found

    def wants_more(self) -> bool:
        return self.to_send > 0 and time.perf_counter() < self.deadline

    def ended(self, client: Client) -> None:
        self.open.discard(client)
        if not self.open and not self.done.done():
            self.done.set_result(None)

    def lost(self, client: Client, error: Exception | None) -> None:
        if client in self.open and not self.done.done():
            self.done.set_exception(error or ConnectionResetError("the server closed a connection"))

    async def go(self) -> Answers:
        loop = asyncio.get_running_loop()
        for number in range(self.load.connections):
            _, client = await loop.create_connection(
                lambda number=number: Client(self, number),  # type: ignore[misc]
                "127.0.0.1",
                self.load.port,
            )
            self.open.add(client)
        began = time.perf_counter()
        self.deadline = began + (self.load.seconds if not self.load.requests else 120)
        for client in list(self.open):
            client.send()
        await asyncio.wait_for(self.done, self.load.seconds + 180)
        return self.answers(time.perf_counter() - began)

    def answers(self, seconds: float) -> Answers:
        ordered = sorted(self.latencies)
        return Answers(
            answered=len(ordered),
            seconds=seconds,
            statuses={key.decode(): n for key, n in self.statuses.items()},
            outcomes={
                key.decode().strip(':"').split('"')[-1]: n for key, n in self.outcomes.items()
            },
            latency_ms_p50=ordered[len(ordered) // 2] * 1000,
            latency_ms_p99=ordered[len(ordered) * 99 // 100] * 1000,
        )


async def _main(load: Load) -> Answers:
    return await Run(load).go()


if __name__ == "__main__":
    spec = msgspec.json.decode(sys.argv[1], type=Load)
    print(json.dumps(msgspec.to_builtins(uvloop.run(_main(spec)))))

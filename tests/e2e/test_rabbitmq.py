"""The connector to RabbitMQ against the real server: kills, redelivery, full and missing queues."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from uuid import uuid4

import aio_pika
import pytest
from pamqp import encode
from pamqp.commands import Basic

from stockwright.connectors.rabbitmq import CONNECTOR
from stockwright.domain.errors import Misconfigured, Rejected, Throttled, Transient
from stockwright.sdk import queue_connection
from stockwright.sdk.connector import Opening
from stockwright.sdk.messages import (
    Announcement,
    Applied,
    InDoubt,
    LevelToSend,
    Refused,
    Retry,
)
from stockwright.sdk.queues import Away
from stockwright.sdk.secrets import Secret, resolve_secret
from stockwright.sdk.transports import Unanswered
from tests.connectors.publishing import published
from tests.connectors.queue_hub import CUT, MOST_BYTES, POISON, Hub, hub_over, receipt
from tests.e2e.rabbitmq_server import RabbitServer

pytestmark = pytest.mark.e2e

LEVEL = LevelToSend(channel="web", listing="L-1", quantity=7, version=3)
Connect = Callable[..., Any]


def told(subject: str, name: str = "1") -> Announcement:
    return Announcement(id=name, subject=subject, body=b"{}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """One server for the module; a test that kills it starts it again."""
    server = RabbitServer(tmp_path_factory.mktemp("rabbitmq"))
    try:
        server.start()
        yield server
    finally:
        server.end()


class Partner:
    """Who owns the queues, and talks to them by a client of its own."""

    def __init__(self, client: Any, channel: Any) -> None:
        self.client = client
        self.channel = channel

    async def queue(self, **arguments: Any) -> str:
        """A durable queue of the test's own."""
        name = f"q{uuid4().hex[:8]}"
        await self.channel.declare_queue(name, durable=True, arguments=arguments or None)
        return name

    async def send(self, queue: str, *bodies: bytes) -> None:
        for body in bodies:
            message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await self.channel.default_exchange.publish(message, routing_key=queue)

    async def ready(self, queue: str) -> int:
        """How many messages wait in a queue that nobody was handed."""
        found = await self.channel.declare_queue(queue, passive=True)
        return int(found.declaration_result.message_count or 0)

    async def taken(self, queue: str) -> list[Any]:
        """All messages that wait, taken away."""
        found = []
        source = await self.channel.get_queue(queue)
        while message := await source.get(fail=False, no_ack=True):
            found.append(message)
        return found


@pytest.fixture
async def partner(server: RabbitServer) -> AsyncIterator[Partner]:
    client = await server.client()
    yield Partner(client, await client.channel())
    await client.close()


@pytest.fixture
async def connect(server: RabbitServer) -> AsyncIterator[Connect]:
    """Connections that are closed again."""
    made = []

    def connect(queue: str = "", **more: Any) -> Any:
        given = {"host": "127.0.0.1", "port": server.port, "queue": queue}
        given |= {"timeout_s": 5.0, "wait_s": 0.5}
        settings = CONNECTOR.declaration.parse_settings({**given, **more}, resolve_secret)
        made.append(CONNECTOR.open(Opening(system="wms"), settings))
        return made[-1]

    yield connect
    for connection in made:
        await connection.close()


@pytest.fixture
def hub(database_url: str) -> Iterator[Hub]:
    settings = CONNECTOR.declaration.parse_settings({"host": "h"}, resolve_secret)
    with hub_over(database_url, CONNECTOR.open(Opening(system="wms"), settings)) as hub:
        yield hub


# -------------------------------------------------------------------- in


async def test_messages_are_kept_recorded_in_order_and_acknowledged(
    partner: Partner, connect: Connect, hub: Hub
) -> None:
    queue = await partner.queue()
    await partner.send(queue, *(receipt(f"GR-{n}") for n in range(25)))
    connection = connect(queue, page_size=10)
    kept = 0
    while kept < 25:
        kept += (await hub.poll(connection)).payloads
    hub.work()
    assert hub.documents == [f"GR-{n}" for n in range(25)]
    await connection.close()
    assert await partner.ready(queue) == 0


async def test_what_was_kept_and_not_acknowledged_comes_again_and_counts_once(
    partner: Partner, connect: Connect, hub: Hub
) -> None:
    queue = await partner.queue()
    await partner.send(queue, receipt("GR-1"), receipt("GR-2"))
    dying = connect(queue)

    async def dies(_page: object) -> None:
        raise Transient("killed before it could acknowledge")

    dying.acknowledge = dies
    assert (await hub.poll(dying)).error == "killed before it could acknowledge"
    await dying.close()
    hub.again()
    assert (await hub.poll(connect(queue))).payloads == 2
    hub.work()
    assert hub.rows("select count(*) from payload") == [(4,)]
    assert (hub.documents, hub.on_hand) == (["GR-1", "GR-2"], {"A": 10})


async def test_a_server_that_is_killed_in_the_middle_goes_on_where_it_was(
    server: RabbitServer, partner: Partner, connect: Connect, hub: Hub
) -> None:
    queue = await partner.queue()
    await partner.send(queue, *(receipt(f"GR-{n}") for n in range(6)))
    connection = connect(queue, page_size=3)
    page = await connection.read("")
    server.kill()
    try:
        await connection.acknowledge(page)
        with pytest.raises(Transient):
            await connection.read("")
    finally:
        server.start()
    async with asyncio.timeout(60):
        while len(hub.documents) < 6:
            hub.again()
            await hub.poll(connection)
            hub.work()
    assert sorted(hub.documents) == [f"GR-{n}" for n in range(6)]
    assert hub.on_hand == {"A": 30}


async def test_poison_is_parked_once_and_holds_up_nobody(
    partner: Partner, connect: Connect, hub: Hub
) -> None:
    queue = await partner.queue()
    await partner.send(queue, *POISON, receipt("GR-1"))
    connection = connect(queue, max_body_bytes=MOST_BYTES)
    while (await hub.poll(connection)).payloads:
        pass
    hub.work()
    assert (hub.documents, len(hub.parked), hub.parked[4]) == (["GR-1"], 5, CUT)
    await connection.close()
    assert await partner.ready(queue) == 0


LATIN = b"Gr\xf6\xdfe".decode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    "properties",
    [
        {"message_id": LATIN},
        {"content_type": LATIN, "correlation_id": LATIN},
        {"headers": b"\x02\xf6\xdfV"},
        {"headers": b"\x01aS\x00\x00\x00\x02\xf6\xdf"},
        {"headers": b"\x01aF\x00\x00\x00\x03\x01\xf6V"},
        {"headers": b"\x01aT" + b"\xff" * 8},
        {"timestamp": 1_764_234_000_000_000_000},
        {"timestamp": 2**64 - 1},
        {"priority": 255, "message_type": "", "app_id": LATIN},
    ],
    ids=str,
)
async def test_odd_properties_of_a_message_hold_up_nobody(
    partner: Partner, connect: Connect, hub: Hub, monkeypatch: pytest.MonkeyPatch,
    properties: dict[str, Any],
) -> None:  # fmt: skip
    def text(length: struct.Struct, value: str) -> bytes:
        raw = value.encode("utf-8", "surrogateescape")
        return length.pack(len(raw)) + raw

    queue = await partner.queue()
    monkeypatch.setattr(encode, "_string", text)

    def table(raw: bytes) -> bytes:
        return struct.pack(">I", len(raw)) + raw

    monkeypatch.setitem(encode.METHODS, "table", table)
    monkeypatch.setitem(encode.METHODS, "timestamp", struct.Struct(">Q").pack)
    told = Basic.Properties()
    for name, value in properties.items():
        setattr(told, name, value)
    channel = await partner.channel.get_underlay_channel()
    await channel.basic_publish(receipt("GR-1"), routing_key=queue, properties=told)
    monkeypatch.undo()
    await partner.send(queue, receipt("GR-2"))
    connection = connect(queue)
    kept = 0
    while found := (await hub.poll(connection)).payloads:
        kept += found
    hub.work()
    assert (kept, hub.documents) == (2, ["GR-1", "GR-2"])
    await connection.close()
    assert await partner.ready(queue) == 0


async def test_who_reads_no_more_gives_back_what_was_handed_out_to_it(
    partner: Partner, connect: Connect, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_connection, "IDLE_S", 0.5)
    queue = await partner.queue()
    idle, busy = connect(queue), connect(queue)
    for connection in (idle, busy):
        assert (await connection.read("")).payloads == ()
    await partner.send(queue, *(receipt(f"GR-{n}") for n in range(10)))
    kept = 0
    async with asyncio.timeout(30):
        while kept < 10:
            kept += (await hub.poll(busy)).payloads
    hub.work()
    assert sorted(hub.documents) == sorted(f"GR-{n}" for n in range(10))


async def test_a_queue_that_goes_away_is_told_and_taken_up_again(
    partner: Partner, connect: Connect
) -> None:
    queue = await partner.queue()
    connection = connect(queue)
    assert (await connection.read("")).payloads == ()
    await partner.channel.queue_delete(queue)
    with pytest.raises(Misconfigured, match="no such queue"):
        await connection.read("")
    await partner.channel.declare_queue(queue, durable=True)
    await partner.send(queue, b"{}")
    assert len((await connection.read("")).payloads) == 1


async def test_a_consumer_that_the_server_ended_is_begun_again(
    partner: Partner, connect: Connect
) -> None:
    queue = await partner.queue()
    connection = connect(queue)
    assert (await connection.read("")).payloads == ()
    # The queue is deleted and made between two looks: our consumer went with the first.
    await partner.channel.queue_delete(queue)
    await partner.channel.declare_queue(queue, durable=True)
    await partner.send(queue, b"{}")
    with pytest.raises(Transient, match="hands out .* no more"):
        await connection.read("")
    assert len((await connection.read("")).payloads) == 1


async def test_a_queue_that_another_consumer_has_alone_is_waited_for(
    partner: Partner, connect: Connect
) -> None:
    queue = await partner.queue()
    await partner.send(queue, b"{}")

    async def keep(_message: Any) -> None:
        """It is not acknowledged, and goes back with its channel."""

    channel = await partner.client.channel()
    held = await channel.get_queue(queue)
    await held.consume(keep, exclusive=True)
    connection = connect(queue)
    with pytest.raises(Transient, match="keeps the queue for another consumer"):
        await connection.read("")
    await channel.close()
    assert len((await connection.read("")).payloads) == 1


# -------------------------------------------------------------------- out


async def test_a_level_is_stored_under_its_subject(partner: Partner, connect: Connect) -> None:
    queue, exchange = await partner.queue(), f"x{uuid4().hex[:8]}"
    await partner.channel.declare_exchange(exchange, "topic", durable=True)
    await (await partner.channel.get_queue(queue)).bind(exchange, "stock.#")
    connection = connect(exchange=exchange, levels_subject="stock.{channel}.{listing}")
    assert await connection.publish([LEVEL]) == [Applied()]
    (stored,) = await partner.taken(queue)
    assert stored.routing_key == "stock.web.L-1"
    assert json.loads(stored.body) == {
        "channel": "web", "listing": "L-1", "quantity": 7, "version": 3,
    }  # fmt: skip
    assert (stored.message_id, int(stored.delivery_mode)) == ("wms/web/L-1//3", 2)


async def test_what_no_queue_wants_is_told_and_not_taken_as_stored(
    partner: Partner, connect: Connect
) -> None:
    with pytest.raises(Misconfigured, match="no queue for nobody"):
        await connect(levels_subject="nobody").publish([LEVEL])
    exchange = f"x{uuid4().hex[:8]}"
    await partner.channel.declare_exchange(exchange, "topic", durable=True)
    unbound = connect(exchange=exchange, levels_subject="stock")
    for _ in range(2):
        with pytest.raises(Misconfigured, match="no queue for stock"):
            await unbound.publish([LEVEL])


async def test_a_full_queue_is_tried_again_later(partner: Partner, connect: Connect) -> None:
    queue = await partner.queue(**{"x-max-length": 1, "x-overflow": "reject-publish"})
    connection = connect(levels_subject=queue)
    assert await connection.publish([LEVEL]) == [Applied()]
    (later,) = await connection.publish([LEVEL])
    assert isinstance(later, Retry)
    with pytest.raises(Throttled):
        await connection.announce([told(queue)])
    await partner.taken(queue)
    assert await connection.publish([LEVEL]) == [Applied()]


async def test_a_server_short_of_memory_takes_no_level_and_hands_out_on(
    server: RabbitServer, partner: Partner, connect: Connect
) -> None:
    source, sink = await partner.queue(), await partner.queue()
    await partner.send(source, *[b"{}"] * 10)
    connection = connect(source, levels_subject=sink, page_size=5)
    assert await connection.publish([LEVEL]) == [Applied()]
    page = await connection.read("")
    taken = len(page.payloads)
    server.control("set_vm_memory_high_watermark", "0.0000001")
    try:
        publishing = asyncio.create_task(connection.publish([LEVEL]))
        await asyncio.sleep(0.5)
        async with asyncio.timeout(4):
            while taken < 10:  # five are out at a time: more come once those are heard of
                await connection.acknowledge(page)
                page = await connection.read("")
                taken += len(page.payloads)
        assert not publishing.done()
        (blocked,) = await publishing
        assert isinstance(blocked, InDoubt)
        with pytest.raises(Unanswered, match="short of memory or disk"):
            await connection.announce([told(sink)])
        await connection.acknowledge(page)
        assert (await connection.read("")).payloads == (), "nothing came twice"
    finally:
        server.control("set_vm_memory_high_watermark", "0.4")
    assert await connection.publish([LEVEL]) == [Applied()]


async def test_names_beyond_what_amqp_can_hold(partner: Partner, connect: Connect) -> None:
    queue = await partner.queue()
    connection = connect()
    await connection.announce([told(queue, name="é" * 200), told(queue, name="é" * 200)])
    first, second = await partner.taken(queue)
    assert first.message_id == second.message_id
    assert len(first.message_id) == 64
    with pytest.raises(Rejected, match="at most 255 bytes"):
        await connection.announce([told("s" * 256)])
    long = connect(levels_subject="levels." * 30 + "{listing}")
    (refused,) = await long.publish([_long()])
    assert isinstance(refused, Refused)


def _long() -> LevelToSend:
    return LevelToSend(channel="web", listing="L" * 60, quantity=1, version=1)


async def test_a_server_that_is_away_claims_nothing(
    server: RabbitServer, partner: Partner, connect: Connect
) -> None:
    queue = await partner.queue()
    connection = connect(levels_subject=queue, timeout_s=2.0)
    assert await connection.publish([LEVEL]) == [Applied()]
    server.kill()
    try:
        assert isinstance(await published(connection, LEVEL), InDoubt | Away)
        assert isinstance(await published(connection, LEVEL), Away)
    finally:
        server.start()
    again: object = None
    async with asyncio.timeout(60):
        while again != Applied():
            try:
                again = await published(connection, LEVEL)
            except Misconfigured:
                # Killed before it had written down that there is such a queue: it is made again.
                async with await server.client() as client:
                    await (await client.channel()).declare_queue(queue, durable=True)


async def test_one_direction_that_is_wrong_leaves_the_other_alone(
    partner: Partner, connect: Connect
) -> None:
    queue = await partner.queue()
    connection = connect(queue, exchange="not-there", levels_subject="stock")
    await partner.send(queue, b"{}")
    with pytest.raises(Misconfigured, match="no exchange 'not-there'") as wrong:
        await connection.publish([LEVEL])
    assert wrong.value.setting == "exchange"
    page = await connection.read("")
    assert len(page.payloads) == 1
    with pytest.raises(Misconfigured):
        await connection.publish([LEVEL])
    await connection.acknowledge(page)
    await connection.close()
    assert await partner.ready(queue) == 0


@pytest.mark.parametrize(
    ("more", "expected", "text"),
    [
        ({"password": Secret("s3cret-wrong")}, Misconfigured, "refused our credentials"),
        ({"virtual_host": "nowhere"}, Transient, "is there a virtual host nowhere"),
        ({"queue": "nowhere"}, Misconfigured, "no queue 'nowhere'"),
        ({"queue": "amq.rabbitmq.log"}, Misconfigured, "amq.rabbitmq.log"),
        ({"tls": True}, Transient, "cannot be reached at 127.0.0.1:[0-9]+ by TLS: .*SSL"),
        ({"host": "127.0.0.1:s3cret"}, Misconfigured, "RabbitMQ's host is no name"),
        ({"port": 1}, Transient, "at 127.0.0.1:1: .*Connect call failed"),
    ],
)
async def test_what_is_wrong_is_told_to_an_operator(
    connect: Connect, more: dict[str, Any], expected: type[Exception], text: str
) -> None:
    with pytest.raises(expected, match=text) as failure:
        await connect(**{"queue": "q", **more}).read("")
    assert "s3cret" not in str(failure.value)


# -------------------------------------------------------------------- by TLS


async def test_messages_and_levels_go_by_tls(
    server: RabbitServer,
    partner: Partner,
    connect: Connect,
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An authority of one's own is trusted as the machine trusts any."""
    monkeypatch.setenv("SSL_CERT_FILE", str(server.certificates.authority))
    queue, told = await partner.queue(), await partner.queue()
    await partner.send(queue, receipt("GR-1"), receipt("GR-2"))
    connection = connect(queue, port=server.tls_port, tls=True, levels_subject=told)
    kept = 0
    while kept < 2:
        kept += (await hub.poll(connection)).payloads
    hub.work()
    assert hub.documents == ["GR-1", "GR-2"]
    assert await connection.check()
    assert await connection.publish([LEVEL]) == [Applied()]
    (message,) = await partner.taken(told)
    assert json.loads(message.body)["quantity"] == 7


async def test_a_server_that_nobody_vouches_for_is_not_spoken_to(
    server: RabbitServer, partner: Partner, connect: Connect
) -> None:
    queue = await partner.queue()
    stranger = connect(queue, port=server.tls_port, tls=True, levels_subject=queue)
    with pytest.raises(Transient, match="by TLS: .*CERTIFICATE_VERIFY_FAILED"):
        await stranger.read("")
    assert isinstance(await published(stranger, LEVEL), Away)
    assert await partner.ready(queue) == 0


async def test_a_certificate_of_another_host_is_not_believed(
    server: RabbitServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(server.certificates.authority))
    with pytest.raises(Transient, match="CERTIFICATE_VERIFY_FAILED"):
        await connect("in", host="localhost", port=server.tls_port, tls=True).read("")


# -------------------------------------------------------------------- asked beforehand


async def test_a_stream_is_no_queue_to_take_from(partner: Partner, connect: Connect) -> None:
    stream = await partner.queue(**{"x-queue-type": "stream"})
    await partner.send(stream, b"{}")
    with pytest.raises(Misconfigured, match=f"{stream} is a stream") as told:
        await connect(stream).read("")
    assert told.value.setting == "queue"


@pytest.mark.parametrize("kind", ["classic", "quorum"])
async def test_other_kinds_of_queue_are_taken_from(
    partner: Partner, connect: Connect, kind: str
) -> None:
    queue = await partner.queue(**{"x-queue-type": kind})
    await partner.send(queue, b"{}")
    assert len((await connect(queue).read("")).payloads) == 1


async def test_what_is_sent_to_is_asked_for_and_sent_nothing(
    partner: Partner, connect: Connect
) -> None:
    queue, exchange = await partner.queue(), f"x{uuid4().hex[:8]}"
    with pytest.raises(Misconfigured, match="no such exchange") as told:
        await connect(exchange=exchange, levels_subject="stock").check()
    assert told.value.setting == "exchange"
    await partner.channel.declare_exchange(exchange, "topic", durable=True)
    assert await connect(exchange=exchange, levels_subject="stock").check()
    with pytest.raises(Misconfigured, match="no such queue") as told:
        await connect(levels_subject=queue, documents_subject=f"{queue}-papers").check()
    assert told.value.setting == "documents_subject"
    assert await connect(levels_subject=queue).check()
    assert await partner.ready(queue) == 0


async def test_a_user_who_may_only_write_can_ask(
    server: RabbitServer, partner: Partner, connect: Connect
) -> None:
    queue = await partner.queue()
    server.control("add_user", "writer", "s3cret")
    server.control("set_permissions", "-p", "/", "writer", "^$", "^amq\\.default$", "^$")
    may_write = connect(levels_subject=queue, user="writer", password=Secret("s3cret"))
    assert await may_write.check()
    assert await may_write.publish([LEVEL]) == [Applied()]

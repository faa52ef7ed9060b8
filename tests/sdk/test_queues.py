"""RabbitMQ and Kafka behind the seam of queues, as far as a stand-in for their clients proves it.

The stand-ins keep to what the clients promise: what is not acknowledged or committed comes again.
No broker runs here, so what a broker itself does is not shown.
"""

import asyncio
import json
from collections import deque
from decimal import Decimal
from types import SimpleNamespace

import pytest
from aio_pika.exceptions import AMQPConnectionError, ChannelNotFoundEntity, DeliveryError
from aiokafka.errors import (  # type: ignore[import-untyped]
    KafkaConnectionError,
    MessageSizeTooLargeError,
)
from aiokafka.structs import TopicPartition  # type: ignore[import-untyped]

from stockwright.connectors import kafka, rabbitmq
from stockwright.domain.errors import Misconfigured, Transient
from stockwright.sdk import queues
from stockwright.sdk.connector import Opening
from stockwright.sdk.messages import (
    Announcement,
    Applied,
    Delivered,
    InDoubt,
    LevelToSend,
    Refund,
    Refused,
    Retry,
)
from stockwright.sdk.queue_connection import ConsumingQueueConnection
from stockwright.sdk.queue_kafka import KafkaAccess, KafkaQueue
from stockwright.sdk.queue_rabbitmq import RabbitAccess, RabbitQueue
from stockwright.sdk.secrets import Secret
from stockwright.sdk.transports import NotSent, Unanswered

TOLD = Announcement(id="1", subject="stock.level", body=b"{}")
LEVEL = LevelToSend(channel="web", listing="L", quantity=1, version=1)


# -------------------------------------------------------------------- RabbitMQ


class Rabbit:
    """A broker with one queue; `fault` is raised by the next publish, `away` by every connect."""

    def __init__(self, *bodies):
        self.ready = deque(enumerate(bodies))
        self.unsettled = {}
        self.published = []
        self.fault = None
        self.away = None
        self.connects = 0
        self.is_closed = False

    async def connect(self, **told):
        self.connects += 1
        if self.away:
            raise self.away
        assert told["password"] == "s3cret"
        self.is_closed = False
        return self

    async def channel(self, publisher_confirms):
        assert publisher_confirms
        return self

    async def set_qos(self, prefetch_count):
        self.prefetch = prefetch_count

    @property
    def default_exchange(self):
        return self

    async def get_queue(self, name):
        if name != "in":
            raise ChannelNotFoundEntity("NOT_FOUND - no queue")
        return self

    async def consume(self, callback):
        while self.ready and len(self.unsettled) < self.prefetch:
            tag, body = self.ready.popleft()
            self.unsettled[tag] = body

            async def ack(tag=tag):
                if self.is_closed:
                    raise RuntimeError("channel is closed")
                del self.unsettled[tag]

            await callback(
                SimpleNamespace(
                    body=body, headers={}, content_type="application/json", ack=ack,
                    routing_key="in", message_id=None, delivery_tag=tag,
                )
            )  # fmt: skip

    async def publish(self, message, routing_key, *, mandatory, timeout):  # noqa: ASYNC109
        assert mandatory
        if self.fault:
            fault, self.fault = self.fault, None
            raise fault
        self.published.append((routing_key, message.message_id, message.delivery_mode))

    async def close(self):
        """A connection that ends gives back, in front, what was not acknowledged."""
        self.is_closed = True
        self.ready.extendleft(reversed(self.unsettled.items()))
        self.unsettled = {}


def rabbit(broker, **more):
    given = {"host": "h", "queue": "in", "password": Secret("s3cret"), "timeout_s": 1.0, **more}
    return RabbitQueue(RabbitAccess(**given), connect=broker.connect)


async def test_rabbitmq_hands_out_again_what_was_not_acknowledged():
    broker = Rabbit(b"1", b"2", b"3")
    queue = rabbit(broker)
    first = await queue.take(2, 0.2)
    assert [one.body for one in first] == [b"1", b"2"]
    await queue.settle(first[:1])
    await queue.close()
    again = await queue.take(10, 0.2)
    assert [one.body for one in again] == [b"2", b"3"]
    await queue.settle(again)
    assert (broker.unsettled, list(broker.ready)) == ({}, [])
    assert list(await queue.take(10, 0.01)) == []


async def test_rabbitmq_hands_out_no_more_than_may_be_in_flight():
    broker = Rabbit(b"1", b"2", b"3")
    assert len(await rabbit(broker, in_flight=2).take(10, 0.2)) == 2
    assert len(broker.ready) == 1


async def test_rabbitmq_takes_what_a_queue_confirmed():
    broker = Rabbit()
    queue = rabbit(broker)
    assert await queue.put(TOLD) == "1"
    assert [(key, number) for key, number, _ in broker.published] == [("stock.level", "1")]
    assert broker.published[0][2] == 2, "persistent"
    broker.fault = DeliveryError(None, None)
    with pytest.raises(Misconfigured, match="no queue for stock.level"):
        await queue.put(TOLD)
    broker.fault = AMQPConnectionError("gone")
    with pytest.raises(Unanswered):
        await queue.put(TOLD)
    assert await queue.put(TOLD) == "1"
    assert broker.connects == 2


async def test_rabbitmq_that_is_away_or_lacks_the_queue_is_told():
    broker = Rabbit()
    with pytest.raises(Misconfigured, match="no such queue"):
        await rabbit(broker, queue="other").take(1, 0.1)
    broker.away = AMQPConnectionError("refused")
    with pytest.raises(NotSent):
        await rabbit(broker).put(TOLD)
    with pytest.raises(Transient):
        await rabbit(broker).take(1, 0.1)


async def test_an_acknowledgement_that_fails_is_told():
    broker = Rabbit(b"1")
    queue = rabbit(broker)
    taken = await queue.take(1, 0.2)
    broker.is_closed = True
    with pytest.raises(Transient):
        await queue.settle(taken)


# -------------------------------------------------------------------- Kafka


class Kafka:
    """A topic of two partitions and its consumer group; a consumer begins at what is committed."""

    def __init__(self, *bodies):
        self.log = {partition: list(bodies[partition::2]) for partition in (0, 1)}
        self.committed = {0: 0, 1: 0}
        self.produced = []
        self.fault = None

    def consumer(self, topic, **told):
        assert told["enable_auto_commit"] is False
        assert told["auto_offset_reset"] == "earliest"
        return KafkaConsumer(self, topic)

    def producer(self, **told):
        assert (told["acks"], told["enable_idempotence"]) == ("all", True)
        return self

    async def start(self):
        """The producer's."""

    async def stop(self):
        """The producer's."""

    async def send_and_wait(self, topic, value, key, headers):
        if self.fault:
            fault, self.fault = self.fault, None
            raise fault
        self.produced.append((topic, key, value, dict(headers)["id"]))
        return SimpleNamespace(topic=topic, partition=0, offset=len(self.produced) - 1)


class KafkaConsumer:
    def __init__(self, broker, topic):
        self.broker, self.topic = broker, topic

    async def start(self):
        self.position = dict(self.broker.committed)

    async def stop(self):
        """Leaves the group; commits nothing by itself."""

    async def getmany(self, timeout_ms, max_records):
        if self.broker.fault:
            fault, self.broker.fault = self.broker.fault, None
            raise fault
        found, left = {}, max_records
        for partition, log in self.broker.log.items():
            begin = self.position[partition]
            records = [
                SimpleNamespace(
                    topic=self.topic, partition=partition, offset=begin + n, value=body,
                    key=b"k", headers=[("x", b"y")],
                )
                for n, body in enumerate(log[begin : begin + left])
            ]  # fmt: skip
            left -= len(records)
            self.position[partition] += len(records)
            if records:
                found[TopicPartition(self.topic, partition)] = records
        return found

    async def commit(self, offsets):
        self.broker.committed |= {place.partition: offset for place, offset in offsets.items()}


def kafka_queue(broker, **more):
    given = {"bootstrap_servers": ("k:9092",), "topic": "in", "out_topic": "out", "timeout_s": 1.0}
    return KafkaQueue(KafkaAccess(**{**given, **more}), broker.consumer, broker.producer)


async def test_kafka_reads_on_behind_what_was_committed():
    broker = Kafka(b"a0", b"b0", b"a1", b"b1")
    queue = kafka_queue(broker)
    taken = await queue.take(3, 0.01)
    assert [one.body for one in taken] == [b"a0", b"a1", b"b0"]
    assert (taken[0].subject, taken[0].place, taken[0].headers) == ("k", "in:0:0", {"x": "y"})
    await queue.close()
    assert broker.committed == {0: 0, 1: 0}
    taken = await queue.take(3, 0.01)
    assert [one.body for one in taken] == [b"a0", b"a1", b"b0"]
    await queue.settle(taken)
    assert broker.committed == {0: 2, 1: 1}
    await queue.close()
    assert [one.body for one in await queue.take(3, 0.01)] == [b"b1"]


async def test_kafka_stores_under_the_subject_as_key():
    broker = Kafka()
    queue = kafka_queue(broker)
    assert await queue.put(TOLD) == "out:0:0"
    assert broker.produced == [("out", b"stock.level", b"{}", b"1")]
    broker.fault = KafkaConnectionError()
    with pytest.raises(Unanswered):
        await queue.put(TOLD)
    broker.fault = MessageSizeTooLargeError()
    with pytest.raises(Misconfigured):
        await queue.put(TOLD)
    with pytest.raises(Misconfigured) as told:
        await kafka_queue(broker, out_topic="").put(TOLD)
    assert told.value.setting == "out_topic"
    broker.fault = KafkaConnectionError()
    with pytest.raises(Transient):
        await queue.take(1, 0.01)


# -------------------------------------------------------------------- the connection above them


async def test_what_was_not_kept_is_read_again_before_anything_else():
    broker = Kafka(b"{}", b"{}", b"{}")
    settings = kafka.KafkaSettings(
        bootstrap_servers=("k:9092",), topic="in", page_size=2, wait_s=0.01
    )
    connection = ConsumingQueueConnection(Opening(system="s"), settings, kafka_queue(broker))
    first = await connection.read("")
    again = await connection.read("")
    assert [one.headers["place"] for one in again.payloads] == ["in:0:0", "in:0:1"]
    assert again.receipt is first.receipt
    assert not first.complete
    await connection.acknowledge(again)
    assert broker.committed == {0: 2, 1: 0}
    rest = await connection.read("")
    assert ([one.headers["place"] for one in rest.payloads], rest.complete) == (["in:1:0"], True)


async def test_what_a_queue_says_of_a_level_is_what_it_knows():
    broker = Rabbit()
    settings = rabbitmq.RabbitSettings(host="h", levels_subject="stock.{listing}")
    connection = ConsumingQueueConnection(Opening(system="s"), settings, rabbit(broker))
    assert await connection.publish([LEVEL]) == [Applied()]
    broker.fault = AMQPConnectionError("gone")
    (doubt,) = await connection.publish([LEVEL])
    assert isinstance(doubt, InDoubt)
    broker.away = AMQPConnectionError("refused")
    (later,) = await connection.publish([LEVEL])
    assert isinstance(later, Retry)


async def test_a_queue_is_told_in_the_form_of_out_and_refuses_what_that_cannot_say():
    class Kept:
        def __init__(self):
            self.put_here = []

        async def put(self, message):
            self.put_here.append((message.subject, json.loads(message.body)))
            return "1"

    queue = Kept()
    parsed = rabbitmq.CONNECTOR.declaration.parse_settings(
        {
            "host": "h",
            "levels_subject": "stock",
            "documents_subject": "docs.{kind}",
            "out": [
                {"kind": "level", "fields": {"listing": "P-{$.art}", "quantity": "$.n"}},
                {"kind": "refund", "fields": {"order": "$.no", "amount": "$.sum"}},
            ],
        },
        str,
    )
    connection = ConsumingQueueConnection(Opening(system="s"), parsed, queue)
    good = LevelToSend(channel="web", listing="P-7", quantity=3, version=1)
    done, refused = await connection.publish([good, LEVEL])
    assert done == Applied()
    assert refused == Refused(
        reason="form", message="listing is 'L', which is not of the form 'P-{$.art}'"
    )
    refund = Refund(key="K", order="SO-1", lines=(), amount=Decimal("2.50"))
    assert await connection.submit(refund) == Delivered(reference="1")
    empty = Refund(key="K", order="SO-1", lines=())
    assert isinstance(await connection.submit(empty), Refused)
    assert queue.put_here == [
        ("stock", {"art": "7", "n": 3}),
        ("docs.refund", {"no": "SO-1", "sum": "2.50"}),
    ]
    with pytest.raises(Misconfigured, match=r"out\[0\] is wrong: each must name the list"):
        rabbitmq.CONNECTOR.declaration.parse_settings(
            {"host": "h", "out": [{"kind": "refund", "fields": {"order": "$.a", "line": "@.l"}}]},
            str,
        )


async def test_a_broker_that_does_not_answer_leaves_a_level_in_doubt():
    class Silent(Rabbit):
        async def publish(self, message, routing_key, **_more):
            await asyncio.sleep(10)

    settings = rabbitmq.RabbitSettings(host="h", levels_subject="stock", timeout_s=0.05)
    connection = ConsumingQueueConnection(Opening(system="s"), settings, rabbit(Silent()))
    assert await connection.publish([LEVEL]) == [
        InDoubt(reason="the broker did not answer in time")
    ]


def test_a_library_that_is_not_installed_is_told_with_its_extra():
    with pytest.raises(Misconfigured, match=r"install stockwright\[kafka\]"):
        queues.library("no_such_library", "kafka")

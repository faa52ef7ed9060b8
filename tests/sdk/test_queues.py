"""RabbitMQ and Kafka behind the seam of queues, with a stand-in for their client libraries.

Here is what can be shown without a broker, and what a broker cannot be made to say. Kafka's
protocol is spoken in tests/connectors/test_kafka.py, a real RabbitMQ in tests/e2e/test_rabbitmq.py.
"""

import asyncio
import json
from collections import deque
from decimal import Decimal
from types import SimpleNamespace

import msgspec
import pytest
from aio_pika.exceptions import (
    AMQPConnectionError,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    DeliveryError,
    PublishError,
)
from aiokafka.errors import (  # type: ignore[import-untyped]
    AuthenticationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from pamqp.commands import Basic

from stockwright.connectors import rabbitmq
from stockwright.domain.errors import Misconfigured, Throttled, Transient
from stockwright.sdk import queue_connection, queues
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

RETURNED = Basic.Return(312, "NO_ROUTE", "", "stock.level")
TOLD = Announcement(id="1", subject="stock.level", body=b"{}")
LEVEL = LevelToSend(channel="web", listing="L", quantity=1, version=1)
REFUND = Refund(key="K", order="SO-1", lines=(), amount=Decimal("2.50"))


# -------------------------------------------------------------------- RabbitMQ


class Rabbit:
    """A broker with one queue, and a connection to it; `fault` is raised by the next publish,
    `away` by every connect.
    """

    def __init__(self, *bodies):
        self.ready = deque(enumerate(bodies))
        self.published = []
        self.fault = None
        self.away = None
        self.exchanges = {"stock"}
        self.stream = False
        self.silent = False
        self.connects = 0
        self.consumers = 0
        self.channels = []
        self.is_closed = False

    async def connect(self, **told):
        self.connects += 1
        if self.away:
            raise self.away
        assert told["password"] == "s3cret"
        self.is_closed = False
        return self

    async def channel(self, publisher_confirms=True, on_return_raises=False):
        self.channels.append(RabbitChannel(self, publisher_confirms and on_return_raises))
        return self.channels[-1]

    @property
    def unsettled(self):
        return {tag: body for one in self.channels for tag, body in one.unsettled.items()}

    async def close(self):
        self.is_closed = True
        for channel in self.channels:
            await channel.close()


class RabbitChannel:
    """As the library's: a message that came back is an error only where that was asked for."""

    def __init__(self, broker, tells):
        self.broker = broker
        self.tells = tells
        self.unsettled = {}
        self.is_closed = False
        self.declaration_result = SimpleNamespace(consumer_count=0)

    async def set_qos(self, prefetch_count):
        self.prefetch = prefetch_count

    @property
    def default_exchange(self):
        return self

    async def get_queue(self, name):
        if name != "in":
            raise ChannelNotFoundEntity("NOT_FOUND - no queue")
        self.declaration_result.consumer_count = self.broker.consumers
        return self

    async def get_exchange(self, name):
        if name not in self.broker.exchanges:
            raise ChannelNotFoundEntity("NOT_FOUND - no exchange")
        return self

    async def consume(self, callback, arguments):
        assert arguments == {"x-priority": 0}, "the priority that all have who name none"
        if self.broker.stream:
            raise ChannelPreconditionFailed(
                "PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'in' in vhost '/'"
                " of queue type rabbit_stream_queue"
            )
        self.broker.consumers += 1
        while self.broker.ready and len(self.unsettled) < self.prefetch:
            tag, body = self.broker.ready.popleft()
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
        assert self.tells
        if self.broker.silent:
            await asyncio.sleep(10)
        if self.broker.fault:
            fault, self.broker.fault = self.broker.fault, None
            raise fault
        self.broker.published.append((routing_key, message.message_id, message.delivery_mode))

    async def close(self):
        """A channel that ends gives back, in front, what was not acknowledged."""
        self.is_closed = True
        self.broker.ready.extendleft(reversed(self.unsettled.items()))
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
    broker.fault = PublishError(SimpleNamespace(delivery=RETURNED), RETURNED)
    with pytest.raises(Misconfigured, match="no queue for stock.level"):
        await queue.put(TOLD)
    broker.fault = DeliveryError(None, None)
    with pytest.raises(Throttled, match="takes no more at present"):
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
    broker.away = AMQPConnectionError(111, "refused")
    with pytest.raises(NotSent, match="at h:5672: AMQPConnectionError: refused"):
        await rabbit(broker).put(TOLD)
    with pytest.raises(Transient):
        await rabbit(broker).take(1, 0.1)


async def test_a_stream_is_refused_and_nothing_of_it_is_taken():
    broker = Rabbit(b"1")
    broker.stream = True
    with pytest.raises(Misconfigured, match="in is a stream, .* name a classic") as told:
        await rabbit(broker).take(1, 0.1)
    assert told.value.setting == "queue"
    assert all(channel.is_closed for channel in broker.channels)
    assert [body for _tag, body in broker.ready] == [b"1"]


@pytest.mark.parametrize(
    ("access", "subjects", "asked", "setting"),
    [
        ({"exchange": "stock"}, {"levels_subject": "no.queue"}, True, ""),
        ({"exchange": "stcok"}, {"levels_subject": "in"}, None, "exchange"),
        ({"queue": ""}, {"levels_subject": "in", "documents_subject": "in"}, True, ""),
        ({"queue": ""}, {"levels_subject": "in", "documents_subject": "o"}, None,
         "documents_subject"),
        ({"queue": ""}, {}, True, ""),
        ({"queue": ""}, {"levels_subject": "no.{listing}", "documents_subject": "in"}, True, ""),
        ({}, {"levels_subject": "no.{listing}"}, False, ""),
        ({}, {}, False, ""),
    ],
)  # fmt: skip
async def test_rabbitmq_is_asked_for_what_is_sent_to_and_sent_nothing(
    access, subjects, asked, setting
):
    broker = Rabbit(b"1")
    queue = rabbit(broker, **access)
    if setting:
        with pytest.raises(Misconfigured, match="has no such (exchange|queue)") as told:
            await queue.check(subjects)
        assert told.value.setting == setting
    else:
        assert await queue.check(subjects) == asked
    assert broker.published == []
    assert broker.connects == (asked is not False)
    assert all(channel.is_closed for channel in broker.channels)


async def test_a_connection_asks_for_subjects_that_are_the_same_for_every_listing():
    broker = Rabbit()
    settings = rabbitmq.RabbitSettings(
        host="h", levels_subject="level.{listing}", documents_subject="papers"
    )
    connection = queue_connection.QueueConnection(
        Opening(system="s"), settings, rabbit(broker, queue="")
    )
    with pytest.raises(Misconfigured) as told:
        await connection.check()
    assert told.value.setting == "documents_subject"
    broker.away = AMQPConnectionError(111, "refused")
    await connection.close()
    with pytest.raises(NotSent):
        await connection.check()


async def test_a_host_that_is_none_is_told_without_what_stands_in_it():
    broker = Rabbit()
    broker.away = ValueError("Host 'me:pass' cannot contain ':'")
    for ask in (rabbit(broker).take(1, 0.1), rabbit(broker).put(TOLD)):
        with pytest.raises(Misconfigured) as told:
            await ask
        assert told.value.setting == "host"
        assert "pass" not in str(told.value)


async def test_an_acknowledgement_that_fails_is_told():
    broker = Rabbit(b"1")
    queue = rabbit(broker)
    taken = await queue.take(1, 0.2)
    await queue.rest()
    with pytest.raises(Transient):
        await queue.settle(taken)


async def test_rabbitmq_that_ended_our_consumer_is_told_and_asked_again():
    broker = Rabbit()
    queue = rabbit(broker)
    assert list(await queue.take(1, 0.01)) == []
    broker.consumers = 0
    broker.ready.append((9, b"late"))
    with pytest.raises(Transient, match="hands out in no more"):
        await queue.take(1, 0.01)
    assert [one.body for one in await queue.take(1, 0.2)] == [b"late"]


async def test_who_reads_no_more_lets_go_of_what_was_handed_out(monkeypatch):
    loop, passed = asyncio.get_running_loop(), []
    plain = loop.time
    monkeypatch.setattr(loop, "time", lambda: plain() + sum(passed))

    async def pass_s(seconds):
        passed.append(seconds)
        await asyncio.sleep(0.05)  # for what is due by now

    broker = Rabbit(*[b"{}"] * 5)
    settings = rabbitmq.RabbitSettings(host="h", page_size=1, wait_s=0.05)
    connection = ConsumingQueueConnection(Opening(system="s"), settings, rabbit(broker))
    page = await connection.read("")
    await connection.acknowledge(page)
    for _ in range(3):
        await pass_s(queue_connection.IDLE_S * 0.6)
        await connection.acknowledge(await connection.read(""))
    assert len(broker.channels) == 1, "it was read all the time"
    assert len((await connection.read("")).payloads) == 1
    await pass_s(queue_connection.UNKEPT_S / 2)
    assert len(broker.unsettled) == 1, "taken, and not kept as yet"
    await pass_s(queue_connection.UNKEPT_S)
    async with asyncio.timeout(30):
        while broker.unsettled:  # noqa: ASYNC110 - the stand-in tells nobody
            await asyncio.sleep(0.01)
    assert len(broker.ready) == 1
    assert len((await connection.read("")).payloads) == 1
    await connection.close()


# -------------------------------------------------------------------- Kafka


class Kafka:
    """A cluster that refuses the first thing asked of it, whichever."""

    def __init__(self, refusal):
        self.refusal = refusal

    def __call__(self, *_topics, **_told):
        return self

    async def start(self):
        raise self.refusal

    async def stop(self):
        """Nothing was begun."""


@pytest.mark.parametrize(
    ("refusal", "setting", "text"),
    [
        (UnknownTopicOrPartitionError(), "topic", "no topic in"),
        (TopicAuthorizationFailedError("in"), "user", "does not let us use in"),
        (GroupAuthorizationFailedError("g"), "user", "does not let us use in"),
        (AuthenticationFailedError(), "password", "refused our credentials"),
    ],
)
async def test_what_kafka_refuses_is_told_with_the_setting(refusal, setting, text):
    access = KafkaAccess(bootstrap_servers=("k:1",), topic="in", out_topic="in", timeout_s=1.0)
    queue = KafkaQueue(access, Kafka(refusal), Kafka(refusal))
    asked = (queue.take(1, 0.01), queue.put(TOLD), queue.check({}))
    for ask, named in zip(asked, [setting] * 3, strict=True):
        with pytest.raises(Misconfigured, match=text) as told:
            await ask
        assert told.value.setting in (named, f"out_{named}")


# -------------------------------------------------------------------- the connection above them


async def test_what_was_not_kept_is_read_again_before_anything_else():
    broker = Rabbit(b"1", b"2", b"3")
    settings = rabbitmq.RabbitSettings(host="h", page_size=2, wait_s=0.01)
    connection = ConsumingQueueConnection(Opening(system="s"), settings, rabbit(broker))
    first = await connection.read("")
    again = await connection.read("")
    assert [one.body for one in again.payloads] == [b"1", b"2"]
    assert again.receipt is first.receipt
    assert not first.complete
    await connection.acknowledge(again)
    rest = await connection.read("")
    assert ([one.body for one in rest.payloads], rest.complete) == ([b"3"], True)
    await connection.close()


async def test_what_a_queue_says_of_a_level_is_what_it_knows():
    broker = Rabbit()
    settings = rabbitmq.RabbitSettings(host="h", levels_subject="stock.{listing}")
    settings = msgspec.structs.replace(settings, documents_subject="papers")
    connection = ConsumingQueueConnection(Opening(system="s"), settings, rabbit(broker))
    assert await connection.publish([LEVEL]) == [Applied()]
    broker.fault = AMQPConnectionError("gone")
    (doubt,) = await connection.publish([LEVEL])
    assert isinstance(doubt, InDoubt)
    broker.away = AMQPConnectionError("refused")
    with pytest.raises(queues.Away):
        await connection.publish([LEVEL, LEVEL])
    assert isinstance(await connection.submit(REFUND), Retry)


async def test_a_broker_that_goes_is_asked_in_vain_once_a_call():
    class Going:
        def __init__(self):
            self.asked = 0

        async def put(self, message):
            self.asked += 1
            if self.asked > 1:
                raise queues.Away("it cannot be reached")
            return "1"

    queue = Going()
    settings = rabbitmq.RabbitSettings(host="h", levels_subject="stock")
    connection = ConsumingQueueConnection(Opening(system="s"), settings, queue)
    first, *others = await connection.publish([LEVEL] * 4)
    assert first == Applied()
    assert [type(one) for one in others] == [Retry] * 3
    assert queue.asked == 2


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
    assert await connection.submit(REFUND) == Delivered(reference="1")
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
    broker = Rabbit()
    broker.silent = True
    settings = rabbitmq.RabbitSettings(host="h", levels_subject="stock", timeout_s=0.05)
    connection = ConsumingQueueConnection(Opening(system="s"), settings, rabbit(broker))
    assert await connection.publish([LEVEL]) == [
        InDoubt(reason="the broker did not answer in time")
    ]


def test_a_library_that_is_not_installed_is_told_with_its_extra():
    with pytest.raises(Misconfigured, match=r"install stockwright\[kafka\]"):
        queues.library("no_such_library", "kafka")

"""Kafka behind the seam of queues: a consumer group in, a topic for each subject out.

The order is that of each partition; messages to one subject go to one partition, by its key.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from stockwright.domain.errors import Misconfigured, Rejected, Transient
from stockwright.sdk.messages import Announcement
from stockwright.sdk.queues import Away, Taken, headers_from, library
from stockwright.sdk.secrets import Secret
from stockwright.sdk.transports import Unanswered

_JOIN_S: Final = 60.0
"""How long a group may take to share its partitions out; one that died is waited for."""
_SESSION_S: Final = 10.0
"""After that time without a sign of life a member's partitions are another's."""
_PATIENCE: Final = 2.0
"""The library gives a message up after the time-out, when it next looks; by now it has looked."""
_MAX_REQUEST_BYTES: Final = 33_554_432
"""The cluster says what is too large, not the library."""
_NO_TOPIC: Final = frozenset({"UnknownTopicOrPartitionError", "InvalidTopicError"})
_NO_RIGHT: Final = frozenset(
    {
        "TopicAuthorizationFailedError",
        "GroupAuthorizationFailedError",
        "ClusterAuthorizationFailedError",
    }
)
_NOBODY: Final = "KafkaConnectionError"
"""What the library says whatever kept it from the brokers that it knows."""
_OF_ONE: Final = frozenset(
    {"security_protocol", "ssl_context", "sasl_plain_username", "sasl_plain_password"}
)
"""The settings of a connection to one broker."""
_NO_ENTRY: Final = frozenset(
    {"AuthenticationFailedError", "SaslAuthenticationFailed", "UnsupportedSaslMechanismError"}
)


class KafkaAccess(msgspec.Struct, frozen=True, kw_only=True):
    """How the cluster is reached, and what is consumed there. topic '' consumes nothing.

    out_topic: everything is sent there, under its subject as the key.
    """

    bootstrap_servers: tuple[str, ...]
    timeout_s: float
    security: str = "PLAINTEXT"
    user: str = ""
    password: Secret | None = None
    topic: str = ""
    group: str = "stockwright"
    out_topic: str = ""


class KafkaQueue:
    """One consumer and one producer, opened when needed. make_* replace the library's in tests."""

    def __init__(
        self,
        access: KafkaAccess,
        make_consumer: Callable[..., Any] | None = None,
        make_producer: Callable[..., Any] | None = None,
    ) -> None:
        self._access = access
        self._make_consumer = make_consumer
        self._make_producer = make_producer
        self._consumer: Any = None
        self._producer: Any = None
        self._ending: set[asyncio.Task[None]] = set()

    async def take(self, most: int, wait_s: float) -> Sequence[Taken]:
        """The next records of our partitions, in the order of each."""
        errors = library("aiokafka.errors", "kafka")
        try:
            async with asyncio.timeout(_JOIN_S):
                consumer = await self._reader()
            async with asyncio.timeout(self._access.timeout_s + wait_s):
                found = await consumer.getmany(timeout_ms=int(wait_s * 1000), max_records=most)
                if not found:
                    await _look(consumer)
        except (errors.KafkaError, OSError) as error:
            await self.rest()
            cause = await self._cause(error)
            off = Transient(f"Kafka broke off: {_named(cause)}")
            raise self._refused("topic", cause) or off from None
        return [_taken(record, consumer) for records in found.values() for record in records]

    async def rest(self) -> None:
        """Leaves the group until the next `take`, so that our partitions are another member's."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await asyncio.wait((self._end(consumer),), timeout=self._access.timeout_s)

    async def settle(self, taken: Sequence[Taken]) -> None:
        """Commits the offsets behind what was taken."""
        errors, structs = library("aiokafka.errors", "kafka"), library("aiokafka.structs", "kafka")
        offsets: dict[Any, int] = {}
        for one in taken:
            consumer, topic, partition, offset = one.receipt
            if consumer is not self._consumer:
                # The partition may be another member's by now, and further on.
                raise Transient("Kafka takes no commit: we have left the group since")
            place = structs.TopicPartition(topic, partition)
            offsets[place] = max(offsets.get(place, 0), offset + 1)
        if not offsets:
            return
        try:
            async with asyncio.timeout(self._access.timeout_s):
                await self._consumer.commit(offsets)
        except (errors.KafkaError, OSError) as error:
            await self.rest()
            raise Transient(f"Kafka took no commit: {_named(error)}") from None

    async def put(self, message: Announcement) -> str:
        """Stores a message on all in-sync replicas; TOPIC:PARTITION:OFFSET."""
        topic = self._out_topic()
        errors = library("aiokafka.errors", "kafka")
        producer, _ = await self._asked(lambda producer: producer.partitions_for(topic))
        headers = [("id", message.id.encode()), ("content-type", message.content_type.encode())]
        try:
            async with asyncio.timeout(_PATIENCE * self._access.timeout_s):
                stored = await producer.send_and_wait(
                    topic, message.body, key=message.subject.encode(), headers=headers
                )
        except errors.MessageSizeTooLargeError:
            text = f"the topic {topic} of Kafka takes no message of {len(message.body)} bytes"
            raise Rejected("too_large", "body", text) from None
        except (errors.KafkaError, OSError) as error:
            self._broke()
            unknown = Unanswered(f"Kafka did not say that it stored: {_named(error)}")
            raise self._refused("out_topic", error) or unknown from None
        return f"{stored.topic}:{stored.partition}:{stored.offset}"

    async def check(self, subjects: Mapping[str, str]) -> bool:
        """Asks whether the topic that all is sent to is there. Of all topics at once, for asking by
        name makes a topic where the cluster is set up so.
        """
        if not self._access.out_topic and not subjects:
            return False
        topic = self._out_topic()
        _, found = await self._asked(lambda producer: producer.client.fetch_all_metadata())
        if topic not in found.topics():
            text = f"Kafka has no topic {topic}, or does not let us see it: create it there"
            raise Misconfigured("out_topic", text)
        return True

    def _out_topic(self) -> str:
        if not self._access.out_topic:
            raise Misconfigured("out_topic", "say to which topic Kafka is sent")
        return self._access.out_topic

    async def _asked(self, question: Callable[[Any], Awaitable[Any]]) -> tuple[Any, Any]:
        """A producer, and what the cluster answers to a question that it asks."""
        errors = library("aiokafka.errors", "kafka")
        try:
            async with asyncio.timeout(self._access.timeout_s):
                producer = await self._writer()
                return producer, await question(producer)
        except (errors.KafkaError, OSError) as error:
            self._broke()
            cause = await self._cause(error)
            away = Away(f"Kafka cannot be reached: {_named(cause)}")
            raise self._refused("out_topic", cause) or away from None

    async def _cause(self, error: Exception) -> Exception:
        """Why the library reached no broker, which it does not say: what one of them answers."""
        if type(error).__name__ != _NOBODY:
            return error
        told = self._reached()
        host, _, port = told["bootstrap_servers"][0].rpartition(":")
        known = {name: value for name, value in told.items() if name in _OF_ONE}
        if self._access.security.startswith("SASL"):
            known["sasl_mechanism"] = "PLAIN"
        try:
            async with asyncio.timeout(self._access.timeout_s):
                made = await library("aiokafka.conn", "kafka").create_conn(host, int(port), **known)
        except Exception as cause:  # noqa: BLE001  only asked for the reason
            return cause
        made.close()
        return error

    async def close(self) -> None:
        """Leaves the group and closes both connections; gives up what takes too long."""
        await self.rest()
        self._broke()
        if self._ending:
            _, late = await asyncio.wait(self._ending, timeout=_PATIENCE * self._access.timeout_s)
            for task in late:
                task.cancel()

    def _broke(self) -> None:
        """The next `put` has a producer of its own."""
        producer, self._producer = self._producer, None
        if producer is not None:
            self._end(producer)

    def _end(self, part: Any) -> "asyncio.Task[None]":
        """Stops a consumer or producer. While a cluster is away that may take long: one cut short
        would leave parts of it running.
        """

        async def stop() -> None:
            with contextlib.suppress(Exception):  # it may be broken already
                await part.stop()

        task = asyncio.create_task(stop())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return task

    async def _reader(self) -> Any:
        if self._consumer is None:
            make = self._make_consumer or library("aiokafka", "kafka").AIOKafkaConsumer
            made = make(
                self._access.topic,
                group_id=self._access.group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                session_timeout_ms=int(_SESSION_S * 1000),
                heartbeat_interval_ms=int(_SESSION_S * 300),
                request_timeout_ms=int(_JOIN_S * 1000),
                **self._reached(),
            )
            self._consumer = await self._started(made)
        return self._consumer

    async def _writer(self) -> Any:
        if self._producer is None:
            make = self._make_producer or library("aiokafka", "kafka").AIOKafkaProducer
            # An idempotent producer of this library tries for ever while the cluster is away, and
            # cannot be stopped meanwhile. Without it, one message is on its way at a time.
            made = make(
                acks="all",
                max_request_size=_MAX_REQUEST_BYTES,
                request_timeout_ms=int(self._access.timeout_s * 1000),
                **self._reached(),
            )
            self._producer = await self._started(made)
        return self._producer

    async def _started(self, part: Any) -> Any:
        """A consumer or producer that has started; one that is cut short meanwhile is not kept."""
        try:
            await part.start()
        except BaseException:
            self._end(part)
            raise
        return part

    def _refused(self, setting: str, error: Exception) -> Exception | None:
        """What an operator must change, where Kafka said so."""
        name, topic = type(error).__name__, getattr(self._access, setting)
        if name in _NO_TOPIC:
            return Misconfigured(setting, f"Kafka has no topic {topic}: create it there")
        if name in _NO_RIGHT:
            text = f"Kafka does not let {self._access.user or 'us'} use {topic}: {name}"
            return Misconfigured("user", text)
        if name in _NO_ENTRY:
            return Misconfigured("password", "Kafka refused our credentials")
        return None

    def _reached(self) -> dict[str, Any]:
        access = self._access
        told: dict[str, Any] = {
            "bootstrap_servers": list(access.bootstrap_servers),
            "retry_backoff_ms": 500,
            "security_protocol": access.security,
        }
        if access.security.endswith("SSL"):
            told["ssl_context"] = library("aiokafka.helpers", "kafka").create_ssl_context()
        if access.security.startswith("SASL"):
            told["sasl_plain_username"] = access.user
            told["sasl_plain_password"] = access.password.reveal() if access.password else ""
        return told


async def _look(consumer: Any) -> None:
    """Raises where nothing came because the cluster is away: the library goes on in silence."""
    partitions = consumer.assignment()
    await (consumer.end_offsets(partitions) if partitions else consumer.topics())


def _named(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()


def _taken(record: Any, consumer: Any) -> Taken:
    key = (record.key or b"").decode("utf-8", "replace")
    return Taken(
        body=record.value or b"",
        subject=key or record.topic,
        place=f"{record.topic}:{record.partition}:{record.offset}",
        headers=headers_from(
            record.headers, lambda value: (value or b"").decode("utf-8", "replace")
        ),
        receipt=(consumer, record.topic, record.partition, record.offset),
    )

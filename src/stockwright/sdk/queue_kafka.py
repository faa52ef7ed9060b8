"""Kafka behind the seam of queues: a consumer group in, a topic for each subject out.

The order is that of each partition; messages to one subject go to one partition, by its key.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from stockwright.domain.errors import Misconfigured, Transient
from stockwright.sdk.messages import Announcement
from stockwright.sdk.queues import Taken, headers_from, library
from stockwright.sdk.secrets import Secret
from stockwright.sdk.transports import NotSent, Unanswered


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

    async def take(self, most: int, wait_s: float) -> Sequence[Taken]:
        """The next records of our partitions, in the order of each."""
        errors = library("aiokafka.errors", "kafka")
        try:
            consumer = await self._reader()
            found = await consumer.getmany(timeout_ms=int(wait_s * 1000), max_records=most)
        except errors.KafkaError as error:
            await self.close()
            raise Transient(f"Kafka broke off: {type(error).__name__}") from None
        return [_taken(record) for records in found.values() for record in records]

    async def settle(self, taken: Sequence[Taken]) -> None:
        """Commits the offsets behind what was taken."""
        errors, structs = library("aiokafka.errors", "kafka"), library("aiokafka.structs", "kafka")
        offsets: dict[Any, int] = {}
        for one in taken:
            topic, partition, offset = one.receipt
            place = structs.TopicPartition(topic, partition)
            offsets[place] = max(offsets.get(place, 0), offset + 1)
        if not offsets:
            return
        try:
            consumer = await self._reader()
            await consumer.commit(offsets)
        except errors.KafkaError as error:
            await self.close()
            raise Transient(f"Kafka took no commit: {type(error).__name__}") from None

    async def put(self, message: Announcement) -> str:
        """Stores a message on all in-sync replicas; TOPIC:PARTITION:OFFSET."""
        if not self._access.out_topic:
            raise Misconfigured("out_topic", "say to which topic Kafka is sent")
        errors = library("aiokafka.errors", "kafka")
        try:
            producer = await self._writer()
        except errors.KafkaError as error:
            await self.close()
            raise NotSent(f"Kafka cannot be reached: {type(error).__name__}") from None
        headers = [("id", message.id.encode()), ("content-type", message.content_type.encode())]
        try:
            stored = await producer.send_and_wait(
                self._access.out_topic, message.body, key=message.subject.encode(), headers=headers
            )
        except errors.MessageSizeTooLargeError as error:
            raise Misconfigured("out_topic", f"Kafka does not take this message: {error}") from None
        except errors.KafkaError as error:
            await self.close()
            raise Unanswered(f"Kafka did not say that it stored: {type(error).__name__}") from None
        return f"{stored.topic}:{stored.partition}:{stored.offset}"

    async def close(self) -> None:
        """Leaves the group and closes both connections."""
        for part in (self._consumer, self._producer):
            if part is not None:
                with contextlib.suppress(Exception):  # it may be broken already
                    await part.stop()
        self._consumer = self._producer = None

    async def _reader(self) -> Any:
        if self._consumer is None:
            make = self._make_consumer or library("aiokafka", "kafka").AIOKafkaConsumer
            made = make(
                self._access.topic,
                group_id=self._access.group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                **self._reached(),
            )
            self._consumer = made
            await made.start()
        return self._consumer

    async def _writer(self) -> Any:
        if self._producer is None:
            make = self._make_producer or library("aiokafka", "kafka").AIOKafkaProducer
            made = make(acks="all", enable_idempotence=True, **self._reached())
            self._producer = made
            await made.start()
        return self._producer

    def _reached(self) -> dict[str, Any]:
        access = self._access
        told: dict[str, Any] = {
            "bootstrap_servers": list(access.bootstrap_servers),
            "request_timeout_ms": int(access.timeout_s * 1000),
            "security_protocol": access.security,
        }
        if access.security.endswith("SSL"):
            told["ssl_context"] = library("aiokafka.helpers", "kafka").create_ssl_context()
        if access.security.startswith("SASL"):
            told["sasl_plain_username"] = access.user
            told["sasl_plain_password"] = access.password.reveal() if access.password else ""
        return told


def _taken(record: Any) -> Taken:
    key = (record.key or b"").decode("utf-8", "replace")
    return Taken(
        body=record.value or b"",
        subject=key or record.topic,
        place=f"{record.topic}:{record.partition}:{record.offset}",
        headers=headers_from(record.headers, lambda value: value.decode("utf-8", "replace")),
        receipt=(record.topic, record.partition, record.offset),
    )

"""A broker that speaks Kafka's protocol, on loopback: the one that librdkafka carries for tests.

It has groups, offsets and partitions, keeps records in memory, makes topics as they are asked for,
and knows no rights and no passwords. It lets in one member of a group at a time, and takes nearly a
session's time to let the next one in after it.
"""

import signal
import subprocess
import sys
import time
from typing import Any

import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer  # type: ignore[import-untyped]
from aiokafka.structs import TopicPartition  # type: ignore[import-untyped]

_RUN = """
import sys
from confluent_kafka import Producer
broker = Producer({"test.mock.num.brokers": 1})
(found,) = broker.list_topics(timeout=20).brokers.values()
print(f"{found.host}:{found.port}", flush=True)
sys.stdin.read()
"""


class KafkaBroker:
    """A process of its own, which a test may freeze or kill."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _RUN],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        assert self.address, "the broker inside confluent-kafka did not start"

    def freeze(self) -> None:
        """It answers nobody, and keeps its connections."""
        self.process.send_signal(signal.SIGSTOP)
        while psutil.Process(self.process.pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.001)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends it, with all that it kept. Safe to repeat."""
        self.process.kill()
        self.process.communicate()

    async def send(self, topic: str, *messages: tuple[str, bytes]) -> None:
        """A partner sends (key, body) messages."""
        async with AIOKafkaProducer(bootstrap_servers=self.address) as producer:
            for key, body in messages:
                await producer.send_and_wait(topic, body, key=key.encode())

    async def committed(self, topic: str, group: str = "stockwright") -> int:
        """How many records the group has done with."""
        consumer = self._consumer(group)
        async with consumer:
            found = [await consumer.committed(place) or 0 for place in await _of(consumer, topic)]
        return sum(found)

    async def stored(self, topic: str) -> list[Any]:
        """The records of a topic, by partition."""
        consumer = self._consumer(None)
        found: list[Any] = []
        async with consumer:
            places = await _of(consumer, topic)
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            while records := await consumer.getmany(timeout_ms=300):
                found += [record for each in records.values() for record in each]
        return found

    def _consumer(self, group: str | None) -> Any:
        return AIOKafkaConsumer(
            bootstrap_servers=self.address, group_id=group, enable_auto_commit=False
        )


async def _of(consumer: Any, topic: str) -> list[TopicPartition]:
    found = await consumer._client._wait_on_metadata(topic)
    return [TopicPartition(topic, partition) for partition in sorted(found)]

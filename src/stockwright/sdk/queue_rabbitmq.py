"""RabbitMQ behind the seam of queues: a queue with prefetch in, an exchange with confirms out."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from stockwright.domain.errors import Misconfigured, Transient
from stockwright.sdk.messages import Announcement
from stockwright.sdk.queues import Taken, headers_from, library
from stockwright.sdk.secrets import Secret
from stockwright.sdk.transports import NotSent, Unanswered


class RabbitAccess(msgspec.Struct, frozen=True, kw_only=True):
    """How the broker is reached, and what is consumed there. queue '' consumes nothing.

    in_flight: how many messages it hands out before those are settled. exchange '' is the default
    one, where a subject is the name of a queue.
    """

    host: str
    timeout_s: float
    port: int = 5672
    virtual_host: str = "/"
    user: str = "guest"
    password: Secret | None = None
    tls: bool = False
    queue: str = ""
    exchange: str = ""
    in_flight: int = 500


class RabbitQueue:
    """One connection with one channel, opened again after it broke. connect replaces the
    library's in tests.
    """

    def __init__(self, access: RabbitAccess, connect: Callable[..., Any] | None = None) -> None:
        self._access = access
        self._connect = connect
        self._connection: Any = None
        self._channel: Any = None
        self._exchange: Any = None
        self._arrived: asyncio.Queue[Any] | None = None

    async def take(self, most: int, wait_s: float) -> Sequence[Taken]:
        """The next messages, in the queue's order; those that were handed out to a connection that
        broke come again, in front.
        """
        errors = library("aio_pika.exceptions", "rabbitmq")
        try:
            arrived = await self._consume()
        except errors.AMQPError as error:
            await self.close()
            raise _explained(error) from None
        except (OSError, TimeoutError) as error:
            await self.close()
            raise Transient(f"RabbitMQ cannot be reached: {error}") from None
        found: list[Taken] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                found.append(_taken(await arrived.get()))
        while found and len(found) < most and not arrived.empty():
            found.append(_taken(arrived.get_nowait()))
        if not found and (self._channel is None or self._channel.is_closed):
            await self.close()
            raise Transient("the connection to RabbitMQ was lost")
        return found

    async def settle(self, taken: Sequence[Taken]) -> None:
        """Acknowledges each message. Where the connection is gone by now they come once more."""
        errors = library("aio_pika.exceptions", "rabbitmq")
        try:
            for one in taken:
                await one.receipt.ack()
        except (errors.AMQPError, OSError, RuntimeError) as error:
            await self.close()
            raise Transient(f"RabbitMQ took no acknowledgement: {error}") from None

    async def put(self, message: Announcement) -> str:
        """Publishes a persistent message, and waits for the word that a queue has it."""
        errors, amqp = library("aio_pika.exceptions", "rabbitmq"), library("aio_pika", "rabbitmq")
        try:
            exchange = await self._open()
        except errors.AMQPError as error:
            await self.close()
            raise _explained(error) from None
        except (OSError, TimeoutError) as error:
            await self.close()
            raise NotSent(f"RabbitMQ cannot be reached: {error}") from None
        told = amqp.Message(
            message.body,
            message_id=message.id,
            content_type=message.content_type,
            delivery_mode=amqp.DeliveryMode.PERSISTENT,
        )
        try:
            await exchange.publish(
                told, routing_key=message.subject, mandatory=True, timeout=self._access.timeout_s
            )
        except errors.DeliveryError:
            text = f"RabbitMQ has no queue for {message.subject}: bind one to the exchange"
            raise Misconfigured("exchange", text) from None
        except (errors.AMQPError, OSError, TimeoutError, RuntimeError) as error:
            await self.close()
            raise Unanswered(f"RabbitMQ did not confirm: {type(error).__name__}") from None
        return message.id

    async def close(self) -> None:
        """Closes the connection; what was taken and not settled goes back to its queue."""
        connection, self._connection = self._connection, None
        self._channel = self._exchange = self._arrived = None
        if connection is not None:
            with contextlib.suppress(Exception):  # it may be broken already
                await connection.close()

    async def _open(self) -> Any:
        if self._channel is not None and not self._channel.is_closed:
            return self._exchange
        await self.close()
        access = self._access
        connect = self._connect or library("aio_pika", "rabbitmq").connect
        async with asyncio.timeout(access.timeout_s):
            self._connection = await connect(
                host=access.host,
                port=access.port,
                virtualhost=access.virtual_host,
                login=access.user,
                password=access.password.reveal() if access.password else "guest",
                ssl=access.tls,
            )
            self._channel = await self._connection.channel(publisher_confirms=True)
            await self._channel.set_qos(prefetch_count=access.in_flight)
            self._exchange = (
                await self._channel.get_exchange(access.exchange)
                if access.exchange
                else self._channel.default_exchange
            )
        return self._exchange

    async def _consume(self) -> "asyncio.Queue[Any]":
        await self._open()
        if self._arrived is None:
            arrived: asyncio.Queue[Any] = asyncio.Queue()
            queue = await self._channel.get_queue(self._access.queue)
            await queue.consume(arrived.put)
            self._arrived = arrived
        return self._arrived


def _explained(error: Exception) -> Exception:
    """What a refusal while opening means: a setting, or a broker that is not there."""
    name = type(error).__name__
    if name in ("ProbableAuthenticationError", "AuthenticationError"):
        return Misconfigured("password", "RabbitMQ refused our credentials")
    if name == "ChannelNotFoundEntity":
        return Misconfigured("queue", f"RabbitMQ has no such queue or exchange: {error}")
    return NotSent(f"RabbitMQ cannot be reached: {name}")


def _taken(message: Any) -> Taken:
    headers = headers_from(message.headers or {})
    if message.content_type:
        headers["content-type"] = message.content_type
    return Taken(
        body=message.body,
        subject=message.routing_key or "",
        place=message.message_id or str(message.delivery_tag),
        headers=headers,
        receipt=message,
    )

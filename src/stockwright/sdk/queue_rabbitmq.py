"""RabbitMQ behind the seam of queues: a queue with prefetch in, an exchange with confirms out."""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from stockwright.domain.errors import Misconfigured, Rejected, Throttled, Transient
from stockwright.sdk.messages import Announcement
from stockwright.sdk.queues import Away, Taken, headers_from, library, varies
from stockwright.sdk.secrets import Secret
from stockwright.sdk.transports import NotSent, Unanswered

_MAX_SHORT: Final = 255
"""Bytes that AMQP has for a routing key or a message's id."""
_REFUSED_S: Final = 5.0
"""How long a queue that takes no more is left alone."""
_CLOSING_S: Final = 2.0
"""How long a broker may take to say goodbye; one that blocks us says nothing."""
_STREAM: Final = "rabbit_stream_queue"
"""What RabbitMQ calls a stream where it tells of a queue's type."""
_Way = Literal["in", "out"]


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
    """A connection for each direction, opened again after it broke: what is wrong with one does not
    end the other, and RabbitMQ, which short of memory hears nothing of a connection that publishes,
    still hears what we took. connect replaces the library's in tests.
    """

    def __init__(self, access: RabbitAccess, connect: Callable[..., Any] | None = None) -> None:
        self._access = access
        self._connect = connect
        self._connections: dict[_Way, Any] = {}
        self._consuming: Any = None
        self._publishing: Any = None
        self._exchange: Any = None
        self._arrived: asyncio.Queue[Any] = asyncio.Queue()
        self._opening: dict[_Way, asyncio.Lock] = {"in": asyncio.Lock(), "out": asyncio.Lock()}

    async def take(self, most: int, wait_s: float) -> Sequence[Taken]:
        """The next messages, in the queue's order; those that were handed out to a connection that
        broke come again, in front.
        """
        errors = library("aio_pika.exceptions", "rabbitmq")
        try:
            await self._consume()
            found = await self._next(most, wait_s)
            if not found:
                await self._look()
        except (errors.AMQPError, OSError, RuntimeError) as error:
            of_channel = isinstance(error, errors.AMQPChannelError)
            await (self.rest() if of_channel else self._hang_up("in"))
            raise self._explained(error, "queue") from None
        return found

    async def rest(self) -> None:
        """Consumes no more until the next `take`; what was not settled goes back to its queue."""
        channel, self._consuming, self._arrived = self._consuming, None, asyncio.Queue()
        await _closed(channel)

    async def settle(self, taken: Sequence[Taken]) -> None:
        """Acknowledges each message. Where the channel is gone by now they come once more."""
        errors = library("aio_pika.exceptions", "rabbitmq")
        try:
            for one in taken:
                await one.receipt.ack()
        except (errors.AMQPError, OSError, RuntimeError) as error:
            await self.rest()
            raise Transient(f"RabbitMQ took no acknowledgement: {error}") from None

    async def put(self, message: Announcement) -> str:
        """Publishes a persistent message, and waits for the word that a queue has it."""
        errors, amqp = library("aio_pika.exceptions", "rabbitmq"), library("aio_pika", "rabbitmq")
        if len(message.subject.encode()) > _MAX_SHORT:
            text = f"RabbitMQ takes subjects of at most {_MAX_SHORT} bytes"
            raise Rejected("too_long", "subject", text)
        try:
            exchange = await self._publish()
        except (errors.AMQPError, OSError, RuntimeError) as error:
            if not isinstance(error, errors.AMQPChannelError):
                await self._hang_up("out")
            raise self._explained(error, "exchange") from None
        told = amqp.Message(
            message.body,
            message_id=_short(message.id),
            content_type=message.content_type,
            delivery_mode=amqp.DeliveryMode.PERSISTENT,
        )
        try:
            await exchange.publish(
                told, routing_key=message.subject, mandatory=True, timeout=self._access.timeout_s
            )
        except errors.PublishError:
            text = f"RabbitMQ has no queue for {message.subject}: bind one to the exchange"
            raise Misconfigured("exchange", text) from None
        except errors.DeliveryError:
            text = f"RabbitMQ refused {message.subject}: its queue takes no more at present"
            raise Throttled(text, _REFUSED_S) from None
        except TimeoutError:
            await self._hang_up("out")
            text = (
                "RabbitMQ did not confirm in time: short of memory or disk it lets nobody publish"
            )
            raise Unanswered(text) from None
        except (errors.AMQPError, OSError, RuntimeError) as error:
            await self._hang_up("out")
            raise Unanswered(f"RabbitMQ did not confirm: {type(error).__name__}") from None
        return message.id

    async def check(self, subjects: Mapping[str, str]) -> bool:
        """Asks for the exchange, or of the default one for the queues that the subjects name.

        What is bound to an exchange cannot be asked, nor a queue for each listing or order. Needs
        no permission, and declares nothing.
        """
        access = self._access
        fixed = {setting: name for setting, name in subjects.items() if not varies(name)}
        if access.queue and not access.exchange and not fixed:
            return False
        if access.exchange or not fixed:
            await self._ask("exchange", "exchange", access.exchange)
        else:
            for setting, name in fixed.items():
                await self._ask(setting, "queue", name)
        return True

    async def _ask(self, setting: str, what: Literal["exchange", "queue"], name: str) -> None:
        """Asks for one exchange or queue over a channel of its own; of '' for the channel alone."""
        errors = library("aio_pika.exceptions", "rabbitmq")
        try:
            async with self._opening["out"], asyncio.timeout(self._access.timeout_s):
                channel = await (await self._open("out")).channel()
                try:
                    if name:
                        await (channel.get_queue if what == "queue" else channel.get_exchange)(name)
                finally:
                    await _closed(channel)
        except (errors.AMQPError, OSError, RuntimeError) as error:
            if not isinstance(error, errors.AMQPChannelError):
                await self._hang_up("out")
            raise self._explained(error, setting, what) from None

    async def close(self) -> None:
        """Closes the connections; what was taken and not settled goes back to its queue."""
        await self._hang_up("in")
        await self._hang_up("out")

    async def _hang_up(self, way: _Way) -> None:
        if way == "in":
            self._consuming, self._arrived = None, asyncio.Queue()
        else:
            self._publishing = self._exchange = None
        await _closed(self._connections.pop(way, None))

    async def _next(self, most: int, wait_s: float) -> list[Taken]:
        """What has arrived, or arrives in time."""
        arrived, found = self._arrived, []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                found.append(_taken(await arrived.get()))
        while found and len(found) < most and not arrived.empty():
            found.append(_taken(arrived.get_nowait()))
        return found

    async def _look(self) -> None:
        """Whether a queue that is quiet is there, and hands out to us."""
        async with asyncio.timeout(self._access.timeout_s):
            queue = await self._consuming.get_queue(self._access.queue)
        if not queue.declaration_result.consumer_count:
            await self.rest()
            raise Transient(f"RabbitMQ hands out {self._access.queue} no more: taken up again")

    async def _open(self, way: _Way) -> Any:
        """The connection of a direction, made anew where it is gone."""
        access = self._access
        if way not in self._connections or self._connections[way].is_closed:
            await self._hang_up(way)
            _read_leniently(library("pamqp.decode", "rabbitmq"))
            connect = self._connect or library("aio_pika", "rabbitmq").connect
            try:
                self._connections[way] = await connect(
                    host=access.host,
                    port=access.port,
                    virtualhost=access.virtual_host,
                    login=access.user,
                    password=access.password.reveal() if access.password else "guest",
                    ssl=access.tls,
                )
            except ValueError:
                # Its words are not told on: who writes a URL here may write a password with it.
                text = "is no name or address of a machine; port, user and virtual host stand apart"
                raise Misconfigured("host", f"RabbitMQ's host {text}") from None
        return self._connections[way]

    async def _consume(self) -> None:
        """Makes the queue hand out to us."""
        if self._consuming is not None and not self._consuming.is_closed:
            return
        async with self._opening["in"], asyncio.timeout(self._access.timeout_s):
            connection = await self._open("in")
            await self.rest()
            self._consuming = await connection.channel()
            await self._consuming.set_qos(prefetch_count=self._access.in_flight)
            queue = await self._consuming.get_queue(self._access.queue)
            # The priority every consumer has: of a stream RabbitMQ refuses it, and says so.
            await queue.consume(self._arrived.put, arguments={"x-priority": 0})

    async def _publish(self) -> Any:
        """The exchange, over a channel that tells of every message what became of it."""
        if self._publishing is not None and not self._publishing.is_closed:
            return self._exchange
        async with self._opening["out"], asyncio.timeout(self._access.timeout_s):
            connection = await self._open("out")
            # Without on_return_raises a message that no queue wants looks like one that is stored.
            made = await connection.channel(publisher_confirms=True, on_return_raises=True)
            self._exchange = (
                await made.get_exchange(self._access.exchange)
                if self._access.exchange
                else made.default_exchange
            )
            self._publishing = made
        return self._exchange

    def _explained(self, error: Exception, setting: str, what: str = "") -> Exception:
        """What a refusal while opening or looking means: a setting, or a broker that is away.

        setting is the one that names what was opened, what says what that is where it differs.
        """
        name = type(error).__name__
        if name in ("ProbableAuthenticationError", "AuthenticationError"):
            return Misconfigured("password", "RabbitMQ refused our credentials")
        if name == "ChannelNotFoundEntity":
            return Misconfigured(setting, f"RabbitMQ has no such {what or setting}: {error}")
        if name == "ChannelPreconditionFailed" and _STREAM in str(error):
            text = f"RabbitMQ's {self._access.queue} is a stream, which no consumer empties"
            return Misconfigured("queue", f"{text}: name a classic or a quorum queue")
        if name == "ChannelLockedResource" or "in exclusive use" in str(error):
            return NotSent(f"RabbitMQ keeps the queue for another consumer: {error}")
        if name == "ChannelAccessRefused":
            return Misconfigured("user", f"RabbitMQ does not let {self._access.user}: {error}")
        if name in ("ConnectionNotAllowed", "InvalidFrameError"):
            # Some servers end the talk about a wrong virtual host in the middle of a frame.
            where = self._access.virtual_host
            text = f"RabbitMQ hung up: is there a virtual host {where}, and may our user open it?"
            return Away(text)
        where = f"{self._access.host}:{self._access.port}{' by TLS' if self._access.tls else ''}"
        # The library wraps what the machine says of the address.
        cause = error.args[-1] if error.args and isinstance(error.args[-1], str) else ""
        why = f"{name}: {cause}"[:200] if cause else name
        return Away(f"RabbitMQ cannot be reached at {where}: {why}")


def _read_leniently(decode: Any) -> None:
    """Lets the library read properties that RabbitMQ hands out unchecked: an id or subject that is
    no UTF-8, a time beyond the calendar. They would break the connection, and break it again with
    every delivery: one such message would hold up its queue for good. Safe to repeat.
    """
    for name, read in (("shortstr", _text), ("timestamp", _time), ("table", _table)):
        if name in decode.METHODS:
            decode.METHODS[name] = read


def _text(value: bytes) -> tuple[int, str]:
    length = 1 + value[0]
    return length, value[1:length].decode("utf-8", "replace")


def _time(value: bytes) -> tuple[int, None]:
    """Nothing: when a message was sent, its body says."""
    return 8, None


def _table(value: bytes) -> tuple[int, dict[str, Any]]:
    """Headers; where one of them cannot be read, a single one that says so."""
    try:
        found: tuple[int, dict[str, Any]] = library("pamqp.decode", "rabbitmq").field_table(value)
    except (ValueError, OverflowError, OSError, RecursionError, LookupError) as error:
        return 4 + int.from_bytes(value[:4]), {"headers-not-read": str(error)[:200]}
    return found


async def _closed(what: Any) -> None:
    if what is not None:
        with contextlib.suppress(Exception):  # it may be broken already
            async with asyncio.timeout(_CLOSING_S):
                await what.close()


def _short(name: str) -> str:
    """A message's id as AMQP can hold it: the same for the same."""
    if len(name.encode()) <= _MAX_SHORT:
        return name
    return hashlib.sha256(name.encode()).hexdigest()


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

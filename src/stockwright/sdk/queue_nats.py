"""NATS JetStream behind the seam of queues: a durable pull consumer in, a stream out."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from stockwright.domain.errors import Misconfigured, Rejected, Transient
from stockwright.sdk.messages import Announcement
from stockwright.sdk.queues import Away, Taken, headers_from, library, varies
from stockwright.sdk.secrets import Secret
from stockwright.sdk.transports import NotSent, Unanswered


class NatsAccess(msgspec.Struct, frozen=True, kw_only=True):
    """How a server is reached, and what is consumed there. consumer '' consumes nothing.

    ack_wait_s: after that time what was taken and not settled comes again. in_flight: how many
    messages may be taken and not settled; no later one is handed out before those are, so that the
    order holds over a crash.
    """

    servers: tuple[str, ...]
    timeout_s: float
    token: Secret | None = None
    user: str = ""
    password: Secret | None = None
    credentials_file: str = ""
    stream: str = ""
    consumer: str = ""
    subject: str = ""
    ack_wait_s: float = 30.0
    in_flight: int = 500


class NatsQueue:
    """One connection to a server, opened again by the next call after it broke."""

    def __init__(self, access: NatsAccess) -> None:
        self._access = access
        self._client: Any = None
        self._stream: Any = None
        self._pull: Any = None

    async def take(self, most: int, wait_s: float) -> Sequence[Taken]:
        """The next messages of the durable consumer, in the stream's order."""
        pull = await self._consumer()
        errors = library("nats.errors", "nats")
        try:
            found = await pull.fetch(batch=most, timeout=wait_s)
        except errors.TimeoutError:
            found = []
        except errors.Error as error:
            await self.close()
            raise Transient(f"NATS broke off: {_named(error)}") from None
        if not found and not (self._client and self._client.is_connected):
            await self.close()
            raise Transient("the connection to NATS was lost")
        return [_taken(message) for message in found]

    async def rest(self) -> None:
        """Nothing: what was pulled and not settled comes again by itself, to whoever pulls."""

    async def settle(self, taken: Sequence[Taken]) -> None:
        """Acknowledges messages. Where the connection is gone by now they come once more."""
        errors = library("nats.errors", "nats")
        try:
            for one in taken:
                await one.receipt.ack()
            if taken and self._client is not None:
                await self._client.flush(timeout=max(1, int(self._access.timeout_s)))
        except (errors.Error, OSError, TimeoutError) as error:
            await self.close()
            raise Transient(f"NATS took no acknowledgement: {error}") from None

    async def put(self, message: Announcement) -> str:
        """Stores a message in the stream that takes its subject; STREAM:SEQUENCE."""
        stream = await self._publisher()
        errors, of_streams = library("nats.errors", "nats"), library("nats.js.errors", "nats")
        headers = {"Nats-Msg-Id": message.id, "Content-Type": message.content_type}
        try:
            stored = await stream.publish(
                message.subject, message.body, timeout=self._access.timeout_s, headers=headers
            )
        except of_streams.NoStreamResponseError:
            text = f"no stream takes the subject {message.subject}: create one on the server"
            raise Misconfigured("stream", text) from None
        except (errors.MaxPayloadError, errors.BadSubjectError) as error:
            raise Rejected("refused", "message", f"NATS does not take it: {error}") from None
        except errors.TimeoutError:
            await self.close()
            raise Unanswered("NATS did not say that it stored the message") from None
        except of_streams.APIError as error:
            raise NotSent(f"NATS refused the message: {error.description}") from None
        except (errors.Error, OSError) as error:
            await self.close()
            raise Unanswered(f"NATS broke off: {_named(error)}") from None
        return f"{stored.stream}:{stored.seq}"

    async def check(self, subjects: Mapping[str, str]) -> bool:
        """Asks whether a stream takes each subject: one that differs by listing or order, whether a
        stream takes any of its kind. False also where our user may not ask for streams.
        """
        if self._access.consumer and not subjects:
            return False
        stream = await self._publisher()
        for setting, subject in subjects.items():
            words = ["*" if varies(word) else word for word in subject.split(".")]
            if not await self._is_taken(stream, setting, ".".join(words)):
                return False
        return True

    async def _is_taken(self, stream: Any, setting: str, subject: str) -> bool:
        errors, of_streams = library("nats.errors", "nats"), library("nats.js.errors", "nats")
        try:
            await stream.find_stream_name_by_subject(subject)
        except of_streams.NotFoundError:
            text = f"no stream takes the subject {subject}: create one on the server"
            raise Misconfigured(setting, text) from None
        except of_streams.ServiceUnavailableError:
            text = "NATS has no JetStream for us: enable it on the server, and for our account"
            raise Misconfigured("servers", text) from None
        except (errors.Error, of_streams.APIError, OSError) as error:
            # The server says that something is not permitted, and leaves the question unanswered.
            said = str(self._client.last_error or "") if self._client else ""
            await self.close()
            if "permissions violation" in said.lower():
                return False
            raise NotSent(f"NATS did not say what takes {subject}: {_named(error)}") from None
        return True

    async def close(self) -> None:
        """Closes the connection."""
        client, self._client, self._stream, self._pull = self._client, None, None, None
        if client is not None:
            with contextlib.suppress(Exception):  # it may be broken already
                await client.close()

    async def _publisher(self) -> Any:
        if self._client is None or not self._client.is_connected:
            await self.close()
            self._client = await self._connect()
            self._stream = self._client.jetstream(timeout=self._access.timeout_s)
        return self._stream

    async def _connect(self) -> Any:
        access, errors = self._access, library("nats.errors", "nats")

        async def told_elsewhere(_error: Exception) -> None:
            """Every call tells its own failure."""

        options: dict[str, Any] = {
            "token": access.token.reveal() if access.token else None,
            "user": access.user or None,
            "password": access.password.reveal() if access.password else None,
            "user_credentials": access.credentials_file or None,
        }
        client = library("nats.aio.client", "nats").Client()
        try:
            await client.connect(
                list(access.servers),
                error_cb=told_elsewhere,
                # We connect anew ourselves, with the next call: no call waits for many tries.
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=max(1, int(access.timeout_s)),
                name="stockwright",
                **{name: value for name, value in options.items() if value},
            )
        except BaseException as error:
            with contextlib.suppress(Exception):  # there is nothing more to lose
                await client.close()
            if not isinstance(error, (errors.Error, OSError, TimeoutError)):
                raise
            if (
                isinstance(error, errors.AuthorizationError)
                or "authorization" in str(error).lower()
            ):
                given = "credentials_file" if access.credentials_file else "token"
                setting = "password" if access.user else given
                raise Misconfigured(setting, "NATS refused our credentials") from None
            raise Away(f"NATS cannot be reached: {_named(error)}") from None
        return client

    async def _consumer(self) -> Any:
        """The durable consumer, made with our settings where there is none of its name."""
        stream = await self._publisher()
        if self._pull is not None:
            return self._pull
        access = self._access
        api, errors = library("nats.js.api", "nats"), library("nats.errors", "nats")
        of_streams = library("nats.js.errors", "nats")
        wanted = api.ConsumerConfig(
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=access.ack_wait_s,
            max_ack_pending=access.in_flight,
            max_deliver=-1,
        )
        try:
            pull = await stream.pull_subscribe(
                access.subject, durable=access.consumer, stream=access.stream, config=wanted
            )
            found = (await pull.consumer_info()).config
        except of_streams.NotFoundError:
            text = f"NATS has no stream {access.stream}: create it on the server"
            raise Misconfigured("stream", text) from None
        except (of_streams.BadRequestError, of_streams.ServerError) as error:
            raise Misconfigured("consumer", f"NATS says: {error.description}") from None
        except (errors.Error, OSError) as error:
            await self.close()
            raise Transient(f"NATS broke off: {_named(error)}") from None
        if found.ack_policy != api.AckPolicy.EXPLICIT or (found.max_deliver or -1) > 0:
            text = (
                f"the consumer {access.consumer} would lose messages: it must have explicit"
                " acknowledgement and no limit of deliveries; mend it, or take another name"
            )
            raise Misconfigured("consumer", text)
        self._pull = pull
        return pull


def _named(error: Exception) -> str:
    return str(error) or type(error).__name__


def _taken(message: Any) -> Taken:
    told = message.metadata
    return Taken(
        body=message.data,
        subject=message.subject,
        place=f"{told.stream}:{told.sequence.stream}",
        headers=headers_from(message.headers or {}),
        receipt=message,
    )

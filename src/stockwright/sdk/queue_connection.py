"""A connection to a message broker, whichever: JSON in by mapping, levels and documents out.

Taken messages are a page of a poll: kept as they came, in one commit, and settled after it. A
message that cannot be mapped is parked like any payload and comes back no more.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from stockwright.domain.errors import Misconfigured, Rejected, StockwrightError, Throttled
from stockwright.domain.subscriptions import filled
from stockwright.sdk.bodies import form_out, kind_of, lost_by
from stockwright.sdk.connector import Opening
from stockwright.sdk.declaration import Capabilities, ConnectorSettings, Limits
from stockwright.sdk.json_messages import DEFAULT_RULES, key_of, map_message
from stockwright.sdk.local_time import zone_of
from stockwright.sdk.mapping import Rule, located
from stockwright.sdk.messages import (
    Announcement,
    Applied,
    Delivered,
    Document,
    Failure,
    InDoubt,
    LevelToSend,
    Mapped,
    Outbound,
    Outgoing,
    Page,
    Payload,
    PublishResult,
    Refused,
    Retry,
    SubmitResult,
)
from stockwright.sdk.outbound import Out, body_for, by_element, check_kinds
from stockwright.sdk.queues import Away, ChecksSubjects, Queue, Taken
from stockwright.sdk.sources import Style
from stockwright.sdk.transports import NotSent, Unanswered, json_body

LIMITS: Final = Limits(
    batch_size=100,
    calls_per_s=1_000.0,
    burst=1_000,
    concurrency=1,
    timeout_s=10.0,
    longest_apply_delay_s=0.0,
)
CAPABILITIES: Final = Capabilities(announces=True, documents=("shipment", "cancellation", "refund"))
RETRY_S: Final = 2.0
IDLE_S: Final = 5.0
"""After that time without a further read another worker is taken to read."""
UNKEPT_S: Final = 60.0
"""The same while messages are taken and not kept, for which a database may need its time."""
_PLACEHOLDER: Final = r"(\{(channel|listing|location|kind|order)\}|[A-Za-z0-9_/-])+"
_SUBJECT: Final = rf"^({_PLACEHOLDER}(\.{_PLACEHOLDER})*)?$"


class QueueSettings(ConnectorSettings, frozen=True, kw_only=True):
    """What an operator sets for one partner behind a queue, whichever broker it is."""

    levels_subject: Annotated[
        str,
        Meta(
            pattern=_SUBJECT,
            description="where levels go, with {channel}, {listing}, {location}; empty: none go",
        ),
    ] = ""
    documents_subject: Annotated[
        str,
        Meta(
            pattern=_SUBJECT,
            description="where documents go, with {kind} and {order}; empty: none go",
        ),
    ] = ""
    channel: Annotated[
        str,
        Meta(max_length=128, description="the channel its orders belong to; empty: the system"),
    ] = ""
    rules: Annotated[
        tuple[Rule, ...],
        Meta(min_length=1, description="how messages become facts; see the rules of mapping"),
    ] = DEFAULT_RULES
    out: Annotated[
        tuple[Out, ...],
        Meta(description="forms of what goes out, one for each kind; none: our own form"),
    ] = ()
    event_type: Annotated[
        str, Meta(pattern=r"^\$", description="where a message says what it is")
    ] = "$.type"
    ignore: Annotated[
        tuple[str, ...], Meta(description="types of message that say nothing about stock")
    ] = ()
    raw_key: Annotated[
        str,
        Meta(
            pattern=r"^(\$.*|subject)?$",
            description="path of the key whose messages wait for each other, or `subject`",
        ),
    ] = ""
    page_size: Annotated[
        int, Meta(ge=1, le=5_000, description="messages that are taken and kept at a time")
    ] = 500
    wait_s: Annotated[
        float, Meta(gt=0, le=30, description="seconds for which the broker is asked to wait")
    ] = 5.0
    max_body_bytes: Annotated[
        int, Meta(ge=1024, le=33_554_432, description="largest message that is mapped")
    ] = 1_048_576
    timeout_s: Annotated[
        float, Meta(gt=0, le=60, description="seconds until the broker is given up")
    ] = LIMITS.timeout_s
    batch_size: Annotated[
        int, Meta(ge=1, le=1_000, description="levels that are handed over in one go")
    ] = LIMITS.batch_size

    def __post_init__(self) -> None:
        check_kinds(self.out)
        for index, out in enumerate(self.out):
            if out.kind != "level" and by_element(out) and not out.each:
                reason = "each must name the list that each line goes to, or say nothing of lines"
                raise located(reason, f"out[{index}]")


class QueueConnection:
    """One partner behind a queue. Publishes, submits, announces, maps."""

    poll_every_s = 0.0
    """A queue waits by itself: it is asked again at once."""

    def __init__(self, opening: Opening, settings: QueueSettings, queue: Queue) -> None:
        self.system = opening.system
        self.limits = msgspec.structs.replace(
            LIMITS, batch_size=settings.batch_size, timeout_s=settings.timeout_s + settings.wait_s
        )
        self.rules = settings.rules
        self._settings = settings
        self._queue = queue
        self._clock = opening.clock
        self._zone = zone_of(opening.time_zone)
        self._channel = settings.channel or opening.system
        self._sending = asyncio.Lock()

    async def close(self) -> None:
        """Closes the connection to the broker."""
        await self._queue.close()

    async def check(self) -> bool:
        """Whether what the settings send to is there, where the broker can be asked; False where
        not.
        """
        if not isinstance(self._queue, ChecksSubjects):
            return False
        settings = self._settings
        named = {
            "levels_subject": settings.levels_subject,
            "documents_subject": settings.documents_subject,
        }
        async with self._sending:
            return await self._queue.check({name: text for name, text in named.items() if text})

    def map(self, payload: Payload) -> list[Mapped]:
        """The facts of one message."""
        settings = self._settings
        return map_message(
            payload, settings.rules, settings.ignore, settings.event_type, self._zone, self._channel
        )

    # ---------------------------------------------------------------- out

    async def publish(self, levels: Sequence[LevelToSend]) -> Sequence[PublishResult]:
        """Hands levels over in their order; each is applied as far as can be told once the broker
        has stored it. Raises Away where the broker cannot be reached for the first of them.
        """
        if levels and not self._settings.levels_subject:
            raise Misconfigured("levels_subject", f"say where the levels of {self.system} go")
        results: list[PublishResult] = []
        for level in levels:
            try:
                results.append(await self._publish(level))
            except Away as away:
                if not results:
                    raise
                left = len(levels) - len(results)
                return [*results, *left * [Retry(retry_after_s=RETRY_S, reason=str(away))]]
        return results

    async def _publish(self, level: LevelToSend) -> PublishResult:
        words = {"channel": level.channel, "listing": level.listing, "location": level.location}
        form = self._form((level,))
        if isinstance(form, Failure):
            return Refused(reason="form", message=f"{form.path} {form.reason}")
        message = Announcement(
            id="/".join((self.system, *words.values(), str(level.version))),
            subject=filled(self._settings.levels_subject, words),
            body=json_body(form),
        )
        stored = await self._put(message)
        return Applied() if isinstance(stored, str) else stored

    async def submit(self, document: Document) -> SubmitResult:
        """Hands one document over under its key."""
        if not self._settings.documents_subject:
            raise Misconfigured("documents_subject", f"say where documents of {self.system} go")
        words = {"kind": kind_of(document), "order": document.order}
        form = self._form(document)
        if isinstance(form, Failure):
            return Refused(reason="form", message=f"{form.path} {form.reason}")
        message = Announcement(
            id=f"{self.system}/{document.key}",
            subject=filled(self._settings.documents_subject, words),
            body=json_body(form),
        )
        try:
            stored = await self._put(message)
        except Away as away:
            return Retry(retry_after_s=RETRY_S, reason=str(away))
        return Delivered(reference=stored) if isinstance(stored, str) else stored

    def map_out(self, message: Outgoing) -> list[Outbound] | Failure:
        """The messages that would be handed over; of levels, one each."""
        if isinstance(message, tuple):
            subject = self._settings.levels_subject
            each: list[tuple[Outgoing, dict[str, str]]] = [
                ((one,), {"channel": one.channel, "listing": one.listing, "location": one.location})
                for one in message
            ]
        else:
            subject = self._settings.documents_subject
            each = [(message, {"kind": kind_of(message), "order": message.order})]
        found = []
        for one, words in each if subject else ():
            form = self._form(one)
            if isinstance(form, Failure):
                return form
            out = body_for(self._settings.out, kind_of(one))
            lost = None if out is None else lost_by(out, one, [form], Style())
            found.append(Outbound(to=filled(subject, words), body=json_body(form), lost=lost))
        return found

    def _form(self, message: Outgoing) -> Any:
        """The body of one message, or a Failure where the form of `out` cannot say it."""
        out = body_for(self._settings.out, kind_of(message))
        if out is not None:
            found = form_out(out, message, Style())
            return found if isinstance(found, Failure) else found[0]
        if not isinstance(message, tuple):
            return msgspec.to_builtins(message)
        (level,) = message
        words = {"channel": level.channel, "listing": level.listing, "location": level.location}
        told = {name: value for name, value in words.items() if value}
        return {**told, "quantity": level.quantity, "version": level.version}

    async def announce(self, announcements: Sequence[Announcement]) -> None:
        """Hands announcements over, one after the other, so that they keep their order."""
        async with self._sending:
            for one in announcements:
                await self._queue.put(one)

    async def _put(self, message: Announcement) -> str | Retry | InDoubt | Refused:
        try:
            async with self._sending, asyncio.timeout(self._settings.timeout_s):
                return await self._queue.put(message)
        except TimeoutError:
            return InDoubt(reason="the broker did not answer in time")
        except Unanswered as error:
            return InDoubt(reason=str(error))
        except Throttled as error:
            return Retry(retry_after_s=error.retry_after_s, reason=str(error))
        except Away:
            raise
        except NotSent as error:
            return Retry(retry_after_s=RETRY_S, reason=str(error))
        except Rejected as error:
            return Refused(reason=error.reason, message=str(error))


class ConsumingQueueConnection(QueueConnection):
    """A partner whose messages are consumed as well.

    One worker at a time reads; one that reads no more lets go after a while of what the broker
    handed out to it, which would lie there unread.
    """

    def __init__(self, opening: Opening, settings: QueueSettings, queue: Queue) -> None:
        super().__init__(opening, settings, queue)
        self._open: Sequence[Taken] = ()
        self._reading = asyncio.Lock()
        self._letting_go: asyncio.TimerHandle | None = None
        self._resting: asyncio.Task[None] | None = None

    async def read(self, cursor: str) -> Page:
        """The next messages; those again that were taken before and not kept. The broker knows how
        far we are, so the cursor says nothing.
        """
        started_at = self._clock()
        settings = self._settings
        self._stay()
        try:
            async with self._reading:
                if not self._open:
                    self._open = await self._queue.take(settings.page_size, settings.wait_s)
        finally:
            self._rest_after(UNKEPT_S if self._open else IDLE_S)
        return Page(
            payloads=tuple(self._payload(one) for one in self._open),
            next_cursor=cursor,
            started_at=started_at,
            complete=len(self._open) < settings.page_size,
            receipt=self._open,
        )

    async def acknowledge(self, page: Page) -> None:
        """Tells the broker that the messages are kept."""
        self._open = ()
        if page.receipt:
            # Kept they are; what the broker does not hear of comes again, and is absorbed.
            with suppress(StockwrightError):
                await self._queue.settle(page.receipt)
        self._rest_after(IDLE_S)

    async def close(self) -> None:
        """Closes the connection to the broker."""
        self._stay()
        if self._resting is not None:
            await asyncio.wait((self._resting,))
        await super().close()

    def _stay(self) -> None:
        """We read: nothing is let go."""
        if self._letting_go is not None:
            self._letting_go.cancel()
            self._letting_go = None

    def _rest_after(self, seconds: float) -> None:
        def begin() -> None:
            self._resting = asyncio.ensure_future(self._rest())

        self._stay()
        self._letting_go = asyncio.get_running_loop().call_later(seconds, begin)

    async def _rest(self) -> None:
        async with self._reading:
            self._open = ()
            await self._queue.rest()

    def _payload(self, taken: Taken) -> Payload:
        most = self._settings.max_body_bytes
        where = {"subject": taken.subject, "place": taken.place}
        problem = None
        if len(taken.body) > most:
            reason = f"has {len(taken.body)} bytes, more than max_body_bytes ({most}); cut there"
            problem = Failure(path="$", reason=reason)
        key = self._settings.raw_key
        return Payload(
            body=taken.body[:most],
            content_type=taken.headers.get("content-type", "application/json"),
            headers={**taken.headers, **{name: text for name, text in where.items() if text}},
            raw_key=taken.subject[:128] if key == "subject" else key_of(taken.body[:most], key),
            problem=problem,
        )


def connection_of(
    opening: Opening, settings: QueueSettings, queue: Queue, *, consumes: bool
) -> QueueConnection:
    """A connection with the verbs that its settings allow."""
    kind: Any = ConsumingQueueConnection if consumes else QueueConnection
    made: QueueConnection = kind(opening, settings, queue)
    return made

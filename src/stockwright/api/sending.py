"""Sends answers: in one piece, or part by part for as long as the client listens."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from starlette.types import Message, Receive, Send

from stockwright.api.problems import problem, retry_after
from stockwright.api.reply import Header, Reply, Stream

MAX_STREAMS: Final = 200
"""Answers that are being streamed at one time; beyond them the answer is `busy` at once."""
MAX_ENDLESS: Final = 150
"""Of these, how many may be endless: the places of the others are given back."""
ASKED_EVERY_S: Final = 5.0
"""How often it is asked whether whoever listens to an endless answer still may."""
Allowed = Callable[[], Awaitable[bool]]
_log = structlog.get_logger(__name__)


class Streams:
    """The answers of a server that are being streamed; `open` counts them, `endless` some."""

    def __init__(self) -> None:
        self.open = 0
        self.endless = 0

    async def begin(self, answer: Stream) -> None:
        """Makes the first part. Raises `busy`, and what making it raises."""
        if self.open >= MAX_STREAMS or (answer.endless and self.endless >= MAX_ENDLESS):
            await answer.close()
            raise problem("busy", "Too many answers are being streamed.", headers=retry_after(5))
        try:
            await answer.begin()
        except BaseException:
            await answer.close()
            raise

    async def send(
        self, answer: Stream, receive: Receive, send: Send, *, head: bool, allowed: Allowed
    ) -> None:
        """Sends the parts until all are sent or the client is gone; none for a HEAD call.

        An endless answer also ends where the client may not have it any more.
        """
        self.open += 1
        self.endless += answer.endless
        try:
            await send(_start(answer))
            sending = asyncio.ensure_future(_send_parts(send, answer, allowed, head=head))
            gone = asyncio.ensure_future(_gone(receive))
            try:
                await asyncio.wait((sending, gone), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (sending, gone):
                    task.cancel()
                await asyncio.wait((sending, gone))
            if not sending.cancelled() and (fault := sending.exception()) is not None:
                _log.error("stream broke off", exc_info=fault)
                raise fault
        finally:
            self.open -= 1
            self.endless -= answer.endless
            await answer.close()


async def send_whole(send: Send, answer: Reply) -> None:
    """Sends an answer in one piece."""
    length = (b"content-length", str(len(answer.body)).encode())
    await send(_start(answer, length))
    await send({"type": "http.response.body", "body": answer.body})


def _start(answer: Reply, *more: Header) -> Message:
    headers = [(b"content-type", answer.content_type), *more, *answer.headers]
    return {"type": "http.response.start", "status": answer.status, "headers": headers}


async def _send_parts(send: Send, answer: Stream, allowed: Allowed, *, head: bool) -> None:
    loop = asyncio.get_running_loop()
    asked_at = loop.time()
    if not head:
        async for part in answer.rest():
            if answer.endless and loop.time() - asked_at >= ASKED_EVERY_S:
                if not await allowed():
                    break
                asked_at = loop.time()
            await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    """Returns once the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass

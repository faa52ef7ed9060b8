"""Answers that are sent while they are made: many rows in little memory, and live events."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Literal, cast

import msgspec
from starlette.types import Receive, Send

from stockwright.api.problems import problem
from stockwright.api.reply import Header, Reply, encode_json

NDJSON: Final = b"application/x-ndjson"
CSV: Final = b"text/csv; charset=utf-8"
EVENTS: Final = b"text/event-stream"
Form = Literal["ndjson", "csv"]


class Stream(Reply):
    """An answer whose body comes in chunks. What fails under way cuts the answer off short."""

    __slots__ = ("chunks",)

    def __init__(
        self,
        chunks: AsyncIterator[bytes],
        content_type: bytes,
        headers: tuple[Header, ...] = (),
    ) -> None:
        super().__init__(200, b"", content_type, headers)
        self.chunks = chunks

    async def send(self, receive: Receive, send: Send, *, head_only: bool = False) -> None:
        """Sends it all, or until the client has gone; the chunks' maker is closed in any case."""
        headers = [(b"content-type", self.content_type), *self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        gone = asyncio.ensure_future(_client_gone(receive))
        try:
            while not head_only and (chunk := await _next(self.chunks, gone)) is not None:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            gone.cancel()
            await self.close()
        await send({"type": "http.response.body", "body": b""})

    async def close(self) -> None:
        """Ends the chunks' maker."""
        close = getattr(self.chunks, "aclose", None)
        if close is not None:
            await close()


async def _next(chunks: AsyncIterator[bytes], gone: "asyncio.Future[None]") -> bytes | None:
    """The next chunk; None at the end, or when the client has gone."""
    coming = asyncio.ensure_future(cast("Any", anext(chunks, None)))
    await asyncio.wait({coming, gone}, return_when=asyncio.FIRST_COMPLETED)
    if not coming.done():
        coming.cancel()
        await asyncio.wait({coming})
        return None
    return cast("bytes | None", coming.result())


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def form_of(headers: dict[bytes, bytes]) -> Form:
    """NDJSON or CSV, by Accept; NDJSON where either will do. Raises the problem not_acceptable."""
    accept = headers.get(b"accept", b"*/*").decode("latin-1").lower()
    for part in accept.split(","):
        media = part.split(";")[0].strip()
        if media in ("", "*/*", "application/*", "application/x-ndjson", "application/jsonl"):
            return "ndjson"
        if media in ("text/csv", "text/*"):
            return "csv"
    raise problem("not_acceptable", param="Accept")


async def rows_in(
    form: Form,
    struct: type[msgspec.Struct],
    pages: AsyncIterator[Sequence[msgspec.Struct]],
) -> AsyncIterator[bytes]:
    """Rows of one kind, page by page; as CSV with a line of names first."""
    if form == "csv":
        yield _csv_lines([struct.__struct_fields__])
    async for page in pages:
        if page:
            yield _lines(form, page)


def _lines(form: Form, page: Sequence[msgspec.Struct]) -> bytes:
    if form == "ndjson":
        return b"".join([encode_json(row) + b"\n" for row in page])
    return _csv_lines([msgspec.structs.astuple(row) for row in page])


def _csv_lines(rows: Sequence[Sequence[object]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return out.getvalue().encode()

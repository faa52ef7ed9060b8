"""Reading bodies: bounded, unpacked, decoded; each item of a batch stands for itself."""

import asyncio
import io
import re
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Final, TypeVar, get_args

import msgspec
from starlette.types import Message, Receive

from stockwright.api.problems import ProblemRaised, problem
from stockwright.api.repeats import refuse_repeats, seen_once
from stockwright.domain.codes import did_you_mean
from stockwright.domain.errors import Rejected
from stockwright.domain.events import Fact, RequestKind
from stockwright.domain.subscriptions import EVENT_KINDS, LEVEL

T = TypeVar("T")

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
MAX_ITEMS: Final = 10_000
_MAX_TOKENS: Final = 100 * MAX_ITEMS
"""Far more than a call of facts holds; what has more is not looked through by this process."""
RECEIVE_S: Final = 60.0
_SMALL_PACKED: Final = 1024
"""Bytes of gzip that hold a mebibyte at most, by its form."""
_CLOSE: Final = ((b"connection", b"close"),)
# A client that is still sending does not see our answer, so we let it finish, within reason.
_DRAIN_BYTES: Final = 4 * MAX_BODY_BYTES

_JSON_TYPES: Final = frozenset({b"", b"application/json"})
_LINE_TYPES: Final = frozenset({b"application/x-ndjson", b"application/jsonl"})
_FACT: Final = msgspec.json.Decoder(Fact)
_FACTS: Final = msgspec.json.Decoder(list[Fact])
_RAW: Final = msgspec.json.Decoder(msgspec.Raw)
_LOCATED: Final = re.compile(r"^(?P<what>.*?) - at `\$\.?(?P<path>[^`]*)`$", re.DOTALL)
_NO_SUCH: Final = re.compile(r"Invalid enum value '(?P<value>[^']*)'")
_KIND: Final = re.compile(r"(^|\.)kinds?(\[\d+\])?$")
_NAMED: Final = re.compile(r"(?:missing required|contains unknown) field `(?P<name>[^`]*)`")
_BLANK: Final = b" \t\r\n"
# A string, or a character that opens, closes or separates: all that splitting an array needs.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{},"]', re.DOTALL)


async def read_body(receive: Receive, headers: dict[bytes, bytes], *, packed: bool = True) -> bytes:
    """The whole body, unpacked. Raises the problems too_large, too_slow, bad_encoding and 415.

    packed False: it may not be packed, for it is proven by the bytes that came.
    """
    declared = headers.get(b"content-length", b"0")
    too_large = declared.isdigit() and _exceeds(declared)
    try:
        # The first piece counts as well: who announces a body and sends nothing holds a place.
        async with asyncio.timeout(RECEIVE_S):
            message = await receive()
            if message["type"] == "http.disconnect" or message.get("more_body") or too_large:
                body = await _receive_rest(message, receive, too_large)
            else:
                body = message.get("body", b"")
    except TimeoutError:
        raise problem("too_slow", headers=_CLOSE) from None
    encoding = headers.get(b"content-encoding")
    if encoding is None or encoding.lower() == b"identity":
        return body
    if not packed:
        detail = "Send a webhook as it was signed, without Content-Encoding."
        raise problem("unsupported_media_type", detail, param="Content-Encoding")
    if encoding.lower() != b"gzip":
        detail = "Content-Encoding may be gzip, or left out."
        raise problem("unsupported_media_type", detail, param="Content-Encoding")
    if len(body) <= _SMALL_PACKED:
        return _unzip(body)
    # A few packed kilobytes may be sixteen mebibytes, and the event loop has others to serve.
    return await asyncio.to_thread(_unzip, body)


def _exceeds(declared: bytes) -> bool:
    return len(declared) > 12 or int(declared) > MAX_BODY_BYTES


async def _receive_rest(message: Message, receive: Receive, too_large: bool) -> bytes:
    parts: list[bytes] = [message.get("body", b"")]
    size = len(parts[0])
    _check_connected(message)
    while message.get("more_body") and size <= _DRAIN_BYTES:
        message = await receive()
        _check_connected(message)
        size += len(message.get("body", b""))
        too_large = too_large or size > MAX_BODY_BYTES
        if too_large:
            parts = []
        else:
            parts.append(message.get("body", b""))
    if too_large:
        raise _too_large()
    return b"".join(parts)


def _check_connected(message: Message) -> None:
    if message["type"] == "http.disconnect":
        # What came may end where a line does, or be nothing yet, and would look whole.
        raise problem("too_slow", "The connection ended before the body did.", headers=_CLOSE)


def _too_large() -> ProblemRaised:
    detail = f"A body holds at most {MAX_BODY_BYTES // 1024 // 1024} MiB, unpacked."
    return problem("too_large", detail, headers=_CLOSE)


def _unzip(packed: bytes) -> bytes:
    stream = zlib.decompressobj(wbits=31)
    try:
        body = stream.decompress(packed, MAX_BODY_BYTES + 1)
    except zlib.error as failure:
        raise problem("bad_encoding", f"Not gzip: {failure}.") from None
    if len(body) > MAX_BODY_BYTES:
        raise _too_large()
    if not stream.eof or stream.unused_data:
        raise problem("bad_encoding", "The gzip stream ends too early or goes on after its end.")
    return body


def media_type(headers: dict[bytes, bytes]) -> bytes:
    """The body's media type without its parameters, in lower case; b'' where none is named."""
    return headers.get(b"content-type", b"").split(b";", 1)[0].strip().lower()


def require_json(headers: dict[bytes, bytes]) -> None:
    """Raises 415 where the body does not say that it is JSON."""
    if media_type(headers) not in _JSON_TYPES:
        detail = "Content-Type must be application/json."
        raise problem("unsupported_media_type", detail, param="Content-Type")


def explain(failure: Exception, known: tuple[str, ...] = ()) -> Rejected:
    """What a decoder's exception means: the field's path and words about it.

    known are the fields there are, for the question 'did you mean'.
    """
    if isinstance(failure, RecursionError):
        return Rejected("malformed", "", "The JSON is nested too deeply.")
    if isinstance(failure, UnicodeDecodeError):
        return Rejected("malformed", "", "The text is not UTF-8.")
    found = _LOCATED.match(str(failure))
    what, path = (found["what"], found["path"]) if found else (str(failure), "")
    named = _NAMED.search(what)
    if named:
        path = f"{path}.{named['name']}" if path else named["name"]
        hint = did_you_mean(named["name"], known) if "unknown" in what else ""
        what = f"{what}; {hint}" if hint else what
    wrong = _NO_SUCH.search(what)
    if wrong and _KIND.search(path):
        hint = did_you_mean(wrong["value"], (*EVENT_KINDS, LEVEL))
        what = f"{what.rstrip('.')}; {hint}" if hint else what
    if "datetime" in what:
        what = f"{what}; write a time with its zone, as 2026-01-31T14:05:00Z"
    elif "RFC3339" in what or "`date`" in what:
        what = f"{what}; write a day as 2026-01-31"
    stop = "" if what.endswith("?") else "."
    return Rejected("malformed", path, what.rstrip(".") + stop)


def decode(decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    """One JSON document of the decoder's type. Raises the problems bad_json and malformed, this
    also for a key that stands twice.
    """
    try:
        found = decoder.decode(body)
        refuse_repeats(body)
    except msgspec.ValidationError as failure:
        fields = getattr(decoder.type, "__struct_fields__", ())
        raise explain(failure, fields) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as failure:
        raise problem("bad_json", explain(failure).message) from None
    return found


async def decode_facts(
    body: bytes, headers: dict[bytes, bytes]
) -> tuple[list[Fact | Rejected], bool]:
    """The facts of a body, aligned with its items, and whether it was a batch.

    JSON object, JSON array, or one object a line. What is not a fact is a Rejected in its place.
    Raises bad_json where the items cannot even be told apart, too_many and 415.
    """
    kind = media_type(headers)
    if kind not in _JSON_TYPES and kind not in _LINE_TYPES:
        detail = "Content-Type must be application/json or application/x-ndjson."
        raise problem("unsupported_media_type", detail, param="Content-Type")
    in_lines = kind in _LINE_TYPES
    if not in_lines and not body.lstrip(_BLANK).startswith(b"["):
        only = _checked(body)
        if isinstance(only, Rejected):
            _check_form(body)
        return [only], False
    facts: list[Fact | Rejected]
    try:
        facts = _FACT.decode_lines(body) if in_lines else _FACTS.decode(body)  # type: ignore[assignment]
    except (msgspec.MsgspecError, ValueError, RecursionError):
        facts = []
    else:
        _check_count(len(facts))
    if not facts or not seen_once(body, in_lines=in_lines):
        # Item by item takes its time on a large body, and the event loop has others to serve.
        split = split_lines if in_lines else split_array
        facts = await asyncio.to_thread(lambda: [_checked(item) for item in split(body)])
    _check_count(len(facts))
    return facts, True


def _check_form(body: bytes) -> None:
    """Raises bad_json where the body is no JSON at all, whatever it should say."""
    try:
        _RAW.decode(body)
    except RecursionError:
        return  # JSON, and too deep
    except (msgspec.MsgspecError, ValueError) as failure:
        raise problem("bad_json", explain(failure).message) from None


def split_lines(body: bytes) -> list[bytes]:
    """The lines of a body that are not blank. Raises too_many before it has read them all."""
    filled = (line for line in io.BytesIO(body) if line.strip(_BLANK))
    lines = [line.removesuffix(b"\n") for line in islice(filled, MAX_ITEMS + 1)]
    _check_count(len(lines))
    return lines


def _check_count(count: int) -> None:
    if count == 0:
        raise problem("malformed", "The call holds no item.")
    if count > MAX_ITEMS:
        raise problem("too_many", f"A call holds at most {MAX_ITEMS:,} items; this has more.")


def _checked(item: bytes) -> Fact | Rejected:
    try:
        fact = _FACT.decode(item)
        refuse_repeats(item)
    except Rejected as repeated:
        return repeated
    except (msgspec.MsgspecError, ValueError, RecursionError) as failure:
        rejected = explain(failure, Fact.__struct_fields__)
        if rejected.field == "kind" and any(
            f"'{k}'" in str(failure) for k in get_args(RequestKind)
        ):
            rejected.message += " This is a request, not a fact: send it to /v1/reservations."
        return rejected
    return fact


def split_array(body: bytes) -> list[bytes]:
    """The items of a JSON array as they are written, each possibly broken in itself.

    Raises bad_json where brackets or quotes do not close, so that items cannot be told apart, and
    too_many before it has read them all.
    """
    # Of sixteen mebibytes of commas nobody needs all the items to know that they are too many.
    items = list(islice(_split_leniently(body), MAX_ITEMS + 1))
    if items[-1] is None:
        _check_form(body)
        raise problem("bad_json", "The JSON is nested too deeply, or has too many parts.")
    _check_count(len(items))
    return [item for item in items if item is not None]


def _split_leniently(body: bytes) -> Iterator[bytes | None]:
    """Items between the commas of the outermost brackets; None last where they do not close."""
    depth, start = 0, 0
    for token in islice(_TOKEN.finditer(body), _MAX_TOKENS):
        mark = token.group()
        if mark == b'"':
            break
        if mark in b"[{":
            depth += 1
            start = token.end() if depth == 1 else start
        elif mark in b"]}":
            depth -= 1
            if depth == 0:
                yield body[start : token.start()]
                if body[token.end() :].strip(_BLANK):
                    yield None
                return
        elif mark == b"," and depth == 1:
            yield body[start : token.start()]
            start = token.end()
    yield None

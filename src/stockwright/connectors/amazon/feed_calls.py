"""One feed, call by call: its document is put there, the feed is made, its report is fetched.

A deadline is a time of the loop by which a call must have ended.
"""

import zlib
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

import msgspec

from stockwright.connectors.amazon.api import Api, left_s, surely_not_done
from stockwright.domain.errors import Throttled, Transient
from stockwright.sdk.calling import WAIT_S
from stockwright.sdk.messages import InDoubt, Refused, Retry
from stockwright.sdk.transports import MAX_RESPONSE_BYTES, HttpResponse

FEEDS: Final = "/feeds/2021-06-30/feeds"
DOCUMENTS: Final = "/feeds/2021-06-30/documents"


class _Document(msgspec.Struct, rename="camel"):
    feed_document_id: str
    url: str


class _Made(msgspec.Struct, rename="camel"):
    feed_id: str


class State(msgspec.Struct, rename="camel"):
    """How a feed does."""

    processing_status: str
    created_time: str = ""
    result_feed_document_id: str = ""


class _Listed(msgspec.Struct, rename="camel"):
    feed_id: str


class _List(msgspec.Struct):
    feeds: list[_Listed]


class _Result(msgspec.Struct, rename="camel"):
    url: str
    compression_algorithm: str = ""


class Sending(msgspec.Struct, frozen=True):
    """What a feed is made of."""

    kind: str
    marketplace: str
    content_type: str
    body: bytes


async def make(api: Api, sending: Sending, deadline: float) -> str | Refused | Retry | InDoubt:
    """The feed's id, or why there is none. Raises Misconfigured: not done."""
    try:
        document = await _document(api, sending, left_s(deadline))
        if not isinstance(document, _Document):
            return document
        await api.upload(document.url, sending.content_type, sending.body, left_s(deadline))
    except Throttled as error:
        return Retry(retry_after_s=error.retry_after_s, reason=str(error))
    except Transient as error:
        return Retry(retry_after_s=WAIT_S, reason=str(error))
    if left_s(deadline) <= 0:
        return Retry(retry_after_s=0.0, reason="no time was left to send it")
    asked = {
        "feedType": sending.kind,
        "marketplaceIds": [sending.marketplace],
        "inputFeedDocumentId": document.feed_document_id,
    }
    answer = await api.write("createFeed", "POST", FEEDS, json=asked, within_s=left_s(deadline))
    if not isinstance(answer, HttpResponse):
        return answer
    try:
        return api.decode(answer.body, _Made, "createFeed").feed_id
    except Transient as error:
        return InDoubt(reason=str(error))


async def _document(api: Api, sending: Sending, within_s: float) -> _Document | Refused | Retry:
    asked = {"contentType": sending.content_type}
    answer = await api.write("createFeedDocument", "POST", DOCUMENTS, json=asked, within_s=within_s)
    if not isinstance(answer, HttpResponse):
        return surely_not_done(answer)
    return api.decode(answer.body, _Document, "createFeedDocument")


async def state_of(api: Api, feed: str, deadline: float) -> State:
    """How a feed does. Raises Misconfigured, Throttled or Transient."""
    return await api.read(
        "getFeed", f"{FEEDS}/{quote(feed, safe='')}", State, within_s=left_s(deadline)
    )


async def made_since(api: Api, kind: str, since: str, deadline: float) -> Sequence[str]:
    """The ids of the latest hundred feeds of a kind that were made since a time."""
    query = [("feedTypes", kind), ("createdSince", since), ("pageSize", "100")]
    found = await api.read("getFeeds", FEEDS, _List, query, left_s(deadline))
    return [one.feed_id for one in found.feeds]


async def report_of(api: Api, state: State, deadline: float) -> bytes | None:
    """The report of a feed that is done; None where there is none, or nobody can read it.

    Raises Misconfigured, Throttled or Transient: not to be had now.
    """
    if not state.result_feed_document_id:
        return None
    path = f"{DOCUMENTS}/{quote(state.result_feed_document_id, safe='')}"
    where = await api.read("getFeedDocument", path, _Result, within_s=left_s(deadline))
    body = await api.download(where.url, left_s(deadline))
    try:
        return _unpacked(body) if where.compression_algorithm == "GZIP" else body
    except zlib.error:
        return None


async def cancel(api: Api, feed: str, deadline: float) -> bool:
    """Whether a feed that was not begun was taken back."""
    path = f"{FEEDS}/{quote(feed, safe='')}"
    answer = await api.write("cancelFeed", "DELETE", path, within_s=left_s(deadline))
    return isinstance(answer, HttpResponse)


def _unpacked(body: bytes) -> bytes:
    packer = zlib.decompressobj(wbits=31)
    plain = packer.decompress(body, MAX_RESPONSE_BYTES)
    if packer.unconsumed_tail or not packer.eof:
        raise zlib.error("cut short, or larger than we read")
    return plain

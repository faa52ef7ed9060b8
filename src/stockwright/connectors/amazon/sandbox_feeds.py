"""The feeds of the sandbox: documents uploaded, queued, read one after the other, reported on."""

import datetime as dt
import gzip
from collections.abc import Callable
from typing import Any, Literal

import msgspec
from aiohttp import web

from stockwright.connectors.amazon.feed_calls import DOCUMENTS, FEEDS
from stockwright.connectors.amazon.listing_feed_forms import FEED_TYPE

Mood = Literal["reads", "queued", "stuck", "fatal"]


class FeedDesk:
    """Keeps feeds and reads each `takes_s` after it was made. mood: what becomes of those made from
    now on; one that is stuck stands in nobody's way.

    write(message) changes a listing, take(kind, document) an order; each answers the (code,
    message) of why not.
    """

    def __init__(
        self,
        clock: Callable[[], dt.datetime],
        write: Callable[[dict[str, Any]], tuple[str, str] | None],
        take: Callable[[str, bytes], tuple[str, str] | None],
    ) -> None:
        self.mood: Mood = "reads"
        self.takes_s = 0.0
        self.url = ""
        self.feeds: dict[str, dict[str, Any]] = {}
        self.documents: dict[str, bytes] = {}
        self._moods: dict[str, Mood] = {}
        self._made_at: dict[str, dt.datetime] = {}
        self._clock = clock
        self._write = write
        self._take = take

    def routes(self) -> list[tuple[str, str, str, Any]]:
        """(operation, method, path, handler); those of the document store have no operation."""
        return [
            ("createFeedDocument", "POST", DOCUMENTS, self._make_document),
            ("getFeedDocument", "GET", f"{DOCUMENTS}/{{id}}", self._get_document),
            ("createFeed", "POST", FEEDS, self._make),
            ("getFeeds", "GET", FEEDS, self._list),
            ("getFeed", "GET", f"{FEEDS}/{{id}}", self._get),
            ("cancelFeed", "DELETE", f"{FEEDS}/{{id}}", self._cancel),
            ("", "PUT", "/store/{id}", self._put),
            ("", "GET", "/store/{id}", self._fetch),
        ]

    def run(self) -> None:
        """Reads the feeds whose time has come, in the order in which they were made."""
        now = self._clock()
        for number, feed in self.feeds.items():
            due = self._made_at[number] + dt.timedelta(seconds=self.takes_s)
            if feed["processingStatus"] not in ("IN_QUEUE", "IN_PROGRESS") or now < due:
                continue
            match self._moods[number]:
                case "stuck":
                    feed["processingStatus"] = "IN_PROGRESS"
                case "fatal":
                    feed["processingStatus"] = "FATAL"
                case "reads":
                    report = self._read(number, feed)
                    result = f"result-{number}"
                    self.documents[result] = gzip.compress(report)
                    feed |= {"processingStatus": "DONE", "resultFeedDocumentId": result}

    def _read(self, number: str, feed: dict[str, Any]) -> bytes:
        """Carries out what a feed says; the report on it."""
        if feed["feedType"] != FEED_TYPE:
            document = self.documents[feed["inputFeedDocumentId"]]
            return _report_of_one(number, self._take(feed["feedType"], document))
        return self._read_listings(number, feed)

    def _read_listings(self, number: str, feed: dict[str, Any]) -> bytes:
        document = msgspec.json.decode(self.documents[feed["inputFeedDocumentId"]])
        issues = []
        for message in document["messages"]:
            refusal = self._write(message)
            if refusal is not None:
                issues.append(
                    {
                        "messageId": message["messageId"],
                        "sku": message["sku"],
                        "code": refusal[0],
                        "severity": "ERROR",
                        "message": refusal[1],
                    }
                )
        read = len(document["messages"])
        report = {
            "header": {**document["header"], "feedId": number},
            "issues": issues,
            "summary": {
                "errors": len(issues),
                "warnings": 0,
                "messagesProcessed": read,
                "messagesAccepted": read - len(issues),
                "messagesInvalid": len(issues),
            },
        }
        return msgspec.json.encode(report)

    async def _make_document(self, request: web.Request) -> web.Response:
        number = f"document-{len(self.documents) + 1}"
        self.documents[number] = b""
        return answer({"feedDocumentId": number, "url": f"{self.url}/store/{number}"}, 201)

    async def _put(self, request: web.Request) -> web.Response:
        self.documents[request.match_info["id"]] = await request.read()
        return web.Response(status=200)

    async def _fetch(self, request: web.Request) -> web.Response:
        return web.Response(body=self.documents[request.match_info["id"]])

    async def _get_document(self, request: web.Request) -> web.Response:
        number = request.match_info["id"]
        if number not in self.documents:
            return failed(404, "NotFound", "There is no such document.")
        packed = {"compressionAlgorithm": "GZIP"} if number.startswith("result-") else {}
        return answer({"feedDocumentId": number, "url": f"{self.url}/store/{number}", **packed})

    async def _make(self, request: web.Request) -> web.Response:
        asked = await request.json()
        if not self.documents.get(asked.get("inputFeedDocumentId", "")):
            return failed(400, "InvalidInput", "The document is not there.")
        number = str(3485934 + len(self.feeds))
        self._made_at[number], self._moods[number] = self._clock(), self.mood
        self.feeds[number] = {
            "feedId": number,
            "feedType": asked["feedType"],
            "marketplaceIds": asked["marketplaceIds"],
            "createdTime": self._clock().isoformat(),
            "processingStatus": "IN_QUEUE",
            "inputFeedDocumentId": asked["inputFeedDocumentId"],
        }
        return answer({"feedId": number}, 202)

    async def _list(self, request: web.Request) -> web.Response:
        kinds, since = request.query["feedTypes"].split(","), request.query["createdSince"]
        begin = dt.datetime.fromisoformat(since)
        found = [
            _shown(feed)
            for number, feed in self.feeds.items()
            if feed["feedType"] in kinds and self._made_at[number] >= begin
        ]
        return answer({"feeds": found})

    async def _get(self, request: web.Request) -> web.Response:
        self.run()
        feed = self.feeds.get(request.match_info["id"])
        if feed is None:
            return failed(404, "NotFound", "There is no such feed.")
        return answer(_shown(feed))

    async def _cancel(self, request: web.Request) -> web.Response:
        feed = self.feeds[request.match_info["id"]]
        if feed["processingStatus"] != "IN_QUEUE":
            return failed(400, "InvalidInput", "The feed is not in the queue any more.")
        feed["processingStatus"] = "CANCELLED"
        return web.Response(status=200)


def _shown(feed: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in feed.items() if name != "inputFeedDocumentId"}


def _report_of_one(number: str, refusal: tuple[str, str] | None) -> bytes:
    """The report on a feed of one message, as Amazon writes it for documents in XML."""
    wrong = int(refusal is not None)
    result = ""
    if refusal is not None:
        result = (
            "<Result><MessageID>1</MessageID><ResultCode>Error</ResultCode>"
            f"<ResultMessageCode>{refusal[0]}</ResultMessageCode>"
            f"<ResultDescription>{refusal[1]}</ResultDescription></Result>"
        )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        "<AmazonEnvelope><Header><DocumentVersion>1.02</DocumentVersion></Header>"
        "<MessageType>ProcessingReport</MessageType><Message><MessageID>1</MessageID>"
        f"<ProcessingReport><DocumentTransactionID>{number}</DocumentTransactionID>"
        "<StatusCode>Complete</StatusCode><ProcessingSummary>"
        f"<MessagesProcessed>1</MessagesProcessed><MessagesSuccessful>{1 - wrong}"
        f"</MessagesSuccessful><MessagesWithError>{wrong}</MessagesWithError>"
        f"<MessagesWithWarning>0</MessagesWithWarning></ProcessingSummary>{result}"
        "</ProcessingReport></Message></AmazonEnvelope>"
    ).encode()


def answer(found: Any, status: int = 200) -> web.Response:
    """An answer as JSON."""
    body = msgspec.json.encode(found)
    return web.Response(body=body, status=status, content_type="application/json")


def failed(status: int, code: str, message: str) -> web.Response:
    """An error as Amazon tells it."""
    return answer({"errors": [{"code": code, "message": message}]}, status)

"""Calls to one store: its quota of calls, told in every answer, and its pages."""

import asyncio
import datetime as dt
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import msgspec

from stockwright.connectors.bigcommerce.declaration import BigSettings
from stockwright.domain.errors import Throttled
from stockwright.sdk.auth import header
from stockwright.sdk.calling import Caller, Query
from stockwright.sdk.connector import Opening
from stockwright.sdk.transports import LONGEST_RETRY_AFTER_S, Http, HttpResponse

T = TypeVar("T")
LEFT: Final = "x-rate-limit-requests-left"
RESET: Final = "x-rate-limit-time-reset-ms"
LONGEST_WAIT_S: Final = 2.0
"""Longer than this nobody sleeps inside a call: the hub comes again."""
MOST_PAGES: Final = 10_000
_OPERATOR: Final = {401: "access_token", 403: "access_token"}


class _Pagination(msgspec.Struct):
    total_pages: int = 1


class _Meta(msgspec.Struct):
    pagination: _Pagination | None = None


class _Paged(msgspec.Struct):
    data: list[msgspec.Raw]
    meta: _Meta | None = None


class Api(Caller):
    """One store's API. Keeps to the quota that its last answer told."""

    def __init__(self, opening: Opening, settings: BigSettings) -> None:
        super().__init__(
            system=opening.system,
            base_url=f"{settings.base_url.rstrip('/')}/stores/{settings.store_hash}",
            auth=header("X-Auth-Token", settings.access_token),
            transport=opening.transport or Http(settings.concurrency),
            timeout_s=settings.timeout_s,
            clock=opening.clock,
            operator=_OPERATOR,
        )
        self._left: int | None = None
        self._reset_at = 0.0

    async def send(self, method: str, path: str, **more: Any) -> HttpResponse:
        """The answer, whatever its status. Raises Throttled where no call is left for now."""
        await self._turn()
        response = await super().send(method, path, **more)
        self._learn(response.headers)
        return response

    def wait_s(self, response: HttpResponse) -> float:
        """Seconds the store asks us to wait: until its quota begins anew, where it says so."""
        left_ms = _whole(response.headers.get(RESET))
        if left_ms is None:
            return super().wait_s(response)
        return min(left_ms / 1000, LONGEST_RETRY_AFTER_S)

    async def every(self, path: str, form: type[T], query: Query = (), size: int = 1000) -> list[T]:
        """All rows behind a v3 path, page by page. Raises Misconfigured, Throttled, Transient."""
        rows: list[T] = []
        for page in range(1, MOST_PAGES):
            asked = [*query, ("limit", str(size)), ("page", str(page))]
            found = await self.read(path, _Paged, query=asked)
            rows += [self.decode(bytes(raw), form, f"GET {path}") for raw in found.data]
            pages = found.meta.pagination if found.meta else None
            if pages is None or page >= pages.total_pages:
                break
        return rows

    async def v2_page(self, path: str, query: Query) -> list[msgspec.Raw]:
        """The rows of one page behind a v2 path; none where the store answers 204."""
        response = await self.send("GET", path, query=query)
        self.expect(response, f"GET {path}")
        if response.status == 204 or not response.body:
            return []
        return self.decode(response.body, list[msgspec.Raw], f"GET {path}")

    async def v2_all(self, path: str, form: type[T], size: int = 250) -> list[T]:
        """All rows behind a v2 path, page by page."""
        rows: list[T] = []
        for page in range(1, MOST_PAGES):
            some = await self.v2_page(path, [("limit", str(size)), ("page", str(page))])
            rows += [self.decode(bytes(raw), form, f"GET {path}") for raw in some]
            if len(some) < size:
                break
        return rows

    async def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        if self._left is None or self._left > 0 or loop.time() >= self._reset_at:
            if self._left is not None:
                self._left -= 1  # calls under way count before their answers tell
            return
        wait_s = self._reset_at - loop.time()
        if wait_s > LONGEST_WAIT_S:
            raise Throttled(f"the quota of {self.system} is used up", wait_s)
        await asyncio.sleep(wait_s)

    def _learn(self, headers: Mapping[str, str]) -> None:
        left, reset_ms = _whole(headers.get(LEFT)), _whole(headers.get(RESET))
        if left is not None and reset_ms is not None:
            self._left = left
            wait_s = min(reset_ms / 1000, LONGEST_RETRY_AFTER_S)
            self._reset_at = asyncio.get_running_loop().time() + wait_s


def moment_of(text: str) -> dt.datetime:
    """A time as v2 writes it (RFC 2822) or v3 does (ISO 8601). Raises ValueError for any other."""
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        moment = dt.datetime.fromisoformat(text)
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 12 else None

"""Calls to one store: its quota of calls, told in every answer, and its pages."""

import datetime as dt
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

import msgspec

from stockwright.connectors.bigcommerce.declaration import BigSettings
from stockwright.sdk.auth import header
from stockwright.sdk.calling import Caller, Query
from stockwright.sdk.connector import Opening
from stockwright.sdk.quotas import RateHeaders, Rationed, number_in
from stockwright.sdk.transports import LONGEST_RETRY_AFTER_S, Http, HttpResponse

T = TypeVar("T")
RESET: Final = "x-rate-limit-time-reset-ms"
QUOTA: Final = RateHeaders(left="x-rate-limit-requests-left", reset=RESET, unit="milliseconds")
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
            transport=Rationed(
                opening.transport or Http(settings.concurrency), QUOTA, opening.clock
            ),
            timeout_s=settings.timeout_s,
            clock=opening.clock,
            operator=_OPERATOR,
        )

    def wait_s(self, response: HttpResponse) -> float:
        """Seconds the store asks us to wait: until its quota begins anew, where it says so."""
        left_ms = number_in(response.headers.get(RESET, ""), ())
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


def moment_of(text: str) -> dt.datetime:
    """A time as v2 writes it (RFC 2822) or v3 does (ISO 8601). Raises ValueError for any other."""
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        moment = dt.datetime.fromisoformat(text)
    if not 1970 <= moment.year <= 2200:
        raise ValueError("a year of no order")
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)

"""Calls to one shop: its searches, and what its refusals say."""

import datetime as dt
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from stockwright.connectors.magento.declaration import MagentoSettings
from stockwright.sdk.auth import bearer
from stockwright.sdk.calling import Caller, excerpt_of, whole_text
from stockwright.sdk.connector import Opening
from stockwright.sdk.transports import Http, HttpResponse

T = TypeVar("T")
V1: Final = "/rest/V1"
BULK: Final = "/rest/async/bulk/V1"
MOST_PAGES: Final = 100_000
_OPERATOR: Final = {401: "access_token", 403: "access_token", 404: "base_url"}
_NO_ROUTE: Final = "does not match any route"


class Filter(NamedTuple):
    """One condition of a search."""

    field: str
    condition: str
    value: str


class Page(msgspec.Struct):
    """One page of what a search found, and how many rows it found in all."""

    total_count: int
    items: list[msgspec.Raw] | None = None


class Problem(NamedTuple):
    """A refusal: its message as the shop has it, the same for all alike, and text for people."""

    message: str
    text: str

    @property
    def reason(self) -> str:
        """One word for the cause."""
        words = re.sub(r"%\d+|%[a-zA-Z]+", "", self.message)
        return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")[:60] or "refused"


class Api(Caller):
    """One shop's REST API."""

    def __init__(self, opening: Opening, settings: MagentoSettings) -> None:
        super().__init__(
            system=opening.system,
            base_url=settings.base_url,
            auth=bearer(settings.access_token),
            transport=opening.transport or Http(settings.concurrency),
            timeout_s=settings.timeout_s,
            clock=opening.clock,
            operator=_OPERATOR,
        )

    async def search(
        self,
        path: str,
        groups: Sequence[Sequence[Filter]],
        *,
        sort: Sequence[str] = (),
        size: int,
        page: int = 1,
        fields: str = "",
    ) -> Page:
        """One page: rows for which one filter of each group holds."""
        query = criteria(groups, sort=sort, size=size, page=page)
        if fields:
            query.append(("fields", fields))
        return await self.read(f"{V1}{path}", Page, query=query)

    async def every(
        self,
        path: str,
        form: type[T],
        groups: Sequence[Sequence[Filter]],
        *,
        sort: Sequence[str] = (),
        size: int,
    ) -> list[T]:
        """All rows, page by page. A page after the last one repeats the last: the count ends it."""
        rows: list[T] = []
        for page in range(1, MOST_PAGES):
            found = await self.search(path, groups, sort=sort, size=size, page=page)
            some = found.items or []
            rows += [self.decode(bytes(raw), form, f"GET {path}") for raw in some]
            if len(some) < size or page * size >= found.total_count:
                break
        return rows


def criteria(
    groups: Sequence[Sequence[Filter]], *, sort: Sequence[str] = (), size: int, page: int = 1
) -> list[tuple[str, str]]:
    """A search as the shop's address bar has it."""
    query: list[tuple[str, str]] = []
    for g, group in enumerate(groups):
        for f, one in enumerate(group):
            at = f"searchCriteria[filter_groups][{g}][filters][{f}]"
            query += [
                (f"{at}[field]", one.field),
                (f"{at}[value]", one.value),
                (f"{at}[condition_type]", one.condition),
            ]
    for s, field in enumerate(sort):
        at = f"searchCriteria[sortOrders][{s}]"
        query += [(f"{at}[field]", field), (f"{at}[direction]", "ASC")]
    query += [("searchCriteria[pageSize]", str(size)), ("searchCriteria[currentPage]", str(page))]
    return query


def is_missing(response: HttpResponse) -> bool:
    """Whether a 404 says that the thing is not there, and not that the address is wrong."""
    return response.status == 404 and _NO_ROUTE not in problem_of(response.body).message


def problem_of(body: bytes) -> Problem:
    """What a refusal says: its first error, with its parameters filled in for people."""
    root = whole_text(body)
    if not isinstance(root, dict):
        return Problem("", excerpt_of(body))
    errors = root.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else root
    if not isinstance(first, dict) or not isinstance(first.get("message"), str):
        first = root
    message = str(first.get("message", ""))
    return Problem(message, _filled(message, first.get("parameters")))


def moment_of(text: str) -> dt.datetime:
    """A time as the shop writes it: UTC, without a zone. Raises ValueError, TypeError."""
    moment = dt.datetime.fromisoformat(text)
    if not 1970 <= moment.year <= 2200:
        raise ValueError("a year of no order")
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)


def text_of(moment: dt.datetime) -> str:
    """A time as the shop compares it."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def _filled(message: str, parameters: Any) -> str:
    if isinstance(parameters, dict):
        for name, value in parameters.items():
            message = message.replace(f"%{name}", str(value))
    if isinstance(parameters, list):
        for n, value in enumerate(parameters, 1):
            message = message.replace(f"%{n}", str(value))
    return message[:300]

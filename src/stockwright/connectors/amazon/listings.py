"""Listings one by one: a quantity patched, what is shown read, the whole catalogue walked."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec

from stockwright.connectors.amazon.api import Api
from stockwright.connectors.amazon.declaration import AmazonSettings
from stockwright.domain.errors import Misconfigured, Transient
from stockwright.sdk.calling import WAIT_S
from stockwright.sdk.messages import (
    Applied,
    InDoubt,
    LevelKey,
    LevelToSend,
    PublishResult,
    Refused,
    Retry,
    ShownLevel,
)
from stockwright.sdk.transports import HttpResponse

ITEMS: Final = "/listings/2021-08-01/items"
MOST_FOUND: Final = 20
"""Listings that one search names, and that one of its pages holds."""
WALK: Final = 1_000
"""Listings that one search pages through at most."""
MOST_SEARCHES: Final = 100_000
_AT_ONCE: Final = 4
_SHOWN: Final = ("includedData", "fulfillmentAvailability")


class _Issue(msgspec.Struct):
    severity: str = ""
    code: str = ""
    message: str = ""


class _Submission(msgspec.Struct):
    status: str
    issues: list[_Issue] = []


class _Availability(msgspec.Struct, rename="camel"):
    fulfillment_channel_code: str
    quantity: int | None = None


class _Summary(msgspec.Struct, rename="camel"):
    created_date: str = ""


class _Item(msgspec.Struct, rename="camel"):
    sku: str
    fulfillment_availability: list[_Availability] = []
    summaries: list[_Summary] = []


class _Pagination(msgspec.Struct, rename="camel"):
    next_token: str = ""


class _Found(msgspec.Struct, rename="camel"):
    number_of_results: int
    items: list[_Item]
    pagination: _Pagination | None = None


def patch_of(level: LevelToSend, settings: AmazonSettings) -> list[dict[str, Any]]:
    """The one change of a listing: its quantity. Merged, so that its handling time stays."""
    code = level.location or settings.fulfillment_channel
    value = {"fulfillment_channel_code": code, "quantity": level.quantity}
    return [{"op": "merge", "path": "/attributes/fulfillment_availability", "value": [value]}]


async def patch(
    api: Api, settings: AmazonSettings, levels: Sequence[LevelToSend], deadline: float
) -> list[PublishResult]:
    """Sends levels one by one in their order, as the plan allows; results are aligned.

    What did not leave by the deadline (of the event loop's clock) is not sent. Raises Misconfigured
    where nothing was done.
    """
    turn = asyncio.Semaphore(_AT_ONCE)

    async def one(level: LevelToSend) -> PublishResult:
        async with turn:
            return await _patch_one(api, settings, level, deadline)

    told = await asyncio.gather(*(one(level) for level in levels), return_exceptions=True)
    stopped = [error for error in told if isinstance(error, BaseException)]
    for error in stopped:
        if not isinstance(error, Misconfigured):
            raise error
    if stopped and not any(isinstance(one, Applied | InDoubt) for one in told):
        raise stopped[0]
    wait = Retry(retry_after_s=WAIT_S, reason="an operator must act")
    return [wait if isinstance(one, BaseException) else one for one in told]


async def _patch_one(
    api: Api, settings: AmazonSettings, level: LevelToSend, deadline: float
) -> PublishResult:
    left_s = deadline - asyncio.get_running_loop().time()
    if left_s <= 0:
        return Retry(retry_after_s=0.0, reason="no time was left to send it")
    answer = await api.write(
        "patchListingsItem",
        "PATCH",
        _path_of(settings, level.listing),
        query=[("marketplaceIds", settings.marketplaces[0])],
        json={"productType": settings.product_type, "patches": patch_of(level, settings)},
        within_s=left_s,
    )
    return _result(api, answer) if isinstance(answer, HttpResponse) else answer


def _result(api: Api, answer: HttpResponse) -> PublishResult:
    try:
        told = api.decode(answer.body, _Submission, "patchListingsItem")
    except Transient as error:
        return InDoubt(reason=str(error))
    if told.status == "ACCEPTED":
        return Applied()
    if told.status != "INVALID":
        return InDoubt(reason=f"Amazon answered with the status {told.status[:40]!r}")
    for issue in told.issues:
        if issue.severity == "ERROR":
            return Refused(reason=issue.code or "invalid", message=issue.message)
    return Refused(reason="invalid", message="Amazon did not take the quantity and named no reason")


async def read_back(
    api: Api, settings: AmazonSettings, keys: Sequence[LevelKey]
) -> list[ShownLevel | None]:
    """What is shown of these listings, aligned; one is asked for by itself, several by search.

    A SKU with a comma cannot be searched for with others: commas part them.
    """
    names = list(dict.fromkeys(key.listing for key in keys))
    alone = [name for name in names if "," in name]
    together = [name for name in names if "," not in name]
    if len(together) == 1:
        alone, together = names, []
    items: dict[str, _Item] = {}
    for name in alone:
        item = await _get(api, settings, name)
        if item is not None:
            items[name] = item
    for start in range(0, len(together), MOST_FOUND):
        some = together[start : start + MOST_FOUND]
        query = [
            ("marketplaceIds", settings.marketplaces[0]),
            ("identifiersType", "SKU"),
            ("identifiers", ",".join(some)),
            ("pageSize", str(MOST_FOUND)),
            _SHOWN,
        ]
        found = await api.read("searchListingsItems", _path_of(settings), _Found, query)
        items |= {item.sku: item for item in found.items}
    return [_shown_at(items.get(key.listing), key, settings) for key in keys]


async def _get(api: Api, settings: AmazonSettings, listing: str) -> _Item | None:
    query = [("marketplaceIds", settings.marketplaces[0]), _SHOWN]
    response = await api.ask("getListingsItem", _path_of(settings, listing), query)
    if response.status >= 400:
        return None  # Amazon does not know the SKU, or takes it for none
    return api.decode(response.body, _Item, "getListingsItem")


def _shown_at(item: _Item | None, key: LevelKey, settings: AmazonSettings) -> ShownLevel | None:
    if item is None:
        return None
    code = key.location or settings.fulfillment_channel
    for one in item.fulfillment_availability:
        if one.fulfillment_channel_code == code and one.quantity is not None:
            return ShownLevel(listing=key.listing, location=key.location, quantity=one.quantity)
    return None


async def snapshot(api: Api, settings: AmazonSettings) -> list[ShownLevel]:
    """All that the seller ships by himself, by walking through the listings as they were made.

    One search pages through a thousand listings: the next one begins at the last one's time.
    """
    found: dict[tuple[str, str], ShownLevel] = {}
    since = ""
    for _ in range(MOST_SEARCHES):
        seen, last = await _walk(api, settings, since, found)
        if seen < WALK:
            return list(found.values())
        if last <= since:
            raise Transient(f"Amazon dates {seen} listings alike: they cannot be walked through")
        since = last
    raise Transient("the walk through Amazon's listings comes to no end")


async def _walk(
    api: Api,
    settings: AmazonSettings,
    since: str,
    found: dict[tuple[str, str], ShownLevel],
) -> tuple[int, str]:
    """One search to its end: how many listings came, and when the last of them was made."""
    seen, last, token = 0, since, ""
    while True:
        query = [
            ("marketplaceIds", settings.marketplaces[0]),
            ("includedData", "summaries,fulfillmentAvailability"),
            ("sortBy", "createdDate"),
            ("sortOrder", "ASC"),
            ("pageSize", str(MOST_FOUND)),
            *([("createdAfter", since)] if since else []),
            *([("pageToken", token)] if token else []),
        ]
        page = await api.read("searchListingsItems", _path_of(settings), _Found, query)
        for item in page.items:
            found |= {(one.listing, one.location): one for one in _own(item, settings)}
            last = max([last, *(summary.created_date for summary in item.summaries)])
        seen += len(page.items)
        token = page.pagination.next_token if page.pagination else ""
        if not token or not page.items or seen >= WALK:
            return seen, last


def _own(item: _Item, settings: AmazonSettings) -> list[ShownLevel]:
    """What the seller ships of a listing; what Amazon ships is Amazon's own count."""
    levels = []
    for one in item.fulfillment_availability:
        code = one.fulfillment_channel_code
        if one.quantity is None or code.startswith("AMAZON"):
            continue
        location = "" if code == settings.fulfillment_channel else code
        levels.append(ShownLevel(listing=item.sku, location=location, quantity=one.quantity))
    return levels


def _path_of(settings: AmazonSettings, listing: str = "") -> str:
    path = f"{ITEMS}/{quote(settings.seller_id, safe='')}"
    return f"{path}/{quote(listing, safe='')}" if listing else path

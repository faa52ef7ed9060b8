"""Levels out: batches of products and of the variations of each parent, with a result for each."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from stockwright.connectors.woocommerce.catalogue import Catalogue, Place, Product
from stockwright.domain.errors import Misconfigured, Throttled, Transient
from stockwright.sdk.calling import WAIT_S, Caller
from stockwright.sdk.messages import Applied, InDoubt, LevelToSend, PublishResult, Refused, Retry
from stockwright.sdk.transports import HttpResponse

_GONE: Final = frozenset(
    {"woocommerce_rest_product_invalid_id", "woocommerce_rest_product_variation_invalid_id"}
)


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""
    data: Any = None


class _Written(msgspec.Struct):
    id: int
    error: _Error | None = None
    stock_quantity: float | None = None
    manage_stock: bool | str = False


class _Answer(msgspec.Struct):
    update: list[msgspec.Raw] = []


async def publish(
    caller: Caller, catalogue: Catalogue, levels: Sequence[LevelToSend], timeout_s: float
) -> list[PublishResult]:
    """Sends levels; results are aligned. Raises Misconfigured where nothing was done yet."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    results: dict[int, PublishResult] = {}
    try:
        async with asyncio.timeout_at(deadline):
            places = await catalogue.places(level.listing for level in levels)
    except Throttled as error:
        return [Retry(retry_after_s=error.retry_after_s, reason=str(error))] * len(levels)
    except (Transient, TimeoutError) as error:
        # Only asked so far: nothing was written.
        return [Retry(retry_after_s=WAIT_S, reason=str(error) or "no time was left")] * len(levels)
    groups: dict[str, list[int]] = {}
    for n, level in enumerate(levels):
        place = places.get(level.listing)
        if level.location:
            # The shop has one number of a product: that of one place would stand for all of them.
            message = "the shop shows one number: leave the location of the level empty"
            results[n] = Refused(reason="unknown_location", message=message)
        elif place is None:
            message = f"the shop has no product {level.listing!r}; correct it there, or the listing"
            results[n] = Refused(reason="unknown_listing", message=message)
        else:
            groups.setdefault(place.path, []).append(n)
    for path, numbers in groups.items():
        left_s = deadline - loop.time()
        some = [(levels[n], places[levels[n].listing]) for n in numbers]
        try:
            told = await _write(caller, path, some, left_s)
        except Misconfigured:
            if not any(isinstance(one, Applied | InDoubt) for one in results.values()):
                raise
            told = [Retry(retry_after_s=WAIT_S, reason="an operator must act")] * len(some)
        for n, result in zip(numbers, told, strict=True):
            results[n] = result
            if isinstance(result, Refused) and result.reason == "gone":
                catalogue.forget(levels[n].listing)
    return [results[n] for n in range(len(levels))]


async def _write(
    caller: Caller, path: str, some: Sequence[tuple[LevelToSend, Place]], left_s: float
) -> list[PublishResult]:
    if left_s <= 0:
        return [Retry(retry_after_s=0.0, reason="no time was left to send it")] * len(some)
    body = {
        "update": [
            {"id": place.id, "manage_stock": True, "stock_quantity": level.quantity}
            for level, place in some
        ]
    }
    answer = await caller.write("POST", f"{path}/batch", json=body, timeout_s=left_s)
    if not isinstance(answer, HttpResponse):
        return [answer] * len(some)
    try:
        written = [_written(raw) for raw in msgspec.json.decode(answer.body, type=_Answer).update]
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return [InDoubt(reason="the shop's answer cannot be read")] * len(some)
    by_id = {one.id: one for one in written if one is not None}
    return [_result(by_id.get(place.id), level) for level, place in some]


def _written(raw: msgspec.Raw) -> _Written | None:
    try:
        return msgspec.json.decode(raw, type=_Written)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None  # its level stays unanswered, and so in doubt


def _result(written: _Written | None, level: LevelToSend) -> PublishResult:
    if written is None:
        return InDoubt(reason="the shop's answer does not name this product")
    if written.error is not None:
        return _refusal(written.error)
    product = Product(
        id=written.id, stock_quantity=written.stock_quantity, manage_stock=written.manage_stock
    )
    if product.shown is None:
        return Refused(
            reason="no_stock_kept", message="the shop keeps no stock number of this product"
        )
    return Applied(shown=product.shown)


def _refusal(error: _Error) -> PublishResult:
    status = error.data.get("status") if isinstance(error.data, dict) else None
    if isinstance(status, int) and status >= 500:
        return InDoubt(reason=error.code or f"http_{status}")
    if error.code in _GONE:
        return Refused(reason="gone", message=error.message)
    return Refused(reason=error.code or "refused", message=error.message)

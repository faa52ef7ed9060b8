"""Which way a level goes: urgent ones and small batches by patch, bulk by feed."""

import asyncio
from collections.abc import Sequence

from stockwright.connectors.amazon.api import Api
from stockwright.connectors.amazon.declaration import AmazonSettings
from stockwright.connectors.amazon.listing_feeds import ListingFeeds
from stockwright.connectors.amazon.listings import patch
from stockwright.domain.errors import Misconfigured
from stockwright.sdk.calling import WAIT_S
from stockwright.sdk.messages import Applied, InDoubt, LevelToSend, PublishResult, Retry


async def publish(
    api: Api, settings: AmazonSettings, feeds: ListingFeeds, levels: Sequence[LevelToSend]
) -> list[PublishResult]:
    """Sends levels; results are aligned. Raises Misconfigured where nothing was done."""
    deadline = asyncio.get_running_loop().time() + settings.timeout_s
    results = await feeds.ask(levels, deadline)
    rest = [n for n in range(len(levels)) if n not in results]
    rest.sort(key=lambda n: _order(levels[n], feeds))
    by_patch, by_feed = _parted(rest, levels, feeds, settings)
    patched = await patch(api, settings, [levels[n] for n in by_patch], deadline)
    for n, result in zip(by_patch, patched, strict=True):
        results[n] = feeds.careful(levels[n], result)
    if by_feed:
        done = any(isinstance(one, Applied | InDoubt) for one in results.values())
        fed = await _feed(feeds, [levels[n] for n in by_feed], deadline, done=done)
        results |= zip(by_feed, fed, strict=True)
    return [results[n] for n in range(len(levels))]


async def _feed(
    feeds: ListingFeeds, levels: Sequence[LevelToSend], deadline: float, *, done: bool
) -> list[PublishResult]:
    try:
        return await feeds.send(levels, deadline)
    except Misconfigured:
        if not done:
            raise
        return [Retry(retry_after_s=WAIT_S, reason="an operator must act")] * len(levels)


def _parted(
    rest: list[int], levels: Sequence[LevelToSend], feeds: ListingFeeds, settings: AmazonSettings
) -> tuple[list[int], list[int]]:
    """Which go by patch and which by feed, of levels in their order: urgent ones by patch, as many
    as one call carries. Where no feed may be made now, others go by patch as well, so that nothing
    stands still.
    """
    most = settings.patches_at_once
    if len(rest) <= settings.feed_from:
        return rest, []
    if feeds.wait_s <= settings.timeout_s / 4:
        most = min(most, sum(_is_urgent(levels[n], feeds) for n in rest))
    return rest[:most], rest[most:]


def _is_urgent(level: LevelToSend, feeds: ListingFeeds) -> bool:
    """More may be shown than there is. Where we know nothing of what is shown, a zero cannot wait
    for it.
    """
    if level.expected is None:
        return level.quantity == 0 or feeds.holds_more(level)
    return level.quantity < level.expected


def _order(level: LevelToSend, feeds: ListingFeeds) -> tuple[bool, bool, int]:
    """Urgent ones first, zeroes before others, large drops before small ones."""
    drop = 0 if level.expected is None else level.quantity - level.expected
    return (not _is_urgent(level, feeds), level.quantity != 0, drop)

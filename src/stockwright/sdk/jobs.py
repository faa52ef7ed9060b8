"""Jobs that a partner takes and works off later, such as a feed or a bulk: when to look at one."""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import msgspec

SOONEST: Final = 60.0
"""Nobody comes again before this share of the pause between two looks."""


class Job(msgspec.Struct, kw_only=True):
    """A job as whoever waits for it knows it. It is looked at from look_at on, and given up at
    deadline.
    """

    id: str
    look_at: dt.datetime
    deadline: dt.datetime
    looking: asyncio.Lock = msgspec.field(default_factory=asyncio.Lock)

    def wait_s(self, now: dt.datetime, look_every_s: float) -> float:
        """Seconds until it is looked at next: whoever asks before then comes again at that time,
        not a whole pause later.
        """
        left = (self.look_at - now).total_seconds()
        return min(look_every_s, max(left, look_every_s / SOONEST))

    async def once(self, look: Callable[[], Awaitable[None]], until: float) -> None:
        """Looks, or waits for what another finds who looks now; no longer than until, by the loop's
        clock. `look` finds out itself whether there is still something to look for.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until), self.looking:
                await look()

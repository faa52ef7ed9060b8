"""The virtual clock, and the closed loop that replays a world on it.

While anything is under way the clock runs at real speed, so that what Stockwright takes is what
sellers wait. Once nothing is, it jumps to the next happening. A year is compressed by leaving out
the time in which nothing happens, and by nothing else.
"""

import asyncio
import datetime as dt
import heapq
import time
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

Action = Callable[[], Awaitable[None]]
Step = tuple[dt.datetime, Action]

LOOK_AGAIN_S: Final = 0.006
"""How long to wait between two looks whether the pipeline is idle."""
MAX_UNDER_WAY: Final = 256
STUCK_S: Final = 120.0


class VirtualClock:
    """Replay time: real seconds since the last jump, after the moment jumped to."""

    def __init__(self, start: dt.datetime, real: Callable[[], float] = time.time) -> None:
        self._real = real
        self._jumps_real = [real()]
        self._jumps_virtual = [start]

    def now(self) -> dt.datetime:
        """The virtual moment."""
        return self.at(self._real())

    def at(self, real_s: float) -> dt.datetime:
        """The virtual moment of a real one (seconds since the epoch), also of one long past."""
        jump = max(0, bisect_right(self._jumps_real, real_s) - 1)
        return self._jumps_virtual[jump] + dt.timedelta(seconds=real_s - self._jumps_real[jump])

    def jump(self, moment: dt.datetime) -> None:
        """Leave out the time until this moment; never backwards."""
        if moment > self.now():
            self._jumps_real.append(self._real())
            self._jumps_virtual.append(moment)


class ClosedLoop:
    """Starts each action at its moment, and leaves out the time in which nothing is under way.

    The next action starts when everything before it has come to rest (`at_rest` answers True), or
    when its own moment has come in real time, whichever is first: compression never makes a queue.
    """

    def __init__(
        self,
        clock: VirtualClock,
        at_rest: Callable[[], Awaitable[bool]],
        rested: Callable[[], None] = lambda: None,
        stuck_s: float = STUCK_S,
    ) -> None:
        self.clock = clock
        self._stuck_s = stuck_s
        self._at_rest = at_rest
        self._rested = rested
        self._world: Iterator[Step] = iter(())
        self._upcoming: Step | None = None
        self._later: list[tuple[dt.datetime, int, Action]] = []
        self._number = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None

    def at(self, moment: dt.datetime, action: Action) -> None:
        """Do this at a later moment of the replay."""
        self._number += 1
        heapq.heappush(self._later, (moment, self._number, action))

    async def run(self, world: Iterator[Step]) -> None:
        """Replay steps sorted by moment together with what they put off, until all is at rest.

        Raises what an action raised; then nothing further is started.
        """
        self._world = world
        self._upcoming = next(world, None)
        try:
            while True:
                moment = self._next_moment()
                if moment is None and await self._rested_for_good():
                    return
                if moment is not None and await self._reach(moment):
                    self._start(self._take())
        finally:
            for task in self._under_way:
                task.cancel()

    def _next_moment(self) -> dt.datetime | None:
        moments = [step[0] for step in (self._upcoming, *self._later[:1]) if step]
        return min(moments, default=None)

    def _take(self) -> Action:
        """The action of the next moment; what was put off goes before what comes anyway."""
        upcoming = self._upcoming
        if self._later and (upcoming is None or self._later[0][0] <= upcoming[0]):
            return heapq.heappop(self._later)[2]
        assert upcoming is not None
        self._upcoming = next(self._world, None)
        return upcoming[1]

    async def _reach(self, moment: dt.datetime) -> bool:
        """True once the moment has come; False where something earlier was put off meanwhile."""
        began = time.monotonic()
        while self.clock.now() < moment or len(self._under_way) >= MAX_UNDER_WAY:
            rested = await self._look(began)
            if self._next_moment() != moment:
                return False
            if rested:
                self.clock.jump(moment)
                break
            remaining_s = (moment - self.clock.now()).total_seconds()
            await asyncio.sleep(min(LOOK_AGAIN_S, max(0.0, remaining_s)))
        self._raise_failure()
        return True

    async def _rested_for_good(self) -> bool:
        """Waits for what is under way; True where that put nothing off."""
        began = time.monotonic()
        while True:
            rested = await self._look(began)
            if rested or self._later:
                return not self._later
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _look(self, began: float) -> bool:
        self._raise_failure()
        if self._under_way or not await self._at_rest():
            if time.monotonic() - began > self._stuck_s:
                raise TimeoutError(
                    f"nothing came to rest within {self._stuck_s:g} s: "
                    f"{len(self._under_way)} calls are still under way"
                )
            return False
        self._rested()
        return True

    def _start(self, action: Action) -> None:
        task = asyncio.ensure_future(_run(action))
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        if not task.cancelled() and self._failure is None:
            self._failure = task.exception()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


async def _run(action: Action) -> None:
    await action()

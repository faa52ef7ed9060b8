"""Wakes those who wait for news, in any event loop: a hint, so they look for themselves anyway."""

import asyncio
import threading


class Bell:
    """Rung by any thread, heard by coroutines. `closed` tells them that the house shuts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rings = 0
        self._waiting: set[asyncio.Future[None]] = set()
        self.closed = False

    @property
    def rings(self) -> int:
        """How often it rang: remember it before looking, and nothing is missed while looking."""
        return self._rings

    def ring(self) -> None:
        """Wakes everybody who waits; cheap where nobody does."""
        with self._lock:
            self._rings += 1
            waiting, self._waiting = self._waiting, set()
        for one in waiting:
            try:
                one.get_loop().call_soon_threadsafe(_wake, one)
            except RuntimeError:
                continue  # that event loop is gone, and with it whoever waited

    def close(self) -> None:
        """Wakes everybody for good: nobody waits any more."""
        self.closed = True
        self.ring()

    async def heard(self, since: int, timeout_s: float) -> None:
        """Returns once it rang again after `rings` was `since`, or the time is over."""
        waiter = asyncio.get_running_loop().create_future()
        with self._lock:
            if self._rings != since or self.closed:
                return
            self._waiting.add(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError:
            return
        finally:
            with self._lock:
                self._waiting.discard(waiter)


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)

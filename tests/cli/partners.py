"""Partners for commands that run in this thread: each lives in a thread of its own."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Played:
    """A sandbox in its own event loop; `do` runs a coroutine there and waits for it."""

    def __init__(self, sandbox: Any) -> None:
        self.sandbox = sandbox
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.url = self.do(sandbox.start())

    def do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def stop(self) -> None:
        self.do(self.sandbox.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()


@contextmanager
def played(sandbox: Any) -> Iterator[Played]:
    partner = Played(sandbox)
    try:
        yield partner
    finally:
        partner.stop()

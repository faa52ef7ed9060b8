"""What stands before several consoles: those who ask for one path are answered by each in turn."""

import asyncio
import itertools
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web


@dataclass
class Balancer:
    """Where it listens, and which process (by number) answered what, in order."""

    url: str
    answered: list[tuple[int, str]] = field(default_factory=list)

    def processes_of(self, path: str) -> set[int]:
        """Which processes were asked for paths that begin so."""
        return {process for process, asked in self.answered if asked.startswith(path)}


class _Passing:
    """Hands requests on and streams the answers back as they come."""

    def __init__(self, targets: Sequence[str], told: Balancer) -> None:
        # A turn for each path: a page asks for many files, and would always meet one process.
        self._turns: dict[str, Iterator[tuple[int, str]]] = defaultdict(
            lambda: itertools.cycle(enumerate(targets))
        )
        self._told = told
        self._session: aiohttp.ClientSession | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self._session is None:
            # Cookies are the browser's; an answer is passed on as it is.
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None),
            )
        process, target = next(self._turns[request.path])
        self._told.answered.append((process, request.path_qs))
        async with self._session.request(
            request.method,
            target + request.path_qs,
            headers=request.headers,
            data=await request.read(),
            allow_redirects=False,
        ) as found:
            passed = web.StreamResponse(status=found.status, headers=found.headers)
            await passed.prepare(request)
            async for part in found.content.iter_any():
                await passed.write(part)
            await passed.write_eof()
            return passed

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


@contextmanager
def balance(targets: Sequence[str]) -> Iterator[Balancer]:
    """Listens on a free port of this machine until the block ends."""
    told = Balancer("")
    passing = _Passing(targets, told)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", passing.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="balancer")
    thread.start()

    async def start() -> int:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return int(runner.addresses[0][1])

    async def stop() -> None:
        await passing.close()
        await runner.cleanup()

    try:
        port = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
        told.url = f"http://127.0.0.1:{port}"
        yield told
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

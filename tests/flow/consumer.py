"""An outside consumer over real HTTP on loopback: keeps what it was told, answers as it is bid."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
from aiohttp import web
from standardwebhooks import Webhook


class Heard(NamedTuple):
    """One request, as it arrived."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def events(self) -> list[dict[str, Any]]:
        told = msgspec.json.decode(self.body)
        return told if isinstance(told, list) else [told]

    def proven_by(self, secret: str) -> bool:
        """Whether a consumer with this secret believes it; raises where it does not."""
        Webhook(secret).verify(self.body, self.headers)
        return True


class Consumer:
    """Answers 204 unless told otherwise: `answers` holds statuses or replies for the next calls."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.answers: list[int | web.Response] = []
        self.default = 204
        self.before_answer: Callable[[], Awaitable[None]] | None = None
        self.url = ""
        self.under_way = 0
        self.most_under_way = 0
        self._runner: web.AppRunner | None = None
        self._news = asyncio.Event()

    async def __aenter__(self) -> "Consumer":
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/hook", self._hook)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/hook"
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def events(self) -> list[dict[str, Any]]:
        """All changes it was told, in the order of arrival, repeated ones too."""
        return [event for one in self.heard for event in one.events]

    @property
    def ids(self) -> list[str]:
        """Ids of all changes it was told, in the order of arrival."""
        return [event["id"] for event in self.events]

    async def wait_for(self, count: int, timeout_s: float = 25.0) -> None:
        """Returns once it was told so many changes."""
        async with asyncio.timeout(timeout_s):
            while len(self.ids) < count:
                self._news.clear()
                await self._news.wait()

    async def _hook(self, request: web.Request) -> web.StreamResponse:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            headers = {name.lower(): value for name, value in request.headers.items()}
            self.heard.append(Heard(headers, await request.read()))
            self._news.set()
            if self.before_answer is not None:
                await self.before_answer()
            answer = self.answers.pop(0) if self.answers else self.default
            return web.Response(status=answer) if isinstance(answer, int) else answer
        finally:
            self.under_way -= 1

"""Calls to addresses that strangers gave us: never into our own networks, unless allowed.

A name is resolved for each new connection, and what it leads to is judged then; the connection goes
to that very address. So a name that is public when it is given and private later leads nowhere.
"""

import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from stockwright.domain.proxies import Net
from stockwright.domain.reach import is_address, may_reach
from stockwright.domain.subscriptions import not_allowed
from stockwright.sdk.transports import Http, HttpRequest, HttpResponse, NotSent


class GuardedResolver(AbstractResolver):
    """Resolves names to the addresses that may be called; fails where a name has none."""

    def __init__(
        self, allowed: Sequence[Net], *, secure: bool, names: AbstractResolver | None = None
    ) -> None:
        self._allowed = allowed
        self._secure = secure
        self._names = names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name that may be called. Raises OSError where there are none."""
        if self._names is None:
            self._names = ThreadedResolver()
        found = await self._names.resolve(host, port, family)
        good = [one for one in found if may_reach(one["host"], self._allowed, public=self._secure)]
        if not good:
            raise OSError(0, not_allowed(host, secure=self._secure))
        return good

    async def close(self) -> None:
        """Gives back what names are resolved with."""
        if self._names is not None:
            await self._names.close()


class GuardedHttp:
    """A transport that calls public addresses over TLS, and those of allowed networks as it is
    told to. It follows no redirect of a POST. Belongs to the event loop of its first `send`.
    """

    def __init__(
        self, allowed: Sequence[Net], connections: int = 100, names: AbstractResolver | None = None
    ) -> None:
        self._allowed = allowed
        self._by_tls = {
            secure: Http(connections, GuardedResolver(allowed, secure=secure, names=names))
            for secure in (True, False)
        }

    async def send(self, request: HttpRequest) -> HttpResponse:
        """The answer. Raises NotSent also where the address may not be called."""
        parts = urlsplit(request.url)
        host, secure = parts.hostname or "", parts.scheme == "https"
        # Addresses that are written out pass no resolver, nor do those that other digits than ours
        # are translated to.
        if not host.isascii():
            raise NotSent("a name with other letters than a to z is called by its form with xn--")
        if is_address(host) and not may_reach(host, self._allowed, public=secure):
            raise NotSent(not_allowed(host, secure=secure))
        return await self._by_tls[secure].send(request)

    async def close(self) -> None:
        """Gives back the sockets. Safe to repeat."""
        for http in self._by_tls.values():
            await http.close()

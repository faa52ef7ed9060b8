"""Puts into a request where it came from, where one of our own proxies stands in between."""

from collections.abc import Sequence

from starlette.types import Scope

from stockwright.domain.proxies import Net, origin

_FOR, _PROTO = b"x-forwarded-for", b"x-forwarded-proto"


def seen_through(scope: Scope, trusted: Sequence[Net]) -> Scope:
    """The request as its client sent it: address and scheme are the client's own.

    Unchanged where the peer is none of `trusted`, or its word leads nowhere.
    """
    client = scope.get("client")
    if client is None:
        return scope
    told = {_FOR: list[str](), _PROTO: list[str]()}
    for name, value in scope["headers"]:
        if name in told:
            told[name].append(value.decode("latin-1"))
    found = origin(client[0], told[_FOR], told[_PROTO], trusted)
    scheme = scope["scheme"] if found.https is None else "https" if found.https else "http"
    if (found.address, scheme) == (client[0], scope["scheme"]):
        return scope
    port = client[1] if found.address == client[0] else 0
    return {**scope, "client": (found.address, port), "scheme": scheme}

"""The console's routes: pages, their JSON twins, the live stream, signing in and out."""

from typing import Literal

from starlette.routing import BaseRoute, Mount, Route

from stockwright.console.account import Account
from stockwright.console.door import SIGN_IN, Door, Guarded, Handler, Static
from stockwright.console.handlers import Handlers
from stockwright.console.pages import FOLDER
from stockwright.console.reading import ConsoleServices, Reader
from stockwright.console.signing import Hasher, Signing
from stockwright.domain.people import Action


def routes(services: ConsoleServices, *, open_to_all: bool = False) -> list[BaseRoute]:
    """The console's routes, to be mounted at the root beside the API's.

    open_to_all is the demo mode that asks for no key; it answers requests from this machine's own
    browser only. Otherwise every page but the sign-in asks for a session.
    """
    reader = Reader(services)
    door = Door(reader, open_to_all=open_to_all)
    hasher = Hasher()
    pages, signing = Handlers(reader, door), Signing(reader, door, hasher)
    account = Account(reader, hasher)

    def route(method: str, path: str, handler: Handler, needs: Action | Literal["free"]) -> Route:
        return Route(path, Guarded(door, handler, needs), methods=[method])

    return [
        *(route("GET", path, handler, "look") for path, handler in _looking(pages)),
        route("GET", "/account", account.show, "own.settings"),
        route("GET", "/account.json", account.show, "own.settings"),
        route("POST", "/account/settings", account.change_settings, "own.settings"),
        route("POST", "/account/password", account.change_password, "own.settings"),
        route("POST", "/account/end-session", account.end_session, "own.settings"),
        Route(SIGN_IN, Guarded(door, signing.sign_in, "free"), methods=["GET", "POST"]),
        route("POST", "/console/sign-out", signing.sign_out, "own.settings"),
        Mount("/console/static", Static(directory=FOLDER / "static")),
    ]


def _looking(pages: Handlers) -> list[tuple[str, Handler]]:
    """Addresses that only show, each with who answers it."""
    return [
        ("/", pages.overview),
        ("/index.json", pages.overview),
        ("/items", pages.items),
        ("/items.json", pages.items),
        ("/item", pages.item),
        ("/item.json", pages.item),
        ("/items/{sku:path}", pages.item),
        ("/why", pages.why),
        ("/why.json", pages.why),
        ("/search", pages.search),
        ("/console/stream", pages.stream),
    ]

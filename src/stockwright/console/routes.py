"""The console's routes: pages, their JSON twins, the live stream, signing in and out."""

from starlette.routing import BaseRoute, Mount, Route

from stockwright.console.door import Door, Guarded, Handler, Static
from stockwright.console.handlers import Handlers
from stockwright.console.pages import FOLDER
from stockwright.console.reading import ConsoleServices, Reader
from stockwright.console.signing import Signing


def routes(services: ConsoleServices, *, open_to_all: bool = False) -> list[BaseRoute]:
    """The console's routes, to be mounted at the root beside the API's.

    open_to_all is the demo mode that asks for no key; it answers requests from this machine's own
    browser only. Otherwise every page but the sign-in asks for a session.
    """
    reader = Reader(services)
    door = Door(reader, open_to_all=open_to_all)
    pages, signing = Handlers(reader), Signing(reader, door)
    guarded: list[tuple[str, Handler]] = [
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
    sign_in = Guarded(door, signing.sign_in, free=True)
    return [
        *(Route(path, Guarded(door, handler), methods=["GET"]) for path, handler in guarded),
        Route("/console/sign-in", sign_in, methods=["GET", "POST"]),
        Route("/console/sign-out", Guarded(door, signing.sign_out), methods=["POST"]),
        Mount("/console/static", Static(directory=FOLDER / "static")),
    ]

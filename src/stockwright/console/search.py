"""Search, and the way of the events it finds."""

import datetime as dt
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from stockwright.console.formatting import item_url
from stockwright.console.pages import HEADERS, page, twin
from stockwright.console.reading import Reader
from stockwright.domain.errors import Rejected
from stockwright.flow import tracing
from stockwright.store import finding, positions
from stockwright.store.connection import Connection
from stockwright.store.finding import Findings

_LONGEST = 512


class SearchPages:
    """The handlers of the search and of the events' way."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def search(self, request: Request) -> Response:
        """Goes to the item that a text means and nothing else does, else shows what it may mean."""
        text = _text(request, "q").strip()
        as_json = request.url.path.endswith(".json")
        found = await self._reader.read(_look, text, straight=not as_json)
        items = f"/items?{urlencode({'q': text})}"
        if isinstance(found, str):
            return RedirectResponse(item_url(found), 303, HEADERS)
        if text and found.nothing and not as_json:
            # Words of a description are looked for there, a page at a time.
            return RedirectResponse(items, 303, HEADERS)
        if as_json:
            return twin(found)
        return page(
            request,
            "search.html",
            found=found,
            asked=text,
            now=dt.datetime.now(dt.UTC),
            items=items,
            twin=f"/search.json?{urlencode({'q': text})}",
        )

    async def trace(self, request: Request) -> Response:
        """The way of the events of an order or a document, or of one sequence number."""
        asked, number = _text(request, "id"), _text(request, "sequence")
        if number and not (number.isascii() and number.isdigit() and len(number) <= 18):
            raise Rejected("malformed", "sequence", "`sequence` is a number of the ledger.")
        if not asked and not number:
            raise Rejected("malformed", "id", "Name a document, an order or a sequence number.")
        found = await self._reader.read(
            tracing.trace, int(number) if number else asked, _text(request, "system")
        )
        if request.url.path.endswith(".json"):
            return twin(found)
        return page(
            request,
            "trace.html",
            200 if found.events else 404,
            found=found,
            now=dt.datetime.now(dt.UTC),
            twin=f"/trace.json?{request.url.query}",
        )


def _look(connection: Connection, text: str, *, straight: bool) -> Findings | str:
    if straight and text:
        sku = positions.sku_of(connection, text)
        if sku is not None and not finding.is_number_of_event(connection, text):
            return sku
    return finding.find(connection, text)


def _text(request: Request, name: str) -> str:
    text = request.query_params.get(name, "")
    if "\x00" in text or len(text) > _LONGEST:
        raise Rejected("malformed", name, f"`{name}` has no NUL and at most 512 characters.")
    return text

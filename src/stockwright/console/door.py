"""The console's own door: who is let in, and what a failure looks like to a person."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from stockwright.api.gate import refuse_strangers
from stockwright.api.problems import ProblemRaised
from stockwright.console import access
from stockwright.console.pages import HEADERS, message, twin
from stockwright.console.reading import Reader
from stockwright.domain.errors import Rejected, StockwrightError, Throttled, Transient

Handler = Callable[[Request], Awaitable[Response]]


class Door:
    """Lets a request in: everybody of this machine in the open mode, else whoever signed in."""

    def __init__(self, reader: Reader, *, open_to_all: bool) -> None:
        self._reader = reader
        self.open_to_all = open_to_all

    async def admit(self, request: Request, *, free: bool) -> Response | None:
        """None where the request may go on, else what it is answered."""
        request.state.form_token = access.form_token(request)
        request.state.visitor = None
        if self.open_to_all:
            refuse_strangers(dict(request.headers.raw))
            return None
        request.state.visitor = await self._reader.run(access.signed_in, request)
        if request.state.visitor is not None or free:
            return None
        if request.url.path.endswith(".json") or request.url.path == "/console/stream":
            return twin({"title": "Sign in first", "status": 401}, 401)
        return RedirectResponse("/console/sign-in", 303, HEADERS)


class Static(StaticFiles):
    """Our few files, with the headers of every page but kept by the browser while unchanged."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, or 404."""
        answer = await super().get_response(path, scope)
        answer.headers.update({**HEADERS, "Cache-Control": "no-cache"})
        return answer


class Guarded:
    """One handler behind the console's own door; failures become pages that say what to do."""

    def __init__(self, door: Door, handler: Handler, *, free: bool = False) -> None:
        self._door = door
        self._handler = handler
        self._free = free

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI has it."""
        request = Request(scope, receive)
        answer = await self._answer(request)
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            turned_away = await self._door.admit(request, free=self._free)
            answer = turned_away or await self._handler(request)
            if request.state.visitor is not None:
                # The form to sign out must match this cookie on every page.
                access.keep_form_token(request, answer, request.state.form_token)
            return answer
        except ProblemRaised as refusal:
            return message(request, refusal.problem.status, "Not from here", refusal.problem.next)
        except Rejected as failure:
            return message(request, 400, "That cannot be shown", failure.message)
        except Throttled as failure:
            retry = {"Retry-After": str(int(failure.retry_after_s) + 1)}
            return message(request, 503, "Busy", f"{failure} Reload the page.", headers=retry)
        except Transient as failure:
            return message(request, 503, "The database does not answer", f"{failure}")
        except StockwrightError as failure:
            return message(request, 500, "An operator is needed", f"{failure}")

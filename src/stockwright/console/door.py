"""The console's own door: who is let in, what they may do, and what a failure looks like."""

from collections.abc import Awaitable, Callable
from typing import Literal

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from stockwright.api.gate import refuse_strangers
from stockwright.api.problems import ProblemRaised
from stockwright.console import access
from stockwright.console.files import as_now
from stockwright.console.forms import Form, read_form
from stockwright.console.pages import HEADERS, message, not_with_role, twin
from stockwright.console.reading import Reader
from stockwright.domain.errors import Rejected, StockwrightError, Throttled, Transient
from stockwright.domain.people import Action

Handler = Callable[[Request], Awaitable[Response]]
READING = ("GET", "HEAD")
"""The methods that change nothing."""
SIGN_IN = "/console/sign-in"
ACCOUNT = "/account"


class Door:
    """Lets a request in: whoever is at this machine in the open mode, else whoever signed in.

    behind_tls: browsers come by https to a proxy in front of us, though it comes by http.
    """

    def __init__(self, reader: Reader, *, open_to_all: bool, behind_tls: bool = False) -> None:
        self._reader = reader
        self._behind_tls = behind_tls
        self.open_to_all = open_to_all

    async def recognise(self, request: Request, *, touch: bool) -> None:
        """Notes in the request's state who sent it and what its forms carry."""
        state = request.state
        state.form, state.visitor, state.behind_tls = Form(), None, self._behind_tls
        if self.open_to_all:
            refuse_strangers(dict(request.headers.raw))
            state.visitor = await self._reader.run(access.demo_visitor)
        else:
            token = access.session_token(request)
            authorization = request.headers.get("authorization", "")
            if token or authorization:
                state.visitor = await self._reader.run(
                    access.find_visitor, token, authorization, touch=touch
                )
        state.form_token = access.form_token(request)

    async def still_in(self, request: Request) -> bool:
        """Whether who opened a long answer may still see it; asking is no use of the session."""
        if self.open_to_all:
            return True
        token = access.session_token(request)
        authorization = request.headers.get("authorization", "")
        found = await self._reader.run(access.find_visitor, token, authorization, touch=False)
        return found is not None


class Static(StaticFiles):
    """Our few files, with the headers of every page but kept by the browser.

    One that was asked for by `file_url` is never asked for again, others are while unchanged.
    """

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, or 404."""
        name, kept = as_now(path)
        answer = await super().get_response(name, scope)
        keeping = "max-age=31536000, immutable" if kept else "no-cache"
        answer.headers.update({**HEADERS, "Cache-Control": keeping})
        return answer


class Guarded:
    """One handler behind the door; failures become pages that say what to do.

    needs: the action that whoever asks must be allowed; `free` for the sign-in itself. What changes
    anything (any method but GET and HEAD) is only done on a form of ours.
    """

    def __init__(self, door: Door, handler: Handler, needs: Action | Literal["free"]) -> None:
        self._door = door
        self._handler = handler
        self._needs = needs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI has it."""
        request = Request(scope, receive)
        answer = await self._answer(request)
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            await self._door.recognise(request, touch=request.url.path != "/console/stream")
            turned_away = await self._turned_away(request)
            answer = turned_away or await self._handler(request)
            self._hand_out(request, answer)
            return answer
        except ProblemRaised as refusal:
            return message(request, refusal.problem.status, "Not from here", refusal.problem.next)
        except Rejected as failure:
            status = 404 if failure.reason == "not_found" else 400
            return message(request, status, "That cannot be done", failure.message)
        except Throttled as failure:
            retry = {"Retry-After": str(int(failure.retry_after_s) + 1)}
            return message(request, 503, "Busy", f"{failure} Reload the page.", headers=retry)
        except Transient as failure:
            return message(request, 503, "The database does not answer", f"{failure}")
        except StockwrightError as failure:
            return message(request, 500, "An operator is needed", f"{failure}")

    def _hand_out(self, request: Request, answer: Response) -> None:
        """Outside of a session the form's token is a cookie; programs need none."""
        visitor = request.state.visitor
        if self._needs == "free" or (visitor is not None and visitor.by == "demo"):
            access.keep_form_token(request, answer, request.state.form_token)

    async def _turned_away(self, request: Request) -> Response | None:
        """What is answered instead; None where the request may go on."""
        visitor = request.state.visitor
        is_page = not request.url.path.endswith(".json") and request.url.path != "/console/stream"
        if self._needs == "free":
            if request.method == "POST":
                request.state.form = await read_form(request)
            return None
        if visitor is None:
            if not is_page:
                return twin({"title": "Sign in first", "status": 401}, 401)
            return RedirectResponse(SIGN_IN, 303, HEADERS)
        if visitor.by == "key" and (is_page or request.method not in READING):
            text = "A key of a program reads the pages' .json twins. People sign in by name."
            return message(request, 403, "Not with a key", text)
        if not visitor.may(self._needs):
            return not_with_role(request, self._needs)
        if request.method not in READING:
            request.state.form = await read_form(request)
            if not access.is_our_form(request, request.state.form.one(access.FORM_FIELD)):
                text = (
                    "The form is not ours, or is too old. Go back, reload the page and try again."
                )
                return message(request, 403, "Not from here", text)
        must_change = visitor.signed is not None and visitor.signed.must_change
        if must_change and self._needs != "own.settings":
            if not is_page:
                return twin({"title": "Change your password first", "status": 403}, 403)
            return RedirectResponse(ACCOUNT, 303, HEADERS)
        return None

"""Signing in with an API key and out again."""

from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from stockwright.console import access
from stockwright.console.door import Door
from stockwright.console.pages import HEADERS, message, page
from stockwright.console.reading import Reader

LARGEST_FORM: Final = 4_096


class Signing:
    """The handlers of the sign-in page."""

    def __init__(self, reader: Reader, door: Door) -> None:
        self._reader = reader
        self._door = door
        self._throttle = access.Throttle()

    async def sign_in(self, request: Request) -> Response:
        """The form, or the session that a posted key opens."""
        if self._door.open_to_all or request.state.visitor is not None:
            return RedirectResponse("/", 303, HEADERS)
        if request.method == "GET":
            return self._form(request)
        address = request.client.host if request.client else ""
        wait_s = self._throttle.wait_s(address)
        if wait_s > 0:
            seconds = int(wait_s) + 1
            note = f"Too many failed attempts from here. Try again in {seconds} s."
            return self._form(request, note, 429, {"Retry-After": str(seconds)})
        form = await _form_of(request)
        if not access.is_our_form(request, form.get(access.FORM_FIELD, "")):
            return self._form(request, "The form was not ours, or is too old. Try again.", 403)
        token = await self._reader.run(access.sign_in, form.get("key", ""))
        if token is None:
            self._throttle.failed(address)
            note = "No such key, or it may not open the console: it needs the scope console."
            return self._form(request, note, 403)
        answer = RedirectResponse("/", 303, HEADERS)
        access.keep_session(request, answer, token)
        return answer

    async def sign_out(self, request: Request) -> Response:
        """Ends the visitor's session."""
        form = await _form_of(request)
        if not access.is_our_form(request, form.get(access.FORM_FIELD, "")):
            return message(request, 403, "Not from here", "Sign out on a page of the console.")
        await self._reader.run(access.sign_out, request)
        answer = RedirectResponse("/console/sign-in", 303, HEADERS)
        access.drop_session(answer)
        return answer

    def _form(
        self, request: Request, note: str = "", status: int = 200,
        headers: dict[str, str] | None = None,
    ) -> Response:  # fmt: skip
        answer = page(request, "sign_in.html", status, note=note)
        answer.headers.update(headers or {})
        access.keep_form_token(request, answer, request.state.form_token)
        return answer


async def _form_of(request: Request) -> dict[str, str]:
    """The fields of a small form; what is larger or no text counts as empty."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FORM:
            return {}
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=8)
    except ValueError:
        return {}
    return {name: values[-1] for name, values in fields.items()}

"""What every page shares: templates, headers, its JSON twin, and what it answers in bad times."""

from pathlib import Path
from typing import Any, Final

import jinja2
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stockwright.console import formatting

FOLDER: Final = Path(__file__).parent
CONTENT_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("number", "signed", "seconds", "age", "ago", "clock", "exact", "words"):
        environment.filters[name] = getattr(formatting, name)
    environment.globals["item_url"] = formatting.item_url
    environment.globals["why_url"] = formatting.why_url
    return environment


_TEMPLATES: Final = _environment()


def page(request: Request, template: str, status: int = 200, **content: Any) -> Response:
    """A rendered page. `content` is everything the template names."""
    shared = {
        "path": request.url.path,
        "twin": "",
        "asked": "",
        "stream": "",
        "visitor": getattr(request.state, "visitor", None),
        "form_token": getattr(request.state, "form_token", ""),
    }
    text = _TEMPLATES.get_template(template).render({**shared, **content})
    return Response(text, status, HEADERS, media_type="text/html; charset=utf-8")


def twin(content: Any, status: int = 200) -> Response:
    """The same content for machines."""
    return Response(msgspec.json.encode(content), status, HEADERS, media_type="application/json")


def message(
    request: Request, status: int, title: str, text: str, *, headers: dict[str, str] | None = None
) -> Response:
    """A page, or its twin, that says what is wrong and what to do next."""
    if request.url.path.endswith(".json"):
        answer = twin({"title": title, "detail": text, "status": status}, status)
    else:
        answer = page(request, "message.html", status, title=title, text=text)
    answer.headers.update(headers or {})
    return answer

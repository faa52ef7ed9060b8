"""What every page shares: templates, headers, its JSON twin, and what it answers in bad times."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import jinja2
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stockwright.console import formatting
from stockwright.console.access import Visitor, is_secure
from stockwright.console.files import file_url
from stockwright.domain.people import PERMISSIONS, Action

FOLDER: Final = Path(__file__).parent
CONTENT_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}


NAVIGATION: Final[Sequence[tuple[str, str, Action]]] = (
    ("/", "Overview", "look"),
    ("/items", "Items", "look"),
    ("/publications", "Publishing", "look"),
    ("/connections", "Connections", "look"),
    ("/subscriptions", "Subscriptions", "look"),
    ("/work-items", "Work", "look"),
    ("/parked", "Parked", "look"),
    ("/reservations", "Reservations", "look"),
    ("/policies", "Policies", "look"),
    ("/api-log", "API log", "look"),
    ("/audit", "Audit", "look"),
    ("/keys", "Keys", "key.look"),
    ("/users", "Users", "user.change"),
)
"""The pages that every page links to: address, name, and what one must be allowed to see it."""


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("number", "signed", "seconds", "age", "ago", "clock", "words"):
        environment.filters[name] = getattr(formatting, name)
    environment.filters["exact"] = _exact
    environment.globals["item_url"] = formatting.item_url
    environment.globals["channel_url"] = formatting.channel_url
    environment.globals["connection_url"] = formatting.connection_url
    environment.globals["subscription_url"] = formatting.subscription_url
    environment.globals["why_url"] = formatting.why_url
    environment.globals["file_url"] = file_url
    environment.globals["nav"] = _navigation
    return environment


def _navigation(visitor: Visitor | None) -> list[tuple[str, str]]:
    """The pages this visitor may see."""
    return [
        (address, name)
        for address, name, action in NAVIGATION
        if visitor is not None and visitor.may(action)
    ]


@jinja2.pass_context
def _exact(context: jinja2.runtime.Context, at: dt.datetime | None) -> str:
    return formatting.exact(at, context["zone"])


_TEMPLATES: Final = _environment()


def page(request: Request, template: str, status: int = 200, **content: Any) -> Response:
    """A rendered page. `content` is everything the template names."""
    zone = zone_of(request)
    visitor = getattr(request.state, "visitor", None)
    shared = {
        "path": request.url.path,
        "here": request.url.path + (f"?{request.url.query}" if request.url.query else ""),
        "twin": "",
        "asked": "",
        "stream": "",
        "visitor": visitor,
        "form_token": getattr(request.state, "form_token", ""),
        "zone": zone,
        "theme": visitor.settings.theme if visitor else "",
    }
    if "now" in content:
        # Times are written in the zone of the moment they are compared with.
        content["now"] = content["now"].astimezone(zone)
    text = _TEMPLATES.get_template(template).render({**shared, **content})
    return Response(text, status, _headers(request), media_type="text/html; charset=utf-8")


def _headers(request: Request) -> dict[str, str]:
    """Those of every page; one that came by https is not to be asked for without it again."""
    if not is_secure(request):
        return HEADERS
    return {**HEADERS, "Strict-Transport-Security": "max-age=31536000"}


def zone_of(request: Request) -> dt.tzinfo:
    """The one time zone that this visitor is shown."""
    visitor = getattr(request.state, "visitor", None)
    return formatting.zone_of(visitor.settings.time_zone if visitor else "")


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


def not_with_role(request: Request, action: Action) -> Response:
    """Says whose right something is, to a visitor who has it not."""
    needed, role = PERMISSIONS[action], request.state.visitor.role
    text = f"Only {needed.role}s may {needed.meaning}. Your role is {role}."
    return message(request, 403, "Not with your role", text)

"""What goes out, in the protocol's own form or the one of `out`, and what is read in that form."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from stockwright.connectors.json_http.declaration import JsonHttpSettings
from stockwright.connectors.json_http.wire import ShownLevels, wire_of
from stockwright.sdk.bodies import form_out, kind_of, lost_by, read_levels
from stockwright.sdk.mapping import text_at
from stockwright.sdk.messages import Document, Failure, LevelToSend, Outbound, Outgoing
from stockwright.sdk.outbound import Out, body_for
from stockwright.sdk.sources import Style
from stockwright.sdk.transports import json_body

STYLE = Style()


def levels_body(levels: Sequence[LevelToSend], settings: JsonHttpSettings) -> Any:
    """The body of one call, or a Failure where the partner's form cannot say one of the levels."""
    out = body_for(settings.out, "level")
    if out is None:
        return {"levels": [wire_of(level) for level in levels]}
    return _only(form_out(out, tuple(levels), STYLE))


def document_body(document: Document, settings: JsonHttpSettings) -> Any:
    """The body of a document, None where the partner takes none of its kind, or a Failure."""
    if not settings.documents_path:
        return None
    out = body_for(settings.out, kind_of(document))
    if out is not None:
        return _only(form_out(out, document, STYLE))
    # Forms for some kinds say that the others are not taken.
    return None if _documents(settings.out) else msgspec.to_builtins(document)


def document_path(document: Document, settings: JsonHttpSettings) -> str:
    """Where a document goes, with its kind and order filled in."""
    path = settings.documents_path.replace("{kind}", kind_of(document))
    return path.replace("{order}", quote(document.order, safe=""))


def shown_in(body: Any, settings: JsonHttpSettings) -> ShownLevels:
    """What the partner tells that it shows, in the form it is told levels.

    Raises ValueError or Wrong where it cannot be read.
    """
    out = body_for(settings.out, "level")
    if out is None:
        return msgspec.convert(body, ShownLevels)
    following = text_at(body, "$.next") if isinstance(body, dict) else ""
    return ShownLevels(levels=read_levels(out, body, STYLE), next=following)


def map_out(message: Outgoing, settings: JsonHttpSettings) -> list[Outbound] | Failure:
    """The call that would be made for a message, and what its body would lose."""
    kind = kind_of(message)
    if isinstance(message, tuple):
        body, to = levels_body(message, settings), settings.levels_path
        method = settings.publish_method
    else:
        body, to = document_body(message, settings), document_path(message, settings)
        method = settings.documents_method
    if body is None or isinstance(body, Failure):
        return body or []
    out = body_for(settings.out, kind)
    lost = None if out is None else lost_by(out, message, [body], STYLE)
    return [Outbound(to=f"{method} {to}", body=json_body(body), lost=lost)]


def _only(bodies: list[Any] | Failure) -> Any:
    """The one body of a call: the settings were checked for forms that need several."""
    if isinstance(bodies, Failure):
        return bodies
    if len(bodies) != 1:
        return Failure(path="each", reason=f"the form needs {len(bodies)} calls for one message")
    return bodies[0]


def _documents(outs: Sequence[Out]) -> list[Out]:
    return [out for out in outs if out.kind != "level"]

"""The API keys: who calls, with which rights, and when last; never a key itself."""

import datetime as dt
from collections.abc import Sequence
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from stockwright.console.pages import HEADERS, message, page, twin
from stockwright.console.reading import Reader
from stockwright.domain.errors import Rejected
from stockwright.store import access, positions
from stockwright.store.access import KeyEntry
from stockwright.store.connection import Connection

State = Literal["live", "expired", "revoked"]


class KeyRow(msgspec.Struct, frozen=True):
    """One key and whether it works."""

    key: KeyEntry
    state: State


class KeysPage(msgspec.Struct, frozen=True):
    """Every key ever made, those that work first."""

    at: dt.datetime
    keys: Sequence[KeyRow]


class KeyPages:
    """The handlers of the keys' page."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def show(self, request: Request) -> Response:
        """Every key."""
        found = await self._reader.read(_read)
        if request.url.path.endswith(".json"):
            return twin(found)
        return page(request, "keys.html", found=found, now=found.at, twin="/keys.json")

    async def revoke(self, request: Request) -> Response:
        """Asks whether a key is to end, then ends it."""
        form = request.state.form
        found = await self._reader.read(_read)
        row = next((one for one in found.keys if one.key.id == form.one("id")), None)
        if row is None or row.state != "live":
            raise Rejected("not_found", "id", "No live key has this id. Go back to the list.")
        if not form.one("confirm"):
            return page(request, "key_revoke.html", row=row, now=found.at)
        actor = request.state.visitor.actor
        if await self._reader.run(access.revoke_key, row.key.id, actor) is None:
            return message(request, 409, "Nothing to do", "The key was revoked before.")
        return RedirectResponse("/keys", 303, HEADERS)


def _read(connection: Connection) -> KeysPage:
    now = positions.moment(connection)
    order: list[State] = ["live", "expired", "revoked"]
    rows = [KeyRow(key, _state(key, now)) for key in access.list_keys(connection)]
    rows.sort(key=lambda row: (order.index(row.state), row.key.name, row.key.created_at))
    return KeysPage(at=now, keys=rows)


def _state(key: KeyEntry, now: dt.datetime) -> State:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "live"

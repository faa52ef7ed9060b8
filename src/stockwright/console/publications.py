"""Publication: how every channel does, one channel in depth, and pausing, resuming, resyncing it.

What is done to a channel is seen before it is done: the form asks, a page shows what would happen,
and the result has an address of its own, as with the lists (`boards`).
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from stockwright.console import formatting as f
from stockwright.console.addresses import checked_code, code_in
from stockwright.console.charts import lag_by_period
from stockwright.console.pages import HEADERS, message, not_with_role, page, twin, zone_of
from stockwright.console.reading import Reader
from stockwright.console.steering_words import AFTER, DEEDS, LOGGED, PREVIEWS, Deed, resynced
from stockwright.domain.errors import Rejected
from stockwright.flow import steering
from stockwright.flow.steering import Publishing
from stockwright.store import audit_board, desk, positions, publishing
from stockwright.store.access import Change
from stockwright.store.connection import Connection
from stockwright.store.publishing import CallMade, Lag, WaitingLevel

NAME: Final = "publications"
SPANS: Final[Mapping[str, tuple[str, int, int]]] = {
    "1h": ("hour", 3_600, 60),
    "6h": ("six hours", 21_600, 300),
    "24h": ("day", 86_400, 1_200),
}
"""What the chart reaches back over, by name: words, seconds, seconds of one period."""
mark: Final = publishing.mark


class PublicationsPage(msgspec.Struct, frozen=True):
    """Every channel, by code."""

    at: dt.datetime
    channels: Sequence[Publishing]


class PublicationPage(msgspec.Struct, frozen=True, kw_only=True):
    """One channel: what waits longest, its newest calls, its lag by period, what was done to it."""

    at: dt.datetime
    publication: Publishing
    span: str
    lags: Sequence[Lag]
    oldest: Sequence[WaitingLevel]
    calls: Sequence[CallMade]
    changes: Sequence[Change]


class PublicationPages:
    """The handlers of the pages about publication."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def all(self, request: Request) -> Response:
        """Every channel."""
        found, shape = await self._reader.read(_all)
        if request.url.path.endswith(".json"):
            return twin(found)
        return page(
            request, "publications.html", found=found, now=found.at, twin="/publications.json",
            stream=f"/console/stream?board={NAME}", shape=shape,
        )  # fmt: skip

    async def one(self, request: Request) -> Response:
        """One channel."""
        channel, as_json = code_in(request, "channel")
        span = request.query_params.get("span", "1h")
        if span not in SPANS:
            raise Rejected("malformed", "span", f"span is one of: {', '.join(SPANS)}.")
        answer = await self._reader.read(_one, channel, span)
        if answer is None:
            text = "There is no such channel. Look at the list of all channels."
            return message(request, 404, f"{channel[:64] or 'Nothing'} is not known", text)
        found, shape = answer
        if as_json:
            return twin(found)
        return page(
            request,
            "publication.html",
            found=found,
            now=found.at,
            spans=SPANS,
            chart=_chart(found, zone_of(request)),
            twin=f.channel_url(channel, twin=True, span=span),
            stream=f"/console/stream?board={NAME}",
            shape=shape,
        )

    async def act(self, request: Request) -> Response:
        """Shows what a deed would do to a channel, and does it once confirmed."""
        form, visitor = request.state.form, request.state.visitor
        deed, channel = DEEDS.get(form.one("action")), form.one("channel")
        if deed is None:
            raise Rejected("malformed", "action", "There is nothing of that name to do here.")
        checked_code(channel, "channel")
        if not visitor.may(deed.right):
            return not_with_role(request, deed.right)
        note, why = "", form.one("why")
        if form.one("confirm"):
            try:
                why = steering.checked_reason(why)
            except Rejected as refused:
                note = refused.message
            else:
                return await self._do(request, deed, channel, why)
        preview = await self._reader.read(PREVIEWS[deed.name], channel)
        return page(
            request, "steer.html", 400 if note else 200, deed=deed, channel=channel,
            preview=preview, why=why, note=note,
        )  # fmt: skip

    async def _do(self, request: Request, deed: Deed, channel: str, why: str) -> Response:
        visitor = request.state.visitor
        if deed.name == "resync":
            work = steering.resync
            pool = self._reader.services.pool
            done = await self._reader.block(work, pool, channel, actor=visitor.actor, why=why)
            result = _told(deed, channel, done.levels, resynced(done.plan))
        else:
            do = steering.pause if deed.name == "pause" else steering.resume
            if not await self._reader.run(do, channel, actor=visitor.actor, why=why):
                text = f"{channel} was {deed.told.lower()} before, by you or by somebody else."
                return message(request, 409, "Nothing to do", text)
            result = _told(deed, channel, None, AFTER[deed.name])
        number = await self._reader.run(
            desk.note_deed, visitor.owner, f"channel.{deed.name}", result, None
        )
        return RedirectResponse(f"/done/{number}", 303, HEADERS)


def _all(connection: Connection) -> tuple[PublicationsPage, str]:
    found = steering.publications(connection)
    return PublicationsPage(positions.moment(connection), found), mark(connection)


def _one(connection: Connection, channel: str, span: str) -> tuple[PublicationPage, str] | None:
    if publishing.find_channel(connection, channel) is None:
        return None
    now = positions.moment(connection)
    _, seconds, period_s = SPANS[span]
    since = now - dt.timedelta(seconds=seconds)
    changes = audit_board.rows(connection, {"subject": channel}, before=2**62, limit=100)
    found = PublicationPage(
        at=now,
        publication=steering.publication(connection, channel),
        span=span,
        lags=publishing.lags(connection, channel, since=since, period_s=period_s),
        oldest=publishing.oldest(connection, channel),
        calls=publishing.calls(connection, channel),
        changes=[one for one in changes if one.action in LOGGED][:10],
    )
    return found, mark(connection)


def _chart(found: PublicationPage, zone: dt.tzinfo) -> str:
    words, seconds, period_s = SPANS[found.span]
    end = found.at.astimezone(zone)
    samples = sum(lag.samples for lag in found.lags)
    cut = f", of its newest {publishing.NEWEST_ATTEMPTS:,} attempts"
    return lag_by_period(
        [(lag.at, lag.p50_s, lag.p99_s) for lag in found.lags],
        f"From change to acknowledgement, last {words}"
        + (cut if samples >= publishing.NEWEST_ATTEMPTS else ""),
        span=(end - dt.timedelta(seconds=seconds), end),
        period_s=period_s,
        budget_s=found.publication.link.facts.latency_budget_s,
    )


def _told(deed: Deed, channel: str, done: int | None, note: str) -> dict[str, Any]:
    told = f"{deed.told} {channel}" + ("" if done is None else ":")
    back = f.channel_url(channel)
    return {"told": told, "done": done, "wont": {}, "note": note, "back": back}

"""How quantities, times and ages are written for people.

A page shows one time zone, its reader's: that of the `now` a time is written against.
"""

import datetime as dt
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

THIN_SPACE: Final = "\u2009"
MINUS: Final = "\u2212"
NOTHING: Final = "–"


def number(value: int | float | None) -> str:
    """A quantity with thin spaces between thousands, and a true minus sign."""
    if value is None:
        return NOTHING
    digits = f"{abs(value):,}".replace(",", THIN_SPACE)
    return f"{MINUS}{digits}" if value < 0 else digits


def signed(value: int) -> str:
    """A change: always with its sign."""
    return f"+{number(value)}" if value > 0 else number(value)


def seconds(value: float | None) -> str:
    """A duration as short as it stays meaningful: 42 ms, 1.3 s, 12 s, 4 min, 2 h 05, 3 d."""
    if value is None:
        return NOTHING
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 9.95:
        return f"{value:.1f} s"
    if value < 99.5:
        return f"{value:.0f} s"
    if value < 5970:
        return f"{value / 60:.0f} min"
    if value < 172_800:
        minutes = round(value / 60)
        return f"{minutes // 60} h {minutes % 60:02d}"
    return f"{value / 86_400:.0f} d"


def age(since: dt.datetime | None, now: dt.datetime) -> str:
    """How long ago, in whole seconds at least: a page is never fresher than that."""
    if since is None:
        return NOTHING
    passed = max(0.0, (now - since).total_seconds())
    if passed < 1:
        return "now"
    return f"{passed:.0f} s" if passed < 10 else seconds(passed)


def ago(since: dt.datetime | None, now: dt.datetime) -> str:
    """The same with the word, for sentences."""
    text = age(since, now)
    if text == NOTHING:
        return text
    return "just now" if text == "now" else f"{text} ago"


def clock(at: dt.datetime | None, now: dt.datetime) -> str:
    """The time of day in the zone of `now`, with the date where it is not that day's."""
    if at is None:
        return NOTHING
    there = at.astimezone(now.tzinfo)
    return there.strftime("%H:%M:%S" if there.date() == now.date() else "%d %b %Y %H:%M:%S")


def exact(at: dt.datetime | None, zone: dt.tzinfo = dt.UTC) -> str:
    """The whole moment to the millisecond with its zone, for a title or a machine."""
    return "" if at is None else at.astimezone(zone).isoformat(timespec="milliseconds")


def moment(at: dt.datetime) -> str:
    """A moment as addresses carry it: to the microsecond, so that it finds itself again."""
    return at.astimezone(dt.UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


@cache
def zone_of(name: str) -> ZoneInfo:
    """The zone of this name; the server's own for '' and for a name that is none (any more)."""
    try:
        return ZoneInfo(name) if name else SERVER_ZONE
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return SERVER_ZONE


def _server_zone() -> ZoneInfo:
    """The zone this machine is set to, as far as it says so by name; else UTC."""
    told = [os.environ.get("TZ", "").lstrip(":")]
    local = Path("/etc/localtime")
    if local.is_symlink():
        told.append(os.path.realpath(local).rpartition("/zoneinfo/")[2])
    for name in filter(None, told):
        try:
            return ZoneInfo("UTC" if name == "Etc/UTC" else name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    return ZoneInfo("UTC")


SERVER_ZONE: Final = _server_zone()
"""What is shown to whoever chose no zone."""


def words(code: str) -> str:
    """A code of ours as words: part_fulfilled becomes part fulfilled."""
    return code.replace("_", " ")


def item_url(sku: str, *, twin: bool = False, **query: str | int) -> str:
    """The address of an item's page, or of its JSON twin, for any code.

    Codes that a browser or the twin's ending would misread travel as a parameter instead. Empty
    parameters are left out.
    """
    return _url("item", "sku", sku, twin, query)


def channel_url(channel: str, *, twin: bool = False, **query: str | int) -> str:
    """The address of a channel's publication, or of its JSON twin, for any code."""
    return _url("publication", "channel", channel, twin, query)


def connection_url(system: str, *, twin: bool = False) -> str:
    """The address of a connection's steps, or of its JSON twin, for any code."""
    return _url("connection", "system", system, twin, {})


def subscription_url(name: str, *, twin: bool = False) -> str:
    """The address of a subscription's page, or of its JSON twin."""
    return _url("subscription", "name", name, twin, {})


def _url(page: str, name: str, code: str, twin: bool, query: Mapping[str, str | int]) -> str:
    query = {name: value for name, value in query.items() if value != ""}
    ending = ".json" if twin else ""
    if code in (".", "..") or code.endswith(".json"):
        return f"/{page}{ending}?{urlencode({name: code, **query})}"
    return f"/{page}s/{quote(code, safe='')}{ending}" + (f"?{urlencode(query)}" if query else "")


def why_url(number_name: str, sku: str, **where: str) -> str:
    """The address of one number's explanation."""
    asked = {"number": number_name, "sku": sku, **{k: v for k, v in where.items() if v}}
    return f"/why?{urlencode(asked)}"

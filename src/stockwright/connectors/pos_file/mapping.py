"""Lines of receipts into sales and returns, under identities that do not depend on the file."""

import datetime as dt
from collections import Counter
from fnmatch import fnmatchcase
from typing import Any, Final
from zoneinfo import ZoneInfo

from stockwright.connectors.pos_file.declaration import NEEDED, Meaning, PosFileSettings
from stockwright.domain.events import MAX_CODE, Fact
from stockwright.sdk.files.settings import shape_of
from stockwright.sdk.files.tables import Table, problem_with_table, table_of
from stockwright.sdk.files.totals import summing
from stockwright.sdk.local_time import WallClock, zone_of
from stockwright.sdk.mapping import excerpt
from stockwright.sdk.messages import Failure, Item, Mapped, Payload
from stockwright.sdk.sources import MISSING, Spot, Style, Wrong, value_of

VOID: Final = "voided at the till"


class Receipts:
    """Reads the rows of one file in their order. Not for use across files."""

    def __init__(self, settings: PosFileSettings, zone: ZoneInfo, channel: str) -> None:
        self._settings = settings
        self._zone = zone
        self._channel = channel
        self._style = Style(file=True, time_format=settings.time_format, decimal=settings.decimal)
        # The hour that comes twice is told by the order of one till's rows, not of all tills'.
        self._clocks: dict[tuple[str, str], WallClock] = {}
        self._lines: Counter[str] = Counter()

    def facts(self, spot: Spot) -> list[Item]:
        """What one row says happened; nothing where no goods moved. Raises Wrong."""
        meaning = self._meaning(spot)
        if meaning == "ignore":
            return []
        store = self._text("location", "store", spot)
        terminal = self._text("line", "terminal", spot) if "terminal" in self._reads else ""
        at, day, note = self._time(spot, store, terminal)
        document = self._document(spot, store, terminal, day)
        # Counted before anything else can be wrong: a row that waits keeps the others' numbers.
        self._lines[document] += 1
        line = self._text("line", "line", spot) if "line" in self._reads else ""
        quantity = value_of("quantity", f"@.{self._reads['quantity']}", spot, self._style)
        assert isinstance(quantity, int)
        if quantity == 0:
            return []
        if meaning == "sale" and quantity < 0:
            meaning = "return"
        common: dict[str, Any] = {
            "document": document,
            "line": line or str(self._lines[document]),
            "quantity": abs(quantity),
            "item": self._item(spot),
            "location": store,
            "occurred_at": at,
        }
        lot = self._text("lot", "lot", spot, optional=True) if "lot" in self._reads else ""
        if lot:
            common["lot"] = lot
        return self._facts(meaning, common, note)

    def _facts(self, meaning: Meaning, common: dict[str, Any], note: str) -> list[Item]:
        if meaning == "sale":
            return [Fact(kind="pos_sale", reason=note, **common)]
        reason = "; ".join(filter(None, [VOID if meaning == "void" else "", note]))
        back = Fact(kind="return_receipt", channel=self._channel, reason=reason, **common)
        if meaning == "return" and self._settings.returns_to == "inspection":
            return [back]
        # A return comes in by inspection; what needs none leaves it in the same moment.
        return [back, Fact(kind="inspection_result", reason=reason, **common)]

    @property
    def _reads(self) -> dict[Any, str]:
        return self._settings.reads

    def _meaning(self, spot: Spot) -> Meaning:
        if "type" not in self._reads:
            return "sale"
        text = self._text("reason", "type", spot)
        known = self._settings.types.get(text)
        if known is None:
            among = ", ".join(sorted(self._settings.types))
            reason = f"is {text[:40]!r}, which the setting types does not name ({among})"
            raise Wrong(self._path("type", spot), reason)
        return known

    def _item(self, spot: Spot) -> str:
        columns = [f"@.{self._reads[name]}" for name in ("sku", "ean") if name in self._reads]
        return str(value_of("item", " | ".join(columns), spot, self._style))

    def _document(self, spot: Spot, store: str, terminal: str, day: dt.date) -> str:
        receipt = self._text("line", "receipt", spot)
        period = {"daily": day.isoformat(), "yearly": str(day.year), "never": ""}
        restart = period[self._settings.receipts_restart]
        if restart and "business_date" in self._reads:
            restart = self._text("line", "business_date", spot)
        parts = [store, *([terminal] if "terminal" in self._reads else [])]
        parts += [*([restart] if restart else []), receipt]
        document = "/".join(part.replace("%", "%25").replace("/", "%2F") for part in parts)
        if len(document) > MAX_CODE:
            raise Wrong(self._path("receipt", spot), f"makes a name longer than {MAX_CODE}")
        return document

    def _time(self, spot: Spot, store: str, terminal: str) -> tuple[dt.datetime, dt.date, str]:
        """The instant, the day on the store's wall, and a note where the text left a doubt."""
        text = self._text("reason", "time", spot)
        if "date" in self._reads:
            text = f"{self._text('reason', 'date', spot)} {text}"
        own = self._settings.store_zones.get(store)
        zone = zone_of(own) if own else self._zone
        clock = self._clocks.setdefault((store, terminal), WallClock(zone))
        try:
            instant = clock.read(text, self._settings.time_format)
        except ValueError as error:
            raise Wrong(self._path("time", spot), str(error)) from None
        return instant.at, instant.at.astimezone(zone).date(), instant.note

    def _text(self, kind: str, name: str, spot: Spot, *, optional: bool = False) -> str:
        source = f"@.{self._reads[name]}" + ("?" if optional else "")
        value = value_of(kind, source, spot, self._style)
        return "" if value is MISSING else str(value)

    def _path(self, name: str, spot: Spot) -> str:
        return self._style.at(spot.place, f".{self._reads[name]}")


def file_problem(name: str, body: bytes, control: str, settings: PosFileSettings) -> Failure | None:
    """Why nothing of a file may count; None where its rows may be tried. control: its totals."""
    table = _table(name, body, settings)
    return table if isinstance(table, Failure) else problem_with_table(table, body, control)


def map_file(
    payload: Payload, settings: PosFileSettings, zone: ZoneInfo, channel: str
) -> list[Mapped]:
    """The sales and returns of a file, row by row; one Failure at "$" where nothing may count."""
    table = _table(payload.headers.get("file", ""), payload.body, settings)
    wrong = table if isinstance(table, Failure) else None
    if not isinstance(table, Failure):
        wrong = problem_with_table(table, payload.body, payload.headers.get("control", ""))
    if wrong is not None or isinstance(table, Failure):
        return [Mapped(place="$", item=wrong or Failure(path="$", reason="cannot be read"))]
    receipts = Receipts(settings, zone, channel)
    mapped: list[Mapped] = []
    for line, row in table.rows():
        place = f"line {line.number}"
        if isinstance(row, Failure):
            mapped.append(Mapped(place=place, item=row))
            continue
        spot = Spot(root=None, element=row, place=place, number=line.number)
        try:
            mapped += [Mapped(place=place, item=item) for item in receipts.facts(spot)]
        except Wrong as error:
            failure = Failure(path=error.path, reason=error.reason, found=excerpt(row))
            mapped.append(Mapped(place=place, item=failure))
    return mapped


def needed_columns(settings: PosFileSettings) -> list[str]:
    """The columns without which no row of a sales file can be read."""
    reads = settings.reads
    needed = [reads[name] for name in NEEDED]
    others = ("terminal", "line", "type", "date", "business_date")
    needed += [reads[name] for name in others if name in reads]
    goods = [reads[name] for name in ("sku", "ean") if name in reads]
    return needed + (goods if len(goods) == 1 else [])


def _table(name: str, body: bytes, settings: PosFileSettings) -> Table | Failure:
    if not fnmatchcase(name, settings.pattern):
        return Failure(path=name, reason=f"is not named as the setting pattern: {settings.pattern}")
    shape = shape_of(settings, settings.cells)
    totals = summing(settings.totals, settings.reads["quantity"])
    return table_of(body, shape, totals, needed_columns(settings))

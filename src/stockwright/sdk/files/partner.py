"""The other side of the folders, for sandboxes: takes files of levels, drops files of its own."""

import asyncio
import csv
import datetime as dt
import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from stockwright.sdk.connector import utc_now
from stockwright.sdk.files.inbox import CLAIMED
from stockwright.sdk.messages import DocumentLine

OnLevel = Callable[[str, int, int, dt.datetime], None]
Self = TypeVar("Self", bound="FolderPartner")


class FolderPartner:
    """Reads `outbox` (what the hub writes) and writes `inbox` (what the hub reads).

    With every_s above zero it looks at the outbox by itself; otherwise `collect` does.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        every_s: float = 0.0,
        clock: Callable[[], dt.datetime] = utc_now,
    ) -> None:
        self._own = tempfile.TemporaryDirectory() if folder is None else None
        root = Path(self._own.name if self._own else str(folder))
        self.outbox = root / "outbox"
        self.inbox = root / "inbox"
        self.clock = clock
        self._every_s = every_s
        self._levels: dict[tuple[str, str], tuple[int, int]] = {}
        self._listeners: list[OnLevel] = []
        self._stamp = (0, 0)
        self._ordered = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Makes the folders; answers the one that holds both."""
        self.outbox.mkdir(parents=True, exist_ok=True)
        self.inbox.mkdir(parents=True, exist_ok=True)
        if self._every_s > 0:
            self._task = asyncio.create_task(self._watch())
        return str(self.outbox.parent)

    async def stop(self) -> None:
        """Ends the watch, and removes folders of its own. Safe to repeat."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._own is not None:
            self._own.cleanup()

    async def __aenter__(self: Self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    def settings(self) -> dict[str, Any]:
        """The settings of a connection to this partner."""
        return {"outbox": str(self.outbox), "inbox": str(self.inbox)}

    def shown(self, listing: str, location: str = "") -> int | None:
        """The quantity it shows now; None where it never heard of the listing."""
        level = self._levels.get((listing, location))
        return level[0] if level else None

    def on_level(self, callback: OnLevel) -> None:
        """Calls callback(listing, quantity, version, taken_at) for each level a file changes."""
        self._listeners.append(callback)

    def collect(self) -> int:
        """Takes the file of levels if it is new; how many levels it changed."""
        path = self.outbox / "levels.csv"
        try:
            status = path.stat()
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return 0
        stamp = (status.st_mtime_ns, status.st_ino)
        if stamp == self._stamp:
            return 0
        self._stamp = stamp
        changed = 0
        for row in csv.DictReader(io.StringIO(text, newline="")):
            key = (row["listing"], row["location"])
            level = (int(row["quantity"]), int(row["version"]))
            if self._levels.get(key) != level:
                self._levels[key] = level
                changed += 1
                for callback in self._listeners:
                    callback(key[0], *level, self.clock())
        return changed

    async def ordered(self) -> tuple[str, DocumentLine]:
        """An order that waits for its shipment, and a line of it."""
        self._ordered += 1
        return f"O-{self._ordered}", DocumentLine(line="1", quantity=2, listing="L-1")

    def shipments_of(self, order: str) -> int:
        """How many shipments it was told of an order."""
        return len(list(self.outbox.glob(f"shipment-{order}-*")))

    def lower(self, listing: str, quantity: int) -> None:
        """It sold some by itself: it shows less until the next file says otherwise."""
        shown, version = self._levels.get((listing, ""), (0, 0))
        if version:
            self._levels[listing, ""] = (max(0, shown - quantity), version)

    def drop(self, name: str, rows: Sequence[Sequence[str]]) -> Path:
        """Lays a file into the inbox at once, with its marker; answers its path."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        draft = self.inbox / f".{name}.tmp"
        draft.write_text(text.getvalue(), encoding="utf-8")
        path = self.inbox / name
        draft.replace(path)
        (self.inbox / f"{name}.done").touch()
        return path

    def is_with_the_hub(self, file: Path) -> bool:
        """Whether a dropped file is neither laid aside nor gone: it waits, or is being taken."""
        return file.exists() or any((self.inbox / CLAIMED).glob(f"*/{file.name}"))

    async def _watch(self) -> None:
        while True:
            self.collect()
            await asyncio.sleep(self._every_s)

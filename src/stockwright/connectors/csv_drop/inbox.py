"""The inbox: a file is taken once it is whole, by renaming it, and laid aside once it is kept."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from stockwright.connectors.csv_drop.declaration import CsvDropSettings

CLAIMED: Final = ".claimed"
DONE: Final = "done"
QUARANTINE: Final = "quarantine"
CLAIM_S: Final = 300.0
"""Seconds after which a taken file of a dead process is taken again."""
_UNFINISHED: Final = (".tmp", ".part", ".partial", ".filepart", ".crdownload", ".done")


class Inbox:
    """One folder. Several processes may share it: a rename succeeds for one of them."""

    def __init__(self, settings: CsvDropSettings) -> None:
        self._settings = settings
        self._folder = Path(settings.inbox)
        self._seen: dict[str, tuple[int, int, float]] = {}

    def take(self, limit: int) -> tuple[list[Path], bool]:
        """Up to `limit` whole files, now ours, oldest first; and whether no whole one is left."""
        for name in (CLAIMED, DONE, QUARANTINE):
            (self._folder / name).mkdir(exist_ok=True)
        taken: list[Path] = []
        whole = list(self._abandoned()) + self._whole()
        for path in whole[:limit]:
            ours = self._folder / CLAIMED / path.name
            if path.parent.name != CLAIMED and ours.exists():
                # The same name again while the first is under way: its turn comes after it.
                continue
            try:
                path.rename(ours)
                os.utime(ours)
            except FileNotFoundError:
                continue
            taken.append(ours)
        return taken, len(whole) <= limit

    def waiting(self, limit: int) -> list[Path]:
        """Up to `limit` files that lie there whole, oldest first; they stay where they are.

        Without a marker a file counts as whole by its age: one look knows no earlier size.
        """
        found: list[tuple[float, Path]] = []
        for path in self._folder.iterdir():
            if path.name.startswith(".") or path.name.endswith(_UNFINISHED) or not path.is_file():
                continue
            changed = path.stat().st_mtime
            if self._settings.complete == "marker":
                whole = (self._folder / f"{path.name}.done").exists()
            else:
                whole = time.time() - changed >= self._settings.stable_s
            if whole:
                found.append((changed, path))
        return [path for _, path in sorted(found)[:limit]]

    def lay_aside(self, path: Path, folder: str) -> None:
        """Moves a taken file to `done` or `quarantine`, and its marker away. Safe to repeat."""
        target = self._folder / folder / path.name
        number = 1
        while target.exists():
            number += 1
            target = self._folder / folder / f"{path.stem}.{number}{path.suffix}"
        try:
            path.rename(target)
        except FileNotFoundError:
            return
        (self._folder / f"{path.name}.done").unlink(missing_ok=True)

    def _whole(self) -> list[Path]:
        """The complete files, oldest first."""
        found: list[tuple[float, Path]] = []
        names = set()
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.endswith(_UNFINISHED):
                    continue
                try:
                    if not entry.is_file(follow_symlinks=False):
                        continue
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # another process took it just now
                names.add(entry.name)
                if self._is_whole(entry.name, status):
                    found.append((status.st_mtime, Path(entry.path)))
        self._seen = {name: seen for name, seen in self._seen.items() if name in names}
        return [path for _, path in sorted(found)]

    def _is_whole(self, name: str, status: os.stat_result) -> bool:
        if self._settings.complete == "marker":
            return (self._folder / f"{name}.done").exists()
        now = time.monotonic()
        seen = self._seen.get(name)
        if seen is None or seen[:2] != (status.st_size, status.st_mtime_ns):
            self._seen[name] = (status.st_size, status.st_mtime_ns, now)
            return self._settings.stable_s == 0
        return now - seen[2] >= self._settings.stable_s

    def _abandoned(self) -> Iterator[Path]:
        """Files a process took and neither kept nor laid aside."""
        for path in sorted((self._folder / CLAIMED).iterdir()):
            try:
                age_s = time.time() - path.stat().st_mtime
            except FileNotFoundError:
                continue  # another process laid it aside just now
            if age_s > CLAIM_S:
                yield path

"""A process that dies at any step of its work on files leaves nothing lost and nothing twice.

Every operation on the place where files lie is a step; a run dies after the n-th, for every n until
one comes to its end. The next process has the same folders, the cursor that was kept,
and a clock past the time of a claim.
"""

import asyncio
import csv
import datetime as dt
import os
import signal
import subprocess
import sys

import pytest

from stockwright.connectors.csv_drop import CONNECTOR
from stockwright.sdk.connector import Opening
from stockwright.sdk.files import connection as connecting
from stockwright.sdk.files.inbox import CLAIM_S
from stockwright.sdk.files.local import LocalPlace
from stockwright.sdk.messages import (
    Applied,
    Delivered,
    DocumentLine,
    LevelToSend,
    Shipment,
)

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
STEPS = ("has_folder", "entries", "read", "write", "move", "remove", "make_folder", "remove_folder")


class Killed(BaseException):
    """The process is gone."""


class Mortal(LocalPlace):
    """Dies after so many steps, which is before the next one."""

    def __init__(self, steps):
        self.left = steps
        for name in STEPS:
            setattr(self, name, self._step(getattr(super(), name)))

    def _step(self, work):
        async def stepped(*args):
            result = await work(*args)
            self.left -= 1
            if self.left <= 0:
                raise Killed
            return result

        return stepped


@pytest.fixture(autouse=True)
def _without_threads(monkeypatch):
    """Thousands of steps: each is done at once, in the thread of the test."""

    async def at_once(work, *args):
        return work(*args)

    monkeypatch.setattr("stockwright.sdk.files.local._in_thread", at_once)


class World:
    """The folders, and what the hub has kept for good: payloads and cursor, in one commit."""

    def __init__(self, root, monkeypatch, **settings):
        self.inbox, self.outbox = root / "in", root / "out"
        for folder in (root, self.inbox, self.outbox):
            folder.mkdir(exist_ok=True)
        self.settings = {"inbox": str(self.inbox), "outbox": str(self.outbox), **settings}
        self.now = NOON
        self.kept, self.cursor = [], ""
        self._monkeypatch = monkeypatch

    def connection(self, steps):
        place = Mortal(steps)
        self._monkeypatch.setattr(connecting, "place_of", lambda _settings, _clock: place)
        parsed = CONNECTOR.declaration.parse_settings({"stable_s": 0, **self.settings}, str)
        return CONNECTOR.open(Opening(system="partner", clock=lambda: self.now), parsed)

    async def poll(self, steps):
        """Reads until nothing is left; True where it came to its end alive."""
        connection = self.connection(steps)
        try:
            for _ in range(20):
                page = await connection.read(self.cursor)
                if not page.payloads:
                    return True
                self.kept += [payload.headers["file"] for payload in page.payloads]
                self.cursor = page.next_cursor
                await connection.acknowledge(page)
        except Killed:
            return False
        raise AssertionError("it never came to an end")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("complete", ["stable", "marker"])
async def test_files_in_are_kept_once_whenever_a_process_dies(tmp_path, monkeypatch, complete):
    for steps in range(1, 1_000):
        root = tmp_path / str(steps)
        world = World(root, monkeypatch, complete=complete)
        for name in ("orders-1.csv", "prices.csv"):
            (world.inbox / name).write_text("order,sku,quantity\nO1,A,1\n")
            (world.inbox / f"{name}.done").touch()
        alive = await world.poll(steps)
        # The next one is too early for the claims of the dead, the one after it is not.
        assert await world.poll(10_000)
        world.now += dt.timedelta(seconds=CLAIM_S + 1)
        assert await world.poll(10_000)
        assert sorted(world.kept) == ["orders-1.csv", "prices.csv"], steps
        assert names(world.inbox / "done") == ["orders-1.csv"], steps
        assert names(world.inbox / "quarantine") == ["prices.csv", "prices.csv.reason.txt"], steps
        assert names(world.inbox / ".claimed") == [], steps
        assert [one for one in names(world.inbox) if "." in one[1:]] == [], steps
        if alive:
            assert steps > 20
            return
    raise AssertionError("no run came to its end")


async def test_a_marker_never_lets_the_next_file_in_early_whenever_a_process_dies(
    tmp_path, monkeypatch
):
    for steps in range(1, 1_000):
        world = World(tmp_path / str(steps), monkeypatch, complete="marker")
        path = world.inbox / "orders-1.csv"
        path.write_text("order,sku,quantity\nO1,A,1\n")
        path.with_name("orders-1.csv.done").touch()
        alive = await world.poll(steps)
        if not path.exists():
            # The partner is half through the next file of that name.
            path.write_text("order,sku")
            world.now += dt.timedelta(seconds=CLAIM_S + 1)
            assert await world.poll(10_000)
            assert path.read_text() == "order,sku", steps
            assert world.kept == ["orders-1.csv"], steps
        if alive:
            return


async def test_a_partner_sees_a_document_once_whenever_a_process_dies(tmp_path, monkeypatch):
    shipment = Shipment(
        key="D-1",
        order="O/1",
        lines=(DocumentLine(line="1", listing="A", quantity=2),),
        shipped_at=NOON,
        carrier="DHL",
        tracking="00340",
    )
    for steps in range(1, 1_000):
        world = World(tmp_path / str(steps), monkeypatch, documents=["shipment"])
        seen = []

        def take_away(world=world, seen=seen):
            for path in world.outbox.glob("shipment-*.csv"):
                seen.append(path.read_text())
                path.unlink()

        alive = True
        try:
            assert isinstance(await world.connection(steps).submit(shipment), Delivered)
        except Killed:
            alive = False
        take_away()
        for _ in range(2):
            assert isinstance(await world.connection(10_000).submit(shipment), Delivered)
            take_away()
        (text,) = seen
        (row,) = csv.DictReader(text.splitlines())
        assert (row["key"], row["order"], row["quantity"], row["tracking"]) == (
            "D-1",
            "O/1",
            "2",
            "00340",
        )
        if alive:
            return


async def test_the_file_of_levels_is_whole_whenever_a_process_dies(tmp_path, monkeypatch):
    def levels(count, version):
        return [
            LevelToSend(channel="c", listing=f"L-{n}", quantity=version, version=version)
            for n in range(count)
        ]

    for steps in range(1, 1_000):
        world = World(tmp_path / str(steps), monkeypatch)
        await world.connection(10_000).publish(levels(20, 1))
        alive = True
        try:
            await world.connection(steps).publish(levels(5, 2))
        except Killed:
            alive = False
        with (world.outbox / "levels.csv").open(newline="") as file:
            shown = {row["listing"]: row["quantity"] for row in csv.DictReader(file)}
        assert len(shown) == 20, steps
        assert set(list(shown.values())[5:]) <= {"1", "2"}, steps
        results = await world.connection(10_000).publish(levels(5, 3))
        assert all(isinstance(one, Applied) for one in results), steps
        if alive:
            return


READER = """
import asyncio, os, signal, sys
from stockwright.connectors.csv_drop import CONNECTOR
from stockwright.sdk.connector import Opening
settings = CONNECTOR.declaration.parse_settings({"stable_s": 0, "inbox": sys.argv[1]}, str)
page = asyncio.run(CONNECTOR.open(Opening(system="partner"), settings).read(""))
print(page.next_cursor, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_a_real_kill_between_commit_and_laying_aside_reads_nothing_twice(
    tmp_path, monkeypatch
):
    world = World(tmp_path, monkeypatch)
    (world.inbox / "orders-1.csv").write_text("order,sku,quantity\nO1,A,1\n")
    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", READER, str(world.inbox)],
        capture_output=True,
        text=True,
        env=dict(os.environ),
        check=False,
    )
    assert ran.returncode == -signal.SIGKILL
    assert names(world.inbox / "done") == []
    world.cursor = ran.stdout.strip()
    world.now = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=CLAIM_S + 1)
    assert await world.poll(10_000)
    assert world.kept == []
    assert names(world.inbox / "done") == ["orders-1.csv"]

"""Live pages: server-sent events over real HTTP, and the topic behind them."""

import asyncio
import http.client
import json
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import pytest

from stockwright import telemetry
from stockwright.console.stream import Snapshot, Topic, Topics, difference
from stockwright.domain.errors import Transient
from tests.console.seeding import Seed, seed_wholesaler
from tests.console.serving import Served


class Follower:
    """Reads events from an open response."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.response = response

    def next(self) -> tuple[str, dict[str, Any]]:
        name, data = "", ""
        while True:
            line = self.response.readline().decode().rstrip("\n")
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                data = line.removeprefix("data: ")
            elif not line and name:
                return name, json.loads(data)

    def until(self, cell: str, text: str) -> None:
        """Reads on until a cell has a text, at most 30 events."""
        for _ in range(30):
            if self.next()[1]["cells"].get(cell) == text:
                return
        raise AssertionError(f"{cell} never became {text}")


@contextmanager
def following(console: Served, path: str = "/console/stream") -> Iterator[Follower]:
    connection = console.connection()
    connection.request("GET", path)
    response = connection.getresponse()
    assert response.status == 200
    assert response.getheader("content-type") == "text/event-stream; charset=utf-8"
    yield Follower(response)
    connection.close()


def test_a_browser_gets_every_cell_first_and_then_only_what_changed(seed: Seed, console: Served):
    seed_wholesaler(seed)
    with following(console) as browser:
        name, first = browser.next()
        assert name == "cells"
        assert first["cells"]["out:market-a:market-a/state"] == "failing"
        assert "in:erp:" in first["shape"].split("\n")
        seed.connection.execute("update connection_state set paused = true where system = 'b2b'")
        browser.until("out:b2b:b2b/state", "paused")
        _, change = browser.next()
        assert len(change["cells"]) < len(first["cells"]) / 2


def test_several_browsers_follow_and_one_that_comes_back_gets_everything(
    seed: Seed, console: Served
):
    seed_wholesaler(seed)
    with following(console) as one, following(console) as two:
        assert one.next()[1]["cells"].keys() == two.next()[1]["cells"].keys()
        seed.connection.execute("insert into work_item (kind, subject) values ('recount', 'x')")
        one.until("total:work", "4")
        two.until("total:work", "4")
    with following(console) as again:
        assert again.next()[1]["cells"]["total:work"] == "4"


def test_a_new_link_changes_the_shape_so_that_the_page_is_fetched_anew(seed: Seed, console: Served):
    seed_wholesaler(seed)
    with following(console) as browser:
        before = browser.next()[1]["shape"]
        seed.system("newcomer")
        shapes = [browser.next()[1]["shape"] for _ in range(4)]
    assert shapes[-1] != before
    assert "in:newcomer:" in shapes[-1]


def test_an_items_stream_tells_that_its_page_has_changed_and_no_others(seed: Seed, console: Served):
    seed.location("LON")
    for sku in ("A", "B"):
        seed.sku(sku)
    with following(console, "/console/stream?sku=A") as browser:
        before = browser.next()[1]["shape"]
        seed.event("receipt", "B", 5, ("supplier", "sellable"))
        seed.event("receipt", "A", 5, ("supplier", "sellable"))
        _, change = browser.next()
        assert change["shape"] != before
        assert change["shape"].startswith(f"{seed.sequence}|")


def test_closed_browsers_are_counted_out(console: Served):
    def streams() -> float:
        return telemetry.REGISTRY.get_sample_value("stockwright_console_streams") or 0

    before = streams()
    with following(console) as browser:
        browser.next()
        assert streams() == before + 1
    deadline = time.monotonic() + 30
    while streams() != before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert streams() == before


def cells(**texts: str) -> Snapshot:
    return Snapshot("shape", texts)


def test_the_difference_of_equal_snapshots_is_nothing_to_send():
    assert difference(cells(a="1"), cells(a="1")) == b""
    assert b'"cells":{"a":"2"}' in difference(cells(a="1", b="1"), cells(a="2", b="1"))


async def test_one_reading_serves_all_followers_of_a_topic():
    readings = 0

    async def source() -> Snapshot:
        nonlocal readings
        readings += 1
        return cells(n=str(readings))

    topic = Topic(source, every_s=0.01)
    browsers = [topic.follow() for _ in range(5)]
    for browser in browsers:
        assert await anext(browser) == b"retry: 2000\n\n"
    firsts = [await anext(browser) for browser in browsers]
    assert len(set(firsts)) == 1
    assert readings < 5
    for browser in browsers:
        await browser.aclose()
    assert topic.followers == 0


async def test_reading_stops_when_nobody_follows_and_starts_again():
    readings = 0

    async def source() -> Snapshot:
        nonlocal readings
        readings += 1
        return cells(n=str(readings))

    topics = Topics(every_s=0.001)
    async with aclosing(topics.follow("a", source)) as events:
        await anext(events)
        await anext(events)
    await asyncio.sleep(0.02)
    stopped_at = readings
    await asyncio.sleep(0.05)
    assert readings == stopped_at
    async with aclosing(topics.follow("a", source)) as events:
        await anext(events)
        assert b'"n":"' in await anext(events)
    assert readings > stopped_at


async def test_a_slow_browser_misses_what_was_in_between_and_gets_the_newest():
    count = 0

    async def source() -> Snapshot:
        nonlocal count
        count += 1
        if count == 50:
            fifty.set()
        return cells(n=str(count))

    fifty = asyncio.Event()
    topic = Topic(source, every_s=0)
    async with aclosing(topic.follow()) as events:
        await anext(events)
        await anext(events)
        await fifty.wait()
        event = await anext(events)
        assert int(event.split(b'"n":"')[1].split(b'"')[0]) >= 49


async def test_a_database_that_is_away_leaves_the_stream_open_until_it_is_back():
    answers: list[Snapshot | Exception] = [Transient("away"), Transient("away"), cells(n="back")]

    async def source() -> Snapshot:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    topic = Topic(source, every_s=0)
    async with aclosing(topic.follow()) as events:
        await anext(events)
        assert b"back" in await anext(events)


async def test_a_stream_is_refused_when_too_many_follow(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("stockwright.console.stream.MAX_FOLLOWERS", 1)

    async def source() -> Snapshot:
        return cells(n="1")

    topics = Topics(every_s=0.001)
    seen = [topics.full]
    async with aclosing(topics.follow("a", source)) as events:
        await anext(events)
        seen.append(topics.full)
    assert [*seen, topics.full] == [False, True, False]

"""The loops: which connections publish, and polls that neither fail nor hang the others."""

import asyncio
import datetime as dt
from pathlib import Path
from unittest.mock import patch

import msgspec

from stockwright.app import asking
from stockwright.app.asking import poll_until
from stockwright.app.connections import asked_of, open_asked
from stockwright.app.partners import close_all
from stockwright.app.workers import link_of
from stockwright.connectors.json_http import CONNECTOR
from stockwright.flow.polling import Poller
from stockwright.sdk.declaration import Capabilities, Limits, Patience
from stockwright.sdk.messages import Page, Payload
from stockwright.store.connection import Pool, connect
from stockwright.store.polls import poll_states
from tests.app.test_services import network

LIMITS = Limits(
    batch_size=1,
    calls_per_s=1000.0,
    burst=1000,
    concurrency=1,
    timeout_s=1.0,
    longest_apply_delay_s=0.0,
)


class Partner:
    """Reads what it is told to; counts how often it was asked."""

    limits = LIMITS

    def __init__(self, payloads: int = 0, hangs: bool = False) -> None:
        self.payloads = payloads
        self.hangs = hangs
        self.asked = asyncio.Event()

    async def read(self, cursor: str) -> Page:
        self.asked.set()
        if self.hangs:
            await asyncio.Event().wait()
        return Page(
            payloads=tuple(Payload(body=b"{}") for _ in range(self.payloads)),
            next_cursor="1",
            started_at=dt.datetime.now(dt.UTC),
            complete=True,
        )

    async def acknowledge(self, page: Page) -> None:
        pass


def with_system(url: str) -> str:
    with connect(url) as connection:
        connection.execute("INSERT INTO system (code, role) VALUES ('shop', 'shop')")
    return url


async def test_new_payloads_are_told(database_url):
    found = asyncio.Event()
    stop = asyncio.Event()
    with Pool(with_system(database_url)) as pool:
        poller = Poller(pool, worker="w")
        polling = asyncio.create_task(poll_until(stop, poller, "shop", Partner(2), found.set))
        await asyncio.wait_for(found.wait(), 30)
        stop.set()
        await asyncio.wait_for(polling, 30)


async def test_a_queue_is_asked_again_at_once(database_url):
    """It waits by itself until there is something; others are asked every ten seconds."""
    stop, told = asyncio.Event(), asyncio.Event()
    queue = Partner(1)
    queue.poll_every_s = 0.0
    rounds = 0

    def found() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 6:
            told.set()

    with Pool(with_system(database_url)) as pool:
        poller = Poller(pool, worker="w")
        polling = asyncio.create_task(poll_until(stop, poller, "shop", queue, found))
        await asyncio.wait_for(told.wait(), 40)
        stop.set()
        await asyncio.wait_for(polling, 30)


async def test_a_partner_with_a_pace_of_its_own_is_asked_at_that(database_url):
    stop, found = asyncio.Event(), asyncio.Event()
    slow = Partner(1)
    slow.poll_every_s = 60.0
    with Pool(with_system(database_url)) as pool:
        poller = Poller(pool, worker="w")
        polling = asyncio.create_task(poll_until(stop, poller, "shop", slow, found.set))
        await asyncio.wait_for(found.wait(), 30)
        stop.set()
        await asyncio.wait_for(polling, 30)
        with pool.connection() as connection:
            (state,) = poll_states(connection)
    assert 55 < (state.due_at - state.last_success_at).total_seconds() <= 61


async def test_a_partner_that_keeps_us_waiting_does_not_hold_up_the_stop(database_url):
    stop = asyncio.Event()
    partner = Partner(hangs=True)
    with Pool(with_system(database_url)) as pool:
        poller = Poller(pool, worker="w")
        polling = asyncio.create_task(poll_until(stop, poller, "shop", partner, print))
        await asyncio.wait_for(partner.asked.wait(), 30)
        stop.set()
        await asyncio.wait_for(polling, 30)
        # What it held is free for another worker at once.
        again = Partner()
        assert await Poller(pool, worker="other").poll("shop", again, now=True) is not None


async def test_a_database_that_is_away_ends_no_poll(tmp_path):
    stop = asyncio.Event()
    with Pool(f"postgresql:///none?host={tmp_path}") as pool:
        poller = Poller(pool, worker="w")
        polling = asyncio.create_task(poll_until(stop, poller, "shop", Partner(), print))
        await asyncio.sleep(0.2)
        assert not polling.done()
        stop.set()
        await asyncio.wait_for(polling, 30)


async def test_a_partner_that_is_not_polled_holds_up_no_increase():
    settings = {"base_url": "http://127.0.0.1:9", "orders_path": ""}
    config = network("", connector="json_http", settings=settings)
    opened = open_asked(asked_of(config)["shop"])
    link = link_of(opened)
    assert not link.order_watermark
    await opened.connection.close()


async def test_a_partner_that_takes_gross_numbers_is_raised_at_once():
    settings = {"base_url": "http://127.0.0.1:9"}
    config = network("", connector="json_http", settings=settings)
    opened = open_asked(asked_of(config)["shop"])
    gross = Capabilities(order_watermark=True, levels_are="gross")
    declared = msgspec.structs.replace(CONNECTOR.declaration, capabilities=gross)
    own = msgspec.structs.replace(CONNECTOR, declaration=declared)
    with patch("stockwright.app.workers.find_connector", lambda *_: own):
        link = link_of(opened)
    assert not link.order_watermark
    await opened.connection.close()


async def test_a_connection_may_say_its_own_patience():
    config = network("", connector="json_http", settings={"base_url": "http://127.0.0.1:9"})
    opened = open_asked(asked_of(config)["shop"])
    assert link_of(opened).patience == CONNECTOR.declaration.patience
    opened.connection.patience = Patience(orders_every_s=7)
    assert link_of(opened).patience.orders_every_s == 7
    await opened.connection.close()


async def test_orders_that_are_wanted_are_asked_for_at_once(monkeypatch):
    monkeypatch.setattr(asking, "IDLE_S", 3_600.0)
    asked = asyncio.Queue()

    class Patient:
        async def poll(self, system, connection, *, every_s):
            asked.put_nowait(system)

    stop, wanted = asyncio.Event(), asyncio.Event()
    polling = asyncio.create_task(poll_until(stop, Patient(), "shop", None, print, wanted))
    for _ in range(3):
        await asyncio.wait_for(asked.get(), 30)
        await asyncio.sleep(0)
        assert asked.empty(), "it waits until they are wanted"
        wanted.set()
    await asyncio.wait_for(asked.get(), 30)
    stop.set()
    await asyncio.wait_for(polling, 30)


async def test_a_system_publishes_its_own_channels_only(tmp_path: Path):
    settings = {"base_url": "http://127.0.0.1:9"}
    config = network("", connector="json_http", settings=settings)
    opened = open_asked(asked_of(config)["shop"])
    link = link_of(opened)
    assert link is not None
    assert (link.system, link.channels) == ("shop", ("web",))
    assert link.order_watermark, (
        "its orders are polled, and a complete poll proves that none is missing"
    )
    await opened.connection.close()


async def test_every_connection_is_closed_whatever_the_others_do():
    closed: list[str] = []

    class Broken:
        async def close(self) -> None:
            raise RuntimeError

    class Well:
        async def close(self) -> None:
            closed.append("well")

    await close_all({"a": Broken(), "b": Well()})
    assert closed == ["well"]


async def test_a_connection_that_keeps_jobs_is_published_by_one_process_at_a_time():
    config = network("", connector="json_http", settings={"base_url": "http://127.0.0.1:9"})
    opened = open_asked(asked_of(config)["shop"])
    assert link_of(opened, "one").alone_as == ""
    opened.connection.keeps_jobs = True
    assert link_of(opened, "one").alone_as == "one"
    await opened.connection.close()

"""Webhooks as they really arrive: over HTTP, many times, in any order, some never."""

import asyncio
import random

import pytest
from aiohttp import web

from stockwright.connectors.json_http import CONNECTOR, Sandbox
from stockwright.domain.errors import Rejected
from stockwright.flow.intake import Intake
from stockwright.flow.polling import Poller
from stockwright.flow.recording import Recorder
from stockwright.sdk.connector import Opening
from stockwright.sdk.hostile import storm
from stockwright.sdk.messages import Payload
from stockwright.store.connection import Pool
from tests.flow.partners import events, rows, set_up


@pytest.fixture
def database(database_url):
    with set_up(database_url) as connection:
        yield connection


class Hub:
    """The door as the API opens it: verify, keep, answer; and a worker behind it."""

    def __init__(self, database_url):
        self.pool = Pool(database_url, size=8)
        self.recorder = Recorder(database_url)
        self.connections = {}
        self.intake = Intake(self.pool, self.recorder, self.connections, worker="w1")

    async def __aenter__(self):
        self.recorder.start()
        app = web.Application()
        app.router.add_post("/webhooks/{system}", self.receive)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_):
        await self.runner.cleanup()
        self.recorder.stop()
        self.pool.close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.runner.addresses[0][1]}/webhooks/shop"

    async def receive(self, request):
        system = request.match_info["system"]
        try:
            payload = self.connections[system].receive(request.headers, await request.read())
        except Rejected as error:
            return web.json_response({"reason": error.reason}, status=401)
        await asyncio.to_thread(self.intake.accept, system, "webhook", payload)
        return web.Response(status=202)

    def connect(self, sandbox):
        settings = CONNECTOR.declaration.parse_settings(sandbox.settings(), str)
        self.connections["shop"] = CONNECTOR.open(Opening(system="shop"), settings)

    def work(self):
        while self.intake.step().payloads:
            pass


async def test_sales_told_many_times_in_any_order_and_partly_never_are_one_promise_each(
    database_url, database
):
    chance = random.Random(20260301)
    async with Hub(database_url) as hub, Sandbox() as sandbox:
        await sandbox.start()
        sandbox.webhook_url = hub.url
        sandbox.webhooks = False
        hub.connect(sandbox)
        told = [
            (f"m-{n}", await sandbox.sell(f"O{n}", [("shop-a", 1), ("shop-b", 2)]))
            for n in range(40)
        ]
        told += [
            (f"c-{n}", await sandbox.cancel(f"O{n}", f"C{n}", [("1", "shop-a", 1)]))
            for n in range(0, 40, 4)
        ]
        heard = [one for one in told if chance.random() < 0.8]
        for message_id, body in storm(heard, chance):
            assert await sandbox.deliver(body, message_id) == 202
        hub.work()
        # The poll fills what no webhook told.
        poll = await Poller(hub.pool, worker="p").poll("shop", hub.connections["shop"])
        assert poll.payloads == 50
        hub.work()
        await hub.connections["shop"].close()
    assert len(events(database)) == 40 * 2 + 10
    assert rows(database, "select count(*) from payload where state <> 'recorded'") == [(0,)]
    assert rows(database, "select count(*) from work_item where kind = 'conflict'") == [(0,)]
    ordered = "select sum(ordered), sum(cancelled) from demand_line"
    assert rows(database, ordered) == [(120, 10)]


async def test_a_stranger_s_webhook_is_refused_and_not_kept(database_url, database):
    async with Hub(database_url) as hub, Sandbox() as sandbox, Sandbox() as stranger:
        await sandbox.start()
        hub.connect(sandbox)
        stranger.webhook_url = hub.url
        await stranger.sell("O1", [("shop-a", 1)])
        assert stranger.deliveries == [("msg_1", 401)]
        await hub.connections["shop"].close()
    assert rows(database, "select count(*) from payload") == [(0,)]


async def test_a_webhook_that_only_hints_brings_the_next_poll_forward(database_url, database):
    async with Hub(database_url) as hub, Sandbox() as sandbox:
        await sandbox.start()
        hub.connect(sandbox)
        poller = Poller(hub.pool, worker="p")
        assert (await poller.poll("shop", hub.connections["shop"])).complete
        assert await poller.poll("shop", hub.connections["shop"]) is None, "not due yet"
        for hint in (False, True):
            payload = Payload(body=b'{"order": 7}', hint=hint)
            await asyncio.to_thread(hub.intake.accept, "shop", "webhook", payload)
            due = await poller.poll("shop", hub.connections["shop"])
            assert (due is not None) is hint
        await hub.connections["shop"].close()
    assert rows(database, "select count(*) from payload") == [(2,)]

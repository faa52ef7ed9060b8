"""Running processes follow the configuration: connections come, change and go without a restart."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from stockwright.api.server import WebServer
from stockwright.app import open_services, partners
from stockwright.app.connections import Asked, OpenConnections, Opened
from stockwright.app.following import Change
from stockwright.app.partners import Partners
from stockwright.connectors.json_http import Sandbox
from stockwright.domain.network import System
from stockwright.flow import configuring, connecting
from stockwright.sdk.secrets import Secret
from stockwright.store import attempts
from stockwright.store.history import Said
from stockwright.store.network import read_network
from stockwright.store.processes import PartView
from stockwright.store.worklist import Which, work_items
from tests.app.test_services import eventually, network, receipt, reserved, stock
from tests.app.test_workers import LIMITS

BY = Said(actor="cli ann", source="cli", reason="test")
KEYS = ["whsec_" + part * 4 for part in ("c2VjcmV0", "b3RoZXI5")]


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(partners, "LOOK_S", 0.05)
    monkeypatch.setattr("stockwright.app.following.RETRY_S", 0.05)


def do(services, work, *args, **kwargs):
    with services.pool.connection() as connection:
        return work(connection, *args, **kwargs)


def change(services, **shop) -> None:
    """Writes other fields of the shop's system, as `config apply` does."""

    def work(connection):
        found = read_network(connection)
        (system,) = (one for one in found.systems if one.code == "shop")
        changed = replace(system, **shop)
        configuring.apply_edits(connection, replace(found, systems=(changed,)), BY)

    do(services, work)


def unopened(services) -> list[dict[str, Any]]:
    found = do(services, work_items, Which(kind="connection_not_opened"))
    return [one.detail for one in found]


def part(services, name: str) -> PartView:
    """How one part of a process is doing."""
    found: PartView
    (found,) = (one for one in services.workers.views() if one.name == name)
    return found


async def test_a_connection_comes_changes_breaks_and_goes_while_two_processes_run(
    database_url, tmp_path
):
    secret = tmp_path / "secret"
    secret.write_text(KEYS[0])
    async with Sandbox(secret=Secret(KEYS[0])) as shop:
        settings = {
            "base_url": await shop.start(),
            "webhook_secrets": [f"file:{secret}"],
            "channel": "web",
        }
        config = network(database_url)
        works = open_services(config, ["workers"])
        answers = open_services(config, ["api"])
        worker = await asyncio.to_thread(works.__enter__)
        api = await asyncio.to_thread(answers.__enter__)
        web = WebServer(api, host="127.0.0.1", port=0)
        try:
            await asyncio.to_thread(web.start)
            shop.webhook_url = f"{web.url}/v1/hooks/shop"
            await asyncio.to_thread(stock, api, "A", "L-A")
            await worker.recorder.record([receipt("A", 10)])
            assert not worker.connections
            assert not api.connections

            # It comes: the worker publishes, the other process proves its webhooks.
            await asyncio.to_thread(change, api, connector="json_http", settings=settings)
            await eventually(lambda: shop.shown("L-A") == 10)
            await eventually(lambda: "shop" in api.connections)
            await shop.sell("SO-1", [("L-A", 3)])
            await eventually(lambda: reserved(api, "A") == 3)
            await eventually(lambda: shop.shown("L-A") == 7)

            # Its secret changes in its file: what is signed with the old one is refused.
            before = worker.connections["shop"], api.connections["shop"]
            secret.write_text(KEYS[1])
            await eventually(lambda: api.connections["shop"] is not before[1])
            await eventually(lambda: worker.connections["shop"] is not before[0])
            await shop.sell("SO-2", [("L-A", 1)])
            assert [status for _, status in shop.deliveries] == [202, 401]

            # Its settings break: both go on with those before, and a person is told.
            good = worker.connections["shop"]
            broken = settings | {"base_url": "nowhere"}
            await asyncio.to_thread(change, api, settings=broken)
            await eventually(lambda: unopened(api))
            (told,) = await asyncio.to_thread(unopened, api)
            assert told["setting"] == "systems.shop.settings.base_url"
            assert told["runs"] == "with the settings before"
            assert worker.connections["shop"] is good
            await worker.recorder.record([receipt("A", 5)])
            await eventually(lambda: shop.shown("L-A") == 11)
            # Either process may have been the one that told a person.
            await eventually(lambda: part(worker, "connection shop").state == "failed")
            assert part(worker, "connection shop").failures > 0

            # They are mended: the item closes, and what is due goes out.
            mended = settings | {"timeout_s": 7.0}
            await asyncio.to_thread(change, api, settings=mended)
            await eventually(lambda: worker.connections["shop"] is not good)
            await eventually(lambda: not unopened(api))
            await worker.recorder.record([receipt("A", 1)])
            await eventually(lambda: shop.shown("L-A") == 12)

            # It goes: nothing is sent any more, and its webhooks reach nobody.
            await asyncio.to_thread(change, api, connector="", settings={})
            await eventually(lambda: not worker.connections and not api.connections)
            await shop.sell("SO-3", [("L-A", 1)])
            assert shop.deliveries[-1][1] == 404
        finally:
            await asyncio.to_thread(web.stop)
            await asyncio.to_thread(answers.__exit__, None, None, None)
            await asyncio.to_thread(works.__exit__, None, None, None)


def test_a_process_starts_without_a_connection_that_it_cannot_open(database_url):
    settings = {"base_url": "http://127.0.0.1:9", "webhook_secrets": ["env:NOT_SET_ANYWHERE"]}
    config = network(database_url, connector="json_http", settings=settings)
    with open_services(config, ["api"]) as services:
        assert not services.connections
        (told,) = unopened(services)
        assert "NOT_SET_ANYWHERE" in told["message"]
        assert told["runs"] == "not at all"
        with services.pool.connection() as connection:
            services_seen = services.workers.views()
            connecting_view = connecting.view(connection, "shop")
        assert connecting_view.stage == "live"
        (seen,) = [one for one in services_seen if one.name == "connection shop"]
        assert (seen.state, seen.settings) == ("failed", "")


class Partner:
    """A connection that tells what is done with it."""

    system = "shop"
    limits = LIMITS

    def __init__(self, name: str, told: list[str]) -> None:
        self.name, self._told = name, told

    async def close(self) -> None:
        self._told.append(f"{self.name} closed")


class Looks:
    """A follower that finds what it is given."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    def look(self, busy):
        found = [one for one in self.changes if one.system not in busy]
        self.changes = [one for one in self.changes if one.system in busy]
        return found


async def test_the_old_call_ends_before_the_new_connection_sends_and_closes_after_its_last_use():
    told: list[str] = []
    ends, unused = asyncio.Event(), asyncio.Event()
    asked = Asked(System(code="shop", role="shop", connector="json_http"), ("web",))
    old, new = (Opened(asked, Partner(name, told), {}) for name in ("old", "new"))

    def work(opened, stop):
        async def sends() -> None:
            told.append(f"{opened.connection.name} begins")
            await stop.wait()
            if opened is old:
                await ends.wait()
            told.append(f"{opened.connection.name} ended")

        return [sends]

    async def let_go(_connection) -> None:
        await unused.wait()

    open_now, looks = OpenConnections({"shop": old.connection}), Looks()
    followed = Partners(open_now, {"shop": old}, looks, work, let_go)
    stop = asyncio.Event()
    running = asyncio.create_task(followed.run(stop))
    await eventually(lambda: "old begins" in told)
    looks.changes = [Change("shop", new)]
    await eventually(lambda: open_now["shop"] is new.connection)
    assert told == ["old begins"], "a webhook meets the new one while the old one still calls"
    ends.set()
    await eventually(lambda: "new begins" in told)
    assert told == ["old begins", "old ended", "new begins"]
    unused.set()
    await eventually(lambda: "old closed" in told)
    stop.set()
    await asyncio.wait_for(running, 20)
    assert told == ["old begins", "old ended", "new begins", "old closed", "new ended"]


async def test_what_fails_runs_again_and_ends_no_other_connection():
    told: list[str] = []
    failures = [RuntimeError("first"), RuntimeError("second")]
    asked = [Asked(System(code=code, role="shop"), ()) for code in ("a", "b")]
    one, other = (Opened(each, Partner(each.system.code, told), {}) for each in asked)

    def work(opened, stop):
        async def runs() -> None:
            told.append(f"{opened.connection.name} runs")
            if opened is one and failures:
                raise failures.pop()
            await stop.wait()

        return [runs]

    held = {"a": one, "b": other}
    followed = Partners(OpenConnections(), held, None, work)
    stop = asyncio.Event()
    running = asyncio.create_task(followed.run(stop))
    await eventually(lambda: told.count("a runs") == 3)
    stop.set()
    await asyncio.wait_for(running, 20)
    assert told.count("b runs") == 1


async def test_what_is_asked_of_people_ends_with_the_connection_it_is_about(database_url):
    settings = {"base_url": "http://127.0.0.1:1", "channel": "web"}
    config = network(database_url, connector="json_http", settings=settings)
    with open_services(config, []) as services:
        for kind, system in (("webhook_off", "gone"), ("webhook_off", "shop"), ("stray", "gone")):
            do(services, attempts.open_refusal, kind, f"{kind} {system}", system, {})
        change(services, criticality="high")
        # The process looks by itself, in a thread of its own: a look of the test's would meet it.
        await eventually(
            lambda: (
                {one.subject for one in do(services, work_items, Which(state="open"))}
                == {"webhook_off shop", "stray gone"}
            )
        )

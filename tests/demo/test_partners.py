"""The partners one by one: what they send, how often, and what they make of the answers."""

import asyncio
import datetime as dt
from collections import Counter
from typing import Any

import msgspec
import pytest
from aiohttp import web

from stockwright.connectors.csv_drop import Sandbox as Folder
from stockwright.connectors.json_http import Sandbox
from stockwright.demo.clock import ClosedLoop, VirtualClock
from stockwright.demo.filing import FilingSeller
from stockwright.demo.happenings import Move, Order, OrderLine
from stockwright.demo.hub import EventAnswers, Granted, Hub, HubRefused
from stockwright.demo.latency import LatencyMeter
from stockwright.demo.oracle import Oracle
from stockwright.demo.overlay import SELLERS, Chance
from stockwright.demo.partners import Erp, Wms
from stockwright.demo.picture import Picture
from stockwright.demo.sellers import AskingSeller, TellingSeller
from stockwright.demo.stage import Stage
from stockwright.domain.errors import StockwrightError, Transient

NINE = dt.datetime(2011, 12, 5, 9, tzinfo=dt.UTC)
BY_CODE = {seller.code: seller for seller in SELLERS}


async def at_rest() -> bool:
    return True


class Punctual(Stage):
    """A stage on which nothing comes late or twice, but for the names given."""

    twice: frozenset[str] = frozenset()
    late: int = 0

    def is_repeated(self, *name: str) -> bool:
        return name[-1] in self.twice

    def lateness_s(self, *name: str) -> float:
        return 0.0


def stage(opening: dict[str, int]) -> Punctual:
    clock = VirtualClock(NINE)
    return Punctual(
        clock,
        ClosedLoop(clock, at_rest),
        Oracle.opening(opening),
        LatencyMeter(BY_CODE),
        Picture("A"),
        Chance(1),
    )


class FakeHub(Hub):
    """Grants what it has; keeps all it was asked."""

    def __init__(self, stock: dict[str, int] | None = None) -> None:
        super().__init__("http://unused", "webshop")
        self.stock = Counter(stock or {})
        self.asked: list[tuple[str, str, Any]] = []
        self.heard: dict[str, Granted] = {}
        self.facts: list[dict[str, Any]] = []

    async def events(self, facts):
        replays = sum(fact in self.facts for fact in facts)
        self.facts += [fact for fact in facts if fact not in self.facts]
        return EventAnswers({"recorded": len(facts)}, replays)

    async def reserve(self, order, document, lines, mode="partial"):
        self.asked.append(("reserve", document, list(lines)))
        if document in self.heard:
            return msgspec.structs.replace(self.heard[document], replay=True)
        granted = {}
        for line in lines:
            has = self.stock[line["item"]]
            granted[line["line"]] = min(has, line["quantity"]) if mode == "partial" else 0
            if mode == "all" and has >= line["quantity"]:
                granted[line["line"]] = line["quantity"]
            self.stock[line["item"]] -= granted[line["line"]]
        self.heard[document] = Granted(granted, False)
        return self.heard[document]

    async def move_on(self, order, transition, document, lines=()):
        again = (transition, document) in [(kind, name) for kind, name, _ in self.asked]
        self.asked.append((transition, document, [line["line"] for line in lines]))
        return again


def order(*lines: tuple[str, int]) -> Order:
    return Order(
        NINE,
        "536365",
        tuple(OrderLine(str(n), sku, sku, q) for n, (sku, q) in enumerate(lines, start=1)),
    )


def asking(on: Stage, hub: FakeHub, by_line: int):
    promised: list[tuple[str, list[str]]] = []

    def note(seller, _order, lines):
        promised.append((seller, [line.line for line in lines]))

    return AskingSeller(BY_CODE["webshop"], hub, on, note, by_line=by_line), promised


async def test_a_line_granted_in_part_is_given_back_and_counts_as_refused():
    on, hub = stage({"A": 5, "B": 1}), FakeHub({"A": 5, "B": 1})
    seller, promised = asking(on, hub, by_line=1)
    await seller.order(order(("A", 4), ("B", 3)))
    assert [step[0] for step in hub.asked] == ["reserve", "release", "confirm"]
    assert hub.asked[1][2] == ["2"]
    assert promised == [("webshop", ["1"])]
    tally = on.oracle.sellers["webshop"]
    assert (tally.accepted_lines, tally.refused_lines, tally.refused_servable) == (1, 1, 0)
    assert on.oracle.free == {"A": 1, "B": 1}


async def test_a_line_that_went_without_because_of_one_given_back_asks_again():
    class Releasing(FakeHub):
        async def move_on(self, order, transition, document, lines=()):
            if transition == "release":
                self.stock["A"] += 6
            return await super().move_on(order, transition, document, lines)

    on, hub = stage({"A": 6}), Releasing({"A": 6})
    seller, promised = asking(on, hub, by_line=1)
    await seller.order(order(("A", 10), ("A", 3)))
    assert [step[:2] for step in hub.asked] == [
        ("reserve", "536365/1+1"),
        ("release", "536365/release/1"),
        ("reserve", "536365/2"),
        ("confirm", "536365/confirm/2"),
    ]
    assert promised == [("webshop", ["2"])]
    assert on.oracle.sellers["webshop"].refused_servable == 0


async def test_a_small_basket_asks_line_by_line_and_buys_in_one_step():
    on, hub = stage({"A": 5}), FakeHub({"A": 5})
    seller, promised = asking(on, hub, by_line=25)
    await seller.order(order(("A", 4), ("A", 3), ("A", 1)))
    assert [step[0] for step in hub.asked].count("reserve") == 3
    assert hub.asked[-1] == ("confirm", "536365/confirm/1", ["1", "3"])
    assert promised == [("webshop", ["1", "3"])]


async def test_an_order_of_which_nothing_is_granted_is_not_confirmed():
    on, hub = stage({}), FakeHub()
    seller, promised = asking(on, hub, by_line=1)
    await seller.order(order(("A", 4), ("B", 1)))
    assert [step[0] for step in hub.asked] == ["reserve"]
    assert promised == [("webshop", [])]


async def test_a_call_sent_twice_must_be_answered_as_before():
    on, hub = stage({"A": 5}), FakeHub({"A": 5})
    on.twice = frozenset({"536365/1+1"})
    seller, _ = asking(on, hub, by_line=1)
    await seller.order(order(("A", 4), ("B", 1)))
    assert on.repeated == {"reservations": 1}
    assert on.oracle.free["A"] == 1


async def test_a_hub_that_grants_a_repeated_call_anew_ends_the_replay():
    class Forgetful(FakeHub):
        async def reserve(self, order, document, lines, mode="partial"):
            self.heard.clear()
            return await super().reserve(order, document, lines, mode)

    on = stage({"A": 9})
    on.twice = frozenset({"536365/1"})
    seller, _ = asking(on, Forgetful({"A": 9}), by_line=1)
    with pytest.raises(StockwrightError, match="sent twice was answered anew"):
        await seller.order(order(("A", 4)))


class Recorded(Sandbox):
    """A sandbox whose webhooks arrive here."""

    def __init__(self, status: int = 202) -> None:
        super().__init__()
        self.status = status
        self.sent: list[tuple[str, Any]] = []

    async def deliver(self, body: bytes, message_id: str) -> int:
        self.sent.append((message_id, msgspec.json.decode(body)))
        return self.status


def taken(sandbox: Sandbox, sku: str, quantity: int) -> None:
    """The sandbox shows this number, as if the hub had published it."""
    sandbox._take({"listing": sku, "quantity": quantity, "version": 1})


async def test_a_marketplace_sells_what_it_shows_and_tells_what_it_sold():
    on, sandbox, promised = stage({"A": 3}), Recorded(), []
    seller = TellingSeller(BY_CODE["bazaar"], sandbox, on, lambda *told: promised.append(told))
    taken(sandbox, "A", 5)
    await seller.order(order(("A", 4), ("A", 2)))
    assert sandbox.shown("A") == 1
    ((name, message),) = sandbox.sent
    assert name == "bazaar-536365"
    assert message["type"] == "order.placed"
    assert message["data"]["lines"] == [{"line": "1", "sku": "A", "quantity": 4}]
    tally = on.oracle.sellers["bazaar"]
    assert (tally.oversold_lines, tally.oversold_units, tally.refused_lines) == (1, 1, 1)
    assert on.oracle.untold["A"] == 4
    on.rested()
    assert on.oracle.untold["A"] == 0


async def test_a_message_that_comes_twice_is_the_same_one_later():
    on, sandbox = stage({"A": 9}), Recorded()
    on.twice = frozenset({"536365"})
    seller = TellingSeller(BY_CODE["bazaar"], sandbox, on, lambda *_told: None)
    taken(sandbox, "A", 9)

    async def bought() -> None:
        await seller.order(order(("A", 1)))

    await on.loop.run(iter([(NINE, bought)]))
    assert sandbox.sent[0] == sandbox.sent[1]
    assert len(sandbox.sent) == 2
    assert on.repeated == {"webhooks": 1}


async def test_a_webhook_the_hub_refuses_ends_the_replay():
    on, sandbox = stage({"A": 9}), Recorded(status=401)
    seller = TellingSeller(BY_CODE["bazaar"], sandbox, on, lambda *_told: None)
    taken(sandbox, "A", 9)
    with pytest.raises(Transient, match="answered 401 to the webhook 536365"):
        await seller.order(order(("A", 1)))


async def test_the_mail_order_house_sells_what_its_last_file_says_and_drops_a_file(tmp_path):
    on, folder, fetched = stage({"A": 9}), Folder(tmp_path), []
    await folder.start()
    (folder.outbox / "levels.csv").write_text(
        "listing,location,quantity,version\r\nA,,5,1\r\n", encoding="utf-8"
    )

    def fetch() -> None:
        for file in folder.inbox.glob("*.csv"):
            fetched.append(file.read_text())
            file.unlink()

    seller = FilingSeller(BY_CODE["mailorder"], folder, on, lambda *_told: None, fetch)

    async def bought() -> None:
        await seller.order(order(("A", 4), ("A", 2)))

    await on.loop.run(iter([(NINE, bought)]))
    assert on.oracle.sellers["mailorder"].accepted_units == 4
    (text,) = fetched
    assert [row.split(",")[:4] for row in text.splitlines()] == [
        ["order", "line", "sku", "quantity"],
        ["536365", "1", "A", "4"],
    ]
    assert not seller.has_mail
    await folder.stop()


def move(kind, quantity, **more) -> Move:
    return Move(NINE, kind, "5", "17", "A", "a", quantity, **more)


@pytest.mark.parametrize(
    ("what", "fact"),
    [
        (move("damage", -3), {"kind": "damage", "quantity": 3}),
        (move("scrap", -3), {"kind": "scrap", "quantity": 3}),
        (move("count", -3), {"kind": "count", "quantity": 7}),
        (move("count", 3), {"kind": "count", "quantity": 13}),
        (move("count", -30), {"kind": "adjustment", "quantity": -30}),
        (move("adjustment", -3), {"kind": "adjustment", "quantity": -3}),
        (move("adjustment", 3), {"kind": "adjustment", "quantity": 3}),
        (
            move("inspected", 3),
            {"kind": "inspection_result", "quantity": 3, "to_bucket": "sellable"},
        ),
        (
            move("inspected", 3, passes=False),
            {"kind": "inspection_result", "quantity": 3, "to_bucket": "damaged"},
        ),
    ],
)
async def test_each_move_is_told_as_its_own_kind_of_fact(what, fact):
    on, hub = stage({"A": 10}), FakeHub()
    wms = Wms(hub, on, {"A": 10})
    await wms.move([what])
    (told,) = hub.facts
    assert fact.items() <= told.items()
    assert (told["line"], told["item"]) == ("17", "a")
    assert on.oracle.free["A"] == wms.warehouse.shelf["A"] == 10 + what.gain


async def test_a_promised_line_is_picked_and_shipped_for_its_own_order():
    on, hub = stage({"A": 10}), FakeHub()
    wms = Wms(hub, on, {"A": 10})

    async def sold() -> None:
        wms.promised("bazaar", order(("A", 4)), order(("A", 4)).lines)

    await on.loop.run(iter([(NINE, sold)]))
    assert [(fact["kind"], fact["order_system"], fact["order"]) for fact in hub.facts] == [
        ("pick", "bazaar", "536365"),
        ("shipment", "bazaar", "536365"),
    ]
    assert hub.facts[0]["occurred_at"] < hub.facts[1]["occurred_at"]
    assert wms.warehouse.shelf["A"] == 6


async def test_the_erp_tells_a_lorry_as_one_message_with_a_place_for_each_line():
    on, sandbox = stage({}), Recorded()
    moves = [Move(NINE, "receipt", "DELIVERY-1-1", s, s, s, 5) for s in ("A", "B")]
    await Erp(sandbox, on).book(moves)
    ((_, message),) = sandbox.sent
    assert message["type"] == "stock.receipt"
    assert [line["sku"] for line in message["data"]["lines"]] == ["A", "B"]
    assert {line["location"] for line in message["data"]["lines"]} <= {"NORTH", "SOUTH"}
    assert on.oracle.free == {"A": 5, "B": 5}


class Answers:
    """A hub's API that gives planned answers, over real HTTP."""

    def __init__(self, *plan: tuple[int, Any]) -> None:
        self.plan = list(plan)
        self.bodies: list[Any] = []

    async def __aenter__(self) -> str:
        app = web.Application()
        app.router.add_route("POST", "/{path:.*}", self._answer)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        host, port = self.runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def __aexit__(self, *_error: object) -> None:
        await self.runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.bodies.append((request.path, await request.json()))
        status, body = self.plan.pop(0)
        return web.json_response(body, status=status, headers={"retry-after": "0"})


async def with_hub(answers: Answers, call):
    async with answers as address:
        hub = Hub(address, "wms")
        try:
            return await call(hub)
        finally:
            await hub.close()
            await asyncio.sleep(0)


async def test_a_busy_hub_is_asked_again_with_the_same_document():
    granted = {"code": "granted", "lines": [{"line": "1", "granted": 4}]}
    answers = Answers((429, {}), (503, {}), (201, granted))
    got = await with_hub(answers, lambda hub: hub.reserve("5", "5/1", [{"line": "1"}]))
    assert got == Granted({"1": 4}, False)
    assert [body["document"] for _, body in answers.bodies] == ["5/1"] * 3


async def test_a_refusal_for_want_of_stock_is_an_answer():
    answers = Answers((409, {"outcome": {"code": "insufficient", "replay": True}}))
    got = await with_hub(answers, lambda hub: hub.reserve("5", "5/1", [{"line": "1"}]))
    assert got == Granted({}, True)


async def test_any_other_refusal_ends_the_replay():
    answers = Answers((422, {"outcome": {"code": "unknown_sku"}}))
    with pytest.raises(HubRefused, match="order 5 was answered 422"):
        await with_hub(answers, lambda hub: hub.reserve("5", "5/1", [{"line": "1"}]))


async def test_a_fact_that_did_not_enter_the_ledger_ends_the_replay():
    wrong = {"results": [{"status": 202, "code": "parked"}, {"status": 422, "code": "malformed"}]}
    with pytest.raises(HubRefused, match="malformed"):
        await with_hub(Answers((207, wrong)), lambda hub: hub.events([{}, {}]))

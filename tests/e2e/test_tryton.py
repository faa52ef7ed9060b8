"""The running hub against a real Tryton server, 8.2; and the connector against 6.0."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stockwright.connectors.tryton import CONNECTOR
from stockwright.domain.events import Fact
from stockwright.sdk.connector import Opening
from stockwright.sdk.messages import Failure
from stockwright.sdk.secrets import Secret, resolve_secret
from tests.e2e.tryton_erp import DATABASE, Erp, running

pytestmark = pytest.mark.e2e

ITEMS = 20
PATIENCE_S = 60.0
KEY_VARIABLE = "STOCKWRIGHT_E2E_TRYTON_KEY"
COMMAND = [sys.executable, "-c", "import sys; from stockwright.cli import main; sys.exit(main())"]
CONFIG = """
[database]
data_dir = "{data_dir}"

[systems.ERP]
role = "erp"
connector = "tryton"

[systems.ERP.settings]
base_url = "{url}"
database = "erp"
key = "env:{key}"
returns = "sellable"
overlap_s = 30

[locations.MAIN]

[locations.W2]
"""


class Hub:
    """The installed product: its commands, and `up` as a process that may be killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = {k: v for k, v in os.environ.items() if k != "STOCKWRIGHT_CONFIG"}
        self._process: subprocess.Popen[str] | None = None
        self._port = 0
        self.kills = 0

    def run(self, *arguments: str) -> Any:
        """What a command answers as JSON."""
        done = subprocess.run(
            [*COMMAND, *arguments, "--json"],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def up(self) -> None:
        """Starts it and waits until it answers."""
        with (self._folder / "up.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*COMMAND, "up", "--json", "--port", "0", "--demo-open"],
                cwd=self._folder,
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, (self._folder / "up.log").read_text()[-4000:]
        self._port = int(json.loads(line)["url"].rpartition(":")[2])

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.communicate()
        self._process = None
        self.kills += 1

    def end(self) -> None:
        """As Ctrl-C does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.communicate(timeout=30)
            self._process = None

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """What the API answers."""
        wire = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            headers = {"content-type": "application/json"}
            wire.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = wire.getresponse()
            told = json.loads(answer.read())
            assert answer.status < 300, told
            return told
        finally:
            wire.close()

    def stock(self) -> dict[tuple[str, str], int]:
        """What lies where, by SKU and location, where anything does."""
        found = self.call("GET", "/v1/stock?limit=500")["items"]
        return {(one["sku"], one["location"]): one["on_hand"] for one in found if one["on_hand"]}

    def wait_for(self, wanted: dict[tuple[str, str], int]) -> None:
        """Until the books show this stock, and not one unit more."""
        deadline = time.monotonic() + PATIENCE_S
        while (found := self.stock()) != wanted:
            if time.monotonic() > deadline:
                off = {
                    key: (found.get(key, 0), wanted.get(key, 0))
                    for key in {*found, *wanted}
                    if found.get(key, 0) != wanted.get(key, 0)
                }
                parked = self.call("GET", "/v1/parked?limit=5")
                raise AssertionError(f"(hub, wanted) differ: {off}; parked: {parked}")
            time.sleep(0.3)


class Expected(Counter[tuple[str, str]]):
    """What lies where by what was done in Tryton, reckoned here and not asked there."""

    def move(self, code: str, units: int, place: str = "MAIN") -> None:
        self[code, place] += units

    @property
    def stock(self) -> dict[tuple[str, str], int]:
        return {key: units for key, units in self.items() if units}


@pytest.fixture(scope="module")
def erp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Erp]:
    """A server of the series 8.2 with products and two warehouses."""
    with running(tmp_path_factory.mktemp("tryton") / "erp") as found:
        found.set_up(ITEMS)
        yield found


@contextmanager
def hub(folder: Path, data_dir: Path, erp: Erp) -> Iterator[Hub]:
    """The hub with its own database, connected to the ERP by REST."""
    os.environ[KEY_VARIABLE] = erp.key()
    config = CONFIG.format(data_dir=data_dir, url=erp.url, key=KEY_VARIABLE)
    (folder / "stockwright.toml").write_text(config)
    # Tryton calls the first warehouse WH, we call it MAIN.
    bindings = "system,subject,partner_code,code\nERP,location,WH,MAIN\n"
    (folder / "places.csv").write_text(bindings)
    found = Hub(folder)
    try:
        yield found
    finally:
        found.end()
        del os.environ[KEY_VARIABLE]


def connection_to(erp: Erp, **settings: Any) -> Any:
    given = {"base_url": erp.url, "database": DATABASE, **settings}
    parsed = CONNECTOR.declaration.parse_settings(given, resolve_secret)
    return CONNECTOR.open(Opening(system="ERP"), parsed)


async def own_count(erp: Erp) -> dict[tuple[str, str], int]:
    """Tryton's own quantities by our codes."""
    connection = connection_to(erp, user="admin", password=Secret("template"))
    try:
        shown = await connection.snapshot()
    finally:
        await connection.close()
    return {(one.listing, {"WH": "MAIN"}.get(one.location, one.location)): one.quantity
            for one in shown}  # fmt: skip


async def test_what_happens_in_tryton_stands_in_the_ledger_once(
    erp: Erp, tmp_path: Path, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = sorted(erp.codes)
    expected = Expected()
    with hub(tmp_path, data_dir, erp) as ours:
        pulled = ours.run("pull", "items", "ERP")
        skus, units, bindings = pulled["reports"]
        assert (skus["new"], bindings["new"], skus["refused"]) == (ITEMS, ITEMS, 0)
        assert units["new"] == ITEMS  # a dozen of each
        ours.run("import", "bindings", "places.csv")
        again = ours.run("pull", "items", "ERP")["reports"]
        assert [report["new"] + report["changed"] for report in again] == [0, 0, 0]
        ours.up()

        _one_of_each(erp, codes, expected)
        ours.wait_for(expected.stock)
        _on_its_way(ours, erp, codes[6], expected)
        _say(capsys, f"{ITEMS} items in; {len(expected.stock)} places equal after one of each kind")

        made = _killed_in_the_middle(ours, erp, codes, expected)
        ours.wait_for(expected.stock)
        _each_once(ours, codes, made)
        sent = made.total() // 3
        told = f"{made.total()} receipts and {sent} shipments"
        _say(capsys, f"{told} while the hub was killed {ours.kills} times: each once")

        counted = await own_count(erp)
        assert {key: units for key, units in counted.items() if units} == expected.stock
        _reconciled(ours, counted)
        _say(capsys, f"Tryton's own count of {len(counted)} (item, place) equals the books")

        _supply(ours, erp, codes[0], expected)
        _say(capsys, "expected receipts in, drawn down by the receipt, closed when cancelled")
        ours.end()
        audit = ours.run("audit", "--rebuild")
        assert audit["ok"], audit


def _one_of_each(erp: Erp, codes: list[str], expected: Expected) -> None:
    """Every kind of movement that Tryton knows, by the steps its people take."""
    erp.done([(code, 50.0) for code in codes], "SUP", "STO")
    for code in codes:
        expected.move(code, 50)
    first, second, third, fourth, fifth = codes[:5]
    erp.done([(codes[7], 2.0)], "SUP", "STO", unit="dz")
    expected.move(codes[7], 24)
    assert erp.shipped(first, 3) == "done"
    expected.move(first, -3)
    erp.counted(second, 42)
    expected.move(second, -8)
    erp.counted(third, 55)
    expected.move(third, 5)
    erp.done([(first, 1.0)], "CUS", "IN")
    expected.move(first, 1)
    assert erp.received(third, 7) == "done"
    expected.move(third, 7)
    assert erp.sent_back(fourth, 4) == "done"
    expected.move(fourth, -4)
    erp.cancelled(erp.done([(fifth, 9.0)], "SUP", "STO"))


def _on_its_way(ours: Hub, erp: Erp, code: str, expected: Expected) -> None:
    """Goods in the transit are nowhere, and under way to the second warehouse."""
    shipment = erp.sent_on(code, 6, 2)
    expected.move(code, -6)
    ours.wait_for(expected.stock)
    found = ours.call("GET", f"/v1/stock/{code}")["items"]
    assert {one["location"]: one["in_transit"] for one in found if one["in_transit"]} == {"W2": 6}
    erp.arrived(shipment)
    expected.move(code, 6, "W2")
    ours.wait_for(expected.stock)


def _killed_in_the_middle(
    ours: Hub, erp: Erp, codes: list[str], expected: Expected
) -> Counter[str]:
    """Goods come and leave while the hub is killed again and again; receipts made, by item."""
    made: Counter[str] = Counter()
    over = threading.Event()
    faults: list[BaseException] = []

    def work() -> None:
        try:
            number = 0
            while not over.is_set() or number < 20:
                some = [codes[(number + step) % len(codes)] for step in range(3)]
                erp.done([(code, 2.0) for code in some], "SUP", "IN")
                assert erp.shipped(some[0], 1) == "done"
                for code in some:
                    made[code] += 1
                    expected.move(code, 2)
                expected.move(some[0], -1)
                number += 1
        except BaseException as fault:  # noqa: BLE001 - told by the test's own thread
            faults.append(fault)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for pause_s in (4.0, 12.0, 1.5):
            time.sleep(pause_s)
            ours.kill()
            ours.up()
    finally:
        over.set()
        worker.join()
    assert not faults, faults
    return made


def _each_once(ours: Hub, codes: list[str], made: Counter[str]) -> None:
    """The ledger has as many receipts of each item as were made: one, those made, and no more."""
    for code in codes:
        others = code in (codes[2], codes[4], codes[7])  # a shipment, one cancelled, one in dozens
        found = 0
        cursor = ""
        while True:
            page = ours.call("GET", f"/v1/ledger/{code}?limit=500{cursor}")
            found += sum(one["kind"] == "receipt" for one in page["items"])
            if not page["next_cursor"]:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert found == 1 + others + made[code], code


def _reconciled(ours: Hub, counted: dict[tuple[str, str], int]) -> None:
    """The ledger compares Tryton's numbers with its own, and finds the one that is wrong."""
    facts: list[dict[str, Any]] = [
        {"kind": "snapshot", "system": "ERP", "document": "count-1", "line": f"{item}/{place}",
         "item": item, "location": place, "quantity": units}
        for (item, place), units in sorted(counted.items())
    ]  # fmt: skip
    results = ours.call("POST", "/v1/events", facts)["results"]
    assert {one["code"] for one in results} == {"observed"}
    assert {one["answer"]["difference"] for one in results} == {0}
    wrong = facts[0] | {"document": "count-2", "quantity": facts[0]["quantity"] + 5}
    (result,) = ours.call("POST", "/v1/events", [wrong])["results"]
    assert result["answer"]["difference"] == 5


def _supply(ours: Hub, erp: Erp, code: str, expected: Expected) -> None:
    """Planned receipts are expected here until they are done, or given up."""
    coming, given_up = erp.moves([(code, 30.0)], "SUP", "IN"), erp.moves([(code, 5.0)], "SUP", "IN")
    assert ours.run("pull", "supply", "ERP")["new"] == 2
    told = ours.call("GET", "/v1/supply?system=ERP")["items"]
    assert sorted(one["quantity"] for one in told) == [5, 30]
    assert {one["location"] for one in told} == {"MAIN"}
    erp.rpc.call("model.stock.move.do", coming)
    expected.move(code, 30)
    ours.wait_for(expected.stock)
    line = ours.call("GET", f"/v1/supply/ERP/stock.move,{coming[0]}/1")
    assert line["received"] == 30
    erp.cancelled(given_up)
    assert ours.run("pull", "supply", "ERP")["closed"] >= 1
    assert ours.call("GET", "/v1/supply?system=ERP")["items"] == []


def _say(capsys: pytest.CaptureFixture[str], text: str) -> None:
    with capsys.disabled():
        print(f"\n  tryton: {text}", end="", flush=True)


@pytest.mark.parametrize("by", ["session", "key"])
async def test_both_protocols_tell_the_same(erp: Erp, by: str) -> None:
    """A small page, so that every question for a next one is asked of the real server."""
    erp.done([("SKU-00001", 1.0), ("SKU-00002", 2.0)], "SUP", "STO")
    credentials: dict[str, Any] = {"user": "admin", "password": Secret("template")}
    if by == "key":
        credentials = {"key": Secret(erp.key())}
    whole = await _all_facts(erp, page_size=1_000, **credentials)
    small = await _all_facts(erp, page_size=2, **credentials)
    assert small == whole
    assert sum(fact.kind == "receipt" for fact in whole) >= 2


@pytest.mark.parametrize("by", ["session", "key"])
async def test_opening_stock_is_what_lay_there_when_yesterday_ended(erp: Erp, by: str) -> None:
    credentials: dict[str, Any] = {"user": "admin", "password": Secret("template")}
    if by == "key":
        credentials = {"key": Secret(erp.key())}
    connection = connection_to(erp, **credentials)
    try:
        _, before = await connection.opening()
        erp.done_before([("SKU-00003", 7.0)], "SUP", "STO")
        erp.done([("SKU-00003", 4.0)], "SUP", "STO")
        _, after = await connection.opening()
        now = await connection.snapshot()
    finally:
        await connection.close()

    def at_hand(shown: Any) -> int:
        (found,) = [x for x in shown if (x.listing, x.location) == ("SKU-00003", "WH")]
        return int(found.quantity)

    assert at_hand(after) - at_hand(before) == 7, "what moved today is not in it"
    assert at_hand(now) - at_hand(after) >= 4


async def _all_facts(erp: Erp, **settings: Any) -> list[Fact]:
    connection = connection_to(erp, **settings)
    facts: list[Fact] = []
    try:
        cursor = ""
        for _ in range(1_000):
            page = await connection.read(cursor)
            cursor = page.next_cursor
            parts = [part.item for one in page.payloads for part in connection.map(one)]
            assert not [part for part in parts if isinstance(part, Failure)], parts
            facts += parts
            if page.complete:
                assert (await connection.read(cursor)).payloads == ()
                return facts
        raise AssertionError("the poll comes to no end")
    finally:
        await connection.close()


async def test_the_legacy_series_is_read_as_well(tmp_path: Path) -> None:
    with running(tmp_path / "legacy", "legacy") as erp:
        erp.set_up(3)
        first, second, third = sorted(erp.codes)
        erp.done([(first, 5.0), (second, 6.0)], "SUP", "STO")
        erp.done([(first, 2.0)], "STO", "CUS")
        credentials = {"user": "admin", "password": Secret("template"), "version": "6.0"}
        facts = await _all_facts(erp, page_size=2, **credentials)
        assert [(fact.kind, fact.item, fact.quantity) for fact in facts] == [
            ("receipt", first, 5),
            ("receipt", second, 6),
            ("shipment", first, 2),
        ]
        connection = connection_to(erp, **credentials)
        try:
            shown = {one.listing: one.quantity for one in await connection.snapshot()
                     if one.location == "WH"}  # fmt: skip
            told = [row.code async for page in connection.items() for row in page]
        finally:
            await connection.close()
        assert shown == {first: 3, second: 6, third: 0}
        assert {first, second, third} <= set(told)

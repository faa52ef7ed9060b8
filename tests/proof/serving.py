"""Real server processes, callers that never give up, and the partner that shows our numbers."""

import asyncio
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from stockwright.connectors.json_http import Sandbox
from tests.proof.stage import PATIENCE_S, wait_until

UP = "import sys; from stockwright.cli import main; sys.exit(main())"
ROLES = ("--only", "api", "--only", "workers")
SKUS = ("A", "B", "C")
_CONFIG = """
[database]
{database}

[systems.wms]
role = "wms"

[systems.shop]
role = "shop"
connector = "json_http"
settings = {{ base_url = "{shop}", orders_path = "", timeout_s = 2.0, longest_apply_delay_s = 0.5 }}

[locations.EAST]

[channels.web]
system = "shop"
pool = ["EAST"]
"""


class Up:
    """One `stockwright up` in a folder with its own stockwright.toml."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self.port: int | None = None

    def start(self) -> "Up":
        """Starts it and waits until it answers."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("STOCKWRIGHT_")}
        with (self._folder / "up.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", UP, "up", "--json", "--port", "0", "--demo-open", *ROLES],
                cwd=self._folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, (self._folder / "up.log").read_text()[-4000:]
        self.port = int(json.loads(line)["url"].rpartition(":")[2])
        return self

    def tell(self, what: signal.Signals) -> None:
        """Sends a signal to the process."""
        assert self._process is not None
        self._process.send_signal(what)

    def kill(self) -> None:
        """kill -9."""
        self.port = None
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def write_config(folder: Path, shop: str, *, url: str = "", data_dir: Path | None = None) -> Path:
    """A folder with the configuration of one place, a warehouse and a shop that is published to."""
    folder.mkdir(exist_ok=True)
    database = f'url = "{url}"' if url else f'data_dir = "{data_dir}"'
    (folder / "stockwright.toml").write_text(_CONFIG.format(database=database, shop=shop))
    return folder


@contextmanager
def shop() -> Iterator[tuple[Sandbox, str]]:
    """The partner on loopback, in an event loop of its own, and its address."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="shop")
    thread.start()
    sandbox = Sandbox()

    def wait(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    try:
        yield sandbox, wait(sandbox.start())
    finally:
        wait(sandbox.stop())
        wait(_end_other_tasks())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end_other_tasks() -> None:
    """Calls that are being answered slowly on purpose."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class Ask(NamedTuple):
    """One call: its way, its body, and the names and units of the items in it."""

    path: str
    body: Any
    items: tuple[tuple[str, str, int], ...]
    """(document, SKU, units)"""


class Answer(NamedTuple):
    """What an item was answered, whenever it was asked."""

    code: str
    sequence: int


class Book:
    """What all callers were told. An acknowledged answer may never change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.answers: dict[str, Answer] = {}
        self.units: dict[str, tuple[str, int]] = {}
        self.faults: list[str] = []
        self.repeated = 0

    def note(self, ask: Ask, answers: Sequence[Answer]) -> None:
        """Keeps acknowledged answers, and every contradiction among them."""
        with self._lock:
            for (document, sku, units), answer in zip(ask.items, answers, strict=True):
                first = self.answers.setdefault(document, answer)
                self.units[document] = (sku, units)
                self.repeated += first is not answer
                if first != answer:
                    self.faults.append(f"{document}: first {first}, then {answer}")

    def fault(self, text: str) -> None:
        """Keeps what no caller may ever see."""
        with self._lock:
            self.faults.append(text)

    def expected(self, sku: str) -> tuple[int, int]:
        """(sellable, reserved) that follow from the answers alone."""
        sellable = reserved = 0
        for document, answer in self.answers.items():
            its_sku, units = self.units[document]
            if its_sku == sku and answer.code == "recorded":
                sellable += units
            if its_sku == sku and answer.code == "granted":
                reserved += units
        return sellable, reserved


class Caller(threading.Thread):
    """Receives goods and reserves them; sends again, under the same names, what was not answered.

    `doors` are ports to try in turn; None is a server that is down.
    """

    def __init__(self, number: int, doors: Callable[[], list[int]], book: Book) -> None:
        super().__init__(name=f"caller-{number}")
        self._number = number
        self._doors = doors
        self._book = book
        self._chance = random.Random(number)
        self._open: list[Ask] = []
        self._done: list[Ask] = []
        self._asked = 0
        self._over = threading.Event()
        self._wire: http.client.HTTPConnection | None = None
        self._port = 0

    def run(self) -> None:
        while not self._over.is_set():
            self._send(self._next())
        deadline = time.monotonic() + PATIENCE_S
        while self._open and time.monotonic() < deadline:
            self._send(self._open.pop())
        for ask in self._open:
            self._book.fault(f"never answered: {ask.items[0][0]}")
        self._hang_up()

    def finish(self) -> None:
        """No new calls; those not answered are sent until they are."""
        self._over.set()

    def _next(self) -> Ask:
        chance = self._chance.random()
        if self._done and chance < 0.1:
            return self._chance.choice(self._done)
        if self._open and chance < 0.7:
            return self._open.pop(0)
        self._asked += 1
        return self._invent()

    def _invent(self) -> Ask:
        name = f"c{self._number}-{self._asked}"
        sku = self._chance.choice(SKUS)
        kind = self._chance.random()
        if kind < 0.25:
            items = tuple((f"{name}-{n}", self._chance.choice(SKUS), 2) for n in range(10))
            return Ask("/v1/events", [_receipt(*item) for item in items], items)
        if kind < 0.5:
            item = (name, sku, self._chance.randint(1, 3))
            return Ask("/v1/events", _receipt(*item), (item,))
        item = (name, sku, self._chance.randint(1, 8))
        body = {"system": "shop", "channel": "web", "order": name, "document": name}
        line = {"sku": sku, "quantity": item[2]}
        return Ask("/v1/reservations", body | {"lines": [line], "hold_s": 36_000}, (item,))

    def _send(self, ask: Ask) -> None:
        try:
            status, answer = self._post(ask)
        except (OSError, http.client.HTTPException):
            self._hang_up()
            self._open.append(ask)
            time.sleep(0.03)
            return
        if status in (429, 503):
            self._open.append(ask)
            time.sleep(0.05)
        elif status in (200, 201, 207, 409):
            self._book.note(ask, _answers(answer))
            self._done.append(ask)
        else:
            self._book.fault(f"{ask.path} was answered {status}: {answer}")

    def _post(self, ask: Ask) -> tuple[int, Any]:
        doors = self._doors()
        if not doors:
            raise ConnectionRefusedError
        if self._wire is None or self._port not in doors:
            self._hang_up()
            self._port = self._chance.choice(doors)
            self._wire = http.client.HTTPConnection("127.0.0.1", self._port, timeout=40)
        body = json.dumps(ask.body)
        self._wire.request("POST", ask.path, body, {"content-type": "application/json"})
        answer = self._wire.getresponse()
        return answer.status, json.loads(answer.read())

    def _hang_up(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None


def _receipt(document: str, sku: str, units: int) -> dict[str, Any]:
    return {
        "kind": "receipt",
        "system": "wms",
        "document": document,
        "sku": sku,
        "location": "EAST",
        "quantity": units,
    }


def _answers(answer: Any) -> list[Answer]:
    told = answer["results"] if "results" in answer else [answer.get("outcome", answer)]
    return [Answer(one["code"], one["sequence"]) for one in told]


@contextmanager
def calling(doors: Callable[[], list[int]], book: Book, callers: int = 4) -> Iterator[None]:
    """Callers at work for as long as the block lasts; then each ends with no question open."""
    threads = [Caller(number, doors, book) for number in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.finish()
        for thread in threads:
            thread.join()


def wait_for_answers(book: Book, more: int = 20) -> None:
    """Waits until callers were told this many new things."""
    enough = len(book.answers) + more
    wait_until(lambda: len(book.answers) >= enough, "callers are not answered")

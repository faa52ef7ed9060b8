"""A real Tryton server: installed once, started for the tests, and worked in as its people do."""

import datetime as dt
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

FOLDER_VARIABLE = "STOCKWRIGHT_E2E_TRYTON"
PARTNERS_VARIABLE = "STOCKWRIGHT_PARTNERS"
_BESIDE = Path(__file__).parents[3] / "shared" / "partners"
STEPS = Path(os.environ.get(PARTNERS_VARIABLE, _BESIDE)) / "tryton"
"""How Tryton is set up lies beside the repository, or where STOCKWRIGHT_PARTNERS says."""
DATABASE = "erp"


def installed(series: str) -> Path:
    """The folder with this series' packages and its first database, both made where they are not
    there. Fails naming what is missing.
    """
    if not (STEPS / "start_tryton.sh").is_file():
        pytest.fail(f"{STEPS} has no steps for Tryton; {PARTNERS_VARIABLE} names their folder")
    asked = os.environ.get(FOLDER_VARIABLE)
    folder = Path(asked or Path.home() / ".cache" / "stockwright-e2e" / "tryton") / series
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "initialised").exists():
        # Makes the virtual environment and the database; about a minute, once.
        port = free_port()
        done = _started(folder, folder / "venv", port, series, password="template")
        if done.returncode:
            pytest.fail(
                f"Tryton could not be installed into {folder} (needs the Python package index,"
                f" about 300 MB, and curl; {FOLDER_VARIABLE} names another folder):"
                f" {done.stderr[-2000:]}"
            )
        _ended(folder)
    return folder


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Erp:
    """One server, and a user who is logged in. Every method does what a person does there."""

    def __init__(self, port: int, password: str, series: str) -> None:
        sys.path.insert(0, str(STEPS))
        rpc, self._steps = import_module("tryton_rpc"), import_module("peer_tryton")
        path = f"/{DATABASE}/" if series == "legacy" else None
        self.url = f"http://127.0.0.1:{port}"
        self.rpc: Any = rpc.Tryton("127.0.0.1", port, DATABASE, path=path)
        self.rpc.login("admin", password).load_preferences()
        self.unit = "uom" if series == "legacy" else "unit"
        self.today = dt.date.today()  # noqa: DTZ011 - as the server, which runs on this machine

    def set_up(self, items: int) -> None:
        """A company, this many products, a customer, and a second warehouse, W2."""
        options = SimpleNamespace(skus=items, batch=50)
        self.env: dict[str, Any] = self._steps.environment(self.rpc, options)
        self.codes = {
            one["code"]: one["id"]
            for one in self.rpc.read("product.product", self.env["products"], ["code"])
        }
        (piece,) = self.rpc.read("product.uom", [self.env["unit"]], ["category"])
        dozen = {"name": "Dozen", "symbol": "dz", "category": piece["category"], "factor": 12.0}
        dozen |= {"rate": round(1 / 12, 12), "rounding": 1.0, "digits": 0}
        self.units = {"u": self.env["unit"], "dz": self.rpc.create("product.uom", [dozen])[0]}
        zones = self.rpc.create(
            "stock.location",
            [{"name": f"{zone} 2", "code": f"{zone}2", "type": "storage"} for zone in _ZONES],
        )
        ends = dict(zip(("input", "storage", "output"), zones, strict=True))
        second = {"name": "Second", "code": "W2", "type": "warehouse"}
        second |= {f"{end}_location": zone for end, zone in ends.items()}
        self.rpc.create("stock.location", [second])
        self.env["loc"] = self._steps.locations(self.rpc)

    def key(self) -> str:
        """A user application's key for REST."""
        key = secrets.token_hex(16)
        fields = {"user": self.rpc.uid, "application": "rest", "key": key}
        (number,) = self.rpc.create("res.user.application", [fields])
        (found,) = self.rpc.read("res.user.application", [number], ["state"])
        if found["state"] == "requested":
            self.rpc.call("model.res.user.application.validate_", [number])
        return key

    def place(self, code: str) -> int:
        """A location's number."""
        return int(self.env["loc"][code])

    def moves(
        self, lines: Sequence[tuple[str, float]], source: str, target: str, unit: str = "u"
    ) -> list[int]:
        """Draft moves of (code, quantity) between two locations, planned for today."""
        fields = {
            "from_location": self.place(source),
            "to_location": self.place(target),
            "company": self.env["company"],
            "planned_date": self.today,
        }
        if {source, target} & {"SUP", "CUS"}:
            fields |= {"currency": self.env["currency"], "unit_price": self._steps.Decimal("8")}
        return list(
            self.rpc.create(
                "stock.move",
                [
                    fields
                    | {"product": self.codes[code], self.unit: self.units[unit], "quantity": n}
                    for code, n in lines
                ],
            )
        )

    def done(
        self, lines: Sequence[tuple[str, float]], source: str, target: str, unit: str = "u"
    ) -> list[int]:
        """Moves that are done."""
        numbers = self.moves(lines, source, target, unit)
        self.rpc.call("model.stock.move.do", numbers)
        return numbers

    def done_before(self, lines: Sequence[tuple[str, float]], source: str, target: str) -> None:
        """Moves that are booked today for yesterday."""
        numbers = self.moves(lines, source, target)
        told = {"effective_date": self.today - dt.timedelta(days=1)}
        self.rpc.call("model.stock.move.write", numbers, told)
        self.rpc.call("model.stock.move.do", numbers)

    def shipped(self, code: str, quantity: int) -> str:
        """A customer's shipment from the storage by every step; its state in the end."""
        found = self._steps.new_shipments(self.rpc, self.env, [self.codes[code]], float(quantity))
        for button in ("assign_try", "pick", "pack", "ship", "do"):
            self.rpc.call(f"model.stock.shipment.out.{button}", found)
        return str(self.rpc.read("stock.shipment.out", found, ["state"])[0]["state"])

    def received(self, code: str, quantity: int) -> str:
        """A supplier's shipment: received in the input zone, then put away; its state then."""
        fields = {
            "company": self.env["company"],
            "supplier": self.env["customer"],
            "warehouse": self.place("WH"),
            "warehouse_input": self.place("IN"),
            "warehouse_storage": self.place("STO"),
            "planned_date": self.today,
            "incoming_moves": [["create", [self._line(code, quantity, "SUP", "IN", priced=True)]]],
        }
        return self._through("stock.shipment.in", fields, "receive", "do")

    def sent_back(self, code: str, quantity: int) -> str:
        """A return to a supplier from the storage; its state in the end."""
        fields = {
            "company": self.env["company"],
            "supplier": self.env["customer"],
            "from_location": self.place("STO"),
            "to_location": self.place("SUP"),
            "planned_date": self.today,
            "moves": [["create", [self._line(code, quantity, "STO", "SUP", priced=True)]]],
        }
        steps = ("wait", "assign_try", "do")
        return self._through("stock.shipment.in.return", fields, *steps)

    def _through(self, model: str, fields: dict[str, Any], *buttons: str) -> str:
        found = self.rpc.create(model, [fields])
        for button in buttons:
            self.rpc.call(f"model.{model}.{button}", found)
        return str(self.rpc.read(model, found, ["state"])[0]["state"])

    def _line(
        self, code: str, quantity: int, source: str, target: str, *, priced: bool = False
    ) -> dict[str, Any]:
        line = {
            "product": self.codes[code],
            self.unit: self.env["unit"],
            "quantity": float(quantity),
            "from_location": self.place(source),
            "to_location": self.place(target),
            "company": self.env["company"],
            "planned_date": self.today,
        }
        if priced:
            line |= {"currency": self.env["currency"], "unit_price": self._steps.Decimal("8")}
        return line

    def counted(self, code: str, quantity: int) -> None:
        """An inventory of the storage found so many of a product."""
        fields = {
            "company": self.env["company"],
            "location": self.place("STO"),
            "date": self.today,
            "empty_quantity": "keep",
            "lines": [["create", [{"product": self.codes[code], "quantity": float(quantity)}]]],
        }
        found = self.rpc.create("stock.inventory", [fields])
        self.rpc.call("model.stock.inventory.confirm", found)

    def sent_on(self, code: str, quantity: int, days: int) -> list[int]:
        """An internal shipment from the storage to that of W2, which is in the transit then."""
        fields = {
            "company": self.env["company"],
            "from_location": self.place("STO"),
            "to_location": self.place("STO2"),
            "planned_date": self.today + dt.timedelta(days=days),
            "planned_start_date": self.today,
            "moves": [["create", [self._line(code, quantity, "STO", "STO2")]]],
        }
        found = self.rpc.create("stock.shipment.internal", [fields])
        for button in ("wait", "assign_try", "pack", "ship"):
            self.rpc.call(f"model.stock.shipment.internal.{button}", found)
        (state,) = self.rpc.read("stock.shipment.internal", found, ["state"])
        assert state["state"] == "shipped"
        return list(found)

    def arrived(self, shipments: Sequence[int]) -> None:
        """What was in the transit arrived."""
        self.rpc.call("model.stock.shipment.internal.do", list(shipments))

    def cancelled(self, numbers: Sequence[int]) -> None:
        """Moves that were done are cancelled."""
        self.rpc.call("model.stock.move.cancel", list(numbers))


_ZONES = ("IN", "STO", "OUT")


@contextmanager
def running(folder: Path, series: str = "new") -> Iterator[Erp]:
    """A server over a fresh copy of the first database, in this folder."""
    template = installed(series)
    folder.mkdir(parents=True)
    for path in (*template.glob("erp.sqlite*"), template / "initialised"):
        shutil.copy(path, folder / path.name)
    port = free_port()
    started = _started(folder, template / "venv", port, series, password="template")
    assert started.returncode == 0, started.stderr[-2000:]
    try:
        erp = Erp(port, "template", series)
        yield erp
        erp.rpc.conn.close()
    finally:
        _ended(folder)


def _started(
    folder: Path, venv: Path, port: int, series: str, *, password: str
) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"TRYTON_PASSWORD": password, "TRYTON_VENV": str(venv)}
    with (folder / "start.log").open("w+") as log:
        # Its server keeps the log open: a pipe would never end.
        command = [str(STEPS / "start_tryton.sh"), str(folder), str(port), series, "sqlite"]
        done = subprocess.run(
            command, env=environment, stdout=log, stderr=log, text=True, check=False, timeout=900
        )
        log.seek(0)
        return subprocess.CompletedProcess(command, done.returncode, "", log.read())


def _ended(folder: Path) -> None:
    os.kill(int((folder / "erp.pid").read_text()), signal.SIGTERM)

"""Sets up a Stockwright for one replay the way an operator would: configuration, CSV files, keys.

Everything lies in one folder. The server itself is `stockwright up` in a process of its own, so
that the replay's work does not slow what it measures.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from stockwright.config import DATABASE_VARIABLE, FILE_VARIABLE
from stockwright.demo.overlay import SELLERS, WAREHOUSES, Seller
from stockwright.domain.errors import Misconfigured

HOST: Final = "127.0.0.1"
USUAL_PORT: Final = 8787
STOP_S: Final = 20.0
SENDERS: Final = ("erp", *(seller.code for seller in SELLERS if seller.way != "files"))
"""Systems with an HTTP server that Stockwright calls, and that sign their webhooks."""


class Secrets:
    """Secrets of one replay: made anew, handed on by environment only."""

    def __init__(self) -> None:
        self._values = {f"DEMO_{name.upper()}_TOKEN": secrets.token_urlsafe(24) for name in SENDERS}

    def token(self, system: str) -> str:
        """The token Stockwright must show a partner."""
        return self._values[f"DEMO_{system.upper()}_TOKEN"]

    def keep_signing(self, system: str, secret: str) -> None:
        """Notes the secret a partner signs its webhooks with."""
        self._values[f"DEMO_{system.upper()}_SECRET"] = secret

    def keep(self, system: str, name: str, secret: str) -> str:
        """Notes a secret of a setting; the reference to write in its place."""
        variable = f"DEMO_{system.upper()}_{name.upper()}"
        self._values[variable] = secret
        return f"env:{variable}"

    def environment(self) -> dict[str, str]:
        """This process's environment with the secrets in it, and without another database."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in (DATABASE_VARIABLE, FILE_VARIABLE)
        }
        return kept | self._values


def free_port(wanted: int | None) -> int:
    """The port to serve on: the wanted one, else the usual one, else any that is free.

    Raises Misconfigured where a wanted port is taken.
    """
    for port in (wanted,) if wanted else (USUAL_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HOST, port or 0))
                found: int = probe.getsockname()[1]
                return found
    raise Misconfigured("--port", f"port {wanted} is taken; name another, or none for a free one")


def config_text(
    port: int,
    data_dir: Path,
    addresses: Mapping[str, str],
    sellers: Sequence[Seller] = SELLERS,
    tables_of: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """stockwright.toml of a replay: partners at their addresses, two warehouses, five sellers.

    tables_of: what stands in the tables of sellers that speak another protocol than our own two.
    """
    others = tables_of or {}
    tables: list[tuple[str, dict[str, Any]]] = [
        ("server", {"host": HOST, "port": port}),
        ("database", {"data_dir": str(data_dir)}),
        ("systems.erp", {"role": "erp", "owner": "finance", **_json_http("erp", addresses)}),
        ("systems.wms", {"role": "wms", "owner": "warehouse", "criticality": "critical"}),
    ]
    for seller in sellers:
        role = "shop" if seller.way == "asks" else "marketplace"
        speaks = others.get(seller.code) or _speaks(seller, addresses)
        head = {"role": role, "owner": seller.name, "criticality": "high"}
        tables.append((f"systems.{seller.code}", {**head, **speaks}))
    for priority, code in enumerate(WAREHOUSES, start=1):
        place = {"name": f"{code.title()} warehouse", "priority": priority * 10}
        tables.append((f"locations.{code}", place | {"authority": _authorities()}))
    tables += [
        (f"channels.{seller.code}", {"system": seller.code, "pool": list(WAREHOUSES)})
        for seller in sellers
    ]
    return "\n".join(_table(name, values) for name, values in tables)


def _speaks(seller: Seller, addresses: Mapping[str, str]) -> Mapping[str, Any]:
    if seller.way == "files":
        return _csv_drop(addresses[seller.code])
    return _json_http(seller.code, addresses)


def _json_http(system: str, addresses: Mapping[str, str]) -> dict[str, Any]:
    settings = {
        "base_url": addresses[system],
        "token": f"env:DEMO_{system.upper()}_TOKEN",
        "webhook_secrets": [f"env:DEMO_{system.upper()}_SECRET"],
        "batch_size": 500,
        "calls_per_s": 200.0,
        "burst": 200,
        "concurrency": 4,
    }
    return {"connector": "json_http", "settings": settings}


def _csv_drop(folder: str) -> dict[str, Any]:
    settings = {
        "outbox": f"{folder}/outbox",
        "inbox": f"{folder}/inbox",
        "complete": "marker",
        "control": "none",
        "calls_per_s": 20.0,
        "burst": 20,
    }
    return {"connector": "csv_drop", "settings": settings}


def _authorities() -> list[dict[str, str]]:
    """The ERP books what comes in; all that happens inside and goes out is the WMS's to say."""
    return [
        {"group": "inbound", "system": "erp"},
        *({"group": group, "system": "wms"} for group in ("outbound", "internal", "count")),
    ]


def _table(name: str, values: Mapping[str, Any]) -> str:
    return "\n".join(
        [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in values.items()), ""]
    )


def _toml(value: Any) -> str:
    """A value as TOML; JSON strings, numbers and lists are TOML as they are."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return msgspec.json.encode(value).decode()


@contextlib.asynccontextmanager
async def serving(
    config: Path, environment: Mapping[str, str], log: Path
) -> AsyncIterator["subprocess.Popen[bytes]"]:
    """Runs `stockwright up` for a block. It never outlives the block, nor this process."""
    process = await asyncio.to_thread(_start, config, environment, log)
    try:
        yield process
    finally:
        # In a thread: partners go on answering while the hub finishes its calls to them.
        await asyncio.shield(asyncio.to_thread(_stop, process))


def _start(config: Path, environment: Mapping[str, str], log: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", _UP, "up", "--demo-open", "--config", str(config)]
    with log.open("wb") as written:
        return subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.PIPE,  # closes with us, however we end
            stdout=written,
            stderr=written,
            start_new_session=True,  # Ctrl-C is for us; we stop it while the partners still answer
        )


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Ends the process and collects it. Safe to repeat."""
    assert process.stdin is not None
    process.stdin.close()
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


_UP: Final = """
import os, signal, sys, threading

def end_with_parent():
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=end_with_parent, daemon=True).start()
from stockwright.cli import main
sys.exit(main(sys.argv[1:]))
"""


def tail(log: Path, lines: int = 12) -> Sequence[str]:
    """The last lines of a log, for a failure's explanation."""
    return log.read_text(errors="replace").splitlines()[-lines:] if log.exists() else []

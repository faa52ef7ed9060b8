"""The how-to about subscriptions is true: its consumer runs, its commands answer as it says."""

import re
import shlex
import threading
import time
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from stockwright.app import open_services
from stockwright.cli import main
from stockwright.config import load_config
from stockwright.domain.events import Fact

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "subscribe-to-changes.md"
MASTER = """
insert into location (code) values ('MAIN');
insert into sku (code) values ('A');
update master_revision set revision = revision + 1;
"""


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def commands() -> list[tuple[str, str]]:
    """Each command of the page with what it should print."""
    text = "".join(blocks("console"))
    return re.findall(r"^\$ stockwright (.*)\n((?:[^$].*\n)*)", text, re.MULTILINE)


@pytest.fixture
def hub(cluster, template, tmp_path, monkeypatch):
    """A running hub with two receipts, configured as the page says."""
    name = f"page_{uuid4().hex[:12]}"
    with psycopg.connect(cluster.url_of("postgres"), autocommit=True) as admin:
        admin.execute(f"create database {name} template {template} strategy wal_log")
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("STOCKWRIGHT_CONFIG", raising=False)
        monkeypatch.setenv("STOCKWRIGHT_DATABASE_URL", cluster.url_of(name))
        (tmp_path / "stockwright.toml").write_text(blocks("toml")[0] + SYSTEM)
        with open_services(load_config(None), ["workers"]) as services:
            with services.pool.connection() as connection:
                connection.execute(MASTER)
            receipts = [
                Fact(
                    kind="receipt",
                    system="WMS",
                    document=f"GR-{number}",
                    sku="A",
                    quantity=1,
                    location="MAIN",
                )
                for number in (1, 2)
            ]
            services.recorder.submit(receipts).result(30)
            yield services
        admin.execute(f"drop database {name} with (force)")


SYSTEM = '[systems.WMS]\nrole = "wms"\n'


def test_the_consumer_of_the_page_is_told_and_the_commands_answer_as_it_says(hub, capsys):
    names = {}
    exec(compile(blocks("python")[0], str(PAGE), "exec"), names)
    server = names["server"]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        told = commands()
        assert len(told) == 6
        for command, expected in told:
            capsys.readouterr()
            assert main(shlex.split(command)) == 0
            printed = capsys.readouterr().out
            names["SECRETS"] += re.findall("whsec_.*", printed)
            assert re.sub("whsec_.*", "whsec_...", printed) == expected
            settle(hub)
        assert sorted(names["seen"]) == ["event-1", "event-2"]
        assert len(names["SECRETS"]) == 2
    finally:
        server.shutdown()
        server.server_close()


def settle(hub) -> None:
    """Waits until the subscription has nothing before it, as a reader of the page would."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with hub.pool.connection() as connection:
            (left,) = connection.execute(
                "select count(*) from subscription_progress p, ledger_head h"
                " where p.sequence < h.sequence"
            ).fetchone()
        if not left:
            return
        time.sleep(0.02)
    raise AssertionError("nothing was delivered")

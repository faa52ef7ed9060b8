"""The configuration and the item master that a replay sets up."""

import csv
import datetime as dt
import socket
from decimal import Decimal

import pytest

from stockwright.config import lint, load_config
from stockwright.demo.installation import HOST, SENDERS, Secrets, config_text, free_port
from stockwright.demo.items import BOUND_SYSTEMS, items_of, write_files
from stockwright.demo.lines import Line
from stockwright.domain.errors import Misconfigured

ADDRESSES = {name: f"http://127.0.0.1:{9000 + n}" for n, name in enumerate(SENDERS)}
ADDRESSES["mailorder"] = "/somewhere/mailorder"
NOON = dt.datetime(2011, 12, 5, 12, tzinfo=dt.UTC)


def row(number: int, code: str, remark: str, quantity=1, price="1", invoice="5"):
    return Line(number, invoice, code, quantity, NOON, Decimal(price), "", remark)


def test_the_configuration_passes_lint_without_a_warning(tmp_path):
    file = tmp_path / "stockwright.toml"
    file.write_text(config_text(8787, tmp_path / "db", ADDRESSES))
    assert lint(file) == []
    config = load_config(file)
    assert [channel.code for channel in config.channels] == list(BOUND_SYSTEMS[2:])
    assert config.server.port == 8787


def test_no_secret_stands_in_the_configuration(tmp_path):
    kept = Secrets()
    text = config_text(8787, tmp_path / "db", ADDRESSES)
    assert all(kept.token(system) not in text for system in SENDERS)
    assert all(kept.token(system) in kept.environment().values() for system in SENDERS)


def test_another_database_of_the_caller_is_not_handed_on(monkeypatch):
    monkeypatch.setenv("STOCKWRIGHT_DATABASE_URL", "postgresql://production/")
    assert "STOCKWRIGHT_DATABASE_URL" not in Secrets().environment()


def test_a_taken_port_is_refused_by_name_and_avoided_where_none_was_named():
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Misconfigured, match=f"port {port} is taken"):
            free_port(port)
        assert free_port(None) != port


def test_every_way_of_writing_a_code_is_bound_for_every_partner(tmp_path):
    items = items_of([row(1, "85123a", "HEART"), row(2, "85123A", ""), row(3, "POST", "POSTAGE")])
    assert [(item.sku, item.description) for item in items] == [("85123A", "HEART")]
    write_files(tmp_path, items, frozenset({"85123A"}))
    with (tmp_path / "bindings.csv").open(newline="") as text:
        bound = list(csv.DictReader(text))
    assert {(b["system"], b["partner_code"]) for b in bound} == {
        (system, code) for system in BOUND_SYSTEMS for code in ("85123A", "85123a")
    }
    assert {b["code"] for b in bound} == {"85123A"}
    assert (tmp_path / "skus.csv").read_text() == ("code,description,sku_group\n85123A,HEART,HOT\n")


def test_a_clerk_s_remark_is_no_description():
    items = items_of([row(1, "22", "MUG"), row(2, "22", "damaged", quantity=-1, price="0")])
    assert items[0].description == "MUG"

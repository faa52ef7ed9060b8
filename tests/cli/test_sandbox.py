"""`stockwright sandbox` as a real process: what it prints is enough to connect to it."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import tomllib

import pytest

from stockwright.cli import sandbox
from stockwright.config.connectors import find_connector
from stockwright.domain.errors import Misconfigured
from stockwright.sdk.connector import Opening
from stockwright.sdk.messages import LevelKey, LevelToSend, ShownLevel
from stockwright.sdk.secrets import Secret

RUN = "import sys; from stockwright.cli import main; sys.exit(main())"


def started(*arguments):
    command = [sys.executable, "-c", RUN, "sandbox", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


async def published(name, settings, environment):
    connector = find_connector(name)
    parsed = connector.declaration.parse_settings(
        settings, lambda reference: Secret(environment[reference.removeprefix("env:")]).reveal()
    )
    connection = connector.open(Opening(system="SANDBOX"), parsed)
    try:
        await connection.publish([LevelToSend(channel="S", listing="MUG", quantity=4, version=1)])
        return list(await connection.read_back([LevelKey(listing="MUG")]))
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "name", ["shopify", "woocommerce", "bigcommerce", "magento", "amazon", "medusa"]
)
def test_the_settings_it_prints_connect_to_it_until_sigterm(name):
    running = started(name, "--product", "MUG", "--json")
    try:
        said = json.loads(running.stdout.readline())
        assert said["connector"] == name
        shown = asyncio.run(published(name, said["settings"], said["environment"]))
        assert shown == [ShownLevel(listing="MUG", quantity=4)]
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0
    finally:
        running.kill()
        running.communicate()


def test_for_people_it_prints_a_piece_of_the_configuration():
    running = started("shopify")
    try:
        lines = []
        while not lines or not lines[-1].startswith("# It answers"):
            lines.append(running.stdout.readline())
            assert lines[-1]
        exports = [line for line in lines if line.startswith("export ")]
        told = tomllib.loads("".join(line for line in lines if line not in exports))
        system = told["systems"]["SANDBOX"]
        connector = find_connector(system["connector"])
        (command,) = [line for line in lines if line.startswith("# Or: ")]
        for name in system["settings"]:
            assert f"--set {name}=" in command
        assert system["role"] == "shop"
        assert told["channels"]["SANDBOX"] == {"system": "SANDBOX", "pool": ["MAIN"]}
        assert command.endswith(" --channel SANDBOX --pool MAIN\n")
        assert connector.declaration.problems(system["settings"]) == []
        assert "export SANDBOX_ACCESS_TOKEN=shpat_sandbox\n" in exports
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 0
    finally:
        running.kill()
        running.communicate()


@pytest.mark.parametrize(
    ("name", "url", "makes"),
    [
        ("woocommerce", "http://127.0.0.1:1/v1/hooks/SANDBOX", True),
        ("shopify", "http://127.0.0.1:1/v1/hooks/SANDBOX", True),
        # Webhooks of BigCommerce go over TLS only, and Amazon's are relayed by somebody else.
        ("bigcommerce", "http://127.0.0.1:1/v1/hooks/SANDBOX", False),
        ("amazon", "http://127.0.0.1:1/v1/hooks/SANDBOX", False),
        ("woocommerce", "", False),
    ],
)
def test_it_prints_where_webhooks_go_where_the_connector_makes_them(name, url, makes):
    ready = sandbox._with_webhooks(
        sandbox._ready(name, "http://127.0.0.1:2", settings_of(name)), url
    )
    assert (ready.settings.get("webhook_url") == url) is makes


def settings_of(name):
    connector = find_connector(name)
    return connector.sandbox().settings() | {
        setting: "https://shop.example"
        for setting in ("base_url", "token_url")
        if setting in connector.declaration.settings.__struct_fields__
    }


def test_what_it_exports_can_be_pasted_into_a_shell():
    """Amazon's refresh tokens have a bar in them."""
    ready = sandbox._ready("amazon", "http://127.0.0.1:2", settings_of("amazon"))
    exports = [line for line in sandbox._text(ready).plain.splitlines() if line[:7] == "export "]
    assert "|" in ready.environment["SANDBOX_REFRESH_TOKEN"]
    pasted = "\n".join([*exports, 'printf %s "$SANDBOX_REFRESH_TOKEN"'])
    ran = subprocess.run(["sh", "-ec", pasted], capture_output=True, text=True, check=True)
    assert ran.stdout == ready.environment["SANDBOX_REFRESH_TOKEN"]


def test_a_partner_of_json_shows_products_asks_for_its_token_and_has_an_order():
    running = started("json_http", "--product", "MUG", "--sell", "MUG=2", "--json")
    try:
        said = json.loads(running.stdout.readline())
        shown, orders = asyncio.run(told(said["settings"], said["environment"]))
        assert [(level.listing, level.quantity) for level in shown] == [("MUG", 8)]
        assert [part.item.quantity for part in orders] == [2]
        with pytest.raises(Misconfigured, match="token"):
            asyncio.run(told(said["settings"], dict.fromkeys(said["environment"], "wrong")))
    finally:
        running.kill()
        running.communicate()


async def told(settings, environment):
    connector = find_connector("json_http")
    parsed = connector.declaration.parse_settings(
        settings, lambda reference: environment[reference.removeprefix("env:")]
    )
    connection = connector.open(Opening(system="SANDBOX"), parsed)
    try:
        page = await connection.read("")
        return await connection.snapshot(), connection.map(page.payloads[0])
    finally:
        await connection.close()


@pytest.mark.parametrize("order", ["MUG", "MUG=", "=2", "MUG=0", "MUG=two"])
def test_an_order_that_cannot_be_read_names_its_form(stockwright, order):
    ran = stockwright("sandbox", "json_http", "--sell", order)
    assert ran.code == 2
    assert "--sell" in ran.err
    assert "PRODUCT=UNITS" in ran.err


def test_what_it_cannot_do_is_told_with_the_way_out(stockwright):
    ran = stockwright("sandbox", "shopfy")
    assert ran.code == 2
    assert "json_http, csv_drop, woocommerce, shopify" in ran.err
    ran = stockwright("sandbox", "csv_drop", "--product", "MUG")
    assert ran.code == 2
    assert "--product" in ran.err


@pytest.mark.parametrize("name", ["json_http", "shopify", "medusa"])
def test_a_port_that_is_taken_is_told_by_its_option(stockwright, name):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = stockwright("sandbox", name, "--port", str(taken.getsockname()[1]))
    assert ran.code == 2
    assert ran.err.startswith("error: --port: cannot listen on port")
    assert "choose another" in ran.err


def test_a_port_there_cannot_be_is_told_by_its_option(stockwright):
    ran = stockwright("sandbox", "shopify", "--port", "70000")
    assert ran.code == 2
    assert "--port: ports are from 0 to 65535, not 70000" in ran.err

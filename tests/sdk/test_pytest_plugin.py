"""The plugin as another package's tests have it: in strict mode, with nothing else set up."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLUGIN = "stockwright.sdk.pytest_plugin"
THEIRS = """
from aiohttp import web
import pytest
from stockwright.connectors import json_http
from stockwright.sdk import contract
from stockwright.sdk.hostile import Fault
from stockwright.sdk.transports import Http, HttpRequest

TestTheirs = contract.suite(
    json_http.CONNECTOR, settings={"base_url": "http://127.0.0.1:9", "timeout_s": 2.0}
)

async def answer(request):
    return web.Response(text="yes")

@pytest.mark.asyncio
async def test_partner(hostile_partner):
    async with hostile_partner([web.get("/", answer)]) as partner:
        partner.faults.plan(Fault(kind="server_error"))
        http = Http()
        told = [(await http.send(HttpRequest(method="GET", url=partner.url))).status for _ in "ab"]
        await http.close()
    assert told == [500, 200]

def test_what_fails_is_explained():
    from stockwright.sdk.promises import levels
    assert "@pytest_ar" in vars(levels), "its asserts are rewritten"

def test_storm(webhook_storm):
    assert set(webhook_storm([1, 2, 3], seed=2)) == {1, 2, 3}
"""


def test_the_plugin_is_announced_to_pytest():
    entries = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert entries["entry-points"]["pytest11"] == {"stockwright": PLUGIN}


def run(folder, text, *more):
    (folder / "test_theirs.py").write_text(text, encoding="utf-8")
    (folder / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = strict\nasyncio_default_fixture_loop_scope = function\n"
        "filterwarnings = error\n",
        encoding="utf-8",
    )
    plugins = [
        "-p", "no:cacheprovider", "-p", "pytest_asyncio.plugin", "-p", PLUGIN,
    ]  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, "--disable-plugin-autoload", *more],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), *filter(None, sys.path)]),
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_contract_runs_whole_in_strict_mode_and_the_fixtures_are_there(tmp_path):
    done = run(tmp_path, THEIRS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout
    assert int(done.stdout.split(" passed")[0].split()[-1]) >= 20


def test_a_connector_that_breaks_the_contract_is_told_which_rule(tmp_path):
    broken = THEIRS.replace(
        "TestTheirs =",
        "import msgspec\n"
        "class Lying(json_http.JsonHttpConnection):\n"
        "    async def publish(self, levels):\n"
        "        from stockwright.sdk.messages import Applied\n"
        "        return [Applied() for _ in levels]\n"
        "BROKEN = msgspec.structs.replace(json_http.CONNECTOR, open=Lying)\nTestTheirs =",
    ).replace("    json_http.CONNECTOR,", "    BROKEN,")
    done = run(tmp_path, broken, "-k", "levels_sent")
    assert done.returncode == 1
    assert "test_levels_sent_are_levels_shown" in done.stdout
    # Rewritten asserts show both sides.
    assert "[None, None, None] == [5, 5, 5]" in done.stdout

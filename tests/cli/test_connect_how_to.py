"""The how-to of connecting a partner is true: its commands are run, word by word, and timed."""

import re
import shlex
import time
from pathlib import Path

import pytest

from stockwright.connectors.json_http import Sandbox
from tests.cli.partners import played

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "connect-a-partner.md"
URL = "http://127.0.0.1:8099"
COMMAND = re.compile(r"^\$ stockwright (.*)$", re.MULTILINE)
MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?")
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
PERSON = re.compile(r"\bcli [\w.-]+")


def blocks(page):
    """The fenced blocks of the page: what stands behind the fence, and the text."""
    return re.findall(r"^```([^\n]*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def plain(text):
    """Without what differs from run to run: when, and who."""
    text = INSTANT.sub("2026-11-26T09:00:00Z", MOMENT.sub("2026-11-26 09:00", text))
    return [line.rstrip() for line in PERSON.sub("cli ann", text).splitlines()]


@pytest.fixture
def shop():
    with played(Sandbox(token="t0ken")) as partner:
        for listing, quantity in (("MUG", 38), ("CAP", 12), ("HAT", 3)):
            partner.sandbox.show(listing, quantity)
        partner.do(partner.sandbox.sell("O-1001", [("MUG", 2)]))
        yield partner


@pytest.fixture
def words(on_database, monkeypatch, shop, tmp_path):
    """Runs a command of the page with the addresses that there are here."""
    monkeypatch.setenv("SHOP_TOKEN", "t0ken")
    folder = tmp_path / "wms"
    folder.mkdir()
    here = {URL: shop.url, "/srv/wms": str(folder)}

    def run(command):
        given = command
        for told, real in here.items():
            given = given.replace(told, real)
        ran = on_database(*shlex.split(given))
        said = ran.out + ran.err
        for told, real in here.items():
            said = said.replace(real, told)
        return f"$ stockwright {command}\n{said}"

    return run


def test_the_how_to_does_what_it_says_word_by_word(words, capsys):
    began, commands, seconds = time.monotonic(), 0, {}
    for kind, text in blocks(PAGE.read_text()):
        if kind != "console":
            Path(kind.split()[1]).write_text(text)
            continue
        said = []
        for command in COMMAND.findall(text):
            before = time.monotonic()
            said.append(words(command))
            seconds[command] = time.monotonic() - before
            commands += 1
        assert plain("".join(said)) == plain(text)
    assert commands >= 14
    whole = time.monotonic() - began
    assert whole < 300, "of the ten minutes that the page promises, the commands leave half"
    with capsys.disabled():
        print(f"\n{commands} commands of the how-to in {whole:.1f} s; a partner live twice")

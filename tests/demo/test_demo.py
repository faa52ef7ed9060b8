"""The demo itself: a slice of the real day through the real stack, and the command around it."""

import asyncio
import datetime as dt
import xml.etree.ElementTree as ET
from pathlib import Path

import aiohttp
import msgspec
import psutil
import pytest
from rich.console import Console

from stockwright.cli import main
from stockwright.demo.lines import Line, meaning
from stockwright.demo.outcome import Outcome, as_json, as_table
from stockwright.demo.replay import Options
from stockwright.demo.staging import performance
from stockwright.demo.world import World, profile_lines

SVG = "{http://www.w3.org/2000/svg}svg"
BEFORE_TEN = dt.datetime(2011, 12, 5, 9, 55, tzinfo=dt.UTC)


def slice_of_the_day() -> list[Line]:
    """The busiest day until shortly before ten, and the returns of the rest of it."""
    return [
        line
        for line in profile_lines("days")
        if line.at < BEFORE_TEN or (meaning(line) == "return" and line.at.day == 5)
    ]


class Quiet:
    """Keeps what the replay tells."""

    def __init__(self):
        self.pages: list[str] = []
        self.lines = 0

    def step(self, doing: str) -> None:
        pass

    def page(self, url: str, after_s: float) -> None:
        self.pages.append(url)

    def begin(self, lines: int) -> None:
        self.lines -= lines

    def advance(self, lines: int) -> None:
        self.lines += lines


async def replayed(options: Options, show: Quiet) -> tuple[Outcome, list[str], dict[str, str]]:
    """One replay of the slice: its figures, its charts, and two pages of the console after it."""
    lines = slice_of_the_day()
    world = World.over(lambda: lines, options.seed)
    async with performance(options, show, world) as play:
        outcome = await play.run()
        charts = [file.read_text() for file in await asyncio.to_thread(play.write_charts)]
        async with aiohttp.ClientSession() as session:
            pages = {}
            for path in ("/", f"/item?sku={play.stage.picture.sku}"):
                async with session.get(play.address + path) as answer:
                    pages[path] = f"{answer.status} {await answer.text()}"
    return outcome, charts, pages


def children() -> set[int]:
    """Our own children; the run's database server, one of them, has workers that come and go."""
    return {child.pid for child in psutil.Process().children()}


@pytest.mark.slow
async def test_a_slice_of_the_real_day_adds_up_in_the_ledger_the_warehouse_and_the_judge_s_books(
    data_dir,
):
    before = children()
    data_dir.mkdir()
    show = Quiet()
    outcome, charts, pages = await replayed(Options(data_dir=data_dir, seed=1), show)
    orders = [line for line in slice_of_the_day() if meaning(line) == "sale"]
    assert (outcome.orders, outcome.lines) == (9, len(orders))
    assert outcome.audit.ok
    assert outcome.audit.checks > 10
    assert outcome.stockwright.reserved_oversold_units == 0
    assert outcome.parked == 0
    assert outcome.latency_ms.samples > 100
    assert 0 < outcome.latency_ms.p50 <= outcome.latency_ms.p99 <= outcome.latency_ms.max
    accepted = sum(tally["accepted_lines"] for tally in outcome.sellers.values())
    assert accepted == outcome.stockwright.accepted_lines > 100
    assert show.lines == 0
    assert len(show.pages) == 1
    assert [ET.fromstring(chart).tag for chart in charts] == [SVG, SVG]
    assert "shown by bazaar" in charts[0]
    assert "shown by bazaar" in charts[1]
    assert all(page.startswith("200 ") for page in pages.values())
    assert children() <= before
    (kept,) = data_dir.glob("demo-*")
    assert (kept / "stockwright.toml").exists()


@pytest.mark.slow
async def test_a_shopify_shop_and_an_amazon_account_sell_the_same_day(data_dir):
    data_dir.mkdir()
    options = Options(data_dir=data_dir, seed=7, profile="partners")
    lines = [line for line in slice_of_the_day() if meaning(line) == "sale"][:45]
    world = World.over(lambda: lines, options.seed)
    async with performance(options, Quiet(), world) as play:
        outcome = await play.run()
    assert outcome.profile == "partners"
    assert outcome.audit.ok
    assert outcome.parked == 0
    assert outcome.stockwright.reserved_oversold_units == 0
    assert outcome.sellers["webshop"]["accepted_lines"] > 2
    assert outcome.sellers["bazaar"]["accepted_lines"] > 2
    (kept,) = data_dir.glob("demo-*")
    text = (kept / "stockwright.toml").read_text()
    assert 'connector = "shopify"' in text
    assert 'connector = "amazon"' in text
    assert "shpat_" not in text


def some_outcome() -> Outcome:
    return msgspec.json.decode((Path(__file__).parent / "outcome.json").read_bytes(), type=Outcome)


def test_the_figures_for_machines_have_the_promised_keys():
    told = msgspec.json.decode(as_json(some_outcome()))
    assert {"orders", "lines", "units", "refused_servable", "duplicates_absorbed"} <= told.keys()
    assert {"elapsed_s", "first_page_s"} <= told.keys()
    assert {"oversold_lines", "oversold_units"} <= told["batch"].keys()
    hub = told["stockwright"]
    assert {"reserved_oversold_units", "marketplace_oversold_units"} <= hub.keys()
    assert {"p50", "p99", "max"} <= told["latency_ms"].keys()
    assert told["audit"]["ok"] is True


def shown(outcome: Outcome, capsys) -> str:
    Console(width=120).print(as_table(outcome))
    text: str = capsys.readouterr().out
    return text


def test_the_table_puts_both_worlds_side_by_side(capsys):
    text = shown(some_outcome(), capsys)
    assert "240 orders, 8,530 lines, 74,192 pieces" in text
    assert "batch, every 30 min" in text
    (row,) = [line for line in text.splitlines() if line.startswith("pieces sold")]
    assert row.split()[-2:] == ["758", "12"]
    assert "all hold" in text


def test_the_table_says_so_where_the_books_do_not_add_up(capsys):
    outcome = some_outcome()
    audit = msgspec.structs.replace(
        outcome.audit, ok=False, failed=["balances"], shelf_differences=2
    )
    text = shown(msgspec.structs.replace(outcome, audit=audit), capsys)
    assert "FAILED: balances" in text
    assert "warehouse's own list: 2" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--interval", "-1"], "--interval: the interval is in minutes"),
        (["--port", "70000"], "--port: a port is a number"),
        (["--all", "none.csv.gz"], "--all: there is no file none.csv.gz"),
        (["--json", "nowhere/out.json"], '"param":"--json"'),
        (["--profile", "month"], "month"),
    ],
)
def test_wrong_arguments_are_named_before_anything_starts(arguments, words, capsys):
    assert main(["demo", "--exit", *arguments]) == 2
    assert words in capsys.readouterr().err

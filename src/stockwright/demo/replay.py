"""A replay: hands over the opening stock, plays the world, proves the end and gives the figures."""

import asyncio
import datetime as dt
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

import aiohttp
import msgspec

from stockwright.console.charts import shown_against_true
from stockwright.demo import outcome, proof
from stockwright.demo.batch import BatchWorld
from stockwright.demo.cast import Cast
from stockwright.demo.clock import STUCK_S, ClosedLoop, Step, VirtualClock
from stockwright.demo.happenings import MINUTE_S, Order, together
from stockwright.demo.latency import LatencyMeter, percentile
from stockwright.demo.lines import Line, read_lines
from stockwright.demo.oracle import Oracle
from stockwright.demo.overlay import REAL_SELLERS, SELLERS, Seller
from stockwright.demo.picture import Picture
from stockwright.demo.stage import Stage
from stockwright.demo.world import Profile, World, profile_lines
from stockwright.domain.errors import StockwrightError
from stockwright.store.connection import connect
from stockwright.store.polls import hurry_poll
from stockwright.store.rest import waiting

READY_S: Final = 120.0
"""How long the hub may take to serve, and sellers may wait for their next first number."""
OPENED_BEFORE: Final = dt.timedelta(hours=1)
"""The opening stock is handed over before the first order, on the replay's clock."""
SLOW_PARTNERS_S: Final = 900.0
"""How long the limits of real partners may keep numbers waiting after a large order."""
CHART_FILE: Final = "stockwright-demo.svg"
BATCH_CHART_FILE: Final = "stockwright-demo-batch.svg"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What to replay and where. year names the whole year's file; data_dir keeps the database."""

    profile: Profile = "days"
    year: Path | None = None
    interval_minutes: float = 30.0
    seed: int = 4
    port: int | None = None
    data_dir: Path | None = None

    @property
    def in_bursts(self) -> bool:
        """True where all of a minute comes at once, line by line."""
        return self.profile == "peak" and self.year is None

    @property
    def sellers(self) -> Sequence[Seller]:
        """Who sells, and how."""
        return REAL_SELLERS if self.profile == "partners" else SELLERS

    @property
    def name(self) -> str:
        """How the result names what was replayed."""
        return "year" if self.year else self.profile


class Show(Protocol):
    """How a replay tells what it does."""

    def step(self, doing: str) -> None:
        """It begins something that takes a moment."""
        ...

    def page(self, url: str, after_s: float) -> None:
        """The console shows live data from now on."""
        ...

    def begin(self, lines: int) -> None:
        """The replay of so many order lines begins."""
        ...

    def advance(self, lines: int) -> None:
        """So many more order lines were placed."""
        ...


def world_of(options: Options) -> World:
    """The period the options name, with the stock laid over it."""
    if options.year is not None:
        path = options.year
        return World.over(lambda: read_lines(path), options.seed)
    lines: list[Line] = profile_lines(options.profile)
    minute_s = 0.0 if options.in_bursts else MINUTE_S
    return World.over(lambda: lines, options.seed, minute_s)


class Performance:
    """One replay, set up and ready to run."""

    def __init__(
        self, options: Options, world: World, batch: BatchWorld, url: str, show: Show
    ) -> None:
        self.options = options
        self.world = world
        self.batch = batch
        self.url = url
        self.address = self._stock_list = ""
        self.first_page_s = 0.0
        self._show = show
        self._watch = connect(url, application_name="stockwright demo", autocommit=True)
        first = next(iter(world.play())).at
        self.clock = VirtualClock(first - OPENED_BEFORE)
        stuck_s = SLOW_PARTNERS_S if options.sellers is REAL_SELLERS else STUCK_S
        loop = ClosedLoop(self.clock, self._at_rest, self._rested, stuck_s)
        meter = LatencyMeter(seller.code for seller in SELLERS)
        oracle = Oracle.opening(world.plan.opening)
        self.stage = Stage(
            self.clock, loop, oracle, meter, Picture(world.plan.hottest), world.chance
        )
        self.cast: Cast | None = None

    async def close(self) -> None:
        """Gives back sockets and connections. Safe to repeat."""
        if self.cast:
            await self.cast.close()
        self._watch.close()

    # ---------------------------------------------------------------- before

    async def open(self, cast: Cast, began: float) -> None:
        """Hand over the opening stock and wait until every seller shows it."""
        self.cast = cast
        self.address = cast.hub_address
        self._stock_list = await cast.wms.start()
        self._show.step("Handing over the opening stock; sellers get their first numbers")
        for sku, pieces in self.world.plan.opening.items():
            self.stage.picture.see_true(self.clock.now(), sku, pieces)
        await cast.erp.open_books(self.world.plan.opening, self.clock.now())
        await self._come_to_rest()
        await _page(self.address)
        self.first_page_s = time.monotonic() - began
        self._show.page(self.address, self.first_page_s)

    async def _come_to_rest(self) -> None:
        """Waits for as long as sellers get numbers. Raises StockwrightError once they stop."""
        seen, since = self.stage.meter.numbers, time.monotonic()
        while not await self._at_rest():
            if self.stage.meter.numbers != seen:
                seen, since = self.stage.meter.numbers, time.monotonic()
            if time.monotonic() - since > READY_S:
                left = await asyncio.to_thread(waiting, self._watch)
                raise StockwrightError(f"sellers do not get their numbers: {left} still waits")
            await asyncio.sleep(0.02)
        self._rested()

    # ---------------------------------------------------------------- the replay

    async def run(self) -> outcome.Outcome:
        """Play the world to its end, and tell what came of it. Raises what a partner raised."""
        assert self.cast is not None
        began = time.monotonic()
        orders = self.batch.oracle.total()
        self._show.begin(orders.lines)
        await self.stage.loop.run(self._steps(self.cast))
        elapsed_s = time.monotonic() - began
        self._show.step("Proving the books")
        return await self._figures(elapsed_s)

    def _steps(self, cast: Cast) -> Iterator[Step]:
        for happening in together(self.world.play()):
            if isinstance(happening, Order):
                self._show.advance(len(happening.lines))
                yield happening.at, cast.act(happening)
            else:
                yield happening[0].at, cast.act(happening)

    def have_fetched(self, system: str) -> None:
        """Has the hub look for a partner's files now: on the replay's clock it is time."""
        hurry_poll(self._watch, system)

    async def _at_rest(self) -> bool:
        left = await asyncio.to_thread(waiting, self._watch)
        return left.nothing and not (self.cast is not None and self.cast.has_mail)

    def _rested(self) -> None:
        self.stage.rested()

    # ---------------------------------------------------------------- after

    async def _figures(self, elapsed_s: float) -> outcome.Outcome:
        stage, oracle = self.stage, self.stage.oracle
        shelf = await proof.warehouse_list(self._stock_list)
        skus = sorted(self.world.plan.opening)
        books = await asyncio.to_thread(proof.read_books, self.url, skus)
        audit = await asyncio.to_thread(proof.prove, self.url, books, shelf, oracle.free)
        samples = stage.meter.all()
        asked = oracle.total()
        return outcome.Outcome(
            profile=self.options.name,
            seed=self.options.seed,
            orders=asked.orders,
            lines=asked.lines,
            units=asked.units,
            source_lines=self.world.line_count,
            batch=outcome.batch_figures(self.batch.oracle, self.options.interval_minutes),
            stockwright=outcome.hub_figures(oracle, self.options.sellers),
            refused_servable=asked.refused_servable,
            latency_ms=outcome.LatencyFigures(
                p50=round(percentile(samples, 0.5) * 1000, 1),
                p99=round(percentile(samples, 0.99) * 1000, 1),
                max=round(samples[-1] * 1000, 1),
                samples=len(samples),
            ),
            duplicates_absorbed=stage.repeated.total(),
            late_messages=stage.late,
            parked=books.parked,
            work_items=books.work_items,
            audit=audit,
            elapsed_s=round(elapsed_s, 1),
            first_page_s=round(self.first_page_s, 1),
            sellers=outcome.seller_figures(oracle.sellers),
        )

    def write_charts(self) -> list[Path]:
        """Write shown against true stock of the SKU most asked for, one file for each world."""
        folder = self.options.data_dir or Path(tempfile.gettempdir())
        files = []
        for world, name, picture in (
            ("Stockwright", CHART_FILE, self.stage.picture),
            ("batch connectors", BATCH_CHART_FILE, self.batch.picture),
        ):
            title = f"SKU {picture.sku} with {world}: shown against true free stock"
            files.append(folder / name)
            files[-1].write_text(
                shown_against_true(picture.true, dict(picture.shown), title), encoding="utf-8"
            )
        return files


async def _page(address: str) -> None:
    """Opens the console's first page as a browser does."""
    async with (
        aiohttp.ClientSession(trust_env=False) as session,
        session.get(f"{address}/") as answer,
    ):
        text = await answer.text()
        if answer.status != 200 or "webshop" not in text:
            raise StockwrightError(f"the console answered {answer.status}: {text[:200]}")

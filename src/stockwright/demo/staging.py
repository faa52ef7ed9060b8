"""Sets a replay up: database, item master, hub and partners, and takes all of it down again."""

import asyncio
import contextlib
import datetime as dt
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from subprocess import Popen

import aiohttp

from stockwright.config import load_config
from stockwright.demo import installation
from stockwright.demo.batch import BatchWorld
from stockwright.demo.cast import Cast, Sandboxes
from stockwright.demo.items import FILES, items_of, write_files
from stockwright.demo.picture import Picture
from stockwright.demo.real import Stand, stands_with
from stockwright.demo.replay import READY_S, Options, Performance, Show, world_of
from stockwright.demo.world import World
from stockwright.domain.errors import StockwrightError
from stockwright.flow.catalogue import import_csv
from stockwright.flow.configuring import start_with
from stockwright.store.connection import Connection, connect
from stockwright.store.embedded import EmbeddedServer
from stockwright.store.migrate import migrate


@contextlib.asynccontextmanager
async def performance(
    options: Options, show: Show, replacing: World | None = None
) -> AsyncIterator[Performance]:
    """A replay with everything running: database, hub, partners. All ends with the block.

    replacing is a world to play instead of the one the options name. Raises Misconfigured where a
    setting cannot be had.
    """
    began = time.monotonic()
    port = installation.free_port(options.port)
    async with contextlib.AsyncExitStack() as stack:
        show.step("Reading the orders, and selling them through batch connectors")
        world = await asyncio.to_thread(world_of, options) if replacing is None else replacing
        batch = await asyncio.to_thread(_counterfactual, world, options.interval_minutes)
        folder = stack.enter_context(_folder(options.data_dir))
        secrets = installation.Secrets()
        stands = await asyncio.to_thread(_stands, options, world)
        sandboxes = Sandboxes(secrets, folder / "mailorder", stands)
        addresses = await stack.enter_async_context(sandboxes.running())
        config = folder / "stockwright.toml"
        tables = {system: stand.table(system, secrets) for system, stand in stands.items()}
        config.write_text(
            installation.config_text(port, folder / "db", addresses, options.sellers, tables)
        )
        show.step("Starting PostgreSQL and importing the item master")
        server = await asyncio.to_thread(_database, folder, config, world)
        stack.push_async_callback(asyncio.to_thread, server.stop)
        show.step("Starting Stockwright")
        log = folder / "up.log"
        up = installation.serving(config, secrets.environment(), log)
        process = await stack.enter_async_context(up)
        address = f"http://{installation.HOST}:{port}"
        await _ready(address, process, log)
        play = Performance(options, world, batch, server.url, show)
        stack.push_async_callback(play.close)
        cast = Cast(
            play.stage,
            sandboxes,
            address,
            world.plan.opening,
            play.have_fetched,
            in_bursts=options.in_bursts,
            sellers=options.sellers,
        )
        await play.open(cast, began)
        yield play


def _stands(options: Options, world: World) -> dict[str, Stand]:
    """The sandboxes of real partners this replay has, with the catalogue of its period."""
    if options.profile != "partners":
        return {}
    return stands_with([item.sku for item in items_of(world.lines())])


def _counterfactual(world: World, interval_minutes: float) -> BatchWorld:
    interval = dt.timedelta(minutes=interval_minutes)
    picture = Picture(world.plan.hottest)
    batch = BatchWorld(world.plan.opening, interval, world.chance, picture)
    batch.run(world.play())
    return batch


@contextlib.contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    """A folder of this run's own: inside the kept one, or one that goes with the run."""
    if kept is not None:
        folder = kept.resolve() / f"demo-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S%f}"
        folder.mkdir(parents=True)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="stockwright-demo-") as name:
        # The embedded server may run under another account, which must reach its folder in here.
        Path(name).chmod(0o711)
        yield Path(name)


def _database(folder: Path, config: Path, world: World) -> EmbeddedServer:
    """A fresh database with the configuration and the item master of this world."""
    server = EmbeddedServer.start(folder / "db")
    try:
        migrate(server.url)
        with connect(server.url, application_name="stockwright demo") as connection:
            start_with(connection, load_config(config))
            connection.commit()
            write_files(folder, items_of(world.lines()), world.plan.hot)
            for kind in FILES:
                _import(connection, kind, folder / f"{kind}.csv")
    except BaseException:
        server.stop()
        raise
    return server


def _import(connection: Connection, kind: str, file: Path) -> None:
    with file.open("rb") as source:
        report = import_csv(connection, kind, source)
    if report.refused:
        raise StockwrightError(f"{file.name}: {report.refused} rows: {report.first_refusals[:3]}")


async def _ready(address: str, process: "Popen[bytes]", log: Path) -> None:
    """Waits until the hub serves. Raises StockwrightError with the end of its log."""
    deadline = time.monotonic() + READY_S
    async with aiohttp.ClientSession(trust_env=False) as session:
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(f"{address}/readyz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.1)
    said = "\n".join(installation.tail(log))
    raise StockwrightError(f"Stockwright does not serve {address}:\n{said}")

"""`stockwright demo`: a wholesaler's real days, live in the console, judged at the end."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stockwright.cli import output
from stockwright.demo.outcome import as_json, as_table
from stockwright.demo.replay import Options
from stockwright.demo.staging import performance
from stockwright.demo.world import Profile
from stockwright.domain.errors import Misconfigured


def command(
    *,
    profile: Profile = "days",
    year: Annotated[Path | None, Parameter(name="--all")] = None,
    interval: float = 30.0,
    seed: int = 4,
    port: int | None = None,
    data_dir: Path | None = None,
    leave: Annotated[bool, Parameter(name="--exit", negative="")] = False,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> int:
    """Replay a wholesaler's real days through Stockwright, live in the console.

    Five sellers, an ERP and a WMS run as servers on this machine. The same orders are sold a second
    time by batch connectors, and one judge counts for both what was sold that was not there. Exit
    code 1: the books do not add up.

    Parameters
    ----------
    profile
        `days`: the busiest day of the year and the next. `week`: two more. `peak`: the minute with
        the largest invoice and the busiest day, line by line and in bursts. `partners`: the busiest
        day, the web shop being a Shopify sandbox and a marketplace an Amazon one with their limits.
    year
        Replay the whole year instead: the path of online_retail.csv.gz.
    interval
        Minutes between two synchronisations of the batch connectors.
    seed
        Other sellers, warehouses, receipts and faults on the way for the same orders.
    port
        Where to serve the console; 8787, or a free port if that is taken.
    data_dir
        Keep the database and the logs in here; otherwise they go with the demo.
    leave
        End after the replay; without it the console stays open until Ctrl-C.
    json_file
        Write the figures to this file, as JSON.
    """
    options = Options(
        profile=profile,
        year=year,
        interval_minutes=interval,
        seed=seed,
        port=port,
        data_dir=data_dir,
    )
    _check(options, json_file)
    return asyncio.run(_perform(options, leave, json_file))


def _check(options: Options, json_file: Path | None) -> None:
    """Says what is wrong before anything is started. Raises Misconfigured."""
    if options.interval_minutes < 0:
        raise Misconfigured("--interval", "the interval is in minutes, 0 or more")
    if options.port is not None and not 0 < options.port < 65_536:
        raise Misconfigured("--port", "a port is a number from 1 to 65535")
    if options.year is not None and not options.year.is_file():
        raise Misconfigured("--all", f"there is no file {options.year}")
    if json_file is not None and not json_file.parent.is_dir():
        raise Misconfigured("--json", f"there is no folder {json_file.parent}")


async def _perform(options: Options, leave: bool, json_file: Path | None) -> int:
    ended = asyncio.Event()
    with _signals() as stop_with, Screen() as screen:
        async with performance(options, screen) as play:
            outcome = await play.run()
            charts = await asyncio.to_thread(play.write_charts)
            if json_file is not None:
                await asyncio.to_thread(json_file.write_bytes, as_json(outcome))
            screen.close()
            output.out().print(as_table(outcome))
            names = " and ".join(str(file) for file in charts)
            output.out().print(f"\nShown against true stock of one SKU: {names}")
            if not leave:
                output.out().print(f"The console stays at {play.address} until Ctrl-C.")
                stop_with(ended.set)
                await ended.wait()
    return output.OK if outcome.audit.ok else output.FINDINGS


@contextlib.contextmanager
def _signals() -> Any:
    """Ctrl-C and SIGTERM cancel what runs, and everything is taken down in order; yields a way to
    have them do something else instead."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    act: list[Callable[[], object]] = [task.cancel]
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: act[-1]())
    try:
        yield act.append
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


class Screen:
    """Tells on standard error what the demo does; in a terminal with a bar while it replays."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=output.err(),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._task: Any = None

    def __enter__(self) -> "Screen":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def step(self, doing: str) -> None:
        """It begins something that takes a moment."""
        output.err().print(f"{doing} ...")

    def page(self, url: str, after_s: float) -> None:
        """The console shows live data from now on."""
        output.err().print(f"The console is live after {after_s:.0f} s: [bold]{url}[/bold]")

    def begin(self, lines: int) -> None:
        """The replay of so many order lines begins."""
        self._bar.start()
        self._task = self._bar.add_task("Replaying order lines", total=lines)

    def advance(self, lines: int) -> None:
        """So many more order lines were placed."""
        if self._task is not None:
            self._bar.advance(self._task, lines)

    def close(self) -> None:
        """Takes the bar away. Safe to repeat."""
        self._bar.stop()

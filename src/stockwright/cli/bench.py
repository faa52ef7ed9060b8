"""`stockwright bench`: how fast this database records reservations, against a stored procedure."""

import os
import statistics
from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from cyclopts import Parameter, validators
from rich.text import Text

from stockwright.app import open_database
from stockwright.cli import output
from stockwright.config import load_config
from stockwright.flow.interpreter import settle_interpreter
from stockwright.flow.measuring import reservations_per_s
from stockwright.flow.recording import Recorder
from stockwright.store.baseline import calls_per_s, scratch_database

SPREAD_ITEMS: Final = 10_000
KINDS: Final = (("spread", SPREAD_ITEMS), ("hot", 1))


class Rate(msgspec.Struct):
    """Reservations a second: ours, the procedure's, and how many times as many ours are."""

    name: str
    items: int
    per_s: float
    procedure_per_s: float
    ratio: float


class Rates(msgspec.Struct):
    """What was measured, and how busy the machine was meanwhile."""

    rates: list[Rate]
    turns: int
    seconds: int
    load_average: float


def command(
    *,
    seconds: Annotated[
        int, Parameter(help="Length of one turn.", validator=validators.Number(gte=1, lte=60))
    ] = 3,
    turns: Annotated[
        int, Parameter(help="Turns of each side.", validator=validators.Number(gte=1, lte=20))
    ] = 3,
    config: output.ConfigFile = None,
    as_json: output.AsJson = False,
) -> int:
    """Measure speed against a stored procedure that writes the same rows.

    Works in a scratch database on the configured server, made for it and dropped afterwards, and
    needs the right to create one there. Both sides take turns; medians are compared.
    """
    steps = 2 * turns * len(KINDS)
    with (
        open_database(load_config(config)) as url,
        scratch_database(url, items=SPREAD_ITEMS) as scratch,
        Recorder(scratch) as recorder,
        output.progress("Measuring", steps, as_json) as advance,
    ):
        settle_interpreter()
        rates = [_measure(scratch, recorder, *kind, turns, seconds, advance) for kind in KINDS]
    load = round(os.getloadavg()[0], 2)
    output.emit(Rates(rates, turns, seconds, load), as_json, _render)
    return output.OK


def _measure(
    url: str,
    recorder: Recorder,
    name: str,
    items: int,
    turns: int,
    seconds: int,
    advance: Callable[[int], None],
) -> Rate:
    theirs, ours = [], []
    for turn in range(turns):
        theirs.append(calls_per_s(url, "reserve", items=items, seconds=seconds))
        advance(1)
        ours.append(
            reservations_per_s(recorder, turn=f"{name}{turn}", items=items, seconds=seconds)
        )
        advance(1)
    per_s, procedure = round(statistics.median(ours), 1), round(statistics.median(theirs), 1)
    return Rate(name, items, per_s, procedure, round(per_s / procedure, 2))


def _render(measured: Rates) -> Text:
    lines = [f"{'':<8}{'SKUs':>8}{'Stockwright':>14}{'procedure':>14}{'ratio':>8}"]
    lines += [
        f"{one.name:<8}{one.items:>8,}{one.per_s:>12,.0f}/s{one.procedure_per_s:>12,.0f}/s"
        f"{one.ratio:>7.1f}x"
        for one in measured.rates
    ]
    lines.append(
        f"Reservations of one line; {measured.turns} turns of {measured.seconds} s each, medians; "
        f"load average {measured.load_average}"
    )
    return Text("\n".join(lines))

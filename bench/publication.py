"""`publication_PARTNER`: 100,000 changed levels into a sandbox that keeps its partner's limits."""

import asyncio
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from subprocess import Popen
from typing import Any

import msgspec
import psutil

from bench.ground import process
from bench.measure import Measure, measured, tell
from bench.partner import FEED_TAKES_S
from stockwright.app import find_connector
from stockwright.flow.calls import Link
from stockwright.flow.publication import Publisher, database_threads
from stockwright.sdk.connector import Opening
from stockwright.sdk.messages import LevelKey
from stockwright.sdk.verbs import Connection, ReadsBack
from stockwright.store.baseline import MeasurementFailed, code_of, scratch_database
from stockwright.store.connection import Pool, connect

LEVELS = 100_000
LOOKED_UP_AT_ONCE = 1_000
LONGEST_S = 900.0
TARGET = 1.2
CHANNEL = "shop"
COUNTED_EVERY_S = 2.0

_CHANGED = """
insert into level (channel, listing, desired, version, sequence, projected_at, acknowledged,
                   acknowledged_version, acknowledged_at, state, lane, due_at, waiting_since)
select 'shop', 'SKU-' || lpad(n::text, 6, '0'), 5, 2, 0, clock_timestamp(), 0, 1,
       clock_timestamp(), 'due', 'increase', clock_timestamp(), clock_timestamp()
from generate_series(0, %s - 1) as n
"""
_SOME_WAIT = """
select exists (select from level where channel = 'shop' and state = 'due')
       or exists (select from level where channel = 'shop' and state = 'sending')
"""
_SETTLED = "select count(*) from level where state = 'settled'"
_CALLS = "select count(distinct call) from attempt"
_WRONG = "select count(*) from level where acknowledged is distinct from 5"


class Plan(msgspec.Struct, kw_only=True):
    """A partner's limits. batch: levels in one call; least_s: the time so many calls need at least.

    faster: both the partner's limits and our settings are that many times as large, so that the
    measurement ends within minutes. settings: what differs from the connector's defaults.
    """

    batch: int
    least_s: Callable[[int], float]
    settings: dict[str, Any] = {}
    faster: float = 1.0
    why: str = ""


def _by_rate(per_s: float, burst: int) -> Callable[[int], float]:
    return lambda calls: max(0.0, (calls - burst) / per_s)


PLANS: dict[str, Plan] = {
    "shopify": Plan(
        batch=250,
        # Ten points a call, of 2,000 that come back at 100 a second.
        least_s=_by_rate(10.0, 200),
        settings={"calls_per_s": 20.0, "burst": 200, "concurrency": 4},
        why="250 a call at 10 of 2,000 points, 100 back a second",
    ),
    "amazon": Plan(
        batch=11_200,
        least_s=lambda calls: _by_rate(0.0083, 15)(calls) + FEED_TAKES_S,
        settings={"batch_size": 11_200},
        why="11,200 a feed (25,000 allowed), 15 feeds at once; 120 s to read one (assumed)",
    ),
    "woocommerce": Plan(
        batch=100, least_s=_by_rate(5.0, 10), faster=2.0, why="100 a call; 5 calls/s (ours)"
    ),
    "bigcommerce": Plan(
        batch=500, least_s=_by_rate(5.0, 20), why="500 a call (ours; 150 in 30 s allowed); 5/s"
    ),
    "magento": Plan(
        batch=500,
        # A bulk is a call, and what became of it another.
        least_s=lambda calls: _by_rate(4.0, 8)(2 * calls),
        why="500 a bulk, each looked at once; 4 calls/s (ours)",
    ),
}


class Run(msgspec.Struct, kw_only=True):
    """What one publication took. cpu_s: of the publisher and its database together.

    early_mb and late_mb: the most memory the publisher had until half the levels were settled, and
    after.
    """

    seconds: float
    calls: int
    cpu_s: float
    early_mb: float
    late_mb: float
    wrong: int

    @property
    def grown_mb(self) -> float:
        """How much higher memory stood late than early."""
        return self.late_mb - self.early_mb


def bench(name: str) -> Callable[[str], Iterator[Measure]]:
    """The bench of one partner."""

    def measure(server: str) -> Iterator[Measure]:
        plan = PLANS[name]
        least_s = plan.least_s(math.ceil(LEVELS / plan.batch)) / plan.faster
        run = published(server, name, LEVELS)
        speed = f"; all limits {plan.faster:g} times as large" if plan.faster != 1.0 else ""
        note = f"{LEVELS:,} levels in {run.calls:,} calls; {plan.why}{speed}; items known"
        took = measured(
            f"publication_{name}",
            run.seconds,
            baseline=least_s,
            target=TARGET,
            unit="s at most",
        )
        yield msgspec.structs.replace(took, note=note)
        yield measured(
            f"publication_{name}_cpu", run.cpu_s / LEVELS * 1e6, unit="us a level with database"
        )
        grown = measured(f"publication_{name}_memory", run.grown_mb, target=50, unit="MB grown")
        early, late = f"{run.early_mb:.0f} MB early", f"{run.late_mb:.0f} MB late"
        yield msgspec.structs.replace(grown, note=f"{early}, {late}")

    measure.__doc__ = f"{LEVELS:,} changed levels into {name}'s sandbox, within its limits."
    return measure


def published(server: str, name: str, levels: int) -> Run:
    """Publishes so many changed levels. Raises MeasurementFailed where they do not all arrive."""
    with (
        scratch_database(server, items=1) as url,
        process("-m", "bench.partner", name, str(levels), str(PLANS[name].faster)) as partner,
    ):
        assert partner.stdout is not None
        said = json.loads(partner.stdout.readline())
        with connect(url, autocommit=True, statement_timeout_s=0) as connection:
            connection.execute(_CHANGED, [levels])
            connection.execute("vacuum analyze level")
        run = asyncio.run(_publish(url, name, levels, said, partner))
    if run.wrong:
        raise MeasurementFailed(f"{run.wrong} of {levels} levels did not reach {name}")
    return run


async def _publish(
    url: str, name: str, levels: int, said: dict[str, Any], partner: "Popen[str]"
) -> Run:
    plan = PLANS[name]
    connector = find_connector(name)
    given = {**said["settings"], **plan.settings, **_faster(connector, plan)}
    settings = connector.declaration.parse_settings(given, said["secrets"].__getitem__)
    connection = connector.open(Opening(system=CHANNEL), settings)
    try:
        await _look_up(connection, levels if name != "amazon" else 0)
        await asyncio.to_thread(_keep_limits, partner)
        with _pool(url) as pool:
            return await _until_settled(pool, connection)
    finally:
        await connection.close()


def _faster(connector: Any, plan: Plan) -> dict[str, Any]:
    """Our own rate, made faster as the partner is."""
    if plan.faster == 1.0:
        return {}
    defaults = connector.declaration.limits
    rate = plan.settings.get("calls_per_s", defaults.calls_per_s)
    return {"calls_per_s": rate * plan.faster}


async def _look_up(connection: Connection, levels: int) -> None:
    """Lets a connection learn which item each listing is, as one that runs has learnt."""
    if isinstance(connection, ReadsBack):
        for start in range(0, levels, LOOKED_UP_AT_ONCE):
            some = range(start, min(levels, start + LOOKED_UP_AT_ONCE))
            await connection.read_back([LevelKey(listing=code_of(n)) for n in some])


def _keep_limits(partner: "Popen[str]") -> None:
    assert partner.stdin is not None
    assert partner.stdout is not None
    partner.stdin.write("limits\n")
    partner.stdin.flush()
    partner.stdout.readline()


@contextmanager
def _pool(url: str) -> Iterator[Pool]:
    pool = Pool(url, size=6, application_name="bench")
    try:
        yield pool
    finally:
        pool.close()


async def _until_settled(pool: Pool, connection: Any) -> Run:
    link = Link(system=CHANNEL, channels=(CHANNEL,), limits=connection.limits, chance=lambda: 0.5)
    stop, own = asyncio.Event(), psutil.Process()
    with database_threads(4) as threads:
        publisher = Publisher(pool, connection, link, threads)
        backends = await asyncio.to_thread(_server, pool)
        began, cpu = time.monotonic(), _cpu_s([own, *backends])
        running = asyncio.create_task(publisher.run(stop))
        memory = Memory(pool, own)
        while await asyncio.to_thread(_value, pool, _SOME_WAIT):
            await asyncio.sleep(0.25)
            await asyncio.to_thread(memory.look)
            if time.monotonic() - began > LONGEST_S or running.done():
                raise MeasurementFailed("levels still wait")
        seconds = time.monotonic() - began
        spent = _cpu_s([own, *backends]) - cpu
        stop.set()
        publisher.wake()
        await running
        wrong = await asyncio.to_thread(_value, pool, _WRONG)
        calls = await asyncio.to_thread(_value, pool, _CALLS)
    tell(f"publication: {memory.levels:,} levels in {seconds:.1f} s")
    early, late = memory.early_mb, memory.late_mb or memory.early_mb
    return Run(seconds=seconds, calls=calls, cpu_s=spent, early_mb=early, late_mb=late, wrong=wrong)


class Memory:
    """The most memory a process had until half the levels were settled, and after."""

    def __init__(self, pool: Pool, process: psutil.Process) -> None:
        self.levels = _value(pool, "select count(*) from level")
        self.early_mb = self.late_mb = 0.0
        self._pool = pool
        self._process = process
        self._late = False
        self._count_at = 0.0

    def look(self) -> None:
        """Looks at it once; counts levels only now and then, which is work for the database."""
        now = time.monotonic()
        if not self._late and now >= self._count_at:
            self._count_at = now + COUNTED_EVERY_S
            self._late = _value(self._pool, _SETTLED) * 2 >= self.levels
        mb = _resident_mb(self._process)
        if self._late:
            self.late_mb = max(self.late_mb, mb)
        else:
            self.early_mb = max(self.early_mb, mb)


def _value(pool: Pool, query: str) -> int:
    with pool.connection() as connection:
        row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return int(row[0])


def _server(pool: Pool) -> list[psutil.Process]:
    """The database server's first process, which gathers the time of those that ended."""
    with pool.connection() as connection:
        return [psutil.Process(connection.info.backend_pid).parent() or psutil.Process()]


def _cpu_s(processes: list[psutil.Process]) -> float:
    """Time spent by processes and all their children, those that ended included."""
    total = 0.0
    for one in processes:
        for member in [
            one,
            *(one.children(recursive=True) if one.pid != psutil.Process().pid else []),
        ]:
            try:
                times = member.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
    return total


def _resident_mb(one: psutil.Process) -> float:
    return float(one.memory_info().rss) / 2**20

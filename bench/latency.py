"""`latency`: from an event sent to the API until a channel acknowledged the number it led to."""

import asyncio
import random
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import aiohttp
import msgspec

from bench.measure import Measure, measured, tell
from bench.product import CONFIG, Product, running
from stockwright.connectors.json_http import Sandbox
from stockwright.store.baseline import PLACE, SYSTEM, MeasurementFailed, code_of, scratch_database
from stockwright.store.connection import connect

ITEMS = 2_000
STOCK = 100_000
EVENTS_PER_S = 300
SECONDS = 25
SETTLE_S = 60
# Every fifth SKU receives, the others sell: were both to meet on one, a number might stay as it
# was, and there would be nothing to acknowledge.
RECEIVING = 5

_LISTINGS = """
with listings as (
    insert into listing (channel, code) select 'shop', code from sku returning code
), components as (
    insert into listing_component (channel, listing, sku, quantity)
    select 'shop', code, code, 1 from listings returning sku
), bound as (
    insert into binding (system, subject, partner_code, code)
    select 'shop', 'item', sku, sku from components
), marked as (
    insert into dirty (sku, sequence) select sku, 0 from components
)
update master_revision set revision = revision + 1
"""
_UNSETTLED = "select count(*) from level where state <> 'settled'"
_SETTLED = "select count(*) from level where state = 'settled'"
# The way of each event, as times of one machine: at the door, recorded, its first number that was
# acknowledged projected, sent, acknowledged.
_WAYS = """
select extract(epoch from v.received_at)::float8, extract(epoch from v.recorded_at)::float8,
       extract(epoch from w.projected_at)::float8, extract(epoch from w.started_at)::float8,
       extract(epoch from w.finished_at)::float8
from unnest(%s::text[], %s::bigint[]) with ordinality as e (sku, sequence, place)
join event v on v.sequence = e.sequence
left join lateral (
    select c.projected_at, a.started_at, a.finished_at
    from level_change c
    join attempt a on a.channel = c.channel and a.listing = c.listing
                  and a.location = c.location and a.version = c.version
    where c.channel = 'shop' and c.listing = e.sku and c.sequence >= e.sequence
      and a.outcome = 'acknowledged'
    order by a.finished_at limit 1
) as w on true
order by place
"""
STAGES = ("received", "recorded", "projected", "sent", "acknowledged")


class Sent(msgspec.Struct):
    """One event: when it was due to be sent, and the number the ledger gave it."""

    sku: str
    due: float
    sequence: int


def measure(server: str) -> Iterator[Measure]:
    """300 events a second, sent when they are due whatever came back; to one JSON channel."""
    ways = asyncio.run(_measure(server))
    for stage in range(len(STAGES)):
        p50, p99, longest = _spread([way[stage + 1] - way[stage] for way in ways])
        tell(
            f"latency: {STAGES[stage]:>12} p50 {p50:.0f} ms, p99 {p99:.0f} ms, max {longest:.0f} ms"
        )
    p50, p99, longest = _spread([way[-1] - way[0] for way in ways])
    tell(f"latency: {len(ways):,} events, p50 {p50:.0f} ms, p99 {p99:.0f} ms, max {longest:.0f} ms")
    yield measured("latency", p99, target=500, unit="ms p99")
    yield measured("latency_p50", p50, target=150, unit="ms p50")


def _spread(seconds: list[float]) -> tuple[float, float, float]:
    """Median, 99th percentile and maximum, in milliseconds."""
    ordered = sorted(seconds)
    return tuple(  # type: ignore[return-value]
        ordered[place] * 1000 for place in (len(ordered) // 2, len(ordered) * 99 // 100, -1)
    )


async def _measure(server: str) -> list[tuple[float, ...]]:
    with scratch_database(server, items=ITEMS, stock=STOCK) as url:
        async with Sandbox() as sandbox:
            base = await sandbox.start()
            with running(url, _config(base)) as product:
                await asyncio.to_thread(_list_everything, url)
                await _until(url, _SETTLED, ITEMS)
                tell(f"latency: {EVENTS_PER_S} events/s for {SECONDS} s")
                sent = await _send(product)
                await _until(url, _UNSETTLED, 0)
                return await asyncio.to_thread(_ways, url, sent)


def _config(sandbox: str) -> str:
    return f"""{CONFIG}
[systems.shop]
role = "shop"
criticality = "high"
connector = "json_http"
settings = {{ base_url = "{sandbox}", calls_per_s = 50.0, burst = 50, batch_size = 100 }}
[channels.shop]
system = "shop"
pool = ["{PLACE}"]
"""


def _list_everything(url: str) -> None:
    with connect(url, autocommit=True) as connection:
        connection.execute(_LISTINGS)


async def _until(url: str, query: str, wanted: int) -> None:
    def ask() -> int:
        with connect(url, autocommit=True) as connection:
            row = connection.execute(query.encode()).fetchone()
            assert row is not None
            return int(row[0])

    deadline = time.monotonic() + SETTLE_S
    while (count := await asyncio.to_thread(ask)) != wanted:
        if time.monotonic() > deadline:
            raise MeasurementFailed(f"{count} instead of {wanted} levels after {SETTLE_S} s")
        await asyncio.sleep(0.5)


async def _send(product: Product) -> list[Sent]:
    chance = random.Random(1)
    began = time.time()
    connector = aiohttp.TCPConnector(limit=256)
    headers = {"authorization": product.authorization, "content-type": "application/json"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        tasks = []
        for n in range(EVENTS_PER_S * SECONDS):
            due = began + n / EVENTS_PER_S
            await asyncio.sleep(max(0.0, due - time.time()))
            tasks.append(asyncio.create_task(_event(session, product, n, due, chance)))
        return list(await asyncio.gather(*tasks))


async def _event(
    session: aiohttp.ClientSession, product: Product, n: int, due: float, chance: random.Random
) -> Sent:
    item = chance.randrange(ITEMS)
    sku = code_of(item)
    kind = "pos_sale" if item % RECEIVING else "receipt"
    body = {"kind": kind, "document": f"e{n:06}", "system": SYSTEM, "sku": sku, "quantity": 1}
    url = urlsplit(product.url)._replace(path="/v1/events").geturl()
    data = msgspec.json.encode({**body, "location": PLACE})
    async with session.post(url, data=data) as response:
        answer = msgspec.json.decode(await response.read())
    if answer.get("code") != "recorded":
        raise MeasurementFailed(f"an event was answered {answer}")
    return Sent(sku, due, answer["sequence"])


def _ways(url: str, sent: list[Sent]) -> list[tuple[float, ...]]:
    """Per event the times of its way, the first being when it was due to be sent."""
    with connect(url, autocommit=True, statement_timeout_s=0) as connection:
        rows = connection.execute(
            _WAYS, ([one.sku for one in sent], [one.sequence for one in sent])
        ).fetchall()
    lost = sum(row[-1] is None for row in rows)
    if lost:
        raise MeasurementFailed(f"{lost} of {len(sent)} events reached no acknowledged number")
    return [(one.due, *row) for row, one in zip(rows, sent, strict=True)]

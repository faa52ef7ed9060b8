"""`http_webhooks`: orders of a Shopify shop, proven and stored, until the ledger has them."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.ground import generate, process
from bench.load import Answers
from bench.measure import TURN_S, Measure, in_turns, measured, tell
from bench.product import CONFIG, Product, running
from stockwright.store.baseline import PLACE, MeasurementFailed, scratch_database
from stockwright.store.connection import Connection, connect

ITEMS = 10_000
CONNECTIONS = 64
WANTED_PER_S = 1_000
RECORDED_WITHIN_S = 120.0
_BOUND = """
with bound as (
    insert into binding (system, subject, partner_code, code)
    select 'shop', 'item', code, code from sku
)
update master_revision set revision = revision + 1
"""
_RECORDED = """
select count(*) from event where kind = 'channel_order' and system = 'shop' and sequence > %s
"""
_HEAD = "select sequence from ledger_head where lane = 0"
_WAIT = "select count(*) from payload where state = 'received'"


def measure(server: str) -> Iterator[Measure]:
    """Shopify's order webhooks, HMAC proven, stored and recorded, against the plain event API."""
    taken: list[Answers] = []
    with scratch_database(server, items=ITEMS) as url, connected(url) as (product, secret):

        def ours(turn: int) -> float:
            answers, per_s = recorded(url, product, secret, f"{turn + 1}")
            taken.append(answers)
            return per_s

        yield in_turns("http_webhooks", lambda turn: _events(product, turn), ours, target=None)
    received = sorted(taken, key=lambda one: one.per_s)[len(taken) // 2]
    slowest = max(one.latency_ms_p99 for one in taken)
    yield measured("http_webhooks_received", received.per_s, unit="1/s stored and answered")
    yield measured("http_webhooks_answer", slowest, target=1_000, unit="ms p99")


def recorded(
    url: str, product: Product, secret: str, turn: str, *, seconds: float = TURN_S
) -> tuple[Answers, float]:
    """Sends webhooks for so long: what was answered, and orders a second until all are recorded."""
    with connect(url, autocommit=True) as connection:
        before = _one(connection, _HEAD)
    began = time.monotonic()
    answers = generate(
        port=product.port,
        path="/v1/hooks/shop",
        call="webhook",
        connections=CONNECTIONS,
        turn=turn,
        items=ITEMS,
        seconds=seconds,
        secret=secret,
    )
    if answers.statuses != {"202": answers.answered}:
        raise MeasurementFailed(f"webhooks were answered {answers.statuses}")
    # The generator's own start is no work of ours.
    began = max(began, time.monotonic() - answers.seconds)
    took_s = _until_none_waits(url) - began
    orders = count(url, before)
    if orders != answers.answered:
        raise MeasurementFailed(f"{orders} of {answers.answered} orders were recorded")
    return answers, orders / took_s


def _until_none_waits(url: str) -> float:
    """The time of the monotonic clock by which every payload is done."""
    latest = time.monotonic() + RECORDED_WITHIN_S
    with connect(url, autocommit=True) as connection:
        while waiting := _one(connection, _WAIT):
            if time.monotonic() > latest:
                raise MeasurementFailed(f"{waiting} webhooks still wait")
            time.sleep(0.02)
    return time.monotonic()


def _events(product: Product, turn: int) -> float:
    """The same facts by the API, one a call."""
    answers = generate(
        port=product.port,
        path="/v1/events",
        call="order",
        connections=CONNECTIONS,
        turn=f"e{turn}",
        items=ITEMS,
        seconds=TURN_S,
        authorization=product.authorization,
    )
    if answers.outcomes.get("recorded") != answers.answered:
        raise MeasurementFailed(f"events were answered {answers.statuses}, {answers.outcomes}")
    return answers.per_s


@contextmanager
def connected(url: str) -> Iterator[tuple[Product, str]]:
    """The product connected to a Shopify sandbox that lists nothing; and the shop's secret."""
    with process("-m", "bench.partner", "shopify", "1", "1") as partner:
        assert partner.stdout is not None
        said = json.loads(partner.stdout.readline())
        secrets = said["secrets"]
        environment = {name.removeprefix("env:"): value for name, value in secrets.items()}
        settings = ", ".join(f"{name} = {json.dumps(v)}" for name, v in said["settings"].items())
        config = f"""{CONFIG}
[systems.shop]
role = "shop"
connector = "shopify"
settings = {{ {settings} }}
[channels.shop]
system = "shop"
pool = ["{PLACE}"]
"""
        with connect(url, autocommit=True) as connection:
            connection.execute("insert into system (code, role) values ('shop', 'shop')")
            connection.execute(_BOUND.encode())
        with running(url, config, environment) as product:
            tell(f"http_webhooks: {WANTED_PER_S:,} a second are wanted")
            (reference,) = said["settings"]["webhook_secrets"]
            yield product, secrets[reference]


def count(url: str, after: int = 0) -> int:
    """Orders of the shop that the ledger has beyond a sequence number."""
    with connect(url, autocommit=True) as connection:
        return _one(connection, _RECORDED, after)


def _one(connection: Connection, query: str, *values: int) -> int:
    row = connection.execute(query.encode(), values).fetchone()
    assert row is not None
    return int(row[0])

"""A partner that is away, or wants silence, told level by level: all of a connection heeds it."""

from contextlib import suppress

import msgspec
import pytest

from stockwright.config.connectors import find_connector
from stockwright.connectors import nats
from stockwright.flow.publication import Publisher
from stockwright.sdk.connector import Opening
from stockwright.sdk.messages import Applied, Retry
from stockwright.sdk.secrets import Secret
from stockwright.sdk.transports import HttpRequest, HttpResponse, InMemory, NotSent
from stockwright.sdk.verbs import paces_itself
from tests.flow.channels import FAST, link, set_stock

OVER_HTTP = ("json_http", "shopify", "woocommerce", "bigcommerce", "magento", "medusa")
STATE = "select circuit, failures, last_success from connection_state"
PATIENT = msgspec.structs.replace(FAST, timeout_s=30.0)


async def opened(name: str, transport: InMemory):
    """A connection to a shop that is played by a function."""
    connector = find_connector(name)
    assert connector is not None
    assert connector.sandbox is not None
    sandbox = connector.sandbox(products=["SKU-000", "SKU-001"])
    await sandbox.start()
    settings = {**sandbox.settings(), "timeout_s": 20.0}
    await sandbox.stop()

    def reveal(reference: str | Secret) -> str:
        return reference.reveal() if isinstance(reference, Secret) else reference

    parsed = connector.declaration.parse_settings(settings, reveal)
    return connector.open(Opening(system="WEB", transport=transport), parsed)


async def nowhere(request: HttpRequest) -> HttpResponse:
    raise NotSent("it cannot be reached")


async def hush(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=429, headers={"retry-after": "40"}, body=b"{}")


async def opens_the_circuit(partner, world, projection, pool, clock):
    """Not one level after the other waits, but all of them, and no call in vain is a success."""
    publisher = Publisher(pool, partner, link(limits=PATIENT, clock=clock))
    set_stock(world, projection, SKU_000=10, SKU_001=20)
    for _ in range(3):
        assert await publisher.step() == 2
        clock.pass_s(30)
    assert world.rows(STATE) == [("open", 3, None)]
    assert world.rows("select attempts from level order by listing") == [(0,), (0,)]
    await partner.close()


@pytest.mark.parametrize("name", OVER_HTTP)
async def test_a_partner_that_is_away_opens_the_circuit(name, world, projection, pool, clock):
    shop = await opened(name, InMemory(nowhere))
    await opens_the_circuit(shop, world, projection, pool, clock)


@pytest.mark.parametrize("name", OVER_HTTP)
async def test_a_silence_is_kept_by_levels_that_were_not_in_the_call(
    name, world, projection, pool, clock
):
    transport = InMemory(hush)
    shop = await opened(name, transport)
    assert not paces_itself(shop)
    publisher = Publisher(pool, shop, link(limits=PATIENT, clock=clock))
    set_stock(world, projection, SKU_000=10)
    assert await publisher.step() == 1
    asked = len(transport.requests)
    set_stock(world, projection, SKU_001=0)
    clock.pass_s(39)
    assert await publisher.step() == 0
    assert len(transport.requests) == asked
    clock.pass_s(2)
    assert await publisher.step() == 2
    await shop.close()


class Answering:
    """A connection that says what it is told to, after one call that ends as it is told to."""

    paces_itself = False

    def __init__(self, answer, results) -> None:
        self._transport = InMemory(answer)
        self._results = results

    async def publish(self, levels):
        with suppress(NotSent):
            await self._transport.send(HttpRequest(method="POST", url="http://127.0.0.1/"))
        return self._results


async def refuse(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=409)


@pytest.mark.parametrize(
    ("answer", "own_plans", "results"),
    [
        # Somebody answered: what is to be tried again is so for a reason of its own.
        (refuse, False, [Retry(retry_after_s=1.0, reason="stale", shown=7)]),
        (refuse, False, [Retry(retry_after_s=1.0, reason="locked")]),
        (nowhere, False, [Applied()]),
        # One operation's plan is used up; others have plans of their own.
        (hush, True, [Retry(retry_after_s=40.0, reason="429")]),
    ],
)
async def test_what_concerns_levels_alone_stops_no_other(
    answer, own_plans, results, world, projection, pool, clock
):
    shop = Answering(answer, results)
    shop.paces_itself = own_plans
    publisher = Publisher(pool, shop, link(limits=PATIENT, clock=clock))
    set_stock(world, projection, SKU_000=10)
    for _ in range(3):
        await publisher.step()
        clock.pass_s(300)
    state = "select circuit, failures, retry_at from connection_state"
    assert world.rows(state) == [("closed", 0, None)]


async def test_a_broker_that_is_away_opens_the_circuit(world, projection, pool, clock):
    settings = nats.NatsSettings(servers=("nats://127.0.0.1:9",), levels_subject="stock.{listing}")
    bus = nats.CONNECTOR.open(Opening(system="WEB"), settings)
    await opens_the_circuit(bus, world, projection, pool, clock)

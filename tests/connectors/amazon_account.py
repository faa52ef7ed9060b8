"""What the tests of Amazon share: an account whose plans hold nobody up, and connections to it."""

from contextlib import asynccontextmanager

from stockwright.connectors.amazon import CONNECTOR, Sandbox
from stockwright.connectors.amazon.plans import PLANS, Plan
from stockwright.sdk.connector import Opening
from stockwright.sdk.secrets import resolve_secret
from tests.connectors.amazon_models import Judged

QUICK = {name: Plan(500, 500) for name in PLANS}
"""Plans that hold nobody up, for tests of something else."""


@asynccontextmanager
async def account(clock, products=("MUG", "PLATE")):
    """A seller's account that is open for the length of a test."""
    amazon = Sandbox(products, clock=clock, plans=QUICK)
    await amazon.start()
    try:
        yield amazon
    finally:
        await amazon.stop()


@asynccontextmanager
async def connecting(amazon, clock, monkeypatch, wire=None):
    """Yields what opens connections to an account. Without another wire every call of theirs is
    judged by Amazon's models; at the end none was wrong.
    """
    for name, plan in QUICK.items():
        monkeypatch.setitem(PLANS, name, plan)
    opened = []

    def connect(*more, **settings):
        given = {**amazon.settings(), "timeout_s": 10.0, **settings}
        parsed = CONNECTOR.declaration.parse_settings(given, resolve_secret)
        transport = wire(*more) if wire else Judged(amazon.faults)
        opening = Opening(system="amz", clock=clock, transport=transport)
        opened.append((CONNECTOR.open(opening, parsed), transport))
        return opened[-1][0]

    yield connect
    for connection, transport in opened:
        await connection.close()
        assert getattr(transport, "problems", []) == []

"""What the tests of shops share: a clock, connections to a sandbox, and what they tell."""

import datetime as dt
from contextlib import asynccontextmanager

from stockwright.domain.events import Fact
from stockwright.sdk.connector import Opening
from stockwright.sdk.messages import LevelToSend
from stockwright.sdk.secrets import resolve_secret

NOW = dt.datetime(2026, 3, 1, 12, 0, 0, tzinfo=dt.UTC)
MOST_PAGES = 300


class Clock:
    """A clock that a test moves."""

    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now

    def step(self, seconds=1.0):
        self.now += dt.timedelta(seconds=seconds)


@asynccontextmanager
async def connecting(connector, sandbox, clock, system="shop", **usual):
    """Yields what opens connections to a sandbox: its own settings, the usual ones, and those
    given then, where None takes one away.
    """
    opened = []

    def connect(**settings):
        given = {**sandbox.settings(), "timeout_s": 15.0, **usual, **settings}
        parsed = connector.declaration.parse_settings(
            {name: value for name, value in given.items() if value is not None}, resolve_secret
        )
        opened.append(connector.open(Opening(system=system, clock=clock), parsed))
        return opened[-1]

    try:
        yield connect
    finally:
        for one in opened:
            await one.close()


def level(listing, quantity, expected=None, version=1, location=""):
    return LevelToSend(
        channel="shop",
        listing=listing,
        quantity=quantity,
        version=version,
        expected=expected,
        location=location,
    )


def facts(connection, payloads):
    """What payloads are mapped to, all of it facts."""
    parts = [part.item for payload in payloads for part in connection.map(payload)]
    assert all(isinstance(part, Fact) for part in parts), parts
    return parts


async def polled(connection, cursor=""):
    """All that a poll tells, until it has no more, and the cursor after it."""
    payloads = []
    for _ in range(MOST_PAGES):
        page = await connection.read(cursor)
        payloads += page.payloads
        cursor = page.next_cursor
        if page.complete:
            return payloads, cursor
    raise AssertionError("the poll comes to no end")

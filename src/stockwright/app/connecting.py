"""The steps of connecting a partner, as the command line, the API and the console take them.

All of it blocks: each call opens the connection for itself, asks in an event loop of its own, and
gives it back, so that what a running process does with the same partner is left alone.
"""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Sequence
from typing import Final, TypeVar

import msgspec

from stockwright.app.connections import open_connection
from stockwright.domain.errors import Misconfigured, Rejected, Transient
from stockwright.domain.events import Fact, Outcome
from stockwright.flow import checking, connecting, opening_stock, probing, shadowing
from stockwright.flow.checking import Tested
from stockwright.flow.connecting import ConnectionView
from stockwright.flow.handover import Records
from stockwright.flow.opening_stock import Opening, Taken
from stockwright.flow.probing import Probed
from stockwright.flow.projection import Projection
from stockwright.flow.sparing import Asker
from stockwright.sdk.connector import utc_now
from stockwright.sdk.messages import Payload
from stockwright.sdk.verbs import Connection as Partner
from stockwright.store import connecting as store
from stockwright.store.connection import Pool
from stockwright.store.session import session

T = TypeVar("T")
MAX_SAMPLE_BYTES: Final = 8_388_608
LOOKED_AT: Final = 1_000
"""Levels that a partner is asked about at once, where it cannot tell all it shows."""
_STEPS: Final = 200
"""Steps of the projection that are waited for before what would be sent is written down."""
_CHUNK: Final = 500
_PATIENCE_S: Final = 120.0


class Shadowed(msgspec.Struct, frozen=True, kw_only=True):
    """How a connection in shadow stands, and the levels that differ most."""

    connection: ConnectionView
    levels: list[store.ShadowLevel]


def test(pool: Pool, system: str, samples: Sequence[Payload], *, actor: str) -> Tested:
    """Checks the credentials, maps a sample and matches the items; keeps what it found.

    Raises Rejected for a system without a connector, and what the database raises; whatever the
    partner or its settings do wrong is an outcome.
    """
    for payload in samples:
        if len(payload.body) > MAX_SAMPLE_BYTES:
            message = f"A sample has at most {MAX_SAMPLE_BYTES:,} bytes; hand in a part of it."
            raise Rejected("too_large", "sample", message)
    with session(pool) as connection:
        found, _network = connecting.system_of(connection, system)
        listings = checking.listings_to_ask(connection, system)
    try:
        partner = open_connection(found, pool=pool)
    except Misconfigured as failure:
        with session(pool) as connection:
            return checking.unopened(connection, found, failure, actor=actor)
    probed = asyncio.run(_probe(pool, partner, listings))
    with session(pool) as connection:
        return checking.judge(
            connection, system, partner, probed, samples, actor=actor, asked=found
        )


async def _probe(pool: Pool, partner: Partner, listings: Sequence[str]) -> Probed:
    within = Asker(pool, partner).patiently
    return await _closing(partner, probing.probe(partner, listings, utc_now, within))


def plan_stock(pool: Pool, system: str, location: str = "") -> Opening:
    """What the opening stock would be, from what the last test kept."""
    with session(pool) as connection:
        return opening_stock.plan(connection, system, location)[0]


def take_stock(
    pool: Pool,
    recorder: Records,
    system: str,
    *,
    actor: str,
    location: str = "",
    as_of: dt.datetime | None = None,
) -> Taken:
    """Records what the last test kept as opening stock. Safe to repeat, also after a crash.

    as_of is the time that was shown for it; None takes what is there. Raises Rejected where it may
    not be taken, Transient where the ledger is away.
    """
    with session(pool) as connection:
        opening, facts = opening_stock.plan(connection, system, location)
    opening_stock.check(opening, as_of)
    outcomes = _recorded(recorder, facts)
    with session(pool) as connection:
        return opening_stock.taken(connection, opening, outcomes, actor=actor)


def _recorded(recorder: Records, facts: Sequence[Fact]) -> list[Outcome]:
    found: list[Outcome] = []
    for start in range(0, len(facts), _CHUNK):
        some = facts[start : start + _CHUNK]
        try:
            found += recorder.submit(some, bulk=True).result(_PATIENCE_S)
        except TimeoutError:
            message = "The ledger did not answer in time. Take it again: nothing counts twice."
            raise Transient(message) from None
    return found


def shadow(pool: Pool, system: str, *, actor: str, why: str, limit: int = 20) -> Shadowed:
    """Puts a connection into shadow, or looks at one that is: what would be sent, what is shown.

    Levels that are not computed yet are computed first, in bounded steps.
    """
    with session(pool) as connection:
        shadowing.to_shadow(connection, system, actor=actor, why=why)
        found, _network = connecting.system_of(connection, system)
    _project(pool)
    shadowing.note_all(pool)
    with session(pool) as connection:
        keys = store.shadow_keys(connection, system, LOOKED_AT)
    try:
        partner = open_connection(found, pool=pool)
    except Misconfigured as failure:
        probed: Probed | None = Probed(as_of=utc_now(), error=str(failure), setting=failure.setting)
    else:
        probed = asyncio.run(_look(pool, partner, keys))
    with session(pool) as connection:
        stands = shadowing.compared(connection, system, probed, actor=actor, asked=found)
        listed = store.shadow(connection, system, differing=True, limit=limit)
    return Shadowed(connection=stands, levels=listed)


async def _look(pool: Pool, partner: Partner, keys: Sequence[tuple[str, str]]) -> Probed | None:
    if not probing.tells_what_it_shows(partner):
        await partner.close()
        return None
    within = Asker(pool, partner).patiently
    return await _closing(partner, probing.look(partner, keys, utc_now, within))


def _project(pool: Pool) -> None:
    projection = Projection(pool)
    for _ in range(_STEPS):
        if not projection.step().marks:
            return


async def _closing(partner: Partner, work: Awaitable[T]) -> T:
    try:
        return await work
    finally:
        await partner.close()

"""An item as it was: for random histories, what is told of a moment is what was shown at it."""

import asyncio
import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar
from unittest.mock import patch
from uuid import uuid4

import msgspec
import psycopg
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from stockwright.console import item
from stockwright.domain.events import Fact, Item, Request, RequestLine
from stockwright.domain.items import Sku
from stockwright.domain.network import Channel, ExposurePolicy, Location, Network, System
from stockwright.flow.projection import Projection
from stockwright.flow.publication import Publisher
from stockwright.flow.recording import Recorder
from stockwright.sdk.messages import Applied, LevelToSend, PublishResult, Retry, ShownLevel
from stockwright.store import master, positions
from stockwright.store.connection import Connection, Pool, connect
from stockwright.store.embedded import EmbeddedServer
from stockwright.store.network import apply_config
from tests.flow.channels import Shop, applied_but_500, honest, in_doubt, link, refuse, unreachable
from tests.proof.stage import pass_by
from tests.proof.test_state_machine import settings_for

SKUS = ("A", "B")
PLACES = ("EAST", "WEST")
SKU, PLACE = st.sampled_from(SKUS), st.sampled_from(PLACES)
SMALL = st.integers(1, 6)
ROW = ("grantable", "acknowledged", "verified")
STANDINGS = {"retrying": "waiting"}


class Window(Shop):
    """A shop whose window can be looked into, and that somebody watches while it is called."""

    def __init__(self, watch: Callable[[], None]) -> None:
        super().__init__()
        self._watch = watch

    async def publish(self, levels: Sequence[LevelToSend]) -> Sequence[PublishResult]:
        self._watch()
        return await super().publish(levels)

    async def read_back(self, keys: Sequence[Any]) -> Sequence[ShownLevel | None]:
        return [
            ShownLevel(listing=key.listing, quantity=self.shows[key.listing])
            if key.listing in self.shows
            else None
            for key in keys
        ]


def shows_otherwise(shop: Shop, levels: list[LevelToSend]) -> Sequence[PublishResult]:
    """The shop took the numbers, and shows other ones."""
    for level in levels:
        shop.shows[level.listing] = level.quantity + 1
    return [Applied(shown=level.quantity + 1) for level in levels]


def knows_better(shop: Shop, levels: list[LevelToSend]) -> Sequence[PublishResult]:
    """The shop holds a newer version of each, and does not say what it shows."""
    return [Applied(version=level.version + 5) for level in levels]


def locked(shop: Shop, levels: list[LevelToSend]) -> Sequence[PublishResult]:
    """Nothing was taken; the shop says what it shows."""
    return [
        Retry(retry_after_s=0.0, reason="locked", shown=shop.shows.get(level.listing))
        for level in levels
    ]


BEHAVIOURS = (
    *(honest, honest, honest, locked, refuse("archived"), shows_otherwise, knows_better),
    # What is in doubt is so for seconds, and hides how later tries went.
    *(unreachable, applied_but_500, in_doubt),
)


def network(policies: Sequence[ExposurePolicy] = ()) -> Network:
    return Network(
        systems=(
            System(code="wms", role="wms"),
            System(code="erp", role="erp"),
            System(code="web", role="shop", connector="json_http"),
            System(code="own", role="shop"),
        ),
        locations=tuple(Location(code=place, priority=n) for n, place in enumerate(PLACES)),
        channels=(
            Channel(code="web", system="web", pool=PLACES, policies=tuple(policies)),
            Channel(code="own", system="own", pool=("EAST",)),
        ),
    )


def told(page: item.ItemPage) -> dict[str, Any]:
    """Every number of a page's twin, but for places that hold nothing: they may be known or not."""
    twin = msgspec.to_builtins(page)
    places = [
        place for place in twin["places"] if any(place[account] for account in positions.ACCOUNTS)
    ]
    levels = ("desired", "sent", "acknowledged", "acknowledged_version", "verified")
    return {
        "card": twin["card"],
        "places": sorted(places, key=lambda place: place["location"]),
        "totals": twin["totals"],
        "in_transit": twin["in_transit"],
        "sequence": twin["sequence"],
        "claims": twin["claims"],
        "unpublished": twin["unpublished"],
        "channels": [
            {name: row["level"][name] for name in ("channel", "listing", "quantity", *levels)}
            | {f"row {name}": row[name] for name in ROW}
            # Whether a level that waits was tried before is told as nearly as it can be.
            | {"standing": STANDINGS.get(row["standing"], row["standing"])}
            for row in twin["channels"]
        ],
        "moments": [(moment["sequence"], len(moment["changes"])) for moment in twin["moments"]],
    }


def what_is_met(page: item.ItemPage) -> Iterator[str]:
    if page.in_transit:
        yield "in transit"
    yield from (f"told: {claim.verdict.word}" for claim in page.claims)
    for row in page.channels:
        yield row.standing
        yield f"acknowledged: {row.acknowledged.word}"
        yield f"verified: {row.verified.word}"


MET = {
    *("in transit", "told: agrees", "told: more", "told: fewer", "told: corrected"),
    *("shown", "sending", "retrying", "waiting", "refused", "in doubt", "kept"),
    *("acknowledged: agrees", "acknowledged: too many", "acknowledged: too few"),
    *("acknowledged: never confirmed", "verified: agrees", "verified: fewer"),
    *("verified: shows nothing", "verified: not read", "verified: out of date"),
}


class Histories(RuleBasedStateMachine):
    """One world: goods, counts, rules and channels change in any order, looked at meanwhile."""

    new_database: ClassVar[Callable[[], str]]
    met: ClassVar[set[str]]
    """What the histories went through, so that none of it is left out unnoticed."""

    def __init__(self) -> None:
        super().__init__()
        self.url = type(self).new_database()
        with connect(self.url) as connection:
            apply_config(connection, network())
            master.save(connection, "skus", [Sku(code=sku) for sku in SKUS])
            for channel in ("web", "own"):
                master.list_all(connection, channel)
            connection.commit()
        self.pool = Pool(self.url, size=2)
        self.recorder = Recorder(self.url)
        self.recorder.start()
        self.projection = Projection(self.pool)
        self.window = Window(self.remember)
        self.publisher = Publisher(self.pool, self.window, link("web"))
        self.names = 0
        self.seen: list[tuple[str, dt.datetime, dict[str, Any]]] = []
        asyncio.run(self.publisher.step())

    def name(self) -> str:
        self.names += 1
        return f"N{self.names}"

    def tell(self, *items: Item) -> None:
        self.recorder.submit(list(items)).result(60)

    def fact(self, kind: Any, sku: str, units: int, place: str, **more: Any) -> Fact:
        fields = {"system": "wms", "document": self.name(), "location": place} | more
        return Fact(kind=kind, sku=sku, quantity=units, **fields)

    def change(self, work: Callable[[Connection], Any]) -> None:
        with self.pool.connection() as connection:
            work(connection)

    @rule(
        sku=SKU,
        place=PLACE,
        units=SMALL,
        kind=st.sampled_from(("receipt", "receipt", "damage", "pos_sale", "count")),
    )
    def move(self, sku: str, place: str, units: int, kind: str) -> None:
        self.tell(self.fact(kind, sku, units, place))

    @rule(sku=SKU, place=PLACE, units=SMALL, arrives_first=st.booleans())
    def transfer(self, sku: str, place: str, units: int, arrives_first: bool) -> None:
        document = self.name()
        out = self.fact("transfer_out", sku, units, place, transfer=document)
        arrives = self.fact("transfer_in", sku, units - 1 or 1, "WEST", transfer=document)
        for one in (arrives, out) if arrives_first else (out, arrives):
            self.tell(one)
            self.remember()

    @rule(sku=SKU, place=PLACE, units=SMALL, system=st.sampled_from(("wms", "erp")))
    def tell_a_number_of_ones_own(self, sku: str, place: str, units: int, system: str) -> None:
        self.tell(self.fact("snapshot", sku, units, place, system=system))

    @rule(sku=SKU, units=SMALL, channel=st.sampled_from(("web", "own")))
    def reserve(self, sku: str, units: int, channel: str) -> None:
        order = self.name()
        self.tell(
            Request(
                kind="reserve", system=channel, document=order, order=order, channel=channel,
                lines=[RequestLine(line="1", sku=sku, quantity=units)], mode="partial",
            )
        )  # fmt: skip

    @rule(buffer=st.integers(0, 4), cap=st.sampled_from((None, 3, 9)))
    def edit_policy(self, buffer: int, cap: int | None) -> None:
        found = network((ExposurePolicy(buffer=buffer, cap=cap),))
        self.change(lambda connection: apply_config(connection, found))

    @rule(sku=SKU, text=st.sampled_from(("", "lamp", "lantern")))
    def describe(self, sku: str, text: str) -> None:
        row = Sku(code=sku, description=text)
        self.change(lambda connection: master.save_one(connection, "skus", row))

    @rule()
    def project(self) -> None:
        self.projection.step()

    @rule(behaviour=st.sampled_from(BEHAVIOURS))
    def publish(self, behaviour: Any) -> None:
        self.projection.step()
        self.let_time_pass()
        self.window.next = [behaviour]
        asyncio.run(self.publisher.step())
        self.window.next = []
        self.remember()

    @rule()
    def publish_until_nothing_is_due(self) -> None:
        self.projection.step()
        for _ in range(3):
            self.let_time_pass()
            asyncio.run(self.publisher.step())

    def let_time_pass(self) -> None:
        """Whoever waits for another try has waited long enough."""

        def work(connection: Connection) -> None:
            connection.execute(
                "update connection_state set circuit = 'closed', failures = 0, retry_at = null"
            )
            connection.execute("update level set due_at = now() where state = 'due'")

        self.change(work)

    @rule(sku=SKU, units=st.sampled_from((None, 0, 2, 30)), settled=st.booleans())
    def somebody_changes_the_window(self, sku: str, units: int | None, settled: bool) -> None:
        if settled:
            self.publish_until_nothing_is_due()
        self.window.shows.pop(sku, None)
        if units is not None:
            self.window.shows[sku] = units
        self.read_back()

    @rule()
    def read_back(self) -> None:
        asyncio.run(self.publisher.verify())
        self.remember()

    @rule()
    def remember(self) -> None:
        with connect(self.url) as connection:
            positions.read_one_moment(connection)
            now = positions.moment(connection)
            for sku in SKUS:
                page = item.read(connection, sku, now)
                assert page is not None
                self.seen.append((sku, now, told(page)))
                self.met.update(what_is_met(page))
        pass_by(self.recorder, now)

    def teardown(self) -> None:
        self.recorder.stop()
        self.pool.close()
        with connect(self.url) as connection:
            for sku, at, was in self.seen:
                page = item.read(connection, sku, dt.datetime.now(dt.UTC), at=at)
                assert page is not None
                found = told(page)
                apart = {key: (was[key], found[key]) for key in was if was[key] != found[key]}
                assert apart == {}, f"{sku} at {at}: was, and is told to have been: {apart}"


@pytest.fixture
def new_database(cluster: EmbeddedServer, template: str) -> Iterator[Callable[[], str]]:
    """Makes databases with all migrations, dropped at the end of the test."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(_database(cluster, template))


@contextmanager
def _database(cluster: EmbeddedServer, template: str) -> Iterator[str]:
    name = f"then_{uuid4().hex[:12]}"
    with psycopg.connect(cluster.url_of("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    yield cluster.url_of(name)
    with psycopg.connect(cluster.url_of("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def machine(new_database: Callable[[], str]) -> Iterator[type[Histories]]:
    class Machine(Histories):
        met: ClassVar[set[str]] = set()

    Machine.new_database = staticmethod(new_database)
    # Levels are read back again and again, not once an hour.
    with patch("stockwright.flow.verification.READ_AGAIN_AFTER_S", 0.0):
        yield Machine


def test_the_twin_of_a_moment_is_the_twin_that_was_shown_at_it(machine: type[Histories]) -> None:
    run_state_machine_as_test(machine, settings=settings_for(5, 30))


def test_a_history_with_everything_in_it_is_told_as_it_was(machine: type[Histories]) -> None:
    world = machine()
    for sku in SKUS:
        world.move(sku=sku, place="EAST", units=6, kind="receipt")
    world.move(sku="B", place="EAST", units=40, kind="receipt")
    world.remember()
    for told_units in (6, 5, 9):
        world.tell_a_number_of_ones_own(sku="A", place="EAST", units=told_units, system="erp")
        world.remember()
    world.move(sku="A", place="EAST", units=9, kind="count")
    world.transfer(sku="A", place="EAST", units=3, arrives_first=True)
    world.reserve(sku="A", units=2, channel="web")
    world.publish_until_nothing_is_due()
    world.read_back()
    for behaviour in (*BEHAVIOURS, refuse("gone")):
        world.move(sku="A", place="EAST", units=4, kind="receipt")
        world.publish(behaviour=behaviour)
        world.move(sku="B", place="EAST", units=1, kind="pos_sale")
        world.publish(behaviour=honest)
    for units in (30, 2, None, 30):
        world.somebody_changes_the_window(sku="B", units=units, settled=True)
        world.move(sku="B", place="EAST", units=5, kind="receipt")
        world.publish(behaviour=honest)
    world.edit_policy(buffer=2, cap=3)
    world.project()
    world.remember()
    world.publish_until_nothing_is_due()
    world.describe(sku="A", text="lantern")
    world.remember()
    world.teardown()
    assert machine.met >= MET, MET - machine.met

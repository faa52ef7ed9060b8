"""Random histories of goods, promises and rules: every number shown is explained afterwards."""

import datetime as dt
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, ClassVar

import psycopg
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from msgspec.structs import replace

from stockwright.domain.availability import Explanation
from stockwright.domain.backorders import ToldOwed
from stockwright.domain.errors import Rejected
from stockwright.domain.events import Fact, Item, Request, RequestLine
from stockwright.domain.items import Component, Kit, Listing, Sku
from stockwright.domain.network import Channel, ExposurePolicy, Location, Network, System
from stockwright.flow.buffering import Buffering
from stockwright.flow.explaining import Quantities, quantities, why
from stockwright.flow.looking_back import explain_level
from stockwright.flow.projection import Projection
from stockwright.flow.recording import Recorder
from stockwright.store import backorders, master, past
from stockwright.store.connection import Connection, Pool, connect
from stockwright.store.network import apply_config
from stockwright.store.past import LevelThen
from tests.proof.stage import assert_audited, pass_by
from tests.proof.test_state_machine import settings_for

SKUS = ("A", "B", "C", "L", "K")
PLACES = ("EAST", "WEST")
CHANNELS = ("web", "b2b")
SKU = st.sampled_from(("A", "B", "C"))
SOLD = st.sampled_from(SKUS)
"""L is kept by lot; K is a kit of two A and one B."""
PLACE = st.sampled_from(PLACES)
CHANNEL = st.sampled_from(CHANNELS)
SMALL = st.integers(1, 6)
PICK = st.integers(0, 30)
ODDS = st.integers(0, 5)

NETWORK = Network(
    systems=(System(code="wms", role="wms"), System(code="web", role="shop", heartbeat_s=60.0)),
    locations=(
        Location(code="EAST", groups=("ALL",), priority=1),
        Location(code="WEST", groups=("ALL",), priority=2),
    ),
    channels=(
        Channel(code="web", system="web", pool=("ALL",)),
        Channel(code="b2b", system="web", pool=("EAST",)),
    ),
)


def policies() -> st.SearchStrategy[tuple[ExposurePolicy, ...]]:
    one = st.builds(
        ExposurePolicy,
        sku=st.sampled_from((None, *SKUS)),
        sku_group=st.sampled_from((None, "G")),
        safety=ODDS,
        hard_safety=ODDS,
        ring_fence=ODDS,
        buffer=ODDS,
        cap=st.sampled_from((None, 3, 9)),
        pack_size=st.sampled_from((1, 1, 2)),
        safety_per=st.sampled_from(("network", "place")),
        min_shelf_life_days=st.sampled_from((0, 0, 30)),
        ring_fence_mode=st.sampled_from(("consumed", "standing")),
        buffer_percent=st.sampled_from((0.0, 0.0, 30.0)),
        buffer_risk=st.sampled_from((None, 0.05)),
        degraded_cap=st.sampled_from((None, 2)),
    )
    return st.lists(one, max_size=3).map(tuple)


def furnish(url: str) -> None:
    """The network, three SKUs, and what each channel lists of them."""
    with connect(url) as connection:
        apply_config(connection, NETWORK)
        rows = [Sku(code=sku, control="lot" if sku == "L" else "none") for sku in SKUS]
        master.save(connection, "skus", rows)
        made_of = (Component(sku="A", quantity=2), Component(sku="B"))
        master.save_one(connection, "kits", Kit(sku="K", components=made_of))
        for channel in CHANNELS:
            master.list_all(connection, channel)
        parts = (Component(sku="A", quantity=2), Component(sku="B"))
        master.save_one(
            connection, "listings", Listing(channel="web", code="SET", components=parts)
        )
        connection.commit()


def fact(kind: Any, document: str, sku: str, units: int, **more: Any) -> Fact:
    """One fact, told by the warehouse unless `system` says otherwise."""
    fields = {"system": "wms"} | more
    return Fact(kind=kind, document=document, sku=sku, quantity=units, **fields)


def every_level(connection: Connection) -> list[LevelThen]:
    """Every number any channel was ever meant to show."""
    rows = connection.execute(
        "select channel, listing, value, version, since_sequence, sequence, rules, projected_at, "
        "null, null, null from level_change order by projected_at"
    )
    return [LevelThen(*row) for row in rows]


def assert_adds_up(explanation: Explanation) -> None:
    running = 0
    for step in explanation.steps:
        running += step.amount
        assert step.running == running
    assert explanation.result == running


def assert_explained(url: str) -> int:
    """Every number shown is the result of its explanation; answers how many there were."""
    with connect(url) as connection:
        levels = every_level(connection)
        for level in levels:
            explanation = explain_level(connection, level)
            assert explanation.result == level.value, level
            assert_adds_up(explanation)
            connection.commit()
    return len(levels)


class Histories(RuleBasedStateMachine):
    """One world whose goods, promises and rules change in any order, projected now and then."""

    new_database: ClassVar[Callable[[], str]]

    def __init__(self) -> None:
        super().__init__()
        self.url = type(self).new_database()
        furnish(self.url)
        self.pool = Pool(self.url, size=2)
        self.recorder = Recorder(self.url)
        self.recorder.start()
        self.projection = Projection(self.pool)
        self.buffering = Buffering(self.pool)
        self.network = NETWORK
        self.names = 0
        self.orders: list[tuple[str, str]] = []
        self.seen: list[tuple[dt.datetime, list[Quantities | None]]] = []

    def name(self) -> str:
        self.names += 1
        return f"N{self.names}"

    def tell(self, *items: Item) -> None:
        self.recorder.submit(list(items)).result(60)

    def change(self, work: Callable[[Connection], Any]) -> None:
        with self.pool.connection() as connection:
            work(connection)

    # ------------------------------------------------------------ goods and promises

    @rule(
        sku=SKU, place=PLACE, units=SMALL, kind=st.sampled_from(("receipt", "damage", "pos_sale"))
    )
    def move(self, sku: str, place: str, units: int, kind: str) -> None:
        self.tell(fact(kind, self.name(), sku, units, location=place))

    @rule(place=PLACE, units=SMALL, days=st.sampled_from((10, 40, 90)), lot=st.sampled_from("XYZ"))
    def receive_a_lot(self, place: str, units: int, days: int, lot: str) -> None:
        expires = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=days)
        more = {"location": place, "lot": lot, "expires_on": expires}
        self.tell(fact("receipt", self.name(), "L", units, **more))

    @rule(sku=SOLD, channel=CHANNEL, units=SMALL)
    def owe(self, sku: str, channel: str, units: int) -> None:
        order = self.order(sku)["order"]
        told = ToldOwed(
            system="web", order=order, line="1", channel=channel, sku=sku, quantity=units
        )
        self.change(lambda connection: backorders.save(connection, [told], "test"))

    @precondition(lambda self: self.orders)
    @rule(n=PICK)
    def close_what_is_owed(self, n: int) -> None:
        key = ("web", self.orders[n % len(self.orders)][0], "1")
        self.change(lambda connection: backorders.close(connection, key, actor="me", why="done"))

    @precondition(lambda self: self.orders)
    @rule(n=PICK, channel=CHANNEL, units=SMALL)
    def reserve_for_a_known_order(self, n: int, channel: str, units: int) -> None:
        order, sku = self.orders[n % len(self.orders)]
        self.ask(order, sku, channel, units)

    def order(self, sku: str) -> dict[str, Any]:
        """A new order's line, as facts name it."""
        order = self.name()
        self.orders.append((order, sku))
        return {"order_system": "web", "order": order, "order_line": "1"}

    @rule(sku=SOLD, channel=CHANNEL, units=SMALL)
    def sell(self, sku: str, channel: str, units: int) -> None:
        line = self.order(sku)
        self.tell(
            fact("channel_order", self.name(), sku, units, system="web", channel=channel, **line)
        )

    @rule(sku=SOLD, channel=CHANNEL, units=SMALL)
    def reserve(self, sku: str, channel: str, units: int) -> None:
        self.ask(self.order(sku)["order"], sku, channel, units)

    def ask(self, order: str, sku: str, channel: str, units: int) -> None:
        lines = [RequestLine(line="1", sku=sku, quantity=units)]
        self.tell(
            Request(
                kind="reserve",
                system="web",
                document=self.name(),
                order=order,
                channel=channel,
                lines=lines,
                mode="partial",
            )
        )

    @rule(sku=SKU, place=PLACE, channel=CHANNEL, units=SMALL)
    def pick_before_the_order_is_heard_of(
        self, sku: str, place: str, channel: str, units: int
    ) -> None:
        line = self.order(sku)
        self.tell(fact("pick", self.name(), sku, units, location=place, **line))
        self.project()
        self.tell(
            fact("channel_order", self.name(), sku, units, system="web", channel=channel, **line)
        )

    @precondition(lambda self: self.orders)
    @rule(n=PICK, place=PLACE, units=SMALL)
    def ship(self, n: int, place: str, units: int) -> None:
        order, sku = self.orders[n % len(self.orders)]
        line: dict[str, Any] = {"order_system": "web", "order": order, "order_line": "1"}
        self.tell(fact("shipment", self.name(), sku, units, location=place, **line))

    @precondition(lambda self: self.orders)
    @rule(n=PICK)
    def release(self, n: int) -> None:
        order, _ = self.orders[n % len(self.orders)]
        self.tell(Request(kind="release", system="web", document=self.name(), order=order))

    # ------------------------------------------------------------ rules

    @rule(channel=CHANNEL, found=policies())
    def edit_policies(self, channel: str, found: tuple[ExposurePolicy, ...]) -> None:
        self._channel(channel, policies=found)

    @rule(channel=CHANNEL, pool=st.sampled_from((("ALL",), ("EAST",), ("WEST", "EAST"))))
    def edit_pool(self, channel: str, pool: tuple[str, ...]) -> None:
        self._channel(channel, pool=pool)

    def _channel(self, code: str, **fields: Any) -> None:
        channels = tuple(
            replace(one, **fields) if one.code == code else one for one in self.network.channels
        )
        self.network = replace(self.network, channels=channels)
        self.change(lambda connection: apply_config(connection, self.network))

    @rule(place=PLACE, groups=st.sampled_from(((), ("ALL",))), priority=SMALL)
    def edit_place(self, place: str, groups: tuple[str, ...], priority: int) -> None:
        row = Location(code=place, groups=groups, priority=priority)
        with suppress(Rejected):  # the last place of a group stays in it while a pool names it
            self.change(lambda connection: master.save_one(connection, "locations", row))

    @rule(
        channel=CHANNEL,
        parts=st.dictionaries(SOLD, st.integers(1, 3), min_size=1),
        active=st.booleans(),
        code=st.sampled_from(("SET", "A", "NEW")),
    )
    def edit_listing(self, channel: str, parts: dict[str, int], active: bool, code: str) -> None:
        components = tuple(Component(sku=sku, quantity=units) for sku, units in parts.items())
        row = Listing(channel=channel, code=code, components=components, active=active)
        self.change(lambda connection: master.save_one(connection, "listings", row))

    @rule(sku=SKU, group=st.sampled_from(("", "G")))
    def edit_group(self, sku: str, group: str) -> None:
        row = Sku(code=sku, sku_group=group)
        self.change(lambda connection: master.save_one(connection, "skus", row))

    @rule(channel=CHANNEL, listing=st.sampled_from(("SET", "A", "NEW")))
    def somebody_takes_a_listing_away_by_sql(self, channel: str, listing: str) -> None:
        def work(connection: Connection) -> None:
            connection.execute(
                "insert into dirty (sku, sequence) select sku, 0 from listing_component "
                "where channel = %s and listing = %s",
                [channel, listing],
            )
            connection.execute(
                "delete from listing where channel = %s and code = %s", [channel, listing]
            )

        self.change(work)

    @rule()
    def compute_buffers(self) -> None:
        while self.buffering.follow():
            pass
        self.buffering.begin()
        while self.buffering.recompute():
            pass

    @rule(silent=st.booleans())
    def the_shop_is_silent_or_speaks(self, silent: bool) -> None:
        def work(connection: Connection) -> None:
            connection.execute(
                "insert into heartbeat (system, seen_at) values ('web', %s) "
                "on conflict (system) do update set seen_at = excluded.seen_at",
                [dt.datetime.now(dt.UTC) - dt.timedelta(hours=1 if silent else 0)],
            )

        self.change(work)
        self.buffering.measure()

    # ------------------------------------------------------------ looking

    @rule()
    def project(self) -> None:
        self.projection.step()

    @rule()
    def sweep(self) -> None:
        self.projection.sweep()

    @rule()
    def remember(self) -> None:
        with self.pool.connection() as connection:
            found = quantities(connection, SKUS)
            (now,) = connection.execute("select clock_timestamp()").fetchone() or ()
        self.seen.append((now, found))
        pass_by(self.recorder, now)

    def teardown(self) -> None:
        try:
            self.projection.sweep()
        finally:
            self.recorder.stop()
            self.pool.close()
        assert assert_explained(self.url) >= 1
        assert_audited(self.url)
        with connect(self.url) as connection:
            for at, found in self.seen:
                assert _numbers(quantities(connection, SKUS, at=at)) == _numbers(found)
            _assert_why_tells_the_number_of_any_moment(connection)


def _numbers(found: Sequence[Quantities | None]) -> list[Any]:
    """All that is told, but for places with nothing: those may be known by a row or not."""
    return [
        one
        and (
            one.sequence,
            _steps(one.on_hand),
            _steps(one.free),
            [
                (
                    row.channel,
                    row.grantable,
                    [(x.listing, x.available_to_sell) for x in row.listings],
                )
                for row in one.channels
            ],
        )
        for one in found
    ]


def _steps(explanation: Explanation) -> list[Any]:
    return [step for step in explanation.steps if step.amount] + [explanation.result]


def _assert_why_tells_the_number_of_any_moment(connection: Connection) -> None:
    """As `stockwright why SKU --channel C --at T` does, for each number at its first moment."""
    for level in every_level(connection)[-12:]:
        moment = past.moment_of(connection, level)
        with past.visit(connection, moment):
            row = connection.execute(
                "select sku from listing_component where channel = %s and listing = %s",
                [level.channel, level.listing],
            ).fetchone()
        if row is None:
            assert level.value == 0
            continue
        found = why(connection, row[0], level.channel, level.projected_at)
        (channel,) = found.quantities.channels
        told = {one.listing: one for one in channel.listings}[level.listing]
        assert told.shown is not None
        assert told.then is not None
        assert told.then.version == level.version
        assert told.available_to_sell.result == level.value
        assert all(cause.sequence <= level.sequence for cause in told.shown.causes)


@pytest.mark.slow
def test_every_number_of_a_random_history_is_explained_afterwards(
    new_database: Callable[[], str],
) -> None:
    class Machine(Histories):
        pass

    Machine.new_database = staticmethod(new_database)
    run_state_machine_as_test(Machine, settings=settings_for(14, 40))


@pytest.mark.slow
def test_numbers_computed_while_rules_and_stock_change_are_explained_afterwards(url: str) -> None:
    """Two projections, an editor of rules and the ledger, all at once."""
    furnish(url)
    stop = threading.Event()
    failures: list[BaseException] = []

    def run(work: Callable[[], Any]) -> threading.Thread:
        def until_stopped() -> None:
            try:
                while not stop.is_set():
                    work()
            except BaseException as failure:  # noqa: BLE001  told below, by the test
                failures.append(failure)
                stop.set()

        thread = threading.Thread(target=until_stopped)
        thread.start()
        return thread

    numbers = iter(range(10**6))
    with Pool(url, size=6) as pool, Recorder(url) as recorder:

        def edit() -> None:
            n = next(numbers)
            web = ExposurePolicy(safety=n % 5, ring_fence=n % 3)
            b2b = ExposurePolicy(ring_fence=n % 4, buffer_risk=(None, 0.05, 0.2)[n % 3])
            channels = tuple(
                replace(one, policies=(policy,))
                for one, policy in zip(NETWORK.channels, (web, b2b), strict=True)
            )
            parts = (Component(sku="A", quantity=1 + n % 2), Component(sku="B"))
            with pool.connection() as connection:
                apply_config(connection, replace(NETWORK, channels=channels))
                row = Listing(channel="web", code="SET", components=parts)
                master.save_one(connection, "listings", row)

        def trade() -> None:
            n = next(numbers)
            name, sku = f"T{n}", SKUS[n % 2]
            lines = [RequestLine(line="1", sku=sku, quantity=2)]
            ask = Request(
                kind="reserve", system="web", document=name, order=name, channel=CHANNELS[n % 2],
                lines=lines,
            )  # fmt: skip
            recorder.submit([fact("receipt", name, sku, 3, location="EAST"), ask]).result(60)

        buffering = Buffering(pool)

        def buffer() -> None:
            buffering.follow()
            buffering.begin()
            buffering.recompute()

        threads = [run(edit), run(trade), run(trade), run(buffer)]
        threads += [run(Projection(pool).step) for _ in range(2)]
        stop.wait(6.0)
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures, failures
    assert assert_explained(url) > 100


@pytest.fixture
def stood(url: str) -> Iterator[Connection]:
    """A furnished database, read within one transaction."""
    furnish(url)
    with connect(url) as connection:
        yield connection


def test_a_table_without_a_history_is_not_there_in_the_past(stood: Connection) -> None:
    then = past.moment(stood, dt.datetime.now(dt.UTC))
    with pytest.raises(psycopg.errors.UndefinedTable), past.visit(stood, then):
        stood.execute("select * from transfer")
    assert stood.execute("select count(*) from sku").fetchone() == (6,)


def test_a_claim_counts_for_its_channel_only_from_when_that_was_known(url: str) -> None:
    """Picked for nobody's channel, then sold by web: web's fence was untouched before."""
    furnish(url)
    fenced = replace(NETWORK.channels[0], policies=(ExposurePolicy(ring_fence=5),))
    line: dict[str, Any] = {"order_system": "web", "order": "O", "order_line": "1"}
    with Pool(url, size=2) as pool, Recorder(url) as recorder:
        with pool.connection() as connection:
            apply_config(connection, replace(NETWORK, channels=(fenced, NETWORK.channels[1])))
        stock = fact("receipt", "R", "A", 20, location="EAST")
        pick = fact("pick", "P", "A", 3, location="EAST", **line)
        recorder.submit([stock, pick]).result(60)
        Projection(pool).step()
        order = fact("channel_order", "S", "A", 3, system="web", channel="web", **line)
        recorder.submit([order]).result(60)
        Projection(pool).step()
    with connect(url) as connection:
        numbers = [
            level.value
            for level in every_level(connection)
            if (level.channel, level.listing) == ("b2b", "A")
        ]
    assert numbers == [12, 15]  # 17 free less a fence of 5, of which 3 are used at last
    assert_explained(url)

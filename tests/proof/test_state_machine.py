"""Hypothesis tells the ledger what it likes, and a plain model says what must have come of it."""

import datetime as dt
import os
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from stockwright.domain.events import Fact, Item, Outcome, Request, RequestLine
from stockwright.domain.wellformed import Expiry
from stockwright.flow.recording import Recorder
from tests.domain.worlds import World
from tests.proof.model import POOL, Model
from tests.proof.stage import assert_audited, receipt, rows

SKUS = ("A", "B")
MINUTES = st.integers(0, 5)
SMALL = st.integers(1, 6)
SKU = st.sampled_from(SKUS)
PLACE = st.sampled_from(POOL)
PICK = st.integers(0, 40)
MORE = int(os.environ.get("STOCKWRIGHT_CYCLES", "20")) // 20
"""Twenty times the cycles are twenty times the worlds."""


class Machine(RuleBasedStateMachine):
    """One world: items are told singly or several in a batch, some of them again and again."""

    base: dt.datetime

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.told: list[tuple[Item, Outcome]] = []
        self.pending: list[Item] = []
        self.names = 0

    # What a driver does.

    def decide(self, items: list[Item]) -> list[Outcome]:
        raise NotImplementedError

    def let_time_pass(self) -> None:
        raise NotImplementedError

    def balances(self) -> dict[tuple[str, str], tuple[int, ...]]:
        raise NotImplementedError

    def lines(self) -> dict[tuple[str, str], tuple[Any, ...]]:
        raise NotImplementedError

    def claims(self) -> dict[tuple[str, str, str], tuple[int, int]]:
        raise NotImplementedError

    # ------------------------------------------------------------ telling

    def tell(self, item: Item, later: bool = False) -> None:
        """Hands an item over, or keeps it for the next batch."""
        self.pending.append(item)
        if not later:
            self.flush()

    def flush(self) -> None:
        items, self.pending = self.pending, []
        if not items:
            return
        self.model.expire()
        expected = [self.model.decide(item) for item in items]
        outcomes = self.decide(items)
        assert [one.code for one in outcomes] == expected
        assert not any(one.replay for one in outcomes)
        self.told += zip(items, outcomes, strict=True)
        self.compare()

    def compare(self) -> None:
        assert self.balances() == self.model.balances(SKUS)
        assert self.lines() == self.model.lines()
        assert self.claims() == self.model.claims()

    def name(self, prefix: str) -> str:
        self.names += 1
        return f"{prefix}{self.names}"

    def at(self, minute: int) -> dt.datetime | None:
        """Some minutes of the past, or now."""
        return self.base + dt.timedelta(minutes=minute) if minute else None

    def some_line(self, n: int) -> tuple[str, str, str]:
        """(order, line, SKU) of a line there is."""
        known = sorted(self.model.lines())
        order, line = known[n % len(known)]
        return order, line, self.model.orders[order][line].sku

    def some_order(self, n: int) -> str:
        """An order there is; now and then one there is not."""
        known = [*sorted(self.model.orders), "nobody's"]
        return known[n % len(known)]

    # ------------------------------------------------------------ facts

    @rule(sku=SKU, place=PLACE, units=SMALL, minute=MINUTES, later=st.booleans())
    def receive(self, sku: str, place: str, units: int, minute: int, later: bool) -> None:
        fields = {"location": place, "occurred_at": self.at(minute)}
        self.tell(receipt(self.name("R"), units, sku, **fields), later)

    @rule(sku=SKU, place=PLACE, units=SMALL, minute=MINUTES, sign=st.sampled_from((-1, 1)))
    def adjust(self, sku: str, place: str, units: int, minute: int, sign: int) -> None:
        fact = Fact(
            kind="adjustment", system="wms", document=self.name("J"), sku=sku, location=place,
            quantity=sign * units, occurred_at=self.at(minute),
        )  # fmt: skip
        self.tell(fact)

    @rule(sku=SKU, place=PLACE, units=st.integers(0, 9), minute=st.integers(1, 5))
    def count(self, sku: str, place: str, units: int, minute: int) -> None:
        fact = Fact(
            kind="count", system="wms", document=self.name("N"), sku=sku, location=place,
            quantity=units, occurred_at=self.at(minute),
        )  # fmt: skip
        self.tell(fact)

    @rule(sku=SKU, units=SMALL, later=st.booleans())
    def sell(self, sku: str, units: int, later: bool) -> None:
        name = self.name("S")
        fact = Fact(
            kind="channel_order", system="web", document=name, order=name, order_line="1", sku=sku,
            channel="web", quantity=units,
        )  # fmt: skip
        self.tell(fact, later)

    def of_order(self, kind: Any, n: int, place: str, units: int, **more: Any) -> Fact:
        order, line, sku = self.some_line(n)
        return Fact(
            kind=kind, system="wms", document=self.name("F"), order_system="web", order=order,
            order_line=line, sku=sku, location=place, quantity=units, **more,
        )  # fmt: skip

    @precondition(lambda self: self.model.orders and not self.pending)
    @rule(n=PICK, place=PLACE, units=SMALL, minute=MINUTES, final=st.booleans())
    def ship(self, n: int, place: str, units: int, minute: int, final: bool) -> None:
        fields = {"occurred_at": self.at(minute), "final": final}
        self.tell(self.of_order("shipment", n, place, units, **fields))

    @precondition(lambda self: self.model.orders and not self.pending)
    @rule(n=PICK, place=PLACE, units=SMALL)
    def pick(self, n: int, place: str, units: int) -> None:
        self.tell(self.of_order("pick", n, place, units))

    @precondition(lambda self: self.model.orders and not self.pending)
    @rule(n=PICK, place=PLACE, units=SMALL)
    def send_back(self, n: int, place: str, units: int) -> None:
        self.tell(self.of_order("return_receipt", n, place, units))

    @rule(sku=SKU, units=SMALL, minute=MINUTES, later=st.booleans())
    def ship_without_an_order(self, sku: str, units: int, minute: int, later: bool) -> None:
        fact = Fact(
            kind="shipment", system="wms", document=self.name("P"), sku=sku, location="EAST",
            quantity=units, occurred_at=self.at(minute),
        )  # fmt: skip
        self.tell(fact, later)

    # ------------------------------------------------------------ requests

    @rule(
        wanted=st.lists(st.tuples(SKU, SMALL), min_size=1, max_size=3),
        mode=st.sampled_from(("all", "partial")),
        confirmed=st.booleans(),
        later=st.booleans(),
    )
    def reserve(
        self, wanted: list[tuple[str, int]], mode: Any, confirmed: bool, later: bool
    ) -> None:
        name = self.name("O")
        lines = [
            RequestLine(line=str(n), sku=sku, quantity=units)
            for n, (sku, units) in enumerate(wanted, 1)
        ]
        request = Request(
            kind="reserve", system="web", document=name, order=name, lines=lines, mode=mode,
            confirmed=confirmed,
        )  # fmt: skip
        self.tell(request, later)

    @rule(
        kind=st.sampled_from(("confirm", "release", "cancel", "extend")),
        n=PICK,
        later=st.booleans(),
    )
    def move_on(self, kind: Any, n: int, later: bool) -> None:
        order = self.some_order(n)
        self.tell(Request(kind=kind, system="web", document=self.name("T"), order=order), later)

    @rule()
    def time_passes(self) -> None:
        self.flush()
        self.model.time_passes()
        self.let_time_pass()

    # ------------------------------------------------------------ saying it again

    @precondition(lambda self: self.told)
    @rule(n=st.integers(0, 400), often=st.integers(1, 3))
    def say_again(self, n: int, often: int) -> None:
        self.flush()
        self.model.expire()
        item, first = self.told[n % len(self.told)]
        again = self.decide([msgspec.structs.replace(item)] * often)
        assert [(one.code, one.sequence) for one in again] == [(first.code, first.sequence)] * often
        assert all(one.replay for one in again)
        self.compare()

    @precondition(lambda self: self.told)
    @rule(n=st.integers(0, 400))
    def say_something_else_under_the_same_name(self, n: int) -> None:
        self.flush()
        self.model.expire()
        item, first = self.told[n % len(self.told)]
        if isinstance(item, Fact):
            other: Item = msgspec.structs.replace(item, quantity=item.quantity + 7)
        else:
            other = msgspec.structs.replace(item, hold_s=item.hold_s + 7)
        (outcome,) = self.decide([other])
        assert (outcome.code, outcome.sequence) == ("conflict", first.sequence)
        self.compare()

    def teardown(self) -> None:
        self.flush()


class InMemory(Machine):
    """The decisions alone."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.base = self.world.now - dt.timedelta(hours=6)

    def decide(self, items: list[Item]) -> list[Outcome]:
        due: dict[tuple[str, str], list[str]] = {}
        for (system, order), lines in self.world.books.demand.items():
            for name, line in sorted(lines.items()):
                if line.expires_at is not None and line.expires_at <= self.world.now:
                    due.setdefault((system, order), []).append(name)
        expiries = [
            Expiry(system=system, order=order, lines=names, document=f"{order}@{self.world.now}")
            for (system, order), names in due.items()
        ]
        return self.world.batch([*expiries, *items])[len(expiries) :]

    def let_time_pass(self) -> None:
        self.world.now += dt.timedelta(seconds=1_000)
        self.world.books._holds.clear()  # the store begins every batch with new books

    def balances(self) -> dict[tuple[str, str], tuple[int, ...]]:
        cells = {
            key[:2]: (one.sellable, one.inspection, one.reserved, one.picked)
            for key, one in self.world.books.balances.items()
        }
        return {cell: units for cell, units in cells.items() if any(units)}

    def lines(self) -> dict[tuple[str, str], tuple[Any, ...]]:
        return {
            (order, name): (
                one.sku, one.ordered, one.shipped, one.cancelled, one.cancel_requested,
                one.returned, one.picked, one.state,
            )
            for (_, order), lines in self.world.books.demand.items()
            for name, one in lines.items()
        }  # fmt: skip

    def claims(self) -> dict[tuple[str, str, str], tuple[int, int]]:
        return {
            (order, name, place): (held.reserved, held.picked)
            for (_, order), lines in self.world.books.demand.items()
            for name, one in lines.items()
            for (place, _), held in one.claims.items()
            if held.units
        }


class Stored(Machine):
    """The real recorder on a database of the machine's own, audited at the end."""

    new_database: ClassVar[Callable[[], str]]

    def __init__(self) -> None:
        super().__init__()
        self.url = type(self).new_database()
        self.recorder = Recorder(self.url)
        self.recorder.start()
        self.base = dt.datetime.now(dt.UTC) - dt.timedelta(hours=6)

    def decide(self, items: list[Item]) -> list[Outcome]:
        return self.recorder.submit(items).result(60)

    def let_time_pass(self) -> None:
        rows(
            self.url,
            "update demand_line set expires_at = expires_at - interval '1000 s' "
            "where expires_at is not null returning 1",
        )

    def balances(self) -> dict[tuple[str, str], tuple[int, ...]]:
        found = rows(
            self.url, "select sku, location, sellable, inspection, reserved, picked from balance"
        )
        return {(row[0], row[1]): tuple(row[2:]) for row in found if any(row[2:])}

    def lines(self) -> dict[tuple[str, str], tuple[Any, ...]]:
        found = rows(
            self.url,
            "select order_ref, line, sku, ordered, shipped, cancelled, cancel_requested, returned, "
            "picked, state from demand_line",
        )
        return {(row[0], row[1]): tuple(row[2:]) for row in found}

    def claims(self) -> dict[tuple[str, str, str], tuple[int, int]]:
        found = rows(
            self.url,
            "select d.order_ref, d.line, c.location, c.reserved, c.picked "
            "from claim c join demand_line d on d.id = c.line_id where c.reserved + c.picked > 0",
        )
        return {(row[0], row[1], row[2]): (row[3], row[4]) for row in found}

    def teardown(self) -> None:
        super().teardown()
        self.recorder.stop()
        short = {f"{sku}/{p}" for sku in SKUS for p in POOL if self.model.free(sku, p) < 0}
        raised = "select subject from work_item where kind = 'shortage' and closed_at is null"
        assert {subject for (subject,) in rows(self.url, raised)} == short
        assert_audited(self.url)


def settings_for(examples: int, steps: int) -> settings:
    """The same worlds in every run, as many as asked for."""
    return settings(
        max_examples=examples * max(1, MORE),
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def test_the_decisions_are_those_of_a_plain_model() -> None:
    run_state_machine_as_test(InMemory, settings=settings_for(100, 50))


def test_the_stored_ledger_is_that_of_a_plain_model_and_audited(
    new_database: Callable[[], str],
) -> None:
    class Machine(Stored):
        pass

    Machine.new_database = staticmethod(new_database)
    run_state_machine_as_test(Machine, settings=settings_for(12, 30))

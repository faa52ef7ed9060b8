"""Batches sent ahead: decided on what this process knows, recorded only where it still holds."""

import datetime as dt
import random
from collections.abc import Iterator
from contextlib import closing
from unittest.mock import Mock

import psycopg
import pytest

from stockwright.domain.books import Unread
from stockwright.domain.events import Item, Outcome
from stockwright.domain.wellformed import Prepared, prepare
from stockwright.flow import recording
from stockwright.flow.audit import run_audit
from stockwright.flow.recording import Recorder
from stockwright.store import ledger as store
from stockwright.store.handed_in import BatchInterrupted, RawPayload
from stockwright.store.ledger import WARY, Flight, Ledger
from stockwright.store.ledger_read import Scope
from tests.flow.test_recording import balances, receipt, reserve, rows
from tests.proof.stage import wait_until

LATER = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    """A ledger that knows A in EAST and WEST: ten units each."""
    with closing(Ledger(database)) as own:
        record(own, receipt("R1"), receipt("R2", location="WEST"), reserve("K0", 1))
        record(own, reserve("K1", 1))
        yield own


def prepared(*items: Item) -> list[Prepared]:
    return [prepare(item, dt.datetime.now(dt.UTC)) for item in items]


def record(own: Ledger, *items: Item) -> list[Outcome]:
    return own.record(prepared(*items))


def sent(own: Ledger, *items: Item) -> Flight:
    flight = own.ahead(prepared(*items))
    assert flight is not None, "the ledger had to read something first"
    return flight


def audited(url: str) -> bool:
    with psycopg.connect(url, autocommit=True) as connection:
        return run_audit(connection).ok


def codes(outcomes: list[Outcome]) -> list[str]:
    return [one.code for one in outcomes]


def test_batches_in_flight_build_on_each_other_and_land_in_order(ledger: Ledger, database: str):
    flights = [sent(ledger, reserve(f"F{n}", 5)) for n in range(5)]
    landed = [ledger.land(flight) for flight in flights]
    assert [codes(one) for one in landed] == [["granted"]] * 3 + [["insufficient"]] * 2
    numbers = [one[0].sequence for one in landed]
    assert numbers == list(range(numbers[0], numbers[0] + 5))
    assert sum(one[4] for one in balances(database).values()) == 17
    assert audited(database)


def test_nobody_is_answered_before_the_commit(ledger: Ledger, database: str):
    with psycopg.connect(database) as other:
        other.execute("select pg_advisory_xact_lock(%s)", (0x5701_0000,))
        flight = sent(ledger, reserve("F", 1))
        assert not flight.commit.arrived
        assert rows(database, "select 1 from identity where key like '%%|F|%%'") == []
    assert codes(ledger.land(flight)) == ["granted"]
    assert len(rows(database, "select 1 from identity where key like '%%|F|%%'")) == 1


def test_what_another_process_recorded_meanwhile_is_never_sold_twice(ledger: Ledger, database: str):
    with closing(Ledger(database)) as other:
        record(other, reserve("theirs", 17))
    first, second = sent(ledger, reserve("F1", 1)), sent(ledger, reserve("F2", 1))
    for flight, document in ((first, "F1"), (second, "F2")):
        with pytest.raises(BatchInterrupted) as lost:
            ledger.land(flight)
        assert not lost.value.in_doubt
        answered = {"F1": "granted", "F2": "insufficient"}[document]
        assert codes(record(ledger, reserve(document, 1))) == [answered]
    assert audited(database)


def test_nothing_follows_a_batch_taken_back_before_those_in_flight_have_landed(
    ledger: Ledger, database: str, monkeypatch: pytest.MonkeyPatch
):
    """Its rollback would let the next one hold where as much was recorded elsewhere instead."""
    with closing(Ledger(database)) as other:
        record(other, reserve("theirs", 8))
    first = sent(ledger, reserve("F1", 1))
    with monkeypatch.context() as lacking:
        lacking.setattr(store, "_decide_and_write", Mock(side_effect=Unread("A", "FAR")))
        assert ledger.ahead(prepared(reserve("F2", 1))) is None
    assert ledger.ahead(prepared(reserve("F3", 7))) is None
    with pytest.raises(BatchInterrupted):
        ledger.land(first)
    assert audited(database)


def test_a_repetition_is_noticed_and_answered_as_the_first_time(ledger: Ledger):
    first = ledger.land(sent(ledger, reserve("F", 2)))[0]
    with pytest.raises(BatchInterrupted):
        ledger.land(sent(ledger, reserve("G", 1), reserve("F", 2)))
    new, again = record(ledger, reserve("G", 1), reserve("F", 2))
    assert (new.code, new.replay) == ("granted", False)
    assert (again.sequence, again.replay) == (first.sequence, True)


def test_another_line_of_the_same_order_under_a_new_key_is_read_first_or_lost(ledger: Ledger):
    ledger.land(sent(ledger, reserve("F", 2, order="O")))
    with pytest.raises(BatchInterrupted):
        ledger.land(sent(ledger, reserve("G", 2, order="O")))
    assert codes(record(ledger, reserve("G", 2, order="O"))) == ["already_claimed"]


def test_a_change_of_the_item_master_holds_from_the_next_batch_on(ledger: Ledger, database: str):
    with psycopg.connect(database) as connection:
        connection.execute("update channel set pool = '{WEST}' where code = 'web'")
        connection.execute("update master_revision set revision = revision + 1")
    with pytest.raises(BatchInterrupted):
        ledger.land(sent(ledger, reserve("F", 9)))
    (answer,) = record(ledger, reserve("F", 9))
    assert answer.answer is not None
    assert [place["location"] for place in answer.answer["lines"][0]["places"]] == ["WEST"]


@pytest.mark.parametrize(
    "item",
    [
        receipt("of an order", order="O1"),
        receipt("of a lot", sku="L", lot="X"),
        receipt("of a revision", system="tpl"),
    ],
    ids=lambda item: item.document,
)
def test_what_touches_more_than_balances_is_not_sent_ahead(ledger: Ledger, item: Item):
    assert ledger.ahead(prepared(item)) is None


@pytest.mark.parametrize(
    "item",
    [receipt("R9", sku="B"), receipt("R9", location="FAR"), receipt("R9", 2, unit="CS")],
    ids=("sku", "place", "unit"),
)
def test_what_is_not_known_yet_is_looked_up_beside_the_lane(
    ledger: Ledger, database: str, item: Item
):
    assert codes(ledger.land(sent(ledger, item))) == ["recorded"]
    assert audited(database)


def test_an_unknown_code_is_refused_or_parked_without_a_lane_to_ask(ledger: Ledger):
    items = (reserve("F", 1, sku="NONE"), receipt("R9", sku="NONE"))
    assert codes(ledger.land(sent(ledger, *items))) == ["unknown_sku", "parked"]


def test_what_changed_after_it_was_looked_up_is_read_again_under_the_lane(
    ledger: Ledger, database: str, monkeypatch: pytest.MonkeyPatch
):
    look_up = Ledger._look_up

    def too_early(own: Ledger, scope: Scope) -> None:
        look_up(own, scope)
        with closing(Ledger(database)) as other:
            record(other, receipt("R9", 5, sku="B"))

    monkeypatch.setattr(Ledger, "_look_up", too_early)
    with pytest.raises(BatchInterrupted):
        ledger.land(sent(ledger, reserve("F", 5, sku="B")))
    assert codes(record(ledger, reserve("F", 5, sku="B"))) == ["granted"]


def test_after_a_lost_batch_what_was_known_before_it_still_is(ledger: Ledger, database: str):
    ledger.land(sent(ledger, reserve("F1", 3)))
    lost = [sent(ledger, reserve("G1", 2), reserve("F1", 3)), sent(ledger, reserve("G2", 2))]
    for flight in lost:
        with pytest.raises(BatchInterrupted):
            ledger.land(flight)
    for n in range(WARY):
        assert ledger.ahead(prepared(reserve(f"careful {n}", 1))) is None
    landed = ledger.land(sent(ledger, reserve("F2", 6), reserve("F3", 9), reserve("F4", 1)))
    assert codes(landed) == ["granted", "granted", "insufficient"]
    assert audited(database)


def test_a_fact_a_count_may_have_seen_is_read_for(ledger: Ledger):
    counted = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=2)  # beyond the clocks' error
    count = receipt("C", 10, location="EAST", occurred_at=counted)
    count.kind = "count"
    record(ledger, count)
    before = receipt("before", occurred_at=counted - dt.timedelta(minutes=1))
    assert ledger.ahead(prepared(before)) is None
    record(ledger, before)
    assert codes(ledger.land(sent(ledger, receipt("after")))) == ["recorded"]


def test_a_due_hold_is_recorded_before_anything_is_sent_ahead(ledger: Ledger, database: str):
    record(ledger, reserve("short", 1, hold_s=1))
    ((ends,),) = rows(database, "select expires_at from demand_line where order_ref = 'short'")
    wait_until(lambda: ledger.now() > ends, "the hold does not end")
    assert ledger.ahead(prepared(reserve("F", 1))) is None
    record(ledger, reserve("F", 1))
    assert rows(database, "select state from demand_line where order_ref = 'short'") == [
        ("expired",)
    ]


def test_a_connection_lost_in_flight_leaves_each_item_recorded_once(ledger: Ledger, database: str):
    flights = [sent(ledger, reserve(f"F{n}", 1)) for n in range(3)]
    end = (
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where application_name = %s and datname = current_database()"
    )
    rows(database, end, "stockwright-ledger")
    doubts = []
    for n, flight in enumerate(flights):
        try:
            ledger.land(flight)
        except BatchInterrupted as lost:
            doubts.append(lost.in_doubt)
            assert codes(record(ledger, reserve(f"F{n}", 1))) == ["granted"]
    assert all(doubts)
    assert rows(database, "select sum(reserved)::bigint from balance") == [(5,)]
    assert audited(database)


def test_callers_of_a_busy_recorder_get_what_batches_one_by_one_would_have_given(
    database: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(recording, "WORTH_A_BATCH", 1)
    chance = random.Random(7)
    with Recorder(database) as recorder:
        recorder.submit([receipt("R1", 600), receipt("R2", 400, location="WEST")]).result()
        recorder.submit([reserve("K", 1)]).result()
        documents = [f"D{chance.randint(0, 900)}" for _ in range(1500)]
        asked = [recorder.submit([reserve(document, 1)]) for document in documents]
        answers = [one.result(60)[0] for one in asked]
    first: dict[str, Outcome] = {}
    for document, answer in zip(documents, answers, strict=True):
        if document in first:
            assert (answer.replay, answer.sequence) == (True, first[document].sequence)
        else:
            first[document] = answer
            assert not answer.replay
    granted = sum(one.code == "granted" for one in first.values())
    assert granted == min(len(first), 999)
    assert audited(database)


def test_a_long_call_is_kept_once_with_its_body_though_its_batches_fly(database: str):
    with Recorder(database) as recorder:
        recorder.submit([receipt("warm")]).result()
        raw = RawPayload("wms", "api", "application/json", {}, b"[...]")
        items = [receipt(f"D{n}") for n in range(3000)]
        outcomes = recorder.submit(items, bulk=True, raw=raw).result(60)
        assert len({one.sequence for one in outcomes}) == 3000
    assert rows(database, "select id, state from payload") == [(raw.id, "recorded")]
    assert rows(database, "select count(*) from event where payload = %s", raw.id) == [(3000,)]


def test_the_ledger_s_clock_never_runs_backwards(ledger: Ledger, database: str):
    with psycopg.connect(database) as connection:
        connection.execute("update ledger_head set recorded_at = %s", (LATER,))
    with pytest.raises(BatchInterrupted):
        ledger.land(sent(ledger, reserve("F", 1)))
    record(ledger, reserve("F", 1))
    assert rows(database, "select recorded_at from ledger_head") == [(LATER,)]

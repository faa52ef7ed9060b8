"""The first door: kept, mapped, recorded once, parked with its path, resumed once."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from stockwright.domain.errors import Rejected, Throttled, Transient
from stockwright.domain.events import Fact
from stockwright.flow.intake import Intake
from stockwright.flow.recording import Recorder
from stockwright.sdk.messages import Mapped, Payload
from stockwright.store import payloads as store
from stockwright.store.connection import Pool
from stockwright.store.queries import load
from tests.flow.partners import (
    bind,
    connections,
    events,
    order,
    receipt,
    rows,
    set_up,
    states,
)


class WatchedRecorder(Recorder):
    """The real recorder; `before` runs before each submission, to fail or to look."""

    before = staticmethod(lambda: None)

    def submit(self, items, **how):
        self.before()
        return super().submit(items, **how)


@pytest.fixture
def database(database_url):
    with set_up(database_url) as connection:
        yield connection


@pytest.fixture
def recorder(database_url):
    with WatchedRecorder(database_url) as recorder:
        yield recorder


@pytest.fixture
def pool(database_url):
    with Pool(database_url, size=8) as pool:
        yield pool


@pytest.fixture
def intake(pool, recorder, database):
    return Intake(pool, recorder, connections(), worker="w1")


def test_an_order_of_two_lines_becomes_two_facts_and_its_payload_is_done(intake, database):
    intake.accept("shop", "webhook", order("O1", ("shop-a", 2), ("shop-b", 1)))
    assert intake.step() == (1, 2, 0, 0)
    assert events(database) == [("channel_order", "O1", "1"), ("channel_order", "O1", "2")]
    assert states(database) == [("recorded", "", "")]
    assert rows(database, "select items_done from payload") == [(2,)]


def test_events_name_the_payload_they_came_from_and_when_it_was_received(intake, database):
    number = intake.accept("wms", "webhook", receipt("R1", ("A", 5)))
    intake.step()
    assert rows(
        database, "select e.payload, e.received_at = p.received_at from event e, payload p"
    ) == [(number, True)]


def test_a_thousand_deliveries_of_one_webhook_are_one_event(intake, database):
    told = receipt("R1", ("A", 5))
    with ThreadPoolExecutor(20) as threads:
        for future in [threads.submit(intake.accept, "wms", "webhook", told) for _ in range(1000)]:
            future.result()
    while intake.step(limit=250).payloads:
        pass
    assert events(database) == [("receipt", "R1", "1")]
    assert rows(database, "select sellable from balance") == [(5,)]
    assert rows(database, "select state, count(*) from payload group by 1") == [("recorded", 1000)]


def test_a_location_is_recorded_under_our_code(intake, database):
    intake.accept("wms", "webhook", receipt("R1", ("A", 5), location="001"))
    intake.step()
    assert rows(database, "select location, sellable from balance") == [("MAIN", 5)]


def test_an_unknown_code_parks_its_line_alone_and_resumes_once_it_is_bound(intake, database):
    intake.accept("shop", "webhook", order("O1", ("shop-a", 2), ("shop-new", 1)))
    assert intake.step() == (1, 1, 0, 1)
    assert events(database) == [("channel_order", "O1", "1")]
    assert states(database)[1] == ("parked", "$.data.lines[1] item", "item:shop-new")
    assert intake.step().payloads == 0

    bind(database, "shop", "shop-new", "C")
    assert intake.step() == (1, 1, 0, 0)
    assert events(database) == [("channel_order", "O1", "1"), ("channel_order", "O1", "2")]
    assert [state for state, _, _ in states(database)] == ["recorded", "recorded"]
    assert intake.resume("item:shop-new") == 0


def test_an_item_the_ledger_parked_resumes_once_its_code_is_bound(intake, recorder, database):
    fact = Fact(kind="receipt", document="R9", quantity=3, system="wms", item="X", location="MAIN")
    outcomes = recorder.submit([fact, fact]).result()
    assert [outcome.code for outcome in outcomes] == ["parked", "parked"]
    bind(database, "wms", "X", "C")
    while intake.step().payloads:
        pass
    assert events(database) == [("receipt", "R9", "1")]
    assert rows(database, "select sku, sellable from balance") == [("C", 3)]
    assert {state for state, _, _ in states(database)} == {"recorded"}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"", "$"),
        (b"\xff\xfe", "$"),
        (b"[" * 100_000, "$"),
        (b'{"type": "order.moved"}', "$.type"),
        (b'{"type": "order.placed", "data": {"order": "1", "lines": {}}}', "$.data.lines"),
        (b'{"type": "order.placed", "data": {"order": "1", "lines": []}}', "$.data.lines"),
        (b"\x00", "$"),
        (b'"\\ud800"', "$.type"),
        (b'{"type": 1e999}', "$"),
    ],
)
def test_bytes_that_nobody_understands_are_parked_whole_with_the_path(intake, database, body, path):
    number = intake.accept("shop", "webhook", Payload(body=body))
    assert intake.step() == (1, 0, 0, 1)
    assert states(database) == [("parked", path, "")]
    assert rows(database, "select id, body from payload") == [(number, body)]
    assert events(database) == []


def test_a_bad_line_is_parked_alone_with_the_path_to_its_value(intake, database):
    intake.accept(
        "shop",
        "webhook",
        order("O1", ("shop-a", "two"), ("shop-b", 1), ("\x00", 1), ("shop-a", -1)),
    )
    assert intake.step() == (1, 1, 0, 3)
    assert [path for _, path, _ in states(database)][1:] == [
        "$.data.lines[0].quantity",
        "$.data.lines[2].sku",
        "$.data.lines[3] quantity",
    ]


def test_a_body_beyond_the_cap_is_refused_at_the_door(intake, database):
    with pytest.raises(Rejected, match="at most") as refusal:
        intake.accept("shop", "webhook", Payload(body=b" " * (64 * 1024 * 1024 + 1)))
    assert refusal.value.field == "body"
    assert states(database) == []


def test_a_large_body_is_mapped_like_a_small_one(intake, database):
    lines = [("A", 1)] * 3_000
    payload = receipt("R1", *lines)
    blanks = payload.body.replace(b", ", b"," + b" " * 200)
    number = intake.accept("wms", "webhook", Payload(body=blanks))
    assert rows(
        database, f"select octet_length(body) > 1048576 from payload where id = {number}"
    ) == [(True,)]
    assert intake.step().items == 3_000
    assert rows(database, "select sellable from balance") == [(3_000,)]
    assert rows(database, "select state, items_done from payload") == [("recorded", 3_000)]


def test_the_mark_and_the_events_are_seen_in_the_same_moment(intake, recorder, database):
    seen = []
    recorder.listeners.append(
        lambda _sequence: seen.append((len(events(database)), states(database)[-1][0]))
    )
    intake.accept("wms", "webhook", receipt("R1", *[("A", 1)] * 600))
    intake.step()
    recorder.sweep().result()
    assert {state for count, state in seen if count == 600} == {"recorded"}
    assert {state for count, state in seen if count < 600} <= {"received"}


def test_a_mark_that_fails_takes_its_events_with_it(intake, database, monkeypatch):
    intake.accept("wms", "webhook", receipt("R1", ("A", 5)))
    with monkeypatch.context() as broken:
        fails = "select 1 / 0 where %(ids)s <> ''"
        broken.setitem(load("ledger")._sql, "settle_payloads", fails)
        with pytest.raises(Transient):
            intake.step()
    assert events(database) == []
    assert [state for state, *_ in states(database)] == ["received"]
    assert intake.step().items == 1
    assert rows(database, "select sellable from balance") == [(5,)]


def test_parts_of_one_large_file_resume_without_mapping_it_anew_for_each(pool, recorder, database):
    class Counting:
        def __init__(self, inner):
            self.inner, self.calls = inner, 0

        def map(self, payload):
            self.calls += 1
            return self.inner.map(payload)

    counting = Counting(connections()["wms"])
    intake = Intake(pool, recorder, {"wms": counting}, worker="w1")
    intake.accept("wms", "webhook", receipt("R1", ("A", 1), *[("unbound", 1)] * 50))
    assert intake.step().parked == 50
    bind(database, "wms", "unbound", "C")
    while intake.step(limit=7).payloads:
        pass
    assert rows(database, "select sku, sellable from balance order by 1") == [("A", 1), ("C", 50)]
    assert counting.calls == 2


def test_a_part_shows_an_excerpt_of_what_was_found(intake, database):
    intake.accept("shop", "webhook", order("O1", ("shop-a", "two")))
    intake.step()
    found = rows(database, "select fragment from payload where parent is not null")
    assert found == [('{"line":"1","sku":"shop-a","quantity":"two"}',)]


def test_a_worker_that_dies_before_the_commit_leaves_its_payload_to_the_next(
    pool, recorder, database
):
    dying = Intake(pool, recorder, connections(), worker="dying", lease_s=0.05)
    dying.accept("wms", "webhook", receipt("R1", ("A", 5), ("unbound", 1)))

    def die():
        raise KeyboardInterrupt

    recorder.before = die
    dying._release = lambda ids: None  # killed, it gives nothing back
    with pytest.raises(KeyboardInterrupt):
        dying.step()
    recorder.before = lambda: None
    heir = Intake(pool, recorder, connections(), worker="heir")
    while not heir.step().payloads:
        pass
    assert rows(database, "select sellable from balance") == [(5,)]
    assert states(database) == [
        ("recorded", "", ""),
        ("parked", "$.data.lines[1] item", "item:unbound"),
    ], "the part that waits was parked by both and stands once"


def test_a_leased_payload_is_not_taken_by_a_second_worker(pool, recorder, intake, database):
    intake.accept("wms", "webhook", receipt("R1", ("A", 5)))
    second = Intake(pool, recorder, connections(), worker="w2")
    found = []
    recorder.before = lambda: found.append(second.step())
    assert intake.step().payloads == 1
    assert found == [(0, 0, 0, 0)]


def test_many_workers_share_the_work_and_none_does_another_s(pool, recorder, intake, database):
    for n in range(120):
        intake.accept("wms", "webhook", receipt(f"R{n}", ("A", 1), ("B", 1)))
    workers = [Intake(pool, recorder, connections(), worker=f"w{n}") for n in range(4)]

    def work(worker):
        steps = []
        while (step := worker.step(limit=5)).payloads:
            steps.append(step)
        return steps

    with ThreadPoolExecutor(4) as threads:
        steps = [step for some in threads.map(work, workers) for step in some]
    assert sum(step.items for step in steps) == 240
    assert sum(step.replayed for step in steps) == 0
    assert rows(database, "select sku, sellable from balance order by 1") == [
        ("A", 120),
        ("B", 120),
    ]


@pytest.mark.parametrize("fault", [Throttled("full", 0.0), Transient("away")])
def test_what_the_recorder_does_not_take_is_free_again_at_once(intake, recorder, database, fault):
    for n in range(3):
        intake.accept("wms", "webhook", receipt(f"R{n}", ("A", 1)))

    def refuse():
        raise fault

    recorder.before = refuse
    if isinstance(fault, Throttled):
        assert intake.step().items == 0
    else:
        with pytest.raises(Transient):
            intake.step()
    query = "select distinct state, lease_until is null, attempts from payload"
    assert rows(database, query) == [("received", True, 0)]
    recorder.before = lambda: None
    assert intake.step().items == 3


def test_a_payload_that_kills_its_workers_is_parked_after_five(pool, recorder, database):
    intake = Intake(pool, recorder, connections(), worker="w", lease_s=0.0)
    intake.accept("wms", "webhook", receipt("R1", ("A", 5)))
    database.execute("update payload set attempts = 5")
    assert intake.step().parked == 1
    assert rows(database, "select reason from payload") == [
        ("5 workers in a row did not come to its end",)
    ]


def test_a_parked_payload_holds_back_its_own_key_only(pool, recorder, database):
    keyed = Intake(pool, recorder, connections(raw_key="$.data.order"), worker="w1")
    shop = keyed._connections["shop"]
    sends = [
        order("O1", ("shop-new", 2)),
        order("O1", ("shop-a", 1), kind="order.cancelled"),
        order("O2", ("shop-b", 1)),
    ]
    for one in sends:
        keyed.accept("shop", "webhook", shop._payload(one.body, {}))
    while keyed.step().payloads:
        pass
    assert events(database) == [("channel_order", "O2", "1")]
    bind(database, "shop", "shop-new", "A")
    while keyed.step().payloads:
        pass
    assert [kind for kind, *_ in rows(database, "select kind from event order by sequence")] == [
        "channel_order",
        "channel_order",
        "channel_cancel",
    ]


def test_a_mapping_that_raises_parks_the_payload(pool, recorder, database):
    class Broken:
        def map(self, payload):
            raise ZeroDivisionError("division by zero")

    intake = Intake(pool, recorder, {"shop": Broken()}, worker="w1")
    intake.accept("shop", "webhook", Payload(body=b"{}"))
    assert intake.step().parked == 1
    assert rows(database, "select state, reason from payload") == [
        ("parked", "the mapping failed: ZeroDivisionError: division by zero")
    ]


class Plain:
    """A partner whose messages are item codes, one a line; it looks at nothing."""

    def map(self, payload):
        return [
            Mapped(
                place=f"line {n}",
                item=Fact(
                    kind="receipt", document=code, item=code, quantity=1, location="MAIN", system=""
                ),
            )
            for n, code in enumerate(payload.body.decode("utf-8", "surrogatepass").splitlines())
        ]


def test_a_code_that_no_database_holds_fails_alone(pool, recorder, database):
    intake = Intake(pool, recorder, {"wms": Plain()}, worker="w1")
    for body in (b"A", b"A\0B", "A\ud800".encode("utf-8", "surrogatepass"), b"B"):
        intake.accept("wms", "webhook", Payload(body=body))
    assert intake.step() == (4, 2, 0, 2)
    parked = "select place, path from payload where state = 'parked' order by id"
    assert rows(database, parked) == [("line 0", "line 0 body")] * 2
    assert [document for _, document, _ in events(database)] == ["A", "B"]
    assert intake.step().payloads == 0


def test_what_the_database_refuses_while_it_looks_codes_up_parks_that_payload_alone(
    pool, recorder, database, monkeypatch
):
    real = store.unknown_codes

    def picky(connection, system, asked):
        if ("item", "bad") in asked:
            raise Rejected("malformed", "", "not one the database can hold")
        return real(connection, system, asked)

    monkeypatch.setattr(store, "unknown_codes", picky)
    intake = Intake(pool, recorder, {"wms": Plain()}, worker="w1")
    for body in (b"A", b"bad", b"B"):
        intake.accept("wms", "webhook", Payload(body=body))
    assert intake.step() == (3, 2, 0, 1)
    assert [(state, path) for state, path, _ in states(database)] == [
        ("recorded", ""),
        ("parked", "$"),
        ("recorded", ""),
    ]


def test_many_payloads_are_leased_mapped_and_marked_together(pool, recorder, intake, database):
    for n in range(700):
        intake.accept("wms", "webhook", receipt(f"R{n}", ("A", 1)))
    assert intake.step(limit=650) == (650, 650, 0, 0)
    assert intake.step() == (50, 50, 0, 0)
    assert rows(database, "select sellable from balance") == [(700,)]
    marks = "select distinct state, items_done, settled_at is null from payload"
    assert rows(database, marks) == [("recorded", 1, False)]


def test_no_more_is_leased_than_a_worker_can_come_to_the_end_of(intake, database, monkeypatch):
    monkeypatch.setattr(store, "CLAIM_BYTES", 1_500)
    for n in range(5):
        told = receipt(f"R{n}", ("A", 1))
        intake.accept("wms", "webhook", Payload(body=told.body.ljust(1_000 if n else 4_000)))
    assert [intake.step().payloads for _ in range(4)] == [1, 2, 2, 0]
    assert rows(database, "select sellable from balance") == [(5,)]


def test_an_ignored_message_is_done_without_an_event(pool, recorder, database):
    intake = Intake(pool, recorder, connections(ignore=["product.updated"]), worker="w1")
    intake.accept("shop", "webhook", Payload(body=b'{"type": "product.updated"}'))
    assert intake.step() == (1, 0, 0, 0)
    assert states(database) == [("recorded", "", "")]


class Mapping:
    """Anybody's mapping: it makes what it is told to."""

    def __init__(self, made):
        self.made = made

    def map(self, payload):
        return self.made


def sale(**more):
    given = {"document": "X", "order": "X", "order_line": "1", "item": "shop-a", "quantity": 1}
    return Mapped(place="$", item=Fact(kind="channel_order", **{**given, **more}))


@pytest.mark.parametrize(
    "made",
    [
        [sale(item="A\x00B")],
        [sale(location="\ud800")],
        [sale(item=7)],
        [sale(quantity="1")],
        [sale(document=None)],
        [sale(occurred_at="yesterday")],
        [None],
        None,
    ],
    ids=["nul", "surrogate", "item", "quantity", "document", "time", "no part", "nothing"],
)
def test_a_mapping_that_makes_nonsense_parks_its_payload_and_stops_no_other(
    pool, recorder, database, made
):
    both = {**connections(), "wms": Mapping(made)}
    intake = Intake(pool, recorder, both, worker="w1")
    intake.accept("wms", "webhook", Payload(body=b"{}"))
    intake.accept("shop", "webhook", order("O1", ("shop-a", 2)))
    intake.step()
    query = "select system, state from payload where parent is null order by id"
    assert rows(database, query)[1] == ("shop", "recorded")
    assert rows(database, "select count(*) from payload where state = 'parked'") == [(1,)]
    assert intake.step().payloads == 0

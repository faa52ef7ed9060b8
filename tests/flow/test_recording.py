"""The recorder on a real database: equal to the same decisions in memory, safe when it is hurt."""

import datetime as dt
import random
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from stockwright.domain.accounts import BUCKETS
from stockwright.domain.errors import Throttled, Transient
from stockwright.domain.events import Fact, Item, Request, RequestLine
from stockwright.flow import recording
from stockwright.flow.audit import run_audit
from stockwright.flow.recording import Recorder
from stockwright.store import ledger
from stockwright.store.handed_in import RawPayload, Settlement
from stockwright.store.payloads import requeue_bound
from tests.domain.worlds import START, World

ACCOUNTS = (*BUCKETS, "reserved", "allocated", "picked")


@pytest.fixture
def recorder(database: str) -> Iterator[Recorder]:
    with Recorder(database) as found:
        yield found


def rows(url: str, query: str, *values: Any) -> list[Any]:
    with psycopg.connect(url) as connection:
        return connection.execute(query, values).fetchall()


def balances(url: str) -> dict[tuple[str, str, str], tuple[int, ...]]:
    found = rows(url, f"select sku, location, lot, {', '.join(ACCOUNTS)} from balance")
    return {row[:3]: row[3:] for row in found if any(row[3:])}


def receipt(document: str, quantity: int = 10, **fields: Any) -> Fact:
    base = {"system": "wms", "sku": "A", "location": "EAST"}
    return Fact(kind="receipt", document=document, quantity=quantity, **(base | fields))


def reserve(key: str, quantity: int, sku: str = "A", **fields: Any) -> Request:
    line = RequestLine(line="1", sku=sku, quantity=quantity)
    return Request(kind="reserve", system="web", document=key, lines=[line], **fields)


# ------------------------------------------------------------- equal to memory


def life(chance: random.Random) -> list[Item]:
    """Thirty things that happen to three orders, two SKUs and their lots, in no sensible order."""
    items: list[Item] = [receipt("R1", 60), receipt("R2", 40, location="WEST")]
    items.append(receipt("R3", 30, sku="L", lot="X", expires_on=dt.date(2027, 1, 1)))
    items.append(receipt("R4", 30, sku="L", lot="Y", expires_on=dt.date(2027, 6, 1)))
    facts = ["shipment", "pick", "unpick", "return_receipt", "channel_order", "channel_cancel"]
    places = ["count", "damage", "inspection_result", "adjustment", "transfer_out", "transfer_in"]
    for n in range(26):
        kind = chance.choice([*facts, *places, "request", "snapshot", "reversal", "tpl"])
        at = START - dt.timedelta(minutes=chance.randint(1, 3000))
        sku = chance.choice(["A", "L"])
        order = f"O{chance.randint(1, 3)}{sku}"
        base: dict[str, Any] = {
            "document": f"D{n}", "system": "wms", "sku": sku, "occurred_at": at,
            "location": chance.choice(["EAST", "WEST"]), "quantity": chance.randint(1, 9),
            "lot": chance.choice(["X", "Y"]) if sku == "L" else "",
        }  # fmt: skip
        if kind == "request":
            verb = chance.choice(["reserve", "reserve", "confirm", "allocate", "release", "cancel"])
            lines = [RequestLine(line="1", sku=sku, quantity=chance.randint(1, 9))]
            items.append(
                Request(
                    kind=verb,  # type: ignore[arg-type]
                    system="web",
                    document=f"K{n}",
                    order=order,
                    lines=lines if verb == "reserve" else [],
                )
            )
        elif kind in facts:
            mine = {"order": order, "order_system": "web", "order_line": "1", "channel": "web"}
            items.append(Fact(kind=kind, **(base | mine)))  # type: ignore[arg-type]
        elif kind == "reversal":
            items.append(
                Fact(
                    kind="reversal",
                    system="wms",
                    document=f"D{n}",
                    quantity=0,
                    reverses=chance.randint(1, 12),
                )
            )
        elif kind == "tpl":
            total = {"system": "tpl", "document": "T", "revision": chance.randint(0, 3)}
            kind = chance.choice(["shipment", "receipt", "return_receipt", "pick", "pos_sale"])
            line = {"order": order, "order_system": "web", "order_line": "1"}
            items.append(Fact(kind=kind, **(base | total | line)))  # type: ignore[arg-type]
        elif kind == "snapshot":
            items.append(Fact(kind="snapshot", **(base | {"location": "SNAP"})))
        elif kind.startswith("transfer"):
            transfer = {"transfer": f"T{chance.randint(1, 2)}"}
            items.append(Fact(kind=kind, **(base | transfer)))  # type: ignore[arg-type]
        else:
            items.append(Fact(kind=kind, **base))  # type: ignore[arg-type]
    return items


@pytest.mark.parametrize("seed", range(20))
def test_the_stored_ledger_ends_where_the_same_decisions_in_memory_end(
    database: str, recorder: Recorder, seed: int
) -> None:
    chance = random.Random(seed)
    items = life(chance)
    world = World(now=dt.datetime.now(dt.UTC))
    stored, remembered = [], []
    while items:
        batch = [items.pop(0) for _ in range(min(len(items), chance.randint(1, 4)))]
        world.now = dt.datetime.now(dt.UTC)
        remembered += [one.code for one in world.batch(batch)]
        stored += [one.code for one in recorder.submit(batch).result()]
    assert stored == remembered
    expected = {
        key: tuple(getattr(one, name) for name in ACCOUNTS)
        for key, one in world.books.balances.items()
    }
    assert balances(database) == {key: one for key, one in expected.items() if any(one)}
    with psycopg.connect(database) as connection:
        report = run_audit(connection)
    assert report.ok, [check for check in report.checks if not check.ok]


# ------------------------------------------------------------- one transaction


def test_the_raw_body_and_the_settlement_stand_in_the_same_commit(
    database: str, recorder: Recorder
) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(
            "insert into payload (id, system, door, body) values (77, 'wms', 'hook', 'x')"
        )
    raw = RawPayload(system="wms", door="api", content_type="text/plain", headers={}, body=b"raw")
    settles = Settlement(payload_id=77, items_done=2, final=True)
    recorder.submit([receipt("1")], raw=raw).result()
    recorder.submit([receipt("2"), receipt("3")], settles=settles).result()
    assert rows(database, "select body from payload where id = %s", raw.id) == [(b"raw",)]
    assert rows(database, "select payload from event order by sequence") == [
        (raw.id,),
        (77,),
        (77,),
    ]
    assert rows(database, "select state, items_done from payload where id = 77") == [
        ("recorded", 2)
    ]


def test_more_items_than_a_batch_holds_are_recorded_in_order(
    database: str, recorder: Recorder
) -> None:
    items = [receipt(f"{n:05d}", 1) for n in range(1700)]
    outcomes = recorder.submit(items, bulk=True).result()
    sequences = [one.sequence for one in outcomes]
    assert sequences == sorted(sequences)
    assert rows(database, "select count(*), max(last_sequence) from batch")[0][1] == 1700
    assert balances(database)[("A", "EAST", "")][0] == 1700


def test_an_unknown_code_parks_its_item_once_with_its_path(
    database: str, recorder: Recorder
) -> None:
    for _ in range(2):
        assert recorder.submit([receipt("1", sku="ZZ")]).result()[0].code == "parked"
    found = rows(database, "select door, path, missing, state from payload")
    assert found == [("item", "$.sku", "sku:ZZ", "parked")]
    with psycopg.connect(database) as connection:
        connection.execute("insert into sku (code) values ('ZZ')")
        connection.execute("update master_revision set revision = revision + 1")
    assert recorder.submit([receipt("1", sku="ZZ")]).result()[0].code == "recorded"


def test_what_an_undeclared_system_told_resumes_once_it_is_declared(
    database: str, recorder: Recorder
) -> None:
    ghost = receipt("1", system="ghost")
    assert recorder.submit([ghost]).result()[0].code == "parked"
    assert rows(database, "select system, path, missing from payload") == [
        ("ghost", "$.system", "system:ghost")
    ]
    with psycopg.connect(database) as connection:
        assert requeue_bound(connection, 10) == []
        connection.execute("insert into system (code, role) values ('ghost', 'wms')")
        connection.execute("update master_revision set revision = revision + 1")
        assert len(requeue_bound(connection, 10)) == 1
    assert recorder.submit([ghost]).result()[0].code == "recorded"


def test_a_place_outside_the_pool_is_read_when_a_request_turns_out_to_need_it(
    database: str, recorder: Recorder
) -> None:
    recorder.submit([receipt("1"), receipt("2", location="FAR")]).result()
    line = RequestLine(line="1", quantity=4, location="FAR")
    move = Request(kind="allocate", system="web", document="K2", order="K1", lines=[line])
    outcomes = recorder.submit([reserve("K1", 4), move]).result()
    assert [one.code for one in outcomes] == ["granted", "done"]
    assert balances(database)[("A", "FAR", "")][5] == 4


def test_a_replayed_refusal_says_again_what_it_said(recorder: Recorder) -> None:
    first = recorder.submit([reserve("K", 5)]).result()[0]
    again = recorder.submit([reserve("K", 5)]).result()[0]
    assert (first.code, again.code, again.replay) == ("insufficient", "insufficient", True)
    assert (again.field, again.message, again.sequence) == (
        first.field,
        first.message,
        first.sequence,
    )


def test_a_shortage_is_opened_and_closed_by_the_stock_itself(
    database: str, recorder: Recorder
) -> None:
    ship = Fact(kind="shipment", system="wms", document="S", sku="A", quantity=3, location="EAST")
    recorder.submit([ship]).result()
    opened = rows(database, "select kind from work_item where closed_at is null order by kind")
    assert opened == [("negative_stock",), ("shortage",)]
    recorder.submit([receipt("1")]).result()
    assert rows(database, "select kind from work_item where closed_at is null") == []


def test_holds_of_many_lines_with_long_names_expire(database: str, recorder: Recorder) -> None:
    names = [str(uuid.UUID(int=random.Random(n).getrandbits(128))) for n in range(150)]
    lines = [RequestLine(line=name, sku="A", quantity=1) for name in names]
    asked = Request(kind="reserve", system="web", document="K1", lines=lines, hold_s=600)
    recorder.submit([receipt("1", 150), asked]).result()
    with psycopg.connect(database) as connection:
        connection.execute("update demand_line set expires_at = now() - interval '1 hour'")
    assert recorder.submit([reserve("K2", 150)]).result()[0].code == "granted"


def test_a_hold_that_ends_while_its_batch_is_read_waits_for_the_next(
    database: str, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder.submit([receipt("1", 5), reserve("K1", 5, hold_s=600)]).result()
    with psycopg.connect(database) as connection:
        connection.execute("update demand_line set expires_at = now() - interval '20 seconds'")
        connection.execute("update ledger_head set recorded_at = now() - interval '1 day'")
    slow = dict(ledger._sql)
    slow["head"] = slow["head"].replace("clock_timestamp()", "now() - interval '1 minute'")
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "_sql", slow)
        recorder.sweep().result()
    assert rows(database, "select state from demand_line") == [("open",)]
    recorder.sweep().result()
    assert rows(database, "select state from demand_line") == [("expired",)]
    assert recorder.submit([reserve("K2", 5)]).result()[0].code == "granted"


def test_a_hold_past_its_time_gives_its_stock_to_the_next_request(
    database: str, recorder: Recorder
) -> None:
    recorder.submit([receipt("1", 5), reserve("K1", 5, hold_s=600)]).result()
    assert recorder.submit([reserve("K2", 5)]).result()[0].code == "insufficient"
    with psycopg.connect(database) as connection:
        connection.execute("update demand_line set expires_at = now() - interval '1 hour'")
    assert recorder.submit([reserve("K3", 5)]).result()[0].code == "granted"
    states = rows(database, "select order_ref, state from demand_line order by order_ref")
    assert states == [("K1", "expired"), ("K3", "open")]


# ------------------------------------------------------------- hurt


def test_a_value_the_database_refuses_parks_its_item_alone(
    database: str, recorder: Recorder
) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(
            "create function refuse() returns trigger language plpgsql as $$ begin "
            "if new.quantity = 13 then raise check_violation; end if; return new; end $$"
        )
        for partition in ("entry_0",):
            connection.execute(
                f"create trigger refuse before insert on {partition} "
                "for each row execute function refuse()"
            )
    items = [receipt(f"{n:02d}", 13 if n == 5 else 1) for n in range(12)]
    outcomes = recorder.submit(items).result()
    assert [one.code for one in outcomes] == ["poison" if n == 5 else "recorded" for n in range(12)]
    assert balances(database)[("A", "EAST", "")][0] == 11
    assert rows(database, "select door from payload where state = 'parked'") == [("poison",)]


def test_a_connection_cut_under_load_loses_nothing_and_repeats_nothing(
    database: str, recorder: Recorder
) -> None:
    promises = [recorder.submit([receipt(f"{n:05d}", 1)]) for n in range(300)]
    stop = threading.Event()

    def cut() -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            for _ in range(6):
                connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where application_name = 'stockwright-ledger' and datname = current_database()"
                )
                stop.wait(0.05)

    cutter = threading.Thread(target=cut)
    cutter.start()
    promises += [recorder.submit([receipt(f"{n:05d}", 1)]) for n in range(300, 900)]
    outcomes = [promise.result()[0] for promise in promises]
    cutter.join()
    assert {one.code for one in outcomes} == {"recorded"}
    assert len({one.sequence for one in outcomes}) == 900
    assert balances(database)[("A", "EAST", "")][0] == 900


def test_a_full_queue_answers_busy_and_keeps_nothing(database: str) -> None:
    with Recorder(database, max_queue=10) as recorder, psycopg.connect(database) as holder:
        holder.execute("select pg_advisory_xact_lock(%s)", (0x5701_0000,))
        promises, refused, waits = [], 0, []
        for n in range(100):
            try:
                promises.append(recorder.submit([receipt(str(n), 1)]))
            except Throttled as busy:
                refused += 1
                waits.append(busy.retry_after_s)
        holder.rollback()
        assert refused > 0
        assert min(waits) > 0
        assert all(promise.result()[0].code == "recorded" for promise in promises)
    assert balances(database)[("A", "EAST", "")][0] == len(promises)


def test_a_follower_that_fails_does_not_end_the_recording(recorder: Recorder) -> None:
    def fails(_sequence: int) -> None:
        raise ZeroDivisionError("planted")

    recorder.listeners.append(fails)
    for n in range(3):
        assert recorder.submit([receipt(str(n))]).result(10)[0].code == "recorded"
    assert recorder.alive


# ------------------------------------------------------------- callers who come back


def batches(url: str) -> list[tuple[int]]:
    return rows(url, "select last_sequence - first_sequence + 1 from batch order by last_sequence")


def test_callers_answered_together_share_the_next_batch(
    database: str, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "GATHER_S", 30)
    monkeypatch.setattr(recording, "BACK_WITHIN_S", 30)
    recorder.submit([receipt(f"first {n}") for n in range(20)]).result(60)
    again = [recorder.submit([receipt(f"again {n}")]) for n in range(20)]
    assert [one.result(60)[0].code for one in again] == ["recorded"] * 20
    assert batches(database) == [(20,), (20,)]


def test_nobody_waits_for_callers_who_do_not_come_back(
    database: str, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "BACK_WITHIN_S", 30)
    recorder.submit([receipt(f"first {n}") for n in range(20)]).result(60)
    assert recorder.submit([receipt("alone")]).result(60)[0].code == "recorded"
    assert batches(database) == [(20,), (1,)]


def test_a_recorder_that_stops_while_it_gathers_records_what_it_has(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "GATHER_S", 30)
    monkeypatch.setattr(recording, "BACK_WITHIN_S", 30)
    with Recorder(database) as own:
        own.submit([receipt(f"first {n}") for n in range(20)]).result(60)
        last = own.submit([receipt("last")])
    assert last.result(60)[0].code == "recorded"


def test_a_database_that_is_not_there_is_told_to_the_caller_and_the_recorder_lives_on(
    database_url: str,
):
    """Nothing it may read ahead at the start is worth ending for."""
    with Recorder(database_url.replace("test_", "gone_")) as recorder:
        for n in range(2):
            with pytest.raises(Transient, match="does not exist"):
                recorder.submit([receipt(f"R{n}")]).result(10)
        assert recorder.alive

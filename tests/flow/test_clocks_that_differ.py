"""Clocks that are wrong: a process's beside the database's, and the database's own, set back."""

import datetime as dt
import threading
import time
from types import SimpleNamespace

import pytest

from stockwright.domain import people
from stockwright.domain.events import Fact, Request, RequestLine
from stockwright.flow import expiry, recording
from stockwright.flow.expiry import Sweeper
from stockwright.flow.projection import Projection
from stockwright.flow.recording import Recorder
from stockwright.store import clock, ledger, levels, polls, processes, sessions, users, windows
from stockwright.store.connection import Pool, connect
from stockwright.store.payloads import NewPayload, claim, keep
from tests.flow.channels import World
from tests.proof.stage import wait_until

HOUR_S = 3600


def off_by(hours):
    """The module datetime as a process sees it whose clock is off."""

    class Wrong(dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return dt.datetime.now(tz) + dt.timedelta(hours=hours)

    return SimpleNamespace(datetime=Wrong, UTC=dt.UTC, timedelta=dt.timedelta)


@pytest.fixture
def world(database_url):
    return World(database_url)


@pytest.fixture
def pool(database_url):
    with Pool(database_url, size=2) as pool:
        yield pool


@pytest.fixture
def recorder(world, database_url):
    with Recorder(database_url) as recorder:
        yield recorder


def fact(kind, document, quantity):
    return Fact(
        kind=kind, system="WMS", document=document, sku="SKU-000", location="MAIN",
        quantity=quantity,
    )  # fmt: skip


def sellable(world):
    return world.rows("select sellable from balance where sku = 'SKU-000'")


def test_what_says_no_time_is_not_taken_for_counted_by_a_count_before_it(
    world, recorder, monkeypatch
):
    """A second process whose clock is behind: its receipts were dated before the count, so that the
    count had seen them, and they were taken out again.
    """
    recorder.submit([fact("receipt", "GR-1", 5), fact("count", "C-1", 24)]).result()
    monkeypatch.setattr(recording, "dt", off_by(-1))
    monkeypatch.setattr(ledger, "dt", off_by(-1))
    recorder.submit([fact("receipt", "GR-2", 10)]).result()
    assert sellable(world) == [(34,)]


def test_a_process_that_is_ahead_does_not_ask_for_what_is_not_due(
    world, recorder, pool, monkeypatch
):
    """It asked the ledger for it again and again, a hundred times a second, until it was due."""
    line = RequestLine(sku="SKU-000", quantity=1)
    asked = Request(
        kind="reserve", system="WEB", channel="WEB", document="R-1", hold_s=600, lines=[line]
    )
    recorder.submit([fact("receipt", "GR-1", 5), asked]).result()
    sweeper = Sweeper(pool, recorder)
    monkeypatch.setattr(expiry, "dt", off_by(1))
    assert sweeper.step() == 1.0
    assert sweeper.step() == 1.0


def test_a_clock_that_is_set_back_stops_no_look_at_lots(world, recorder, pool, monkeypatch):
    """They were looked at again once the clock had come to where it had been."""
    world.run("insert into sku (code, control) values ('MILK', 'lot')")
    sweeper = Sweeper(pool, recorder, lots_every_s=0.0)
    monkeypatch.setattr(expiry, "dt", off_by(24))
    sweeper.step()
    monkeypatch.undo()
    milk = Fact(
        kind="receipt", system="WMS", document="GR-1", sku="MILK", location="MAIN", quantity=5,
        lot="L", expires_on=dt.datetime.now(dt.UTC).date() - dt.timedelta(days=2),
    )  # fmt: skip
    recorder.submit([milk]).result()
    sweeper.step()
    found = world.rows("select sellable, quarantined from balance where sku = 'MILK'")
    assert found == [(0, 5)]


def test_all_lots_of_a_day_leave_the_shelf_with_it(world, recorder, pool, monkeypatch):
    """Five hundred a minute did: the last of thousands was sold for half an hour after its date."""
    monkeypatch.setattr(expiry, "LOTS_AT_ONCE", 3)
    world.run("insert into sku (code, control) values ('MILK', 'lot')")
    past = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=2)
    milk = [
        Fact(kind="receipt", system="WMS", document=f"GR-{n}", sku="MILK", location="MAIN",
             quantity=1, lot=f"L-{n}", expires_on=past)
        for n in range(10)
    ]  # fmt: skip
    recorder.submit(milk).result()
    Sweeper(pool, recorder).step()
    found = world.rows("select sum(sellable), sum(quarantined) from balance where sku = 'MILK'")
    assert found == [(0, 10)]
    assert world.rows(
        "select system, count(*) from event where kind = 'lot_expiry' group by 1"
    ) == [("stockwright", 10)]
    assert world.rows("select state from payload") == [], "it parked them all, and sold them on"


@pytest.mark.parametrize(
    ("zone", "left"),
    [
        ("Pacific/Kiritimati", 0),  # 00:30 of the day after it
        ("UTC", 5),  # 10:30 of its date, until the end of which it is sold
        ("Pacific/Pago_Pago", 5),  # 23:30 of the day before
    ],
)
def test_a_lot_ends_with_its_date_by_the_calendar_of_its_place(world, recorder, pool, zone, left):
    world.run("update location set time_zone = %s where code = 'MAIN'", zone)
    world.run("insert into sku (code, control) values ('MILK', 'lot')")
    date = dt.datetime.now(dt.UTC).date()
    milk = Fact(
        kind="receipt", system="WMS", document="GR-1", sku="MILK", location="MAIN", quantity=5,
        lot="L", expires_on=date,
    )  # fmt: skip
    recorder.submit([milk]).result()
    Sweeper(pool, recorder).expire_lots(dt.datetime.combine(date, dt.time(10, 30), dt.UTC))
    assert world.rows("select sellable from balance where sku = 'MILK'") == [(left,)]


# ------------------------------------------------------------- the database's clock was set back


@pytest.fixture
def set_back(world, pool):
    """Lets what stands be of a clock that was ahead by an hour, and is right again."""

    def make():
        with pool.connection() as connection:
            processes.seen(connection, "p-1", ["workers"], [])
        for table, names in {
            "process": "seen_at started_at",
            "poll_cursor": "due_at watermark last_success_at",
            "orders_seen": "seen",
            "level": "due_at waiting_since projected_at rest_until",
            "payload": "lease_until",
            "console_session": "seen_at opened_at",
            "sign_in_failure": "at",
        }.items():
            moved = ", ".join(f"{name} = {name} + interval '1 hour'" for name in names.split())
            world.run(f"update {table} set {moved}")

    return make


def follow(pool):
    with pool.connection() as connection:
        return clock.follow(connection)


def test_partners_are_polled_and_their_orders_looked_up_again(world, pool, set_back):
    with pool.connection() as connection:
        polls.lease_poll(connection, "WEB", "w", lease_s=20.0)
        step = polls.Advance("", "1", levels.clock(connection), complete=True, every_s=10.0)
        polls.advance_poll(connection, "WEB", "w", step, lease_s=20.0)
        polls.release_poll(connection, "WEB", "w")
    world.run("insert into orders_seen (system, seen) values ('WEB', clock_timestamp())")
    set_back()
    assert HOUR_S - 60 < follow(pool) <= HOUR_S
    ((due_s, watermark),) = world.rows(
        "select extract(epoch from due_at - clock_timestamp()), watermark from poll_cursor"
    )
    assert 0 < due_s < 15
    assert watermark is None, "orders until an hour from now are not known"
    assert world.rows("select * from orders_seen") == [], "else increases would wait for none"


def test_levels_are_sent_and_a_rest_is_no_longer_than_it_was(world, pool, set_back):
    world.stock("SKU-000", 5)
    projection = Projection(pool)
    while projection.step().marks:
        pass
    world.run("update level set rest_until = clock_timestamp() + interval '20 seconds'")
    set_back()
    follow(pool)
    with pool.connection() as connection:
        now = levels.clock(connection)
    found = world.level()
    assert found["due_at"] <= now
    assert found["waiting_since"] <= now
    assert now < found["rest_until"] < now + dt.timedelta(seconds=40)


def test_payloads_of_a_worker_that_is_gone_are_taken_over(world, pool, set_back):
    with pool.connection() as connection:
        keep(connection, [NewPayload(system="WEB", door="webhook", body=b"{}")])
        assert claim(connection, "gone", ["WEB"], lease_s=20.0, limit=5)
    set_back()
    follow(pool)
    world.run("update payload set lease_until = lease_until - interval '30 seconds'")
    with pool.connection() as connection:
        assert claim(connection, "w", ["WEB"], lease_s=20.0, limit=5)


def test_who_is_silent_since_is_noticed_and_no_channel_seems_quick(world, pool, set_back):
    with pool.connection() as connection:
        windows.beat(connection, "WMS")
        old = windows.Window("WEB", "WMS", 600.0, "measured by the wrong clock")
        windows.add_windows(connection, [old])
    world.run("update heartbeat set seen_at = seen_at + interval '1 hour'")
    world.run("update blind_window set valid_from = valid_from + interval '1 hour'")
    set_back()
    follow(pool)
    assert world.rows("select max(seen_at) <= clock_timestamp() from heartbeat") == [(True,)]
    world.run(
        "insert into attempt (call, n, channel, listing, location, version, value, started_at,"
        " deadline, doubt_until, finished_at, outcome) select 1, 0, 'WEB', 'SKU-000', '',"
        " extract(epoch from at) * 1000 + 3600000, 1, at, at, at, at, 'acknowledged'"
        " from (select clock_timestamp() as at) now"
    )
    with pool.connection() as connection:
        windows.add_windows(connection, [windows.Window("WEB", "WMS", 5.0, "measured since")])
        (newest,) = windows.windows(connection).values()
        assert newest.seconds == 5.0
        assert windows.latencies(connection) == {}, "acknowledged an hour before it was changed"


def test_a_lease_that_was_taken_since_is_left_alone(world, pool, set_back):
    set_back()
    with pool.connection() as connection:
        assert polls.lease_poll(connection, "WEB", "w", lease_s=110.0)
    follow(pool)
    ((left_s,),) = world.rows(
        "select extract(epoch from lease_until - clock_timestamp()) from poll_cursor"
    )
    assert left_s > 100


def test_no_session_lasts_longer_and_nobody_is_kept_out_longer(
    world, pool, set_back, cheap_passwords
):
    with pool.connection() as connection:
        users.add_user(connection, "ada", people.ROLES[0], "blue lamp under stairs")
        attempt = sessions.begin_attempt(connection, "ada", "::1")
        assert sessions.sign_in(connection, attempt, address="::1")
        sessions.begin_attempt(connection, "eve", "::1")
    set_back()
    follow(pool)
    assert world.rows(
        "select max(seen_at) <= clock_timestamp(), max(opened_at) <= clock_timestamp()"
        " from console_session"
    ) == [(True, True)]
    assert world.rows("select max(at) <= clock_timestamp() from sign_in_failure") == [(True,)]


def test_lots_that_a_clock_a_day_ahead_held_back_are_looked_at_again(world, recorder, pool):
    world.policy("WEB", min_shelf_life_days=60)
    world.run("insert into sku (code, control) values ('MILK', 'lot')")
    today = dt.datetime.now(dt.UTC).date()
    milk = Fact(
        kind="receipt", system="WMS", document="GR-1", sku="MILK", location="MAIN", quantity=5,
        lot="L", expires_on=today + dt.timedelta(days=60),
    )  # fmt: skip
    recorder.submit([milk]).result()
    world.run("delete from dirty")
    tomorrow = dt.datetime.combine(today + dt.timedelta(days=1), dt.time(12), dt.UTC)
    sweeper = Sweeper(pool, recorder)
    assert sweeper.mark(tomorrow) == 1
    world.run("delete from dirty")
    with pool.connection() as connection:
        clock.put_right(connection, 24 * HOUR_S)
    assert world.rows("select sku from dirty") == [("MILK",)]
    assert sweeper.mark(tomorrow) == 1, "and on the day itself"


def test_a_small_step_is_waited_for_and_each_is_found_once(world, pool, set_back):
    assert follow(pool) == 0
    set_back()
    world.run("update process set seen_at = clock_timestamp() + interval '1 minute'")
    assert follow(pool) == 0
    world.run("update process set seen_at = clock_timestamp() + interval '1 hour'")
    assert follow(pool) > 0
    assert follow(pool) == 0


def test_of_two_processes_that_find_it_one_puts_it_right(world, pool, set_back):
    """What a partner asked for, such as an hour of silence, became half an hour."""
    set_back()
    world.run("update process set seen_at = clock_timestamp() + interval '20 minutes'")
    world.run(
        "insert into connection_state (system, retry_at)"
        " values ('WEB', clock_timestamp() + interval '70 minutes')"
    )
    found = []
    waits = (
        "select from pg_stat_activity where wait_event_type = 'Lock'"
        " and datname = current_database()"
    )
    with connect(world.url, idle_in_transaction_s=0) as first:
        found.append(clock.follow(first))
        second = threading.Thread(target=lambda: found.append(follow(pool)))
        second.start()
        wait_until(lambda: world.rows(waits), "the second waits for the first")
    second.join()
    ((wait_s,),) = world.rows(
        "select extract(epoch from retry_at - clock_timestamp()) from connection_state"
    )
    assert 45 * 60 < wait_s <= 50 * 60
    assert found[1] == 0


def test_a_house_that_was_at_rest_is_told_by_its_ledger(world, pool):
    world.run("update ledger_head set recorded_at = clock_timestamp() + interval '2 hours'")
    began = time.monotonic()
    assert 2 * HOUR_S - follow(pool) <= time.monotonic() - began + 1

"""From entries to demand, from demand and windows to buffers, from buffers to levels."""

import datetime as dt
import threading
import time

import pytest

from stockwright.domain.demand_seen import Tally
from stockwright.domain.events import Fact, Request, RequestLine
from stockwright.domain.line_sizes import bucket_of
from stockwright.flow.blind_windows import measure_windows
from stockwright.flow.buffering import Buffering
from stockwright.flow.counting_demand import count_demand
from stockwright.flow.explaining import quantities
from stockwright.flow.projection import Projection
from stockwright.flow.recording import Recorder
from stockwright.store import buffers, demand_seen, windows
from stockwright.store.connection import Pool
from tests.flow.channels import World


@pytest.fixture
def pool(database_url):
    with Pool(database_url, size=4) as pool:
        yield pool


@pytest.fixture
def world(database_url):
    world = World(database_url, channels=("WEB", "EBAY"))
    world.run(
        "insert into system (code, role) values ('WMS', 'wms'), ('TILL', 'pos') "
        "on conflict do nothing"
    )
    world.run("update master_revision set revision = revision + 1")
    return world


@pytest.fixture
def recorder(database_url, world):
    with Recorder(database_url) as recorder:
        yield recorder


def record(recorder, *items):
    return [outcome.code for outcome in recorder.submit(list(items)).result(60)]


def receipt(sku="SKU-000", units=1_000, document="GR"):
    return Fact(
        kind="receipt", system="WMS", document=document, sku=sku, quantity=units, location="MAIN"
    )


def order(n, units, channel="EBAY", sku="SKU-000", **more):
    return Fact(
        kind="channel_order",
        system=channel,
        channel=channel,
        document=f"O-{channel}-{sku}-{n}",
        order=f"O-{channel}-{sku}-{n}",
        line="1",
        sku=sku,
        quantity=units,
        **more,
    )


def seen(pool, sku="SKU-000"):
    with pool.connection() as connection:
        found = demand_seen.seen_of_skus(connection, [sku]).get(sku, {})
    return {
        key: {n: round(weight, 3) for n, weight in enumerate(tally.sizes) if weight > 1e-6}
        for key, tally in found.items()
    }


def count_all(pool):
    while True:
        with pool.connection() as connection:
            if count_demand(connection) is None:
                return


def test_orders_till_sales_and_reservations_are_demand_and_each_is_counted_once(
    world, pool, recorder
):
    record(recorder, receipt())
    record(recorder, order(1, 3), order(2, 3))
    record(
        recorder,
        Fact(
            kind="pos_sale",
            system="TILL",
            document="T-1",
            sku="SKU-000",
            quantity=2,
            location="MAIN",
        ),
        Request(
            kind="reserve",
            system="WEB",
            channel="WEB",
            document="R-1",
            lines=[RequestLine(sku="SKU-000", quantity=12, line="1")],
        ),
    )
    count_all(pool)
    expected = {
        ("EBAY", "EBAY"): {bucket_of(3): 2.0},
        ("TILL", ""): {bucket_of(2): 1.0},
        ("WEB", "WEB"): {bucket_of(12): 1.0},
    }
    assert seen(pool) == expected
    # What becomes of a claim is no new demand, and neither are goods that come in.
    record(
        recorder,
        Fact(
            kind="shipment",
            system="WMS",
            document="S-1",
            sku="SKU-000",
            quantity=3,
            location="MAIN",
            order="O-EBAY-SKU-000-1",
            order_system="EBAY",
            line="1",
        ),
        Request(kind="release", system="WEB", document="R-2", order="R-1", lines=[]),
        receipt(document="GR-2"),
    )
    count_all(pool)
    assert seen(pool) == expected


def test_counting_goes_on_where_it_stopped_in_bounded_steps(world, pool, recorder):
    record(recorder, receipt())
    for n in range(9):
        record(recorder, order(n, 1))
    steps = 0
    while True:
        with pool.connection() as connection:
            if count_demand(connection, limit=2) is None:
                break
        steps += 1
    assert steps == 5
    assert seen(pool) == {("EBAY", "EBAY"): {bucket_of(1): 9.0}}


def test_lines_count_less_with_age_and_the_group_is_counted_too(world, pool, recorder):
    world.run("update sku set sku_group = 'TOYS'")
    record(recorder, receipt(), receipt("SKU-001", document="GR-1"))
    record(recorder, order(1, 1), order(1, 5, sku="SKU-001"))
    count_all(pool)
    with pool.connection() as connection:
        groups = demand_seen.seen_of_groups(connection)
    tally = groups["TOYS"]["EBAY", "EBAY"]
    assert sum(tally.sizes) == pytest.approx(2.0)
    later = tally.as_of + dt.timedelta(days=40)
    assert sum(tally.aged(later)) == pytest.approx(2.0 / 2.71828, rel=1e-3)


def test_how_late_a_system_tells_is_measured_from_its_own_sales(world, pool, recorder):
    now = dt.datetime.now(dt.UTC)
    record(recorder, receipt())
    record(recorder, *(order(n, 1, occurred_at=now - dt.timedelta(seconds=100)) for n in range(5)))
    record(recorder, order(99, 1, occurred_at=now - dt.timedelta(days=30)))
    count_all(pool)
    with pool.connection() as connection:
        measure_windows(connection, poll_every_s=10.0)
        found = windows.windows(connection)
    assert found["WEB", "EBAY"].seconds == 128.0, "the sale of last month was an import"
    assert found["WEB", "WMS"].seconds == 0.0


def test_what_sold_before_we_watched_is_no_demand_of_the_time_we_watch(world, pool, recorder):
    """A shop is connected and tells of its last month: no sale a minute follows from it."""
    now = dt.datetime.now(dt.UTC)
    record(recorder, receipt(), order(0, 1))
    long_ago = [order(n, 1, occurred_at=now - dt.timedelta(days=n)) for n in range(2, 30)]
    record(recorder, order(99, 1, occurred_at=now - dt.timedelta(hours=20)), *long_ago)
    count_all(pool)
    assert seen(pool) == {("EBAY", "EBAY"): {bucket_of(1): 2.0}}
    # Who tells once a week is counted, from the week on in which its SKU was first seen.
    world.run("update demand_sku set since = %s", now - dt.timedelta(days=10))
    record(
        recorder, *(order(n, 1, occurred_at=now - dt.timedelta(days=n - 30)) for n in range(33, 36))
    )
    count_all(pool)
    assert seen(pool) == {("EBAY", "EBAY"): {bucket_of(1): 5.0}}


def give_demand(pool, sku, per_day, *, days=30, channels=("EBAY", "WEB"), units=1):
    """So many lines a day of each channel, as if watched for so long."""
    now = dt.datetime.now(dt.UTC)
    since = now - dt.timedelta(days=days)
    with pool.connection() as connection:
        connection.execute("update demand_cursor set since = %s", [since])
        connection.execute(
            "insert into demand_sku values (%s, %s) on conflict do nothing", [sku, since]
        )
        sizes = [0.0] * len(Tally(as_of=now).sizes)
        sizes[bucket_of(units)] = per_day * 40.0 * (1 - 2.718281828 ** (-days / 40))
        demand_seen.write_seen(
            connection,
            {(sku, "", code, code): Tally(as_of=now, sizes=tuple(sizes)) for code in channels},
        )


def buffer_of(pool, sku="SKU-000", channel="WEB"):
    with pool.connection() as connection:
        return buffers.buffers(connection, [sku])[channel, sku]


def settle(buffering):
    buffering.measure()
    buffering.begin()
    while buffering.recompute():
        pass


def publish(world, channel, seconds, times=10):
    """Attempts that the channel acknowledged so many seconds after the change."""
    for _ in range(times):
        world.run(
            "insert into attempt (call, n, channel, listing, location, version, value, started_at,"
            " deadline, doubt_until, finished_at, outcome) values (nextval('publication_call'), 0,"
            " %s, 'SKU-000', '', (extract(epoch from clock_timestamp()) * 1000)::bigint"
            " - %s * 1000, 1, now(), now(), now(), clock_timestamp(), 'acknowledged')",
            channel,
            seconds,
        )


def test_a_level_is_lowered_by_the_buffer_that_the_risk_asks_for_and_says_why(world, pool):
    world.policy("WEB", buffer_risk=0.01)
    world.stock("SKU-000", 500)
    give_demand(pool, "SKU-000", per_day=500)
    publish(world, "WEB", 250)
    buffering = Buffering(pool)
    settle(buffering)
    Projection(pool).drain(threading.Event())
    found = buffer_of(pool)
    assert found.units > 0
    assert world.levels()["SKU-000"] == 500 - found.units
    assert world.levels("EBAY")["SKU-000"] == 500, "that one has no such policy"
    with pool.connection() as connection:
        (one,) = quantities(connection, ["SKU-000"], "WEB")
    step = one.channels[0].listings[0].available_to_sell.steps[-1]
    assert (step.name, step.amount) == ("buffer", -found.units)
    for told in (
        "risk 1 % per stock-out",
        "500.00 lines a day from elsewhere",
        "blind for 256.0 s",
    ):
        assert told in step.why
    assert found.inputs.chance <= 0.01


def test_an_unchanged_buffer_marks_nothing_and_a_policy_that_is_gone_takes_it_away(world, pool):
    world.policy("WEB", buffer_risk=0.01)
    give_demand(pool, "SKU-000", per_day=500)
    publish(world, "WEB", 250)
    buffering = Buffering(pool)
    settle(buffering)
    Projection(pool).step()
    settle(buffering)
    assert world.rows("select count(*) from dirty") == [(0,)]
    assert world.rows("select count(*) from history.buffer_now where units > 0") == [(1,)]
    world.run("update exposure_policy set buffer_risk = null")
    settle(buffering)
    assert world.rows("select count(*) from buffer_now") == [(0,)]
    assert ("SKU-000",) in world.rows("select sku from dirty")


def test_a_policy_that_was_just_made_is_looked_at_without_waiting_for_the_sweep(world, pool):
    give_demand(pool, "SKU-000", per_day=500)
    publish(world, "WEB", 250)
    buffering = Buffering(pool)
    settle(buffering)
    assert world.rows("select count(*) from buffer_now") == [(0,)]
    world.policy("WEB", buffer_risk=0.01)
    world.run("update master_revision set revision = revision + 1")
    buffering.measure()
    assert buffering.recompute() == 3
    assert buffer_of(pool).units > 0


def test_two_that_meet_do_not_compute_the_same(world, pool):
    world.policy("WEB", buffer_risk=0.01)
    first, second = Buffering(pool), Buffering(pool)
    with pool.connection() as connection:
        assert windows.try_lock(connection)
        assert second.recompute() == 0
        with pool.connection() as other:
            assert measure_windows(other) is None
    assert first.recompute() == 3


def test_it_runs_until_told_to_stop(world, pool, recorder):
    world.policy("WEB", buffer_risk=0.01)
    record(recorder, receipt(), order(1, 3))
    stop = threading.Event()
    thread = threading.Thread(target=Buffering(pool).run, args=(stop,))
    thread.start()
    ended = time.monotonic() + 60
    while not seen(pool) or not world.rows("select from buffer_now"):
        assert time.monotonic() < ended
        stop.wait(0.05)
    stop.set()
    thread.join(30)
    assert not thread.is_alive()


def test_sales_through_another_listing_of_the_channel_are_elsewhere_for_this_one(world, pool):
    world.policy("WEB", buffer_risk=0.01)
    give_demand(pool, "SKU-000", per_day=500, channels=("WEB",))
    publish(world, "WEB", 250)
    buffering = Buffering(pool)
    settle(buffering)
    assert buffer_of(pool).units == 0, "all demand is this listing's own"
    world.list_item("WEB", "SKU-000-BOX", {"SKU-000": 6})
    settle(buffering)
    assert buffer_of(pool).units > 0


def test_a_new_sku_is_buffered_as_its_group_sells(world, pool):
    world.run("update sku set sku_group = 'TOYS'")
    world.policy("WEB", buffer_risk=0.01)
    publish(world, "WEB", 250)
    now = dt.datetime.now(dt.UTC)
    sizes = [0.0] * len(Tally(as_of=now).sizes)
    sizes[bucket_of(1)] = 30_000.0
    with pool.connection() as connection:
        connection.execute("update demand_cursor set since = %s", [now - dt.timedelta(days=30)])
        demand_seen.write_seen(
            connection,
            {
                ("", "TOYS", one, one): Tally(as_of=now, sizes=tuple(sizes))
                for one in ("EBAY", "WEB")
            },
        )
    settle(Buffering(pool))
    found = buffer_of(pool, "SKU-002")
    assert found.units > 0
    assert found.inputs.elsewhere_per_day == pytest.approx(30_000 / 3 / (40 * 0.5276), rel=0.01)


def test_the_buffer_grows_while_a_source_is_silent_and_recovers_by_itself(world, pool):
    world.policy("WEB", buffer_risk=0.01)
    world.run("update system set heartbeat_s = 60 where code = 'EBAY'")
    give_demand(pool, "SKU-000", per_day=200)
    publish(world, "WEB", 2)
    buffering = Buffering(pool)
    settle(buffering)
    calm = buffer_of(pool).units
    grown = [calm]
    for minutes in (10, 60, 240):
        world.run(
            "update heartbeat set seen_at = clock_timestamp() - make_interval(mins => %s)"
            " where system = 'EBAY'",
            minutes,
        )
        settle(buffering)
        grown.append(buffer_of(pool).units)
    assert grown == sorted(set(grown)), "longer silence, more held back"
    assert "EBAY is silent: no heartbeat within 60 s" in buffer_of(pool).inputs.why_window
    with pool.connection() as connection:
        assert windows.beat(connection, "EBAY") is not None
    settle(buffering)
    assert buffer_of(pool).units == calm
    assert world.rows("select count(*) from degraded") == [(0,)]


def test_any_call_with_a_key_of_its_own_is_a_sign_of_life(world, pool):
    world.run("update system set heartbeat_s = 60 where code = 'EBAY'")
    world.run("insert into heartbeat values ('EBAY', now() - interval '1 hour')")
    with pool.connection() as connection:
        measured = measure_windows(connection)
        assert measured is not None
        assert list(measured.silent) == ["EBAY"]
    world.run(
        "insert into api_key (id, name, hash, scopes, system, last_used_at)"
        " values ('k', 'k', '', '{}', 'EBAY', now())"
    )
    with pool.connection() as connection:
        measured = measure_windows(connection)
        assert measured is not None
        assert measured.silent == {}


def test_no_events_are_no_silence(world, pool):
    world.run("insert into poll_cursor (connection, last_success_at) values ('EBAY', now())")
    with pool.connection() as connection:
        measured = measure_windows(connection, poll_every_s=10.0)
        assert measured is not None
        assert measured.silent == {}
        later = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=31)
        measured = measure_windows(connection, poll_every_s=10.0, now=later)
        assert measured is not None
        assert list(measured.silent) == ["EBAY"], "three polls are missing"


def test_a_failed_poll_is_silence_at_once(world, pool):
    world.run(
        "insert into poll_cursor (connection, last_success_at, failures) values ('EBAY', now(), 1)"
    )
    with pool.connection() as connection:
        measured = measure_windows(connection)
        assert measured is not None
        assert measured.silent["EBAY"].reason == "EBAY is silent: its polls fail"


def test_a_silence_that_lasts_changes_no_rule_with_every_poll_that_fails(world, pool):
    """Each failed poll was a revision, and had all that is capped computed again."""
    world.policy("WEB", degraded_cap=10)
    world.run(
        "insert into poll_cursor (connection, last_success_at, failures)"
        " values ('EBAY', now() - interval '1 hour', 1)"
    )
    changed = []
    for failures in (1, 2, 3):
        world.run("update poll_cursor set failures = %s", failures)
        world.run("delete from dirty")
        with pool.connection() as connection:
            measured = measure_windows(connection)
        assert measured is not None
        assert list(measured.silent) == ["EBAY"]
        marks = world.rows("select count(*) from dirty")[0][0]
        changed.append((measured.silence_changed, marks > 0))
    assert changed == [(True, True), (False, False), (False, False)]


def test_what_a_failure_kept_from_being_computed_is_computed_again(world, pool, monkeypatch):
    world.policy("WEB", buffer_risk=0.01)
    give_demand(pool, "SKU-000", per_day=200)
    publish(world, "WEB", 2)
    buffering = Buffering(pool)
    settle(buffering)
    world.run("delete from buffer_now")
    for again in (buffering.begin, lambda: buffering._touched.add("SKU-000")):
        again()
        with monkeypatch.context() as broken:
            broken.setattr(buffers, "write", lambda *_: 1 // 0)
            with pytest.raises(ZeroDivisionError):
                buffering.recompute()
        assert buffering.recompute() > 0
        assert buffer_of(pool).inputs.risk == 0.01
        world.run("delete from buffer_now")
        while buffering.recompute():
            pass


def test_changes_that_are_not_acknowledged_make_the_window_longer(world, pool):
    publish(world, "WEB", 1)
    with pool.connection() as connection:
        measure_windows(connection)
        calm = windows.windows(connection)["WEB", ""].seconds
    world.stock("SKU-000", 50)
    Projection(pool).step()
    world.run(
        "update level set lane = 'decrease', acknowledged = 60, acknowledged_version = 1,"
        " waiting_since = clock_timestamp() - interval '200 s'"
    )
    with pool.connection() as connection:
        measure_windows(connection)
        assert windows.windows(connection)["WEB", ""].seconds == 256.0 > calm


def reserve(recorder, n, units, channel="WEB"):
    request = Request(
        kind="reserve",
        system=channel,
        channel=channel,
        document=f"R-{channel}-{n}",
        lines=[RequestLine(sku="SKU-000", quantity=units, line="1")],
    )
    return record(recorder, request)[0]


def test_requests_are_capped_while_a_source_of_the_stock_is_silent(world, pool, recorder):
    world.policy("WEB", degraded_cap=10)
    world.run("update system set heartbeat_s = 60 where code = 'EBAY'")
    record(recorder, receipt())
    assert reserve(recorder, 1, 4) == "granted"
    buffering = Buffering(pool)
    buffering.measure()
    assert reserve(recorder, 2, 4) == "granted", "nobody is silent"
    world.run("update heartbeat set seen_at = now() - interval '1 hour' where system = 'EBAY'")
    buffering.measure()
    assert reserve(recorder, 3, 3) == "insufficient", "8 are open, 10 may be"
    assert reserve(recorder, 4, 2) == "granted"
    assert reserve(recorder, 5, 1) == "insufficient"
    assert reserve(recorder, 1, 50, channel="EBAY") == "granted", "its own silence caps nobody"
    with pool.connection() as connection:
        (one,) = quantities(connection, ["SKU-000"], "WEB")
    explained = one.channels[0].grantable
    assert explained.result == 0
    assert explained.steps[-1].name == "degraded_cap"
    assert explained.steps[-1].why.endswith("at most 10 open, 10 are")
    assert one.channels[0].listings[0].available_to_sell.result == 0
    with pool.connection() as connection:
        windows.beat(connection, "EBAY")
    buffering.measure()
    assert reserve(recorder, 6, 20) == "granted"


def test_a_standing_fence_is_kept_on_top_of_what_its_channel_claims(world, pool, recorder):
    world.policy("EBAY", ring_fence=30, ring_fence_mode="standing")
    world.run("update master_revision set revision = revision + 1")
    record(recorder, receipt(units=100))
    assert reserve(recorder, 1, 20, channel="EBAY") == "granted"
    assert reserve(recorder, 1, 51) == "insufficient", "80 are free, 30 of them fenced"
    world.run("update exposure_policy set ring_fence_mode = 'consumed'")
    world.run("update master_revision set revision = revision + 1")
    assert reserve(recorder, 2, 61) == "granted", "20 of the fence are claimed, 10 are left"

"""Connections that are bounded, survive a restart of the database and keep secrets."""

import select
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from stockwright.domain.errors import Misconfigured, Throttled
from stockwright.store import positions
from stockwright.store.connection import Listener, Pool, connect, listen, redact_url
from stockwright.store.errors import DatabaseUnavailable, PoolExhausted
from stockwright.store.session import session

SECRET = "s3cr3t"


def one(connection, query, *values):
    return connection.execute(query, values).fetchone()[0]


def end_sessions(url, application_name="stockwright"):
    """Ends every session of an application, as a restart of the server would."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE application_name = %s AND datname = current_database()",
            [application_name],
        )


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://db/stock", "postgresql://db/stock"),
        ("postgresql://ann@db/stock", "postgresql://ann@db/stock"),
        (f"postgresql://ann:{SECRET}@db:5432/stock", "postgresql://ann:***@db:5432/stock"),
        (f"postgresql://ann:{SECRET}@x@db/stock", "postgresql://ann:***@db/stock"),
        (f"postgresql://ann:{SECRET}/x@db/stock", "postgresql://ann:***@db/stock"),
        (f"postgresql://db/stock?user=a&password={SECRET}&x=1", "postgresql://db/stock?user=a&password=***&x=1"),
        (f"host=db password={SECRET} user=ann", "host=db password=*** user=ann"),
        (f"host=db password = '{SECRET} \\'x' user=ann", "host=db password=*** user=ann"),
        (f"host=db sslpassword={SECRET}", "host=db sslpassword=***"),
    ],
)  # fmt: skip
def test_an_address_is_shown_without_its_password(url, shown):
    assert redact_url(url) == shown


@pytest.mark.parametrize(
    ("url", "error"),
    [
        (f"postgresql://ann:{SECRET}@127.0.0.1:1/stock", DatabaseUnavailable),
        (f"postgresql://ann:{SECRET}@[broken/stock", Misconfigured),
        (f"postgresql://ann:{SECRET}@db/stock?no_such_word=1", Misconfigured),
        (f"postgresql://ann:{SECRET}:{SECRET}@db/stock:{SECRET}@x", Misconfigured),
    ],
)
def test_no_failure_shows_the_password(url, error):
    with pytest.raises((error, DatabaseUnavailable)) as caught:
        connect(url)
    shown = repr(caught.value) + str(caught.value) + repr(caught.value.__cause__)
    assert SECRET not in shown
    assert SECRET not in repr(Pool(url))


def test_a_database_that_will_not_have_us_is_a_matter_for_the_operator(cluster):
    with pytest.raises(Misconfigured, match='database "nowhere" does not exist') as caught:
        connect(cluster.url_of("nowhere"))
    assert caught.value.setting == "database.url"


def test_a_connection_carries_its_name_limits_and_utc(empty_database_url):
    with connect(empty_database_url, application_name="probe") as connection:
        assert one(connection, "SHOW application_name") == "probe"
        assert one(connection, "SHOW idle_in_transaction_session_timeout") == "2s"
        assert one(connection, "SHOW statement_timeout") == "30s"
        assert one(connection, "SHOW timezone") == "UTC"


def test_the_limits_can_be_chosen_and_the_addresss_own_options_stay(empty_database_url):
    url = f"{empty_database_url}&options=-c%20work_mem%3D5MB"
    with connect(url, statement_timeout_s=0, idle_in_transaction_s=40) as connection:
        assert one(connection, "SHOW work_mem") == "5MB"
        assert one(connection, "SHOW statement_timeout") == "0"
        assert one(connection, "SHOW idle_in_transaction_session_timeout") == "40s"


def test_a_frozen_transaction_is_ended_by_the_server(empty_database_url):
    connection = connect(empty_database_url, idle_in_transaction_s=0.2)
    connection.execute("SELECT pg_advisory_xact_lock(1)")
    with connect(empty_database_url) as other:
        assert one(other, "SELECT pg_advisory_xact_lock(1) IS NULL") is not None
    with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
        connection.execute("SELECT 1")
    connection.close()


def test_who_stood_still_within_a_transaction_is_to_ask_again(empty_database_url):
    pool = Pool(empty_database_url, size=1, idle_in_transaction_s=0.05)
    with pool, pytest.raises(Throttled, match="too busy"), session(pool) as connection:
        assert one(connection, "SELECT 1") == 1
        ended_by_the_server(connection)
        connection.execute("SELECT 1")


def ended_by_the_server(connection):
    """Returns once the server has said that it ended the session."""
    assert select.select([connection.fileno()], [], [], 30)[0]


def test_who_only_reads_may_stand_still(empty_database_url):
    with Pool(empty_database_url, size=1) as pool, session(pool) as connection:
        positions.read_one_moment(connection)
        assert one(connection, "SHOW idle_in_transaction_session_timeout") == "30s"
        assert one(connection, "SHOW transaction_isolation") == "repeatable read"
        assert one(connection, "SHOW transaction_read_only") == "on"


def test_a_pool_commits_at_the_end_of_the_block_and_rolls_back_on_an_exception(empty_database_url):
    with Pool(empty_database_url, size=1) as pool:
        with pool.connection() as connection:
            connection.execute("CREATE TABLE n (v int)")
        with pytest.raises(KeyError), pool.connection() as connection:
            connection.execute("INSERT INTO n VALUES (1)")
            raise KeyError
        with pool.connection() as connection:
            assert one(connection, "SELECT count(*) FROM n") == 0


def test_a_pool_never_opens_more_than_its_size(empty_database_url):
    with Pool(empty_database_url, size=3, timeout_s=30, application_name="bounded") as pool:

        def work(_i):
            with pool.connection() as connection:
                return one(
                    connection,
                    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bounded'",
                )

        with ThreadPoolExecutor(12) as threads:
            seen = list(threads.map(work, range(60)))
    assert max(seen) <= 3


def test_a_full_pool_says_when_to_come_back(empty_database_url):
    with (
        Pool(empty_database_url, size=1, timeout_s=0.05) as pool,
        pool.connection(),
        pytest.raises(PoolExhausted, match="All 1 database connections") as caught,
        pool.connection(),
    ):
        pass
    assert caught.value.retry_after_s > 0


def test_a_place_is_free_again_after_a_failure_to_connect():
    pool = Pool("postgresql://127.0.0.1:1/none", size=1, timeout_s=0.05)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable), pool.connection():
            pass


def test_connections_that_died_while_idle_are_replaced(empty_database_url):
    with Pool(empty_database_url, size=2) as pool:
        with pool.connection() as first:
            one(first, "SELECT 1")
        end_sessions(empty_database_url)
        with pool.connection() as second:
            assert one(second, "SELECT 1") == 1


def test_a_connection_that_dies_in_use_is_not_lent_again(empty_database_url):
    with Pool(empty_database_url, size=1) as pool:
        with pytest.raises(psycopg.OperationalError), pool.connection() as connection:
            end_sessions(empty_database_url)
            one(connection, "SELECT 1")
        with pool.connection() as connection:
            assert one(connection, "SELECT 1") == 1


def test_a_connection_that_comes_back_to_a_closed_pool_is_closed(empty_database_url):
    pool = Pool(empty_database_url)
    with pool.connection() as connection:
        pool.close()
    assert connection.closed


def notify(url, channel, *payloads):
    with psycopg.connect(url, autocommit=True) as connection:
        for payload in payloads:
            connection.execute("SELECT pg_notify(%s, %s)", [channel, payload])


def test_a_listener_answers_what_was_notified_since_it_listens(empty_database_url):
    with Listener(empty_database_url, "levels", "Odd Name") as listener:
        assert listener.wait(0) == []
        notify(empty_database_url, "levels", "1", "2")
        notify(empty_database_url, "Odd Name", "3")
        heard = listener.wait(5)
        while len(heard) < 3 and (more := listener.wait(5)):
            heard += more
        assert heard == [("levels", "1"), ("levels", "2"), ("Odd Name", "3")]


def test_a_listener_returns_early_for_a_notification_and_else_when_the_time_is_over(
    empty_database_url,
):
    with Listener(empty_database_url, "levels") as listener:
        listener.wait(0)
        began = time.monotonic()
        assert listener.wait(0.2) == []
        assert 0.15 < time.monotonic() - began < 3
        timer = threading.Timer(0.1, notify, [empty_database_url, "levels", "now"])
        timer.start()
        began = time.monotonic()
        assert listener.wait(30) == [("levels", "now")]
        assert time.monotonic() - began < 10
        timer.join()


def test_a_listener_listens_again_after_its_connection_was_lost(empty_database_url):
    with Listener(empty_database_url, "levels") as listener:
        listener.wait(0)
        end_sessions(empty_database_url, "stockwright listener")
        assert listener.wait(0.1) == []
        assert listener.wait(0) == []
        notify(empty_database_url, "levels", "again")
        assert listener.wait(5) == [("levels", "again")]


def test_wake_ups_come_at_once_after_each_notification_and_on_time_out_until_told_to_stop(
    empty_database_url,
):
    stop = threading.Event()
    wake_ups = listen(empty_database_url, "levels", stop=stop, timeout_s=0.05)
    assert next(wake_ups) == []
    assert next(wake_ups) == []
    notify(empty_database_url, "levels", "x")
    assert next(wake_ups) == [("levels", "x")]
    stop.set()
    assert list(wake_ups) == []

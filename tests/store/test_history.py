"""What every rule was: kept by triggers, whoever changes it and however."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from stockwright.domain.errors import Rejected
from stockwright.store import history, past
from stockwright.store.connection import Connection, connect
from stockwright.store.history import Said, changes_of, revision, said_by, versions_of

RULES = (
    *("system", "location", "location_group", "authority", "channel", "exposure_policy"),
    *("sku", "unit", "binding", "kit", "listing", "listing_component"),
)


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connect(database_url, idle_in_transaction_s=0) as opened:
        opened.execute("insert into system (code, role) values ('SHOP', 'shop')")
        opened.execute("insert into channel (code, system, pool) values ('WEB', 'SHOP', '{MAIN}')")
        opened.execute("insert into sku (code) values ('A'), ('B')")
        opened.commit()
        yield opened


def policy(connection: Connection, safety: int, position: int = 1) -> None:
    connection.execute(
        "insert into exposure_policy (channel, position, safety) values ('WEB', %s, %s) "
        "on conflict (channel, position) do update set safety = excluded.safety",
        [position, safety],
    )


def told(connection: Connection, subject: str = "exposure_policy") -> list[tuple[Any, ...]]:
    """(since, until, safety) of every version, oldest first."""
    found = versions_of(connection, subject)
    return [(one.since, one.until, one.row["safety"]) for one in reversed(found)]


def test_every_table_of_rules_keeps_its_history_with_all_its_columns(
    connection: Connection,
) -> None:
    rows = connection.execute(
        "select relname::text from pg_class where relnamespace = 'history'::regnamespace "
        "and relkind = 'r'"
    )
    assert {name for (name,) in rows} >= set(RULES)
    lacking = connection.execute(
        "select h.table_name, c.column_name from information_schema.tables h "
        "join information_schema.columns c on c.table_schema = 'public' "
        "and c.table_name = h.table_name "
        "where h.table_schema = 'history' and not exists (select from information_schema.columns k "
        "where k.table_schema = 'history' and k.table_name = h.table_name "
        "and k.column_name = c.column_name)"
    ).fetchall()
    assert lacking == [], "call keep_history_v1 in the migration that adds the column"


def test_each_transaction_is_one_revision_with_who_and_why(connection: Connection) -> None:
    before = history.revision_in_force(connection)
    said_by(connection, Said(actor="cli ann", source="cli", reason="the spring sale"))
    policy(connection, 3)
    policy(connection, 4, position=2)
    connection.execute("update channel set hold_s = 60 where code = 'WEB'")
    connection.commit()
    made = revision(connection, before + 1)
    assert (made.actor, made.source, made.reason) == ("cli ann", "cli", "the spring sale")
    assert sorted(made.subjects) == ["channel", "exposure_policy"]
    assert history.revision_in_force(connection) == before + 1
    changes = {(one.subject, *one.key): one for one in changes_of(connection, made)}
    assert changes["exposure_policy", "WEB", "2"].before is None
    held = changes["channel", "WEB"]
    assert held.before is not None
    assert held.after is not None
    assert (held.before["hold_s"], held.after["hold_s"]) == (900, 60)


def test_plain_sql_is_told_by_the_databases_user(connection: Connection) -> None:
    policy(connection, 3)
    connection.commit()
    newest = revision(connection, history.revision_in_force(connection))
    assert newest.source == "database"
    assert newest.actor.startswith("database user ")


def test_a_row_has_one_version_from_each_change_to_the_next(connection: Connection) -> None:
    numbers = []
    for safety in (3, 4):
        policy(connection, safety)
        connection.commit()
        numbers.append(history.revision_in_force(connection))
    connection.execute("delete from exposure_policy")
    connection.commit()
    gone = history.revision_in_force(connection)
    first, second = numbers
    assert told(connection) == [(first, second, 3), (second, gone, 4)]


def test_what_is_taken_away_and_put_back_in_one_transaction_was_never_away(
    connection: Connection,
) -> None:
    policy(connection, 3)
    connection.commit()
    before = told(connection)
    connection.execute("delete from exposure_policy")
    policy(connection, 9)
    policy(connection, 3)
    connection.commit()
    assert told(connection) == before


def test_what_comes_and_goes_in_one_transaction_was_never_there(connection: Connection) -> None:
    policy(connection, 3)
    policy(connection, 5)
    connection.execute("delete from exposure_policy")
    connection.commit()
    assert told(connection) == []


def test_a_change_that_is_rolled_back_leaves_no_revision(connection: Connection) -> None:
    before = history.revision_in_force(connection)
    policy(connection, 3)
    connection.rollback()
    policy(connection, 4)
    connection.commit()
    assert history.revision_in_force(connection) == before + 1
    assert [safety for _, _, safety in told(connection)] == [4]


def test_a_savepoint_that_is_rolled_back_takes_its_revision_along(connection: Connection) -> None:
    before = history.revision_in_force(connection)
    with pytest.raises(psycopg.errors.CheckViolation), connection.transaction():
        policy(connection, 3)
        policy(connection, -1)
    policy(connection, 4)
    connection.commit()
    assert history.revision_in_force(connection) == before + 1
    assert [safety for _, _, safety in told(connection)] == [4]


def test_a_statement_that_touches_no_row_is_no_revision(connection: Connection) -> None:
    before = history.revision_in_force(connection)
    connection.execute("update channel set hold_s = 5 where code = 'NONE'")
    connection.execute("delete from exposure_policy")
    connection.commit()
    assert history.revision_in_force(connection) == before


def test_a_column_that_the_history_lacks_fails_and_is_not_forgotten(
    connection: Connection,
) -> None:
    policy(connection, 3)
    connection.execute("alter table exposure_policy add column percent bigint not null default 7")
    with pytest.raises(psycopg.errors.UndefinedColumn), connection.transaction():
        policy(connection, 4)
    connection.execute("select keep_history_v1('exposure_policy')")
    policy(connection, 4)
    found = versions_of(connection, "exposure_policy")
    assert [one.row["percent"] for one in found] == [7]
    connection.execute("set local search_path = past")
    connection.execute("set local stockwright.past_revision = 1000000")
    assert connection.execute("select percent from exposure_policy").fetchall() == [(7,)]


def test_a_new_table_joins_the_history_with_one_line(connection: Connection) -> None:
    connection.execute("create table tolerance (channel text primary key, seconds bigint)")
    connection.execute("insert into tolerance values ('WEB', 3)")
    connection.execute("select keep_history_v1('tolerance')")
    connection.execute("update tolerance set seconds = 9")
    found = versions_of(connection, "tolerance", ["WEB"])
    assert [one.row["seconds"] for one in found] == [9, 3]
    assert [one.since == 0 for one in found] == [False, True]


def test_a_table_of_the_ledger_keeps_its_history_by_sequence(connection: Connection) -> None:
    connection.execute("create table owed (sku text primary key, units bigint)")
    connection.execute("select keep_history_v1('owed', 'ledger')")
    for units, head in ((5, 12), (7, 20)):
        connection.execute(
            "insert into owed values ('A', %s) "
            "on conflict (sku) do update set units = excluded.units",
            [units],
        )
        connection.execute("update ledger_head set sequence = %s", [head])
        connection.commit()

    def as_of(sequence: int) -> list[tuple[int]]:
        connection.execute("set local search_path = past")
        connection.execute(f"set local stockwright.past_sequence = {sequence}".encode())
        found = connection.execute("select units from owed").fetchall()
        connection.rollback()
        return found

    assert [as_of(end_of_batch) for end_of_batch in (0, 12, 20)] == [[], [(5,)], [(7,)]]


def test_a_key_picks_its_rows_and_an_unknown_table_is_named(connection: Connection) -> None:
    policy(connection, 3)
    assert versions_of(connection, "exposure_policy", ["NONE"]) == []
    assert len(versions_of(connection, "exposure_policy", ["WEB"])) == 1
    assert len(versions_of(connection, "exposure_policy", ["WEB", "1"])) == 1
    assert len(versions_of(connection, "sku")) == 2
    with pytest.raises(Rejected) as refused:
        versions_of(connection, "lot")
    assert "there is one of authority, binding" in refused.value.message
    with pytest.raises(Rejected, match="There is no revision 99"):
        revision(connection, 99)


def as_of(connection: Connection, at: dt.datetime) -> list[int]:
    """The safety stocks that counted at a time."""
    with past.visit(connection, past.moment(connection, at)):
        found = [row[0] for row in connection.execute("select safety from exposure_policy")]
    connection.commit()
    return found


def test_a_rule_counts_from_its_commit_on_however_long_its_transaction_took(
    connection: Connection, database_url: str
) -> None:
    policy(connection, 3)
    connection.commit()
    with connect(database_url, idle_in_transaction_s=0) as other:
        policy(other, 9)
        (changed,) = connection.execute("select clock_timestamp()").fetchone() or (None,)
        (seen,) = connection.execute("select safety from exposure_policy").fetchone() or (None,)
        connection.commit()
        other.commit()
    (after,) = connection.execute("select clock_timestamp()").fetchone() or (None,)
    assert seen == 3, "nobody else sees a rule before its commit"
    assert as_of(connection, changed) == [3]
    assert as_of(connection, after) == [9]


def test_revisions_follow_in_time_even_where_the_clock_went_back(connection: Connection) -> None:
    policy(connection, 3)
    connection.commit()
    ahead = (
        "update revision set at = clock_timestamp() + interval '1 hour' where id = %s returning at"
    )
    newest = history.revision_in_force(connection)
    (then,) = connection.execute(ahead, [newest]).fetchone() or (None,)
    policy(connection, 5)
    connection.commit()
    assert revision(connection, newest + 1).at >= then
    assert as_of(connection, then) == [5]
    assert as_of(connection, then - dt.timedelta(microseconds=1)) == []


def test_a_table_that_was_emptied_at_once_is_no_gap(connection: Connection) -> None:
    policy(connection, 3)
    connection.commit()
    made = history.revision_in_force(connection)
    connection.execute("truncate exposure_policy")
    connection.commit()
    gone = history.revision_in_force(connection)
    assert (gone, revision(connection, gone).subjects) == (made + 1, ["exposure_policy"])
    policy(connection, 7)
    connection.commit()
    assert told(connection) == [(made, gone, 3), (gone + 1, None, 7)]
    connection.execute("truncate exposure_policy")
    policy(connection, 7)
    connection.commit()
    assert told(connection) == [(made, gone, 3), (gone + 1, None, 7)], "put back as it was"


def test_every_history_notices_that_its_table_was_emptied(connection: Connection) -> None:
    lacking = connection.execute(
        "select tgrelid::regclass::text from pg_trigger kept where tgname = 'history_of_insert' "
        "and not exists (select from pg_trigger other where other.tgrelid = kept.tgrelid "
        "and other.tgname = 'history_of_truncate')"
    )
    assert lacking.fetchall() == []

"""`stockwright key`: shown once, listed without itself, revoked for good."""

from stockwright.store import access
from stockwright.store.connection import connect


def test_a_key_is_created_shown_once_and_works(on_database, database_url):
    made = on_database("key", "create", "web shop", "--scope", "events:write", "--json")
    assert made.code == 0
    key = made.json["key"]
    with connect(database_url) as connection:
        caller = access.find_caller(connection, key)
    assert caller is not None
    assert (caller.name, caller.scopes) == ("web shop", frozenset({"events:write"}))
    listed = on_database("key", "list")
    assert made.json["id"] in listed.out
    assert key not in listed.out
    assert key not in on_database("key", "list", "--json").out


def test_a_person_is_told_that_the_key_is_shown_once(on_database):
    made = on_database("key", "create", "x", "--scope", "admin")
    assert made.out.startswith("sw_")
    assert "only time" in made.out


def test_several_scopes_and_an_end_may_be_named(on_database):
    arguments = ("--scope", "stock:read", "--scope", "master:read", "--days", "30", "--json")
    made = on_database("key", "create", "x", *arguments).json
    assert made["scopes"] == ["master:read", "stock:read"]
    assert made["expires_at"] > made["created_at"]


def test_a_revoked_key_is_live_no_more(on_database, database_url):
    made = on_database("key", "create", "x", "--scope", "admin", "--json").json
    assert on_database("key", "revoke", made["id"]).code == 0
    with connect(database_url) as connection:
        assert access.find_caller(connection, made["key"]) is None
    again = on_database("key", "revoke", made["id"])
    assert again.code == 2
    assert "key_id" in again.err
    assert "revoked" in on_database("key", "list").out


def test_a_scope_that_is_none_is_told(on_database):
    ran = on_database("key", "create", "x", "--scope", "fly")
    assert ran.code == 2
    assert ran.err.startswith("error: scope: ")
    assert "stock:read" in ran.err


def test_a_system_nobody_configured_is_told(on_database):
    ran = on_database("key", "create", "x", "--scope", "admin", "--system", "moon")
    assert ran.code == 2
    assert ran.err.startswith("error: system: ")


def test_a_system_of_the_configuration_may_be_named_before_the_first_start(on_database, tmp_path):
    (tmp_path / "stockwright.toml").write_text('[systems.shop]\nrole = "shop"\n')
    ran = on_database("key", "create", "x", "--scope", "admin", "--system", "shop", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["system"] == "shop"


def test_days_that_are_none_are_told(on_database):
    assert on_database("key", "create", "x", "--scope", "admin", "--days", "0").code == 2


def test_a_database_that_does_not_answer_is_exit_code_3(stockwright, monkeypatch):
    address = "postgresql://stockwright:hunter2@127.0.0.1:9/stockwright"
    monkeypatch.setenv("STOCKWRIGHT_DATABASE_URL", address)
    ran = stockwright("key", "list")
    assert ran.code == 3
    assert "hunter2" not in ran.err
    assert "Traceback" not in ran.err

"""`stockwright user`: people who may sign in to the console, from the command line."""

import io

import pytest

from stockwright.domain import passwords
from stockwright.store.connection import connect
from stockwright.store.users import list_users

pytestmark = pytest.mark.usefixtures("cheap_passwords")

PASSWORD = "blue lamp under stairs"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch):
    """Puts a line on standard input."""

    def put(text: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO(text))

    return put


def kept_password(url: str, name: str) -> str:
    with connect(url) as connection:
        query = "select password from app_user where name = %s"
        (kept,) = connection.execute(query, [name]).fetchone() or ("",)
    return str(kept)


def test_the_first_user_is_added_from_standard_input(on_database, database_url, typed):
    assert "Add the first" in on_database("user", "list").out
    typed(f"{PASSWORD}\n")
    ran = on_database("user", "add", "Ada", "--role", "admin", "--stdin")
    assert ran.code == 0, ran.err
    assert PASSWORD not in ran.out
    assert passwords.matches(PASSWORD, kept_password(database_url, "ada"))
    listed = on_database("user", "list", "--json").json
    assert [(one["name"], one["role"], one["must_change"]) for one in listed] == [
        ("ada", "admin", False)
    ]
    assert "password" not in listed[0]


def test_a_generated_password_is_shown_once_and_must_be_changed(on_database, database_url):
    made = on_database("user", "add", "ada", "--generate", "--json").json
    assert made["role"] == "viewer"
    assert passwords.matches(made["password"], kept_password(database_url, "ada"))
    with connect(database_url) as connection:
        assert [one.must_change for one in list_users(connection)] == [True]
    told = on_database("user", "password", "ada", "--generate")
    assert "only time" in told.out
    assert not passwords.matches(made["password"], kept_password(database_url, "ada"))


def test_without_a_terminal_one_is_told_how_to_give_a_password(on_database, typed):
    typed("")
    ran = on_database("user", "add", "ada")
    assert ran.code == 2
    assert "--generate" in ran.err


def test_a_bad_password_name_or_role_is_refused_by_field(on_database, typed):
    typed("password1234\n")
    ran = on_database("user", "add", "ada", "--stdin")
    assert (ran.code, ran.err.split(":")[1]) == (2, " password")
    ran = on_database("user", "add", "a b", "--generate")
    assert (ran.code, ran.err.split(":")[1]) == (2, " name")
    assert on_database("user", "add", "ada", "--role", "chief", "--generate").code == 2
    both = on_database("user", "add", "ada", "--generate", "--stdin")
    assert (both.code, both.err.split(":")[1]) == (2, " generate")
    on_database("user", "add", "ada", "--generate")
    again = on_database("user", "add", "ADA", "--generate")
    assert again.code == 2
    assert "already" in again.err


def test_a_role_is_changed_and_a_user_disabled_and_let_in_again(on_database):
    on_database("user", "add", "chief", "--role", "admin", "--generate")
    on_database("user", "add", "ada", "--generate")
    assert on_database("user", "role", "ada", "operator", "--json").json["changed"] is True
    assert on_database("user", "role", "ada", "operator", "--json").json["changed"] is False
    assert "disabled now" in on_database("user", "disable", "ada").out
    assert "disabled before" in on_database("user", "disable", "ada").out
    assert "disabled" in on_database("user", "list").out
    assert "enabled now" in on_database("user", "disable", "ada", "--undo").out


@pytest.mark.parametrize(
    "arguments", [("password", "x", "--generate"), ("role", "x", "viewer"), ("disable", "x")]
)
def test_a_user_there_is_not_is_told(on_database, arguments):
    ran = on_database("user", *arguments)
    assert ran.code == 2
    assert "no user 'x'" in ran.err


def test_the_last_admin_is_not_lost(on_database):
    on_database("user", "add", "chief", "--role", "admin", "--generate")
    for arguments in (("role", "chief", "viewer"), ("disable", "chief")):
        ran = on_database("user", *arguments)
        assert ran.code == 2
        assert "only admin" in ran.err

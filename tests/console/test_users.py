"""The users' page: what an admin changes about people, proven by a password of their own."""

import re
from urllib.parse import urlencode

import pytest

from stockwright.console.signing import proven
from stockwright.store import users
from stockwright.store.access import list_changes
from stockwright.store.connection import connect
from stockwright.store.sessions import PER_ACCOUNT
from tests.console.people import PASSWORD, Browser, add_user, signed_in
from tests.console.serving import Served

pytestmark = pytest.mark.usefixtures("cheap_passwords")


@pytest.fixture
def admin(locked_console: Served, database_url) -> Browser:
    add_user(database_url, "ada", "admin")
    add_user(database_url, "bob", "operator")
    return signed_in(locked_console)


def change(admin: Browser, what: str, name: str, own: str = PASSWORD, **fields: str):
    """Asks for a change and confirms it."""
    asked = {"change": what, "name": name, **fields}
    assert admin.post("/users/change", asked).status == 200
    return admin.post("/users/change", {**asked, "confirm": "1", "own": own})


def user(url: str, name: str):
    with connect(url) as connection:
        return next((one for one in users.list_users(connection) if one.name == name), None)


def log(url: str) -> list[tuple[str, str, str]]:
    with connect(url) as connection:
        return [(one.actor, one.action, one.subject) for one in list_changes(connection)]


def shown_password(answer) -> str:
    (found,) = re.findall(r'id="password">([^<]+)<', answer.text)
    return str(found)


def test_the_page_and_its_twin_show_who_may_sign_in(admin: Browser, database_url):
    with connect(database_url) as connection:
        users.disable_user(connection, "bob")
    found = admin.get("/users.json").json
    assert [(one["name"], one["role"], one["sessions"]) for one in found["users"]] == [
        ("ada", "admin", 1), ("bob", "operator", 0),
    ]  # fmt: skip
    assert found["users"][0]["signed_in_at"] is not None
    assert "password" not in found["users"][0]
    page = admin.get("/users").text
    assert len(re.findall("<tr data-row>", page)) == 2
    assert "disabled" in page


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_others_neither_see_nor_change_users(locked_console: Served, database_url, role):
    add_user(database_url, "ada", "admin")
    add_user(database_url, "eve", role)
    browser = signed_in(locked_console, "eve")
    for path in ("/users", "/users.json"):
        assert browser.get(path).status == 403
    asked = {"change": "role", "name": "eve", "role": "admin", "confirm": "1", "own": PASSWORD}
    assert browser.post("/users/change", asked).status == 403
    assert user(database_url, "eve").role == role
    assert "/users" not in browser.get("/").text


def test_a_new_user_gets_a_password_shown_once_and_changed_at_once(
    admin: Browser, locked_console: Served, database_url
):
    answer = change(admin, "add", "Carol", role="viewer")
    password = shown_password(answer)
    assert answer.headers["cache-control"] == "no-store"
    assert (user(database_url, "carol").role, user(database_url, "carol").must_change) == (
        "viewer", True,
    )  # fmt: skip
    assert password not in admin.get("/users").text
    carol = Browser(locked_console)
    assert carol.sign_in("carol", password).status == 303
    assert carol.get("/items").headers["location"] == "/account"
    assert ("user ada", "user.add", "carol") in log(database_url)
    with connect(database_url) as connection:
        assert password not in str(list_changes(connection))


def test_a_role_changes_at_once(admin: Browser, locked_console: Served, database_url):
    bob = signed_in(locked_console, "bob")
    assert bob.get("/keys").status == 403
    answer = change(admin, "role", "bob", role="admin")
    assert (answer.status, answer.headers["location"]) == (303, "/users?told=role")
    assert bob.get("/keys").status == 200
    assert ("user ada", "user.role", "bob") in log(database_url)
    again = change(admin, "role", "bob", role="admin")
    assert (again.status, "bob is admin already" in again.text) == (400, True)


def test_a_new_password_ends_sessions_and_is_shown_once(
    admin: Browser, locked_console: Served, database_url
):
    bob = signed_in(locked_console, "bob")
    password = shown_password(change(admin, "password", "bob"))
    assert bob.get("/items").status == 303
    assert Browser(locked_console).sign_in("bob", PASSWORD).status == 403
    assert Browser(locked_console).sign_in("bob", password).status == 303
    assert ("user ada", "user.password", "bob") in log(database_url)


def test_disabling_and_enabling(admin: Browser, locked_console: Served, database_url):
    bob = signed_in(locked_console, "bob")
    assert change(admin, "disable", "bob").status == 303
    assert bob.get("/items").status == 303
    assert Browser(locked_console).sign_in("bob").status == 403
    assert change(admin, "enable", "bob").status == 303
    assert Browser(locked_console).sign_in("bob").status == 303
    changes = log(database_url)
    assert ("user ada", "user.disable", "bob") in changes
    assert ("user ada", "user.enable", "bob") in changes


def test_sessions_are_ended_but_for_the_admins_own_here(
    admin: Browser, locked_console: Served, database_url
):
    bob, elsewhere = signed_in(locked_console, "bob"), signed_in(locked_console, "ada")
    assert change(admin, "end_sessions", "bob").status == 303
    assert change(admin, "end_sessions", "ada").status == 303
    assert [one.get("/items").status for one in (bob, elsewhere, admin)] == [303, 303, 200]
    assert ("user ada", "user.end_sessions", "bob") in log(database_url)


@pytest.mark.parametrize(("what", "role"), [("role", "viewer"), ("disable", "")])
def test_the_last_admin_stays(admin: Browser, database_url, what, role):
    add_user(database_url, "gone", "admin")
    with connect(database_url) as connection:
        users.disable_user(connection, "gone")
    answer = change(admin, what, "ada", role=role)
    assert answer.status == 400
    assert "ada is the only admin left" in answer.text
    assert (user(database_url, "ada").role, user(database_url, "ada").disabled_at) == (
        "admin", None,
    )  # fmt: skip


def test_two_admins_who_demote_each_other_leave_one(
    admin: Browser, locked_console: Served, database_url
):
    add_user(database_url, "carol", "admin")
    carol = signed_in(locked_console, "carol")
    assert change(admin, "role", "carol", role="viewer").status == 303
    asked = {"change": "role", "name": "ada", "role": "viewer", "confirm": "1", "own": PASSWORD}
    assert carol.post("/users/change", asked).status == 403
    assert user(database_url, "ada").role == "admin"


@pytest.mark.parametrize("what", ["add", "role", "password", "disable", "enable", "end_sessions"])
@pytest.mark.parametrize("own", ["", "wrong"])
def test_nothing_changes_without_the_admins_own_password(
    admin: Browser, locked_console: Served, database_url, what, own
):
    bob = signed_in(locked_console, "bob")
    before = users_of(database_url)
    name = "carol" if what == "add" else "bob"
    answer = change(admin, what, name, own, role="viewer")
    assert answer.status == 403
    assert "Your password is wrong." in answer.text
    assert 'id="password"' not in answer.text
    assert users_of(database_url) == before
    assert bob.get("/items").status == 200


def users_of(url: str):
    with connect(url) as connection:
        return connection.execute(
            "select name, role, password, disabled_at from app_user order by name"
        ).fetchall()


def test_guesses_at_the_admins_password_are_counted_and_forgiven(admin: Browser, database_url):
    for _ in range(PER_ACCOUNT - 1):
        assert change(admin, "role", "bob", "wrong", role="viewer").status == 403
    assert change(admin, "role", "bob", role="viewer").status == 303, "the right one forgives"
    for _ in range(PER_ACCOUNT):
        assert change(admin, "role", "bob", "wrong", role="admin").status == 403
    assert change(admin, "role", "bob", role="admin").status == 429
    assert user(database_url, "bob").role == "viewer"
    assert ("nobody", "user.sign_in_failed", "ada") in log(database_url)


def test_a_form_that_is_not_ours_changes_nothing(admin: Browser, database_url):
    fields = {"change": "disable", "name": "bob", "confirm": "1", "own": PASSWORD}
    for token in ("", "wrong"):
        body = urlencode({**fields, "form_token": token})
        assert admin.send("POST", "/users/change", body).status == 403
    body = urlencode({**fields, "form_token": admin.token()})
    foreign = admin.send("POST", "/users/change", body, sec_fetch_site="cross-site")
    assert foreign.status == 403
    assert user(database_url, "bob").disabled_at is None


def test_a_session_that_ended_meanwhile_changes_nothing(admin: Browser, database_url, monkeypatch):
    """It held when the request came in; it ends while the password is compared."""
    plain = proven

    async def slowly(*arguments, **options):
        found = await plain(*arguments, **options)
        with connect(database_url) as connection:
            connection.execute("delete from console_session")
        return found

    monkeypatch.setattr("stockwright.console.users.proven", slowly)
    answer = change(admin, "role", "bob", role="admin")
    assert answer.status == 400
    assert user(database_url, "bob").role == "operator"


WRONG = [
    ({"change": "burn", "name": "bob"}, 400, "reload it"),
    ({"change": "role", "name": "bob", "role": "king"}, 400, "A role is one of"),
    ({"change": "role", "name": "bob"}, 400, "Choose a role"),
    ({"change": "role", "name": "nobody-known", "role": "viewer"}, 404, "no such user"),
    ({"change": "add", "name": "bob", "role": "viewer"}, 400, "There is a user bob already"),
    ({"change": "add", "name": "a b", "role": "viewer"}, 400, "A name is 1 to 64 letters"),
    ({"change": "add", "name": "demo", "role": "viewer"}, 400, "means something else"),
    ({"change": "add", "name": "", "role": "viewer"}, 400, "A name is 1 to 64 letters"),
]


@pytest.mark.parametrize(("fields", "status", "words"), WRONG)
def test_what_cannot_be_is_told_before_the_password_is_asked(admin: Browser, fields, status, words):
    answer = admin.post("/users/change", fields)
    assert answer.status == status
    assert words in answer.text


def test_ones_own_password_is_changed_on_ones_own_page(admin: Browser, database_url):
    before = users_of(database_url)
    answer = change(admin, "password", "ada")
    assert (answer.status, "on your own page" in answer.text) == (400, True)
    assert users_of(database_url) == before


def test_in_the_demo_users_are_shown_and_not_changed(console: Served, database_url):
    add_user(database_url, "ada", "admin")
    browser = Browser(console)
    page = browser.get("/users")
    assert page.status == 200
    assert "nobody signs in" in page.text
    assert '<form class="card"' not in page.text
    asked = {"change": "add", "name": "eve", "role": "admin", "confirm": "1", "own": ""}
    assert browser.post("/users/change", asked).status == 403
    assert user(database_url, "eve") is None

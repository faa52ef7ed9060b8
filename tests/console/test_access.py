"""Who may look: signing in by name, sessions, forms, patience, and what each role may do."""

import asyncio
import threading

import pytest
from starlette.requests import Request

from stockwright.console import forms
from stockwright.domain import passwords
from stockwright.domain.errors import Rejected
from stockwright.domain.passwords import Cost
from stockwright.store import sessions, users
from stockwright.store.access import add_key, list_changes, revoke_key
from stockwright.store.connection import connect
from stockwright.store.sessions import PER_ACCOUNT, PER_ADDRESS, WINDOW_S
from tests.console.people import PASSWORD, Browser, add_user, signed_in
from tests.console.seeding import Seed
from tests.console.serving import Served, serve

pytestmark = pytest.mark.usefixtures("cheap_passwords")


def actions_of(url: str) -> list[tuple[str, str, str]]:
    with connect(url) as connection:
        return [(one.actor, one.action, one.subject) for one in list_changes(connection)]


@pytest.mark.parametrize(
    "path", ["/", "/items", "/items/A", "/why?number=free&sku=A", "/search?q=A", "/account"]
)
def test_without_a_session_every_page_leads_to_the_sign_in(locked_console: Served, path):
    answer = locked_console.get(path)
    assert (answer.status, answer.headers["location"]) == (303, "/console/sign-in")


@pytest.mark.parametrize(
    "path", ["/index.json", "/items.json", "/items/A.json", "/console/stream", "/account.json"]
)
def test_without_a_session_twins_and_the_stream_answer_401(locked_console: Served, path):
    assert locked_console.get(path).status == 401


def test_a_name_and_its_password_open_a_session(locked_console: Served, database_url):
    add_user(database_url, "ada", "operator")
    browser = signed_in(locked_console, "  ADA ")
    page = browser.get("/")
    assert page.status == 200
    assert "Signed in as ada, operator" in page.text
    assert browser.get("/index.json").status == 200
    assert browser.get("/account.json").json["role"] == "operator"


def test_before_there_is_a_user_the_page_says_how_to_make_one(locked_console: Served, database_url):
    assert "stockwright user add NAME --role admin" in locked_console.get("/console/sign-in").text
    add_user(database_url)
    assert "stockwright user add" not in locked_console.get("/console/sign-in").text


def test_the_session_cookie_is_out_of_reach_for_scripts_and_other_sites(
    locked_console: Served, database_url
):
    add_user(database_url)
    cookie = Browser(locked_console).sign_in().headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie


def test_a_session_is_not_kept_in_clear(locked_console: Served, database_url):
    add_user(database_url)
    browser = signed_in(locked_console)
    token = browser.cookies["stockwright_session"]
    with connect(database_url) as connection:
        (kept,) = connection.execute("select token_hash from console_session").fetchone() or ("",)
        (password,) = connection.execute("select password from app_user").fetchone() or ("",)
    assert token.encode() not in bytes(kept)
    assert PASSWORD not in password


def test_behind_tls_the_session_is_for_https_and_this_host_alone(database_url):
    add_user(database_url)
    with serve(database_url, open_to_all=False, base="https://stock.example.com") as served:
        browser = Browser(served)
        cookie = browser.sign_in().headers["set-cookie"]
        assert "Secure" in cookie
        assert "__Host-stockwright_session" in browser.cookies
        page = browser.get("/")
        assert page.status == 200
        assert page.headers["strict-transport-security"].startswith("max-age=")
        plain = f"stockwright_session={browser.cookies['__Host-stockwright_session']}"
        assert served.get("/", cookie=plain).status == 303


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("ada", "wrong"),
        ("ada", ""),
        ("ada", PASSWORD.upper()),
        ("nobody-at-all", PASSWORD),
        ("", ""),
        ("ada", "x" * 100_000),
        ("gone", PASSWORD),
        ("a\x00b", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")),
    ],
)
def test_every_failed_attempt_is_told_in_the_same_words(
    locked_console: Served, database_url, name, password
):
    add_user(database_url)
    add_user(database_url, "gone")
    add_user(database_url, "chief", "admin")
    with connect(database_url) as connection:
        users.disable_user(connection, "gone")
    answer = Browser(locked_console).sign_in(name, password)
    assert answer.status == 403
    assert "stockwright_session" not in answer.cookies
    assert "The name or the password is wrong." in answer.text
    assert not password or f'value="{password[:100]}' not in answer.text


def test_a_name_that_is_nobodys_is_judged_as_dearly_as_a_password(
    locked_console: Served, database_url, monkeypatch
):
    add_user(database_url)
    asked = []
    plain = passwords.matches

    def noted(password: str, kept: str) -> bool:
        asked.append(passwords._parts(kept or passwords.NOBODY)[0])
        return plain(password, kept)

    monkeypatch.setattr(passwords, "matches", noted)
    Browser(locked_console).sign_in("ada", "wrong")
    Browser(locked_console).sign_in("nobody-at-all", "wrong")
    assert asked == [passwords.COST, passwords.COST]


def test_signing_in_gives_a_new_session_and_ends_the_browsers_old_one(
    locked_console: Served, database_url
):
    add_user(database_url)
    browser = signed_in(locked_console)
    old = browser.cookies.pop("stockwright_session")
    planted = {"cookie": f"stockwright_session={old}"}
    assert locked_console.get("/", **planted).status == 200
    # A form outside of the session, posted by a browser that still has its cookie.
    token = Browser(locked_console)
    page = token.token("/console/sign-in")
    body = f"form_token={page}&name=ada&password={PASSWORD.replace(' ', '+')}"
    with connect(database_url) as connection:
        users.disable_user(connection, add_user(database_url, "other"))
        connection.execute("update console_session set seen_at = now() - interval '1 day'")
    answer = locked_console.send(
        "POST",
        "/console/sign-in",
        body,
        cookie=f"stockwright_session={old}; stockwright_form={page}",
    )
    assert answer.cookies["stockwright_session"] != old
    with connect(database_url) as connection:
        assert connection.execute("select count(*) from console_session").fetchone() == (1,)


@pytest.mark.parametrize("column", ["seen_at", "opened_at"])
def test_a_session_ends_when_it_was_idle_or_is_old(locked_console: Served, database_url, column):
    add_user(database_url)
    browser = signed_in(locked_console)
    limit = users.IDLE_S if column == "seen_at" else users.LONGEST_S
    move = f"update console_session set {column} = now() - make_interval(secs => %s)"
    with connect(database_url) as connection:
        connection.execute(move.encode(), [limit - 30])
    assert browser.get("/items").status == 200
    with connect(database_url) as connection:
        connection.execute(move.encode(), [limit + 1])
    assert browser.get("/items").status == 303


def test_looking_keeps_a_session_from_being_idle_and_a_stream_does_not(database_url):
    add_user(database_url)
    with connect(database_url) as connection:
        attempt = sessions.begin_attempt(connection, "ada", "::1")
        token = sessions.sign_in(connection, attempt, address="::1")
        assert token is not None
        late = "update console_session set seen_at = now() - interval '30 minutes'"
        idle = "select now() - seen_at > interval '29 minutes' from console_session"
        connection.execute(late.encode())
        assert sessions.find_session(connection, token, touch=False) is not None
        assert connection.execute(idle.encode()).fetchone() == (True,)
        assert sessions.find_session(connection, token) is not None
        assert connection.execute(idle.encode()).fetchone() == (False,)


def test_a_user_who_is_disabled_is_out_at_once(locked_console: Served, database_url):
    add_user(database_url)
    browser = signed_in(locked_console)
    with connect(database_url) as connection:
        users.disable_user(connection, "ada")
    assert browser.get("/").status == 303
    assert Browser(locked_console).sign_in().status == 403


def test_another_role_counts_at_once(locked_console: Served, database_url):
    add_user(database_url, "chief", "admin")
    add_user(database_url, "ada", "admin")
    browser = signed_in(locked_console)
    with connect(database_url) as connection:
        users.set_role(connection, "ada", "viewer")
    assert browser.get("/account.json").json["role"] == "viewer"


def test_the_last_admin_stays_one(database_url):
    add_user(database_url, "chief", "admin")
    add_user(database_url, "ada", "operator")
    with connect(database_url) as connection:
        for change in (users.disable_user, lambda c, n: users.set_role(c, n, "viewer")):
            with pytest.raises(users.Rejected, match="only admin"):
                change(connection, "chief")
        users.set_role(connection, "ada", "admin")
        assert users.disable_user(connection, "chief")


def test_signing_out_ends_the_session_everywhere(locked_console: Served, database_url):
    add_user(database_url)
    browser = signed_in(locked_console)
    kept = browser.cookies["stockwright_session"]
    answer = browser.post("/console/sign-out")
    assert (answer.status, answer.headers["location"]) == (303, "/console/sign-in")
    assert locked_console.get("/", cookie=f"stockwright_session={kept}").status == 303


@pytest.mark.parametrize(
    "forged",
    [
        {"cookie": "stockwright_form=other"},
        {"cookie": "x=y"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"origin": "https://evil.example"},
    ],
)
def test_a_sign_in_posted_by_another_site_is_refused(locked_console: Served, database_url, forged):
    add_user(database_url)
    browser = Browser(locked_console)
    token = browser.token("/console/sign-in")
    headers = {"cookie": f"stockwright_form={token}", **forged}
    body = f"form_token={token}&name=ada&password={PASSWORD.replace(' ', '+')}"
    answer = locked_console.send("POST", "/console/sign-in", body, **headers)
    assert answer.status == 403
    assert "stockwright_session" not in answer.cookies


CHANGING = [
    "/console/sign-out", "/account/settings", "/account/password", "/account/end-session",
]  # fmt: skip


@pytest.mark.parametrize("path", CHANGING)
@pytest.mark.parametrize(
    ("token", "headers"),
    [
        ("", {}),
        ("wrong", {}),
        ("right", {"sec_fetch_site": "cross-site"}),
        ("right", {"origin": "https://evil.example"}),
        ("of another session", {}),
    ],
)
def test_nothing_changes_on_a_form_that_is_not_ours(
    locked_console: Served, database_url, path, token, headers
):
    add_user(database_url)
    browser = signed_in(locked_console)
    sent = {
        "right": browser.token,
        "of another session": signed_in(locked_console).token,
    }.get(token, lambda: token)()
    body = f"form_token={sent}&theme=dark&old={PASSWORD}&new=other+words+are+good"
    assert browser.send("POST", path, body, **headers).status == 403
    assert browser.get("/account.json").json["settings"]["theme"] == ""


def test_in_the_open_mode_too_nothing_changes_on_a_strange_form(console: Served):
    browser = Browser(console)
    assert browser.send("POST", "/account/settings", "theme=dark").status == 403
    assert browser.post("/account/settings", {"theme": "dark"}).status == 303
    assert browser.get("/account.json").json["settings"]["theme"] == "dark"


def test_an_account_is_slowed_from_wherever_one_guesses_even_for_the_right_password(database_url):
    add_user(database_url)
    add_user(database_url, "bob")
    with connect(database_url) as connection:
        for number in range(PER_ACCOUNT):
            attempt = sessions.begin_attempt(connection, "Ada", f"10.0.0.{number}")
            assert (attempt.wait_s, attempt.user_id is not None) == (0, True)
        slowed = sessions.begin_attempt(connection, "ada", "10.9.9.9")
        assert 0 < slowed.wait_s <= WINDOW_S
        assert (slowed.user_id, slowed.kept) == (None, "")
        assert sessions.begin_attempt(connection, "bob", "10.9.9.9").wait_s == 0
        connection.execute(
            "update sign_in_failure set at = at - make_interval(secs => %s)", [WINDOW_S]
        )
        assert sessions.begin_attempt(connection, "ada", "10.9.9.9").wait_s == 0


def test_names_that_are_nobodys_are_slowed_alike(database_url):
    with connect(database_url) as connection:
        for number in range(PER_ACCOUNT):
            assert sessions.begin_attempt(connection, "x", f"10.0.0.{number}").wait_s == 0
        assert sessions.begin_attempt(connection, "x", "10.9.9.9").wait_s > 0


def test_an_address_is_slowed_whatever_it_guesses_and_an_ipv6_network_is_one(database_url):
    with connect(database_url) as connection:
        for number in range(PER_ADDRESS):
            sessions.begin_attempt(connection, f"user{number}", f"2001:db8::{number:x}")
        assert sessions.begin_attempt(connection, "new", "2001:db8::ffff").wait_s > 0
        assert sessions.begin_attempt(connection, "new", "2001:db8:0:1::1").wait_s == 0


def test_a_right_password_forgives_the_accounts_failures(locked_console: Served, database_url):
    add_user(database_url)
    for _ in range(3):
        assert Browser(locked_console).sign_in(password="wrong").status == 403
    signed_in(locked_console)
    with connect(database_url) as connection:
        assert connection.execute("select count(*) from sign_in_failure").fetchone() == (0,)


def test_guesses_at_two_processes_are_counted_together(locked_console: Served, database_url):
    add_user(database_url)
    statuses: list[int] = []
    with serve(database_url, open_to_all=False) as other:

        def guess(served: Served) -> None:
            browser = Browser(served)
            statuses.extend(browser.sign_in(password="wrong").status for _ in range(4))

        threads = [
            threading.Thread(target=guess, args=(served,))
            for served in (locked_console, other, locked_console, other)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        answer = Browser(other).sign_in()
    assert statuses.count(403) == PER_ACCOUNT
    assert statuses.count(429) == 16 - PER_ACCOUNT
    assert answer.status == 429
    assert 0 < int(answer.headers["retry-after"]) <= WINDOW_S + 1


def test_a_password_of_an_older_cost_is_kept_anew_when_it_is_next_given(
    locked_console: Served, database_url
):
    add_user(database_url)
    old = passwords.hashed(PASSWORD, b"s" * 16, Cost(4, 8, 1))
    with connect(database_url) as connection:
        connection.execute("update app_user set password = %s", [old])
    signed_in(locked_console)
    with connect(database_url) as connection:
        (kept,) = connection.execute("select password from app_user").fetchone() or ("",)
    assert not passwords.outdated(kept)
    signed_in(locked_console)


def test_what_people_did_at_the_door_is_in_the_change_log(locked_console: Served, database_url):
    add_user(database_url)
    Browser(locked_console).sign_in(password="wrong")
    Browser(locked_console).sign_in("my-secret-in-the-wrong-field", "x")
    browser = signed_in(locked_console)
    browser.post("/console/sign-out")
    assert actions_of(database_url) == [
        ("user ada", "user.sign_out", "ada"),
        ("user ada", "user.sign_in", "ada"),
        ("nobody", "user.sign_in_failed", "a name that is nobody's"),
        ("nobody", "user.sign_in_failed", "ada"),
        ("cli", "user.add", "ada"),
    ]
    with connect(database_url) as connection:
        newest = list_changes(connection)[1]
    assert newest.detail == {"address": "127.0.0.1"}


def test_a_password_somebody_else_chose_is_changed_first(locked_console: Served, database_url):
    add_user(database_url, must_change=True)
    browser = signed_in(locked_console)
    other = signed_in(locked_console)
    answer = browser.get("/items")
    assert (answer.status, answer.headers["location"]) == (303, "/account")
    assert "Choose your own" in browser.get("/account").text
    assert browser.get("/items.json").status == 403
    assert browser.get("/console/stream").status == 403
    assert browser.get("/account.json").json["must_change"]
    new = {"old": PASSWORD, "new": "green kettle in the hall", "again": "green kettle in the hall"}
    assert browser.post("/account/password", new).status == 303
    assert browser.get("/items").status == 200
    assert other.get("/items").status == 303
    assert Browser(locked_console).sign_in().status == 403
    signed_in(locked_console, password="green kettle in the hall")


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"old": "wrong"}, 403, "old password is wrong"),
        ({"again": "something else here"}, 400, "differ"),
        ({"new": PASSWORD, "again": PASSWORD}, 400, "This is the old password"),
        ({"new": "short", "again": "short"}, 400, "at least 12"),
        ({"new": "password123456", "again": "password123456"}, 400, "guessed first"),
    ],
)
def test_a_new_password_must_be_good_and_the_old_one_known(
    locked_console: Served, database_url, fields, status, words
):
    add_user(database_url)
    browser = signed_in(locked_console)
    good = {"old": PASSWORD, "new": "green kettle in the hall", "again": "green kettle in the hall"}
    answer = browser.post("/account/password", {**good, **fields})
    assert answer.status == status
    assert words in answer.text
    assert Browser(locked_console).sign_in().status == 303


def test_an_old_password_opens_no_session_once_it_was_changed(database_url):
    """Judging takes a while, in which an admin may act on the very password that is judged."""
    add_user(database_url)
    with connect(database_url) as connection:
        attempt = sessions.begin_attempt(connection, "ada", "10.0.0.1")
        assert passwords.matches(PASSWORD, attempt.kept)
        users.set_password(connection, "ada", "green kettle in the hall")
        assert sessions.sign_in(connection, attempt, address="10.0.0.1") is None
        renewed = passwords.hashed(PASSWORD, bytes(16))
        late = sessions.sign_in(connection, attempt, address="10.0.0.1", rehashed=renewed)
        assert late is None
        assert [one.sessions for one in users.list_users(connection)] == [0]


def test_who_knew_the_old_password_does_not_undo_an_admins_new_one(database_url):
    add_user(database_url)
    with connect(database_url) as connection:
        attempt = sessions.begin_attempt(connection, "ada", "10.0.0.1")
        users.set_password(connection, "ada", "green kettle in the hall")
        with pytest.raises(Rejected) as refused:
            users.set_password(
                connection, "ada", "of somebody else entirely", instead_of=attempt.kept
            )
        assert (refused.value.reason, refused.value.field) == ("conflict", "password")
        now = sessions.begin_attempt(connection, "ada", "10.0.0.1")
        assert passwords.matches("green kettle in the hall", now.kept)


def test_asking_for_the_head_of_a_page_is_looking(locked_console: Served, database_url):
    add_user(database_url)
    assert locked_console.send("HEAD", "/console/sign-in").status == 200
    answer = signed_in(locked_console).send("HEAD", "/items")
    assert (answer.status, answer.body) == (200, b"")


def test_a_user_sees_own_sessions_and_ends_them(locked_console: Served, database_url):
    add_user(database_url)
    add_user(database_url, "bob")
    here, there = signed_in(locked_console), signed_in(locked_console)
    strange = signed_in(locked_console, "bob")
    shown = here.get("/account.json").json
    assert len(shown["sessions"]) == 2
    theirs = strange.get("/account.json").json["session"]
    mine = there.get("/account.json").json["session"]
    here.post("/account/end-session", {"session": theirs})
    here.post("/account/end-session", {"session": "nonsense"})
    assert strange.get("/").status == 200
    here.post("/account/end-session", {"session": mine})
    assert there.get("/").status == 303
    assert here.get("/").status == 200


def test_a_key_reads_twins_and_nothing_else(locked_console: Served, database_url):
    with connect(database_url) as connection:
        made = add_key(connection, name="dashboard", scopes=["console"])
        other = add_key(connection, name="shop", scopes=["stock:read"])
    bearer = {"authorization": f"Bearer {made.key}"}
    assert locked_console.get("/index.json", **bearer).status == 200
    assert locked_console.get("/", **bearer).status == 403
    assert locked_console.send("POST", "/account/settings", "theme=dark", **bearer).status == 403
    assert locked_console.get("/index.json", authorization=f"Bearer {other.key}").status == 401
    with connect(database_url) as connection:
        revoke_key(connection, made.id)
    assert locked_console.get("/index.json", **bearer).status == 401


def test_in_the_open_mode_nobody_signs_in(console: Served):
    answer = console.get("/console/sign-in")
    assert (answer.status, answer.headers["location"]) == (303, "/")
    assert "the loopback demo asks nobody" in console.get("/").text


def test_a_session_opened_at_one_process_holds_at_another(locked_console: Served, database_url):
    add_user(database_url)
    browser = signed_in(locked_console)
    with serve(database_url, open_to_all=False) as other:
        cookie = f"stockwright_session={browser.cookies['stockwright_session']}"
        assert other.get("/", cookie=cookie).status == 200


def test_every_answer_carries_the_headers_that_keep_others_out(console: Served):
    for path in ("/", "/items.json", "/console/static/console.css", "/nothing-here"):
        answer = console.get(path)
        if path == "/nothing-here":
            continue
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_times_are_shown_in_the_zone_the_person_chose(seed: Seed, console: Served):
    seed.sku("A")
    seed.location("LON")
    seed.event("receipt", "A", 4, ("supplier", "sellable"))
    browser = Browser(console)
    browser.post("/account/settings", {"time_zone": "Asia/Tokyo"})
    page = browser.get("/items/A").text
    assert "All times are Asia/Tokyo." in page
    assert "+09:00" in page
    assert "+00:00" not in page
    refused = browser.post("/account/settings", {"time_zone": "Mars/Olympus"})
    assert refused.status == 400
    assert "no time zone" in refused.text


def test_the_theme_is_the_persons_and_the_switch_leads_back(console: Served):
    browser = Browser(console)
    answer = browser.post("/account/settings", {"theme": "dark", "back": "/items?q=x"})
    assert answer.headers["location"] == "/items?q=x"
    assert '<html lang="en" data-theme="dark">' in browser.get("/").text
    for away in ("//evil.example", "https://evil.example", "/\\evil.example", ""):
        answer = browser.post("/account/settings", {"theme": "", "back": away})
        assert answer.headers["location"] == "/account"
    assert browser.post("/account/settings", {"theme": "pink"}).status == 400


@pytest.mark.parametrize("then", [{"type": "http.disconnect"}, None])
async def test_a_form_that_does_not_come_is_one_without_fields(monkeypatch, then):
    """Its sender hung up, which was told as a fault of ours; or says no more, for ever."""
    monkeypatch.setattr(forms, "RECEIVE_S", 0.01)
    messages = [{"type": "http.request", "body": b"action=work_item.close&id=1", "more_body": True}]

    async def receive():
        if messages:
            return messages.pop()
        if then is None:
            await asyncio.Event().wait()
        return then

    form = await forms.read_form(Request({"type": "http", "method": "POST"}, receive))
    assert form.one("action") == ""

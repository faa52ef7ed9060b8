"""Who may look: the sign-in, its cookies, its form and its patience."""

import datetime as dt

import pytest

from stockwright.console.access import ATTEMPTS, ATTEMPTS_WITHIN_S, Throttle
from stockwright.store.access import add_key, find_caller, revoke_key
from stockwright.store.connection import connect
from stockwright.store.visitors import open_session, visitor
from tests.console.seeding import Seed
from tests.console.serving import Served, serve


def make_key(url: str, *scopes: str, **options) -> tuple[str, str]:
    with connect(url) as connection:
        made = add_key(connection, name="night shift", scopes=scopes, **options)
    return made.id, made.key


def form_of(console: Served) -> str:
    return console.get("/console/sign-in").cookies["stockwright_form"]


def post_key(console: Served, key: str, **headers: str):
    token = form_of(console)
    cookie = {"cookie": f"stockwright_form={token}"}
    return console.send(
        "POST", "/console/sign-in", f"form_token={token}&key={key}", **{**cookie, **headers}
    )


def signed_in(console: Served, key: str) -> str:
    answer = post_key(console, key)
    assert (answer.status, answer.headers["location"]) == (303, "/")
    return f"stockwright_session={answer.cookies['stockwright_session']}"


@pytest.mark.parametrize(
    "path", ["/", "/items", "/items/A", "/why?number=free&sku=A", "/search?q=A"]
)
def test_without_a_session_every_page_leads_to_the_sign_in(locked_console: Served, path):
    answer = locked_console.get(path)
    assert (answer.status, answer.headers["location"]) == (303, "/console/sign-in")


@pytest.mark.parametrize("path", ["/index.json", "/items.json", "/items/A.json", "/console/stream"])
def test_without_a_session_twins_and_the_stream_answer_401(locked_console: Served, path):
    assert locked_console.get(path).status == 401


@pytest.mark.parametrize("scope", ["console", "admin"])
def test_a_key_that_may_look_opens_a_session(locked_console: Served, database_url, scope):
    _, key = make_key(database_url, scope)
    session = signed_in(locked_console, key)
    page = locked_console.get("/", cookie=session)
    assert page.status == 200
    assert "Signed in with the key night shift" in page.text
    assert locked_console.get("/index.json", cookie=session).status == 200


def test_the_session_cookie_is_out_of_reach_for_scripts_and_other_sites(
    locked_console: Served, database_url
):
    _, key = make_key(database_url, "console")
    cookie = post_key(locked_console, key).headers["set-cookie"]
    assert cookie.startswith("stockwright_session=")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert key not in cookie


@pytest.mark.parametrize("wrong", ["", "nonsense", "sw_abcdefghij_" + "x" * 43, "%00", "%FF%FE"])
def test_a_wrong_key_opens_nothing_and_is_not_shown(locked_console: Served, wrong):
    answer = post_key(locked_console, wrong)
    assert answer.status == 403
    assert "stockwright_session" not in answer.cookies
    assert "No such key" in answer.text
    assert wrong == "" or wrong not in answer.text


def test_a_key_without_a_scope_to_look_is_refused(locked_console: Served, database_url):
    _, key = make_key(database_url, "events:write", "stock:read")
    assert post_key(locked_console, key).status == 403


def test_a_session_ends_with_its_key(locked_console: Served, database_url):
    key_id, key = make_key(database_url, "console")
    session = signed_in(locked_console, key)
    with connect(database_url) as connection:
        revoke_key(connection, key_id)
    assert locked_console.get("/", cookie=session).status == 303


def test_a_session_ends_in_time_and_expired_ones_are_dropped(database_url):
    _, key = make_key(database_url, "console")
    with connect(database_url) as connection:
        caller = find_caller(connection, key)
        assert caller is not None
        over = open_session(connection, caller, ttl_s=-1)
        assert visitor(connection, over) is None
        fresh = open_session(connection, caller)
        found = visitor(connection, fresh)
        assert found is not None
        assert found.id == caller.id
        left = connection.execute("select count(*) from console_session").fetchone()
        assert left == (1,)


def test_a_session_is_not_kept_in_clear(database_url):
    _, key = make_key(database_url, "console")
    with connect(database_url) as connection:
        caller = find_caller(connection, key)
        assert caller is not None
        token = open_session(connection, caller)
        (kept,) = connection.execute("select token_hash from console_session").fetchone() or ("",)
    assert token.encode() not in bytes(kept)


def test_an_expired_key_opens_no_session(locked_console: Served, database_url, seed: Seed):
    _, key = make_key(database_url, "console", expires_at=seed.now - dt.timedelta(seconds=1))
    assert post_key(locked_console, key).status == 403


def test_signing_out_ends_the_session_everywhere(locked_console: Served, database_url):
    _, key = make_key(database_url, "console")
    session = signed_in(locked_console, key)
    token = locked_console.get("/", cookie=session).cookies["stockwright_form"]
    jar = f"{session}; stockwright_form={token}"
    answer = locked_console.send("POST", "/console/sign-out", f"form_token={token}", cookie=jar)
    assert (answer.status, answer.headers["location"]) == (303, "/console/sign-in")
    assert locked_console.get("/", cookie=session).status == 303


@pytest.mark.parametrize(
    "forged",
    [
        {"cookie": "stockwright_form=other"},
        {"cookie": ""},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_a_form_posted_by_another_site_is_refused(locked_console: Served, database_url, forged):
    _, key = make_key(database_url, "console")
    answer = post_key(locked_console, key, **forged)
    assert answer.status == 403
    assert "stockwright_session" not in answer.cookies


def test_signing_out_from_another_site_does_nothing(locked_console: Served, database_url):
    _, key = make_key(database_url, "console")
    session = signed_in(locked_console, key)
    assert locked_console.send("POST", "/console/sign-out", "x=1", cookie=session).status == 403
    assert locked_console.get("/", cookie=session).status == 200


def test_an_oversized_form_counts_as_empty(locked_console: Served):
    assert post_key(locked_console, "x" * 100_000).status == 403


def test_guessing_is_slowed_even_for_the_right_key(locked_console: Served, database_url):
    _, key = make_key(database_url, "console")
    for _ in range(ATTEMPTS):
        assert post_key(locked_console, "guess").status == 403
    answer = post_key(locked_console, key)
    assert answer.status == 429
    assert 0 < int(answer.headers["retry-after"]) <= ATTEMPTS_WITHIN_S + 1


def test_the_throttle_forgets_after_its_time_and_knows_addresses_apart():
    now = 1000.0
    throttle = Throttle(clock=lambda: now)
    for _ in range(ATTEMPTS):
        assert throttle.wait_s("here") == 0
        throttle.failed("here")
    assert throttle.wait_s("here") == ATTEMPTS_WITHIN_S
    assert throttle.wait_s("there") == 0
    now += ATTEMPTS_WITHIN_S
    assert throttle.wait_s("here") == 0


def test_the_throttle_remembers_a_bounded_number_of_addresses(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("stockwright.console.access._REMEMBERED_ADDRESSES", 10)
    throttle = Throttle(clock=lambda: 1000.0)
    for number in range(50):
        throttle.failed(f"address {number}")
    assert len(throttle._failures) <= 10


def test_in_the_open_mode_nobody_signs_in(console: Served):
    answer = console.get("/console/sign-in")
    assert (answer.status, answer.headers["location"]) == (303, "/")


def test_a_session_opened_at_one_process_holds_at_another(
    locked_console: Served, database_url: str
):
    _, key = make_key(database_url, "console")
    session = signed_in(locked_console, key)
    with serve(database_url, open_to_all=False) as other:
        assert other.get("/", cookie=session).status == 200

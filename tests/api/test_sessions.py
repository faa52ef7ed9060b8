"""The API from a page of the console: a session's cookie counts, with what only its pages know."""

import pytest

from stockwright.store import sessions, users
from stockwright.store.access import list_changes
from tests.api.conftest import Client

pytestmark = pytest.mark.usefixtures("cheap_passwords")

PASSWORD = "blue lamp under stairs"


@pytest.fixture
def sign_in(house):
    """Opens a session of a new user of a role; answers the headers its pages would send."""

    def make(role: str, **options) -> dict[str, str]:
        name = f"{role}-{len(house.sql('select 1 from app_user'))}"
        with house.services.pool.connection() as connection:
            users.add_user(connection, name, role, PASSWORD, **options)
            attempt = sessions.begin_attempt(connection, name, "::1")
            token = sessions.sign_in(connection, attempt, address="::1")
        assert token is not None
        return {
            "cookie": f"other=1; stockwright_session={token}",
            "x-stockwright-session": sessions.form_token_of(token),
        }

    return make


def test_a_role_carries_its_scopes(house, sign_in):
    nobody = Client(house.web.port)
    for role, may_write in (("viewer", 403), ("operator", 201), ("admin", 201)):
        headers = sign_in(role)
        assert nobody.get("/v1/items", headers=headers).status == 200
        answer = nobody.put(f"/v1/items/by-{role}", {}, headers=headers)
        assert answer.status == may_write, role
    assert nobody.get("/v1/config", headers=sign_in("viewer")).status == 403


def test_the_change_log_names_the_user(house, sign_in):
    headers = sign_in("operator")
    Client(house.web.port).put("/v1/items/named", {}, headers=headers)
    with house.services.pool.connection() as connection:
        newest = list_changes(connection, limit=1)[0]
    assert newest.actor.startswith("user operator-")


@pytest.mark.parametrize(
    "change",
    [
        {"x-stockwright-session": None},
        {"x-stockwright-session": "wrong"},
        {"cookie": None},
        {"cookie": "stockwright_session=wrong"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_cookie_alone_or_another_site_is_refused(house, sign_in, change):
    headers = {**sign_in("admin"), **change}
    sent = {name: value for name, value in headers.items() if value is not None}
    answer = Client(house.web.port).put("/v1/items/forged", {}, headers=sent)
    assert answer.status in (401, 403)
    assert house.sql("select 1 from sku where code = 'forged'") == []


def test_a_session_whose_password_must_be_changed_calls_nothing(house, sign_in):
    headers = sign_in("operator", must_change=True)
    assert Client(house.web.port).get("/v1/items", headers=headers).status == 401

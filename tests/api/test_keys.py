"""API keys: shown once, hashed at rest, limited by scope and system, revoked for good."""

import datetime as dt
import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from stockwright.api import gate as gates
from stockwright.api.gate import Gate
from stockwright.api.problems import ProblemRaised
from stockwright.api.server import WebServer, is_loopback
from stockwright.domain.errors import Misconfigured, Rejected
from stockwright.store import access
from tests.api.conftest import Client


def test_without_a_key_nothing_is_answered_but_health_and_the_description(house):
    nobody = Client(house.web.port)
    assert nobody.get("/healthz").status == 200
    assert nobody.get("/readyz").status == 200
    assert nobody.get("/v1/openapi.json").status == 200
    for path in ("/v1/items", "/v1/ledger/A", "/v1/work-items", "/v1/parked", "/metrics"):
        answer = nobody.get(path)
        assert answer.status == 401, path
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json["type"] == "urn:stockwright:problem:no_key"
        assert "Authorization: Bearer" in answer.json["next"]


@pytest.mark.parametrize(
    "key", ["x", "sw_", "sw_aaaaaaaaaa_" + "A" * 43, "sw_\xff", "Größe", "a b", "sw_" + "a" * 5000]
)
def test_a_wrong_key_is_401(house, key):
    headers = {"authorization": f"Bearer {key}".encode()}
    answer = Client(house.web.port).get("/v1/items", headers=headers)
    assert answer.status == 401
    assert answer.json["type"] == "urn:stockwright:problem:wrong_key"
    assert key not in answer.body.decode() or len(key) < 4


def test_another_scheme_is_no_key(house):
    headers = {"authorization": "Basic eDp5"}
    assert Client(house.web.port).get("/v1/items", headers=headers).json["type"].endswith("no_key")


def test_a_key_with_one_wrong_character_is_401(house):
    key = house.key("admin").key
    wrong = key[:-1] + ("A" if key[-1] != "A" else "B")
    assert Client(house.web.port, wrong).get("/v1/items").status == 401


def test_a_key_does_what_its_scopes_allow_and_no_more(house):
    reader = house.client("master:read")
    assert reader.get("/v1/items").status == 200
    for method, path in (
        ("PUT", "/v1/items/A"),
        ("POST", "/v1/events"),
        ("POST", "/v1/reservations"),
        ("GET", "/v1/ledger/A"),
        ("GET", "/v1/work-items"),
        ("GET", "/metrics"),
    ):
        answer = reader.call(method, path)
        assert (answer.status, answer.json["type"]) == (403, "urn:stockwright:problem:forbidden")
        assert "scope" in answer.json["detail"]


def test_only_the_hash_of_a_key_is_kept(house):
    made = house.key("master:read")
    ((kept,),) = house.sql("SELECT hash FROM api_key WHERE id = %s", made.id)
    assert bytes(kept) == hashlib.sha256(made.key.encode()).digest()
    secret = made.key.rsplit("_", 1)[1]
    assert secret not in str(house.sql("SELECT * FROM api_key")) + str(
        house.sql("SELECT * FROM change_log")
    )
    assert secret not in repr(made)


def test_two_keys_never_look_alike(house):
    keys = [house.key("admin") for _ in range(20)]
    assert len({one.id for one in keys}) == 20
    assert len({one.key for one in keys}) == 20
    assert all(access.id_of(one.key) == one.id for one in keys)


def test_a_revoked_key_stops_working(house):
    made = house.key("master:read")
    client = Client(house.web.port, made.key)
    assert client.get("/v1/items").status == 200
    with house.services.pool.connection() as connection:
        assert access.revoke_key(connection, made.id) == "test"
        assert access.revoke_key(connection, made.id) is None
    house.web.door.gate.forget()
    assert client.get("/v1/items").status == 401


def test_an_expired_key_is_401(house):
    past = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
    with house.services.pool.connection() as connection:
        made = access.add_key(connection, name="old", scopes=["admin"], expires_at=past)
    assert Client(house.web.port, made.key).get("/v1/items").status == 401


def test_a_key_notes_when_it_was_used(house):
    made = house.key("master:read")
    Client(house.web.port, made.key).get("/v1/items")
    with house.services.pool.connection() as connection:
        found = {key.id: key for key in access.list_keys(connection)}
    assert found[made.id].last_used_at is not None


@pytest.mark.parametrize(
    ("name", "scopes", "system", "field"),
    [
        ("x", ["fly"], "", "scope"),
        ("x", [], "", "scope"),
        ("x", ["admin"], "nobody", "system"),
        ("  ", ["admin"], "", "name"),
        ("a\nb", ["admin"], "", "name"),
    ],
)
def test_a_key_is_not_made_with_rights_that_mean_nothing(house, name, scopes, system, field):
    with house.services.pool.connection() as connection, pytest.raises(Rejected) as raised:
        access.add_key(connection, name=name, scopes=scopes, system=system)
    assert raised.value.field == field


async def test_a_key_is_looked_up_once_and_again_after_its_time(house, monkeypatch):
    asked: list[str] = []
    real = gates.find_caller

    def counted(connection, key):
        asked.append(key)
        return real(connection, key)

    monkeypatch.setattr(gates, "find_caller", counted)
    now = [0.0]
    gate = Gate(house.services.pool, house.services.threads, clock=lambda: now[0])
    made = house.key("master:read")
    headers = {b"authorization": f"Bearer {made.key}".encode()}
    for _ in range(3):
        assert (await gate.caller(headers)).id == made.id
    assert len(asked) == 1
    with house.services.pool.connection() as connection:
        access.revoke_key(connection, made.id)
    now[0] = gates.REMEMBERED_S + 0.1
    with pytest.raises(ProblemRaised):
        await gate.caller(headers)
    assert len(asked) == 2


def test_many_first_calls_with_one_key_at_once_all_get_in(house):
    client = house.client("master:read")
    with ThreadPoolExecutor(16) as threads:
        calls = [threads.submit(client.get, "/v1/items/A") for _ in range(64)]
        assert {call.result().status for call in calls} == {200}


def test_the_open_demo_mode_listens_on_loopback_only(house):
    with pytest.raises(Misconfigured) as raised:
        WebServer(house.services, host="0.0.0.0", port=0, open_to_all=True)
    assert raised.value.setting == "server.host"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("192.0.2.1", False),
        ("no such name.invalid", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(host, loopback):
    assert is_loopback(host) is loopback


def test_the_open_demo_mode_asks_for_no_key_but_keeps_other_web_sites_out(house):
    with WebServer(house.services, host="127.0.0.1", port=0, open_to_all=True) as web:
        browser = Client(web.port)
        assert browser.get("/v1/items").status == 200
        assert browser.get("/v1/items", headers={"sec-fetch-site": "same-origin"}).status == 200
        assert browser.get("/v1/items", headers={"host": f"localhost:{web.port}"}).status == 200
        for headers in (
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"host": "stock.example"},
            {"host": f"stock.example:{web.port}"},
        ):
            answer = browser.get("/v1/items", headers=headers)
            assert answer.status == 403, headers
            assert answer.json["type"] == "urn:stockwright:problem:forbidden_origin"

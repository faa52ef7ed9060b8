"""Behind a proxy: who signs in from where, and whether by https, is what our own proxy says."""

import re
from collections.abc import Iterator
from urllib.parse import urlencode
from uuid import uuid4

import psycopg
import pytest
from msgspec.structs import replace

from stockwright.api.server import WebServer
from stockwright.app import open_services
from stockwright.config import Server
from stockwright.console import routes
from stockwright.store import users
from stockwright.store.access import list_changes
from stockwright.store.sessions import PER_ADDRESS
from tests.api.conftest import Answer, House, config_for
from tests.api.test_call_log import written

pytestmark = pytest.mark.usefixtures("cheap_passwords")

PASSWORD = "blue lamp under stairs"
FAR = {"x-forwarded-for": "198.51.100.9, 203.0.113.5", "x-forwarded-proto": "https"}


@pytest.fixture(params=[("127.0.0.0/8",), ()], ids=["trusted", "not trusted"])
def behind(request, cluster, template) -> Iterator[tuple[House, bool]]:
    """A server to which this machine is a trusted proxy, or is not; and which of the two."""
    name = f"proxied_{uuid4().hex[:12]}"
    with psycopg.connect(cluster.url_of("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        config = replace(
            config_for(cluster.url_of(name)), server=Server(trusted_proxies=request.param)
        )
        with open_services(config, ["api", "console"]) as services:
            pages = routes(services)
            with WebServer(services, host="127.0.0.1", port=0, routes=pages) as web:
                house = House(services, web)
                with services.pool.connection() as store:
                    users.add_user(store, "ada", "admin", PASSWORD)
                yield house, bool(request.param)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def sign_in(house: House, password: str = PASSWORD, **headers: str) -> Answer:
    sent = {**FAR, **{name.replace("_", "-"): value for name, value in headers.items()}}
    form = house.admin.get("/console/sign-in", headers={**sent, "authorization": ""})
    (token,) = re.findall(rb'name="form_token" value="([^"]*)"', form.body)
    cookie = form.headers["set-cookie"].split(";")[0]
    fields = urlencode({"form_token": token.decode(), "name": "ada", "password": password})
    kind = "application/x-www-form-urlencoded"
    return house.admin.call(
        "POST", "/console/sign-in", fields,
        {**sent, "cookie": cookie, "content-type": kind, "authorization": ""},
    )  # fmt: skip


def test_the_change_log_and_the_cookie_follow_a_trusted_proxy_alone(behind):
    house, trusted = behind
    answer = sign_in(house)
    assert answer.status == 303
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-stockwright_") == trusted
    assert ("Secure" in cookie) == trusted
    with house.services.pool.connection() as connection:
        (change,) = [one for one in list_changes(connection) if one.action == "user.sign_in"]
    assert change.detail == {"address": "203.0.113.5" if trusted else "127.0.0.1"}
    page = house.admin.get("/console/sign-in", headers={**FAR, "authorization": ""})
    assert ("strict-transport-security" in page.headers) == trusted


def test_failed_attempts_count_by_the_clients_address(behind):
    house, trusted = behind
    for number in range(PER_ADDRESS + 1):
        # Each on an account of its own: only the address can make the next one wait.
        house.sql("delete from sign_in_failure where account = %s", users.digest_of_account("ada"))
        house.sql(
            "insert into sign_in_failure (account, address) values (%s, %s)",
            bytes([number]), "203.0.113.5",
        )  # fmt: skip
    assert sign_in(house).status == (429 if trusted else 303)
    assert sign_in(house, x_forwarded_for="198.51.100.77").status == 303


def test_the_api_log_names_the_client(behind):
    house, trusted = behind
    answer = house.admin.get("/v1/reservations/shop/none-such", headers=FAR)
    assert answer.status == 404
    assert written(house, answer).peer == ("203.0.113.5" if trusted else "127.0.0.1")

"""A real server on loopback over a real database, and a small client that shows what it said."""

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import msgspec
import psycopg
import pytest

from stockwright.api.server import WebServer
from stockwright.app import Services, open_services
from stockwright.config import Config, Database
from stockwright.domain.items import Component, Listing, Sku, Unit
from stockwright.domain.network import Channel, Location, System
from stockwright.store import access, master
from stockwright.store.embedded import EmbeddedServer

SYSTEMS = (
    System(code="erp", role="erp"),
    System(code="shop", role="shop"),
)


class Answer(msgspec.Struct):
    """What the server said."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return msgspec.json.decode(self.body)


class Client:
    """Speaks HTTP to a server with one API key."""

    def __init__(self, port: int, key: str = "") -> None:
        self.port = port
        self.key = key
        self.kept: http.client.HTTPConnection | None = None

    @contextmanager
    def keep_alive(self) -> Iterator["Client"]:
        """The same client over one connection that stays open."""
        client = Client(self.port, self.key)
        client.kept = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            yield client
        finally:
            client.kept.close()

    def call(self, method, path, body=None, headers=None, *, json=None) -> Answer:
        sent = {"content-type": "application/json"} if body is not None or json is not None else {}
        if self.key:
            sent["authorization"] = f"Bearer {self.key}"
        sent.update(headers or {})
        if json is not None:
            body = msgspec.json.encode(json)
        connection = self.kept or http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, told, answer.read())
        finally:
            if connection is not self.kept:
                connection.close()

    def get(self, path, **more) -> Answer:
        return self.call("GET", path, **more)

    def post(self, path, json=None, **more) -> Answer:
        return self.call("POST", path, json=json, **more)

    def put(self, path, json=None, **more) -> Answer:
        return self.call("PUT", path, json=json, **more)


class House:
    """A running server, its services, and clients with keys of chosen scopes."""

    def __init__(self, services: Services, web: WebServer) -> None:
        self.services = services
        self.web = web
        self.admin = self.client("admin")

    def key(self, *scopes: str, system: str = "") -> access.NewKey:
        with self.services.pool.connection() as connection:
            return access.add_key(connection, name="test", scopes=scopes, system=system)

    def client(self, *scopes: str, system: str = "") -> Client:
        return Client(self.web.port, self.key(*scopes, system=system).key)

    def sql(self, query: str, *values):
        with self.services.pool.connection() as connection:
            found = connection.execute(query, values)
            return found.fetchall() if found.description else None

    def free(self, sku: str) -> int:
        ((units,),) = self.sql(
            "SELECT coalesce(sum(sellable - reserved - allocated - picked), 0)::bigint "
            "FROM balance WHERE sku = %s",
            sku,
        )
        return int(units)

    def work(self) -> None:
        """Does what the intake's loop would do, until nothing waits."""
        while self.services.intake.step().payloads:
            pass

    def receive(self, sku: str, quantity: int, location: str = "main") -> None:
        """Puts goods on the shelf."""
        fact = {
            "kind": "receipt",
            "system": "erp",
            "document": f"receipt-{uuid4().hex}",
            "sku": sku,
            "quantity": quantity,
            "location": location,
        }
        answer = self.admin.post("/v1/events", fact)
        assert answer.status == 200, answer


def config_for(url: str) -> Config:
    return Config(
        database=Database(url=url),
        systems=SYSTEMS,
        locations=(Location(code="main"), Location(code="second", priority=200)),
        channels=(Channel(code="web", system="shop", pool=("main", "second")),),
    )


def seed(services: Services) -> None:
    skus = [Sku(code=code) for code in ("A", "B", "C", "with/slash", "Größe 42")]
    with services.pool.connection() as connection:
        master.save(connection, "skus", skus)
        master.save(connection, "units", [Unit(sku="A", code="BOX", factor=12)])
        listing = Listing(channel="web", code="A", components=(Component(sku="A"),))
        master.save(connection, "listings", [listing])


@pytest.fixture(scope="module")
def house(cluster: EmbeddedServer, template: str) -> Iterator[House]:
    """One server for the tests of a module; they use SKUs and documents of their own."""
    name = f"api_{uuid4().hex[:12]}"
    with psycopg.connect(cluster.url_of("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY WAL_LOG")
        with (
            open_services(config_for(cluster.url_of(name)), ["api"]) as services,
            WebServer(services, host="127.0.0.1", port=0) as web,
        ):
            seed(services)
            yield House(services, web)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def durable_house(durable_cluster: EmbeddedServer) -> Iterator[tuple[House, EmbeddedServer]]:
    """A server whose database is the test's own, to be crashed."""
    with (
        open_services(config_for(durable_cluster.url), ["api"]) as services,
        WebServer(services, host="127.0.0.1", port=0) as web,
    ):
        seed(services)
        yield House(services, web), durable_cluster


@pytest.fixture
def new_sku(house: House):
    """Makes a SKU nobody else uses."""

    def make() -> str:
        code = f"sku-{uuid4().hex[:8]}"
        with house.services.pool.connection() as connection:
            master.save_one(connection, "skus", Sku(code=code))
        return code

    return make

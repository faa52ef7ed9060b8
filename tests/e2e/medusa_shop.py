"""A real Medusa server: installed once, started for the tests, and asked as its people do."""

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stockwright.connectors import medusa
from tests.e2e.loopback_postgres import free_port

FOLDER_VARIABLE = "STOCKWRIGHT_E2E_MEDUSA"
OURS = Path(__file__).parent / "medusa"
SUBSCRIBER = Path(medusa.__file__).parent / "subscriber.js"
EMAIL, PASSWORD = "admin@example.com", "for-tests-only"
_ADDRESS = {
    "first_name": "A",
    "last_name": "B",
    "address_1": "1",
    "city": "X",
    "postal_code": "1",
    "country_code": "de",
}


def installed() -> Path:
    """The folder with Medusa's packages; installs them where it has none. Fails naming what is
    missing.
    """
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.fail(f"{program} is missing: the tests against Medusa need Node 20 or newer")
    asked = os.environ.get(FOLDER_VARIABLE)
    folder = Path(asked or Path.home() / ".cache" / "stockwright-e2e" / "medusa")
    if not (folder / "node_modules" / "@medusajs" / "medusa").exists():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(OURS / "package.json", folder)
        command = ["npm", "install", "--no-audit", "--no-fund", "--omit=dev"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.fail(
                f"npm could not install Medusa into {folder} (about 900 MB;"
                f" {FOLDER_VARIABLE} names another folder): {done.stderr[-2000:]}"
            )
    return folder


class Servers:
    """Medusa processes over one database, in a project folder of their own."""

    def __init__(self, project: Path, database: str, environment: Mapping[str, str]) -> None:
        self.project = project
        self.environment = {
            **os.environ,
            "DATABASE_URL": database,
            "NODE_ENV": "production",
            "MEDUSA_DISABLE_TELEMETRY": "true",
            "LOG_LEVEL": "error",
            **environment,
        }
        self.running: list[subprocess.Popen[bytes]] = []
        (project / "src" / "subscribers").mkdir(parents=True)
        shutil.copy(OURS / "medusa-config.js", project)
        shutil.copy(OURS / "package.json", project)
        shutil.copy(SUBSCRIBER, project / "src" / "subscribers" / "stockwright.js")
        (project / "node_modules").symlink_to(installed() / "node_modules")

    def migrate(self) -> None:
        """Makes the tables, and the first user."""
        self._command("db:migrate")
        self._command("user", "-e", EMAIL, "-p", PASSWORD)

    def start(self) -> str:
        """One more process; its address."""
        port = free_port()
        log = self.project / f"server-{port}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*self._cli(), "start", "-p", str(port), "-H", "127.0.0.1"],
                cwd=self.project,
                env=self.environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.running.append(process)
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 120
        while not _answers(f"{url}/health"):
            alive = process.poll() is None and time.monotonic() < deadline
            assert alive, log.read_text(errors="replace")[-3000:]
            time.sleep(0.2)
        return url

    def log(self) -> str:
        """What the processes said."""
        logs = sorted(self.project.glob("server-*.log"))
        return "".join(one.read_text(errors="replace") for one in logs)

    def stop(self) -> None:
        """Ends every process that was started."""
        for process in self.running:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.running:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _cli(self) -> list[str]:
        return ["node", "node_modules/@medusajs/cli/cli.js"]

    def _command(self, *words: str) -> None:
        done = subprocess.run(
            [*self._cli(), *words],
            cwd=self.project,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, (
            f"medusa {words[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        )


@contextmanager
def medusa_servers(
    project: Path, database: str, environment: Mapping[str, str]
) -> Iterator[Servers]:
    """Servers over a migrated database; they end with the block."""
    servers = Servers(project, database, environment)
    try:
        servers.migrate()
        yield servers
    finally:
        servers.stop()


class Refused(Exception):
    """The shop said no."""

    def __init__(self, status: int, told: Any) -> None:
        super().__init__(f"{status} {str(told)[:500]}")
        self.status = status
        self.told = told


class Medusa:
    """What people do in the shop: its staff by the Admin API, its customers by the Store API."""

    def __init__(self, url: str) -> None:
        self.url = url
        asked = {"email": EMAIL, "password": PASSWORD}
        self._bearer = {
            "authorization": f"Bearer {self._call('/auth/user/emailpass', asked)['token']}"
        }
        self._store: dict[str, str] = {}
        self.variants: dict[str, str] = {}

    # ---------------------------------------------------------------- staff

    def get(self, path: str) -> Any:
        """An answer of the Admin API."""
        return self._call(f"/admin{path}", headers=self._bearer)

    def post(self, path: str, body: Any = None) -> Any:
        """The same, of a call that changes something."""
        return self._call(f"/admin{path}", body or {}, headers=self._bearer)

    def set_up(self) -> None:
        """What a shop needs before it can sell, and a secret key for us."""
        self.channel = self.post("/sales-channels", {"name": "Web"})["sales_channel"]["id"]
        key = self.post("/api-keys", {"title": "store", "type": "publishable"})["api_key"]
        self.post(f"/api-keys/{key['id']}/sales-channels", {"add": [self.channel]})
        self._store = {"x-publishable-api-key": key["token"]}
        asked = {"title": "stockwright", "type": "secret"}
        self.secret_key = self.post("/api-keys", asked)["api_key"]["token"]
        self.region = self.post(
            "/regions",
            {
                "name": "EU",
                "currency_code": "eur",
                "countries": ["de"],
                "payment_providers": ["pp_system_default"],
            },
        )["region"]["id"]
        place = {"name": "Main", "address": {"address_1": "1", "country_code": "DE"}}
        self.location = self.post("/stock-locations", place)["stock_location"]["id"]
        at = f"/stock-locations/{self.location}"
        self.post(f"{at}/sales-channels", {"add": [self.channel]})
        self.post(f"{at}/fulfillment-providers", {"add": ["manual_manual"]})
        self.post(f"{at}/fulfillment-sets", {"name": "ship", "type": "shipping"})
        (sets,) = self.get(f"{at}?fields=*fulfillment_sets")["stock_location"]["fulfillment_sets"]
        zone = self.post(
            f"/fulfillment-sets/{sets['id']}/service-zones",
            {"name": "DE", "geo_zones": [{"type": "country", "country_code": "de"}]},
        )["fulfillment_set"]["service_zones"][0]["id"]
        profiles = self.get("/shipping-profiles?limit=1")["shipping_profiles"]
        if not profiles:
            profiles = [
                self.post("/shipping-profiles", {"name": "default", "type": "default"})[
                    "shipping_profile"
                ]
            ]
        self.profile = profiles[0]["id"]
        self.option = self.post(
            "/shipping-options",
            {
                "name": "flat",
                "service_zone_id": zone,
                "shipping_profile_id": self.profile,
                "price_type": "flat",
                "provider_id": "manual_manual",
                "type": {"label": "Flat", "description": "-", "code": "flat"},
                "prices": [{"currency_code": "eur", "amount": 5}],
            },
        )["shipping_option"]["id"]

    def create_variant(self, sku: str) -> str:
        """A product with one variant of this SKU; the inventory item that Medusa makes for it."""
        variant = {
            "title": "One",
            "sku": sku,
            "manage_inventory": True,
            "allow_backorder": False,
            "options": {"Size": "One"},
            "prices": [{"currency_code": "eur", "amount": 10}],
        }
        product = self.post(
            "/products",
            {
                "title": sku,
                "status": "published",
                "shipping_profile_id": self.profile,
                "sales_channels": [{"id": self.channel}],
                "options": [{"title": "Size", "values": ["One"]}],
                "variants": [variant],
            },
        )["product"]
        self.variants[sku] = product["variants"][0]["id"]
        return str(self.get(f"/inventory-items?sku={sku}")["inventory_items"][0]["id"])

    def level(self, sku: str) -> tuple[int, int]:
        """(in stock, of these reserved) of a SKU at our location; (-1, 0) where it is not there."""
        query = urllib.parse.urlencode({"sku": sku, "fields": "id,*location_levels"})
        (item,) = self.get(f"/inventory-items?{query}")["inventory_items"]
        for one in item["location_levels"]:
            if one["location_id"] == self.location:
                return one["stocked_quantity"], one["reserved_quantity"]
        return -1, 0

    def order(self, number: str) -> Any:
        """An order with its fulfilments and payments."""
        fields = "*fulfillments,*fulfillments.labels,*fulfillments.items"
        return self.get(f"/orders/{number}?fields={fields}")["order"]

    def orders_of(self, sku: str) -> list[str]:
        """Every order of a SKU that the shop has, by whatever its customers were told."""
        listed = self.get("/orders?limit=500&fields=id,status,*items")["orders"]
        return [
            str(order["id"])
            for order in listed
            if any(line["variant_sku"] == sku for line in order["items"])
        ]

    def line(self, number: str) -> str:
        """The only line of an order."""
        (line,) = self.order(number)["items"]
        return str(line["id"])

    def capture(self, number: str) -> str:
        """Takes the payment of an order; its id."""
        payment = self.order(number)["payment_collections"][0]["payments"][0]["id"]
        self.post(f"/payments/{payment}/capture")
        return str(payment)

    def receive_return(self, number: str, units: int) -> str:
        """Units of the order's only line come back and are received; the return's id."""
        items = {"items": [{"id": self.line(number), "quantity": units}]}
        asked = {"order_id": number, "location_id": self.location}
        made = self.post("/returns", asked)["return"]["id"]
        for step, body in (
            ("request-items", items),
            ("request", {}),
            ("receive", {}),
            ("receive-items", items),
            ("receive/confirm", {}),
        ):
            self.post(f"/returns/{made}/{step}", body)
        return str(made)

    # ---------------------------------------------------------------- customers

    def fill_cart(self, sku: str, units: int) -> str:
        """A cart that only has to be completed; its id."""
        variant = self.variants[sku]
        cart = self._shop(
            "/carts",
            {
                "region_id": self.region,
                "sales_channel_id": self.channel,
                "email": "a@example.com",
                "items": [{"variant_id": variant, "quantity": units}],
                "shipping_address": _ADDRESS,
            },
        )["cart"]["id"]
        self._shop(f"/carts/{cart}/shipping-methods", {"option_id": self.option})
        made = self._shop("/payment-collections", {"cart_id": cart})["payment_collection"]["id"]
        provider = {"provider_id": "pp_system_default"}
        self._shop(f"/payment-collections/{made}/payment-sessions", provider)
        return str(cart)

    def complete(self, cart: str, url: str = "") -> str:
        """The order that a cart becomes, by this or another of its servers. Raises Refused."""
        told = self._shop(f"/carts/{cart}/complete", {}, url=url)
        if told["type"] != "order":
            raise Refused(200, told)
        return str(told["order"]["id"])

    def buy(self, sku: str, units: int) -> str:
        """A customer buys; the order's id. Raises Refused."""
        return self.complete(self.fill_cart(sku, units))

    def _shop(self, path: str, body: Any, url: str = "") -> Any:
        return self._call(f"/store{path}", body, headers=self._store, url=url)

    def _call(
        self,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        url: str = "",
    ) -> Any:
        data = None if body is None else json.dumps(body).encode()
        sent = {"content-type": "application/json", **(headers or {})}
        request = urllib.request.Request((url or self.url) + path, data=data, headers=sent)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise Refused(error.code, error.read().decode(errors="replace")) from None


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False

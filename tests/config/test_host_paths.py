"""What a connection that is made from elsewhere may name on this machine."""

from dataclasses import dataclass

import pytest

from stockwright.config import Connections, read_edits
from stockwright.domain.network import Network, System

URL = {"base_url": "https://shop.example.com"}


@dataclass
class Machine:
    """Folders that may be named, and one beside them that may not."""

    host: Connections
    secrets: str
    files: str
    elsewhere: str


@pytest.fixture
def machine(tmp_path):
    for name in ("secrets", "files", "elsewhere", "secrets-of-others"):
        (tmp_path / name).mkdir()
    (tmp_path / "elsewhere" / "key").write_text("another's")
    (tmp_path / "secrets" / "link").symlink_to(tmp_path / "elsewhere" / "key")
    secrets, files = str(tmp_path / "secrets"), str(tmp_path / "files")
    host = Connections(secret_folders=(secrets,), exchange_folders=(files,))
    return Machine(host, secrets, files, str(tmp_path / "elsewhere"))


def wrong(host, settings, connector="json_http", now=()):
    """The fields that are refused, of a system with these settings."""
    given = {"systems": {"A": {"role": "shop", "connector": connector, "settings": settings}}}
    return {one.field: one for one in read_edits(given, Network(systems=now), host)[1]}


def test_secrets_lie_below_what_was_declared(machine):
    token = "systems.A.settings.token"
    refused = (
        f"{machine.elsewhere}/key",
        f"{machine.secrets}/../elsewhere/key",
        f"{machine.secrets}-of-others/key",
        f"{machine.secrets}/link",
        machine.secrets,
        "secrets/key",
        "~/key",
        "/etc/passwd",
        "/proc/self/environ",
    )
    for path in refused:
        found = wrong(machine.host, URL | {"token": f"file:{path}"})
        assert set(found) == {token}, path
        assert f"below {machine.secrets}" in found[token].fix
        assert path not in found[token].problem
    assert wrong(machine.host, URL | {"token": f"file:{machine.secrets}/a/key"}) == {}


def test_secrets_that_stand_deeper_are_seen(machine):
    given = URL | {"webhook_secrets": ["env:STOCKWRIGHT_SECRET_A", "file:/etc/shadow"]}
    assert set(wrong(machine.host, given)) == {"systems.A.settings.webhook_secrets[1]"}


@pytest.mark.parametrize(
    "name",
    ["STOCKWRIGHT_DATABASE_URL", "AWS_SECRET_ACCESS_KEY", "stockwright_secret_shop", "", "*"],
)
def test_variables_have_a_name_that_was_declared(machine, name):
    found = wrong(machine.host, URL | {"token": f"env:{name}"})
    assert set(found) == {"systems.A.settings.token"}
    assert wrong(machine.host, URL | {"token": "env:STOCKWRIGHT_SECRET_SHOP"}) == {}
    own = Connections(secret_variables=("SHOP_TOKEN", "WMS_*"))
    assert wrong(own, URL | {"token": "env:WMS_KEY"}) == {}
    refused = wrong(own, URL | {"token": "env:SHOP_TOKENS"})["systems.A.settings.token"]
    assert "SHOP_TOKEN or WMS_*" in refused.fix
    assert wrong(None, URL | {"token": "env:HOME"}) == {}


@pytest.mark.parametrize("connector", ["csv_drop", "pos_file"])
@pytest.mark.parametrize("name", ["inbox", "outbox"])
def test_folders_lie_below_what_was_declared_and_not_among_secrets(machine, connector, name):
    field = f"systems.A.settings.{name}"
    for path in (machine.elsewhere, machine.secrets, f"{machine.secrets}/a", "/etc", "etc"):
        found = wrong(machine.host, {name: path}, connector)
        assert set(found) == {field}, path
        assert f"below {machine.files}" in found[field].fix
    assert wrong(machine.host, {name: f"{machine.files}/acme"}, connector) == {}


def test_folders_of_a_server_are_its_own_until_the_server_is_gone(machine):
    server = {
        "sftp_host": "sftp.example.com",
        "sftp_user": "us",
        "sftp_host_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4c1l3p7Xw1mN5zXgkq0wUO3bVd9Zk2",
        "sftp_password": "env:STOCKWRIGHT_SECRET_SFTP",
    }
    assert wrong(machine.host, server | {"inbox": "/etc"}, "csv_drop") == {}
    now = System(code="A", role="shop", connector="csv_drop", settings=server | {"inbox": "/etc"})
    assert set(wrong(machine.host, {"inbox": "/etc"}, "csv_drop", (now,))) == {
        "systems.A.settings.inbox"
    }


def test_nothing_is_declared_at_first_and_who_works_on_the_machine_is_free(machine):
    settings = URL | {"token": f"file:{machine.secrets}/key"}
    (found,) = wrong(Connections(), settings).values()
    assert "connections.secret_folders" in found.fix
    assert "on the machine" in found.fix
    assert wrong(None, settings) == {}
    assert wrong(None, {"inbox": "/etc"}, "csv_drop") == {}


def test_what_the_same_connection_names_already_may_stay(machine):
    kept = URL | {"token": "file:/run/secrets/shop"}
    now = System(code="A", role="shop", connector="json_http", settings=kept)
    assert wrong(machine.host, kept | {"page_size": 7}, now=(now,)) == {}
    other = System(code="B", role="shop", connector="json_http", settings=kept)
    assert set(wrong(machine.host, kept, now=(other,))) == {"systems.A.settings.token"}
    unconnected = System(code="A", role="shop", settings={"inbox": "/etc"})
    assert set(wrong(machine.host, {"inbox": "/etc"}, "csv_drop", (unconnected,))) == {
        "systems.A.settings.inbox"
    }

import datetime as dt
import re
from pathlib import Path

import pytest

from stockwright.config import (
    Config,
    ConfigInvalid,
    database_url,
    find_config,
    lint,
    load_config,
    template,
)
from stockwright.domain.errors import Misconfigured

FILE = """\
[server]
port = 9000
[database]
data_dir = "data"
[systems.WMS]
role = "wms"
latency_budget_s = 2.5
[systems."00 7"]
role = "shop"
[locations.MAIN]
groups = ["EU", "ALL"]
[[locations.MAIN.authority]]
group = "outbound"
system = "WMS"
from = 2026-01-01T00:00:00+01:00
[channels.web]
system = "00 7"
pool = ["EU"]
[[channels.web.policies]]
sku = "0012a"
cap = 5
[[channels.web.policies]]
safety = 1
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STOCKWRIGHT_CONFIG", raising=False)
    monkeypatch.delenv("STOCKWRIGHT_DATABASE_URL", raising=False)


def test_a_file_is_read_into_typed_settings(tmp_path: Path) -> None:
    path = tmp_path / "stockwright.toml"
    path.write_text(FILE)
    config = load_config()
    assert config.file == "stockwright.toml"
    assert (config.server.host, config.server.port) == ("127.0.0.1", 9000)
    assert config.database.data_dir == str(tmp_path / "data")
    assert [(each.code, each.role, each.latency_budget_s) for each in config.systems] == [
        ("WMS", "wms", 2.5),
        ("00 7", "shop", 5.0),
    ]
    (place,) = config.locations
    assert place.groups == ("EU", "ALL")
    assert place.authority[0].valid_from == dt.datetime(2025, 12, 31, 23, tzinfo=dt.UTC)
    (channel,) = config.channels
    assert [(each.sku, each.cap, each.safety) for each in channel.policies] == [
        ("0012a", 5, 0),
        (None, None, 1),
    ]


def test_without_a_file_all_is_default() -> None:
    assert load_config() == Config()
    assert database_url(load_config()) is None


def test_the_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other.toml"
    other.write_text("[server]\nport = 1\n")
    (tmp_path / "stockwright.toml").write_text("[server]\nport = 2\n")
    assert load_config().server.port == 2
    monkeypatch.setenv("STOCKWRIGHT_CONFIG", str(other))
    assert load_config().server.port == 1
    assert load_config("stockwright.toml").server.port == 2
    assert find_config() == other


def test_a_file_that_is_named_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOCKWRIGHT_CONFIG", "gone.toml")
    with pytest.raises(ConfigInvalid, match=r"gone\.toml:1: cannot be read"):
        load_config()


def test_the_environment_overrides_the_database_and_stays_out_of_sight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stockwright.toml").write_text(FILE)
    monkeypatch.setenv("STOCKWRIGHT_DATABASE_URL", "postgresql://me:hunter2@db/stock")
    config = load_config()
    assert "hunter2" not in repr(config)
    assert database_url(config) == "postgresql://me:hunter2@db/stock"
    assert config.server.port == 9000


def test_an_invalid_file_raises_with_every_finding(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text("[server]\nport = -1\n[systems.A]\nrole = 'x'\n")
    with pytest.raises(Misconfigured) as caught:
        load_config(path)
    assert isinstance(caught.value, ConfigInvalid)
    assert caught.value.setting == "server.port"
    assert [finding.line for finding in caught.value.findings] == [2, 4]
    assert f"{path}:2:" in str(caught.value)
    assert "1 more" in str(caught.value)


def test_warnings_do_not_keep_anybody_from_starting(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text("[locations.A]\npriority = 1\n[locations.B]\npriority = 1\n")
    assert [finding.level for finding in lint(path)] == ["warning"]
    assert len(load_config(path).locations) == 2


def test_the_first_file_lints_clean_as_it_is_and_with_everything_switched_on(
    tmp_path: Path,
) -> None:
    path = tmp_path / "stockwright.toml"
    path.write_text(template())
    assert lint(path) == []
    assert load_config(path) == Config(file=str(path))
    path.write_text(re.sub(r"(?m)^#(?=\S)", "", template()))
    assert lint(path) == []
    config = load_config(path)
    assert (len(config.systems), len(config.locations), len(config.channels)) == (1, 1, 1)

from pathlib import Path

import pytest

from stockwright.config import ConfigInvalid, lint, load_config, resolve_secret
from stockwright.domain.errors import Misconfigured

WORD = "hunter2"
LITERALS = [
    "password = 'hunter2'",
    "apiKey = 'hunter2'",
    "api-key = 'hunter2'",
    "WEBHOOK_SECRET = 'hunter2'",
    "signing_keys = ['env:OK', 'hunter2']",
    "headers = { Authorization = 'hunter2' }",
    "deep = [{ token = 'hunter2' }]",
    "base_url = 'https://user:hunter2@example.com/'",
    "dsn = 'postgresql://h/d?user=x&password=hunter2'",
    "credentials = { client_secret = 'hunter2' }",
    "pwd = 7",
    "accesstoken = 'hunter2'",
    "dsn = 'postgresql://h/d?sslpassword=hunter2'",
]
HARMLESS = [
    "password = 'env:SHOP_PASSWORD'",
    "token = 'file:/run/secrets/token'",
    "token_url = 'https://example.com/token'",
    "token_lifetime_s = 300",
    "secret = ''",
    "secrets = ['env:A', 'file:b']",
    "monkey = 'banana'",
    "send_cookies = true",
    "base_url = 'https://user@example.com/'",
]


def written(folder: Path, setting: str) -> Path:
    path = folder / "stockwright.toml"
    path.write_text(f"[systems.A]\nrole = 'shop'\n[systems.A.settings]\n{setting}\n")
    return path


@pytest.mark.parametrize("setting", LITERALS)
def test_a_secret_written_out_is_an_error_that_does_not_repeat_it(
    tmp_path: Path, setting: str
) -> None:
    path = written(tmp_path, setting)
    (finding,) = lint(path)
    assert (finding.line, finding.level) == (4, "error")
    assert "env:NAME or file:PATH" in finding.fix
    assert WORD not in str(finding)
    with pytest.raises(ConfigInvalid) as caught:
        load_config(path)
    assert WORD not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("setting", HARMLESS)
def test_references_and_harmless_names_are_no_fault(tmp_path: Path, setting: str) -> None:
    assert lint(written(tmp_path, setting)) == []


def test_the_database_address_must_not_carry_its_password(tmp_path: Path) -> None:
    path = tmp_path / "stockwright.toml"
    path.write_text("[database]\nurl = 'postgresql://me:hunter2@db/stock'\n")
    (finding,) = lint(path)
    assert (finding.line, finding.field) == (2, "database.url")
    assert WORD not in str(finding)


def test_references_are_resolved_when_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "one")
    secret = tmp_path / "token"
    secret.write_text("two\n")
    assert resolve_secret("env:SHOP_TOKEN") == "one"
    assert resolve_secret(f"file:{secret}") == "two"
    secret.write_text("three\r\n")
    assert resolve_secret(f"file:{secret}") == "three"


@pytest.mark.parametrize(
    ("reference", "setting", "words"),
    [
        ("env:NOT_THERE", "env:NOT_THERE", "NOT_THERE is not set"),
        ("file:/not/there", "file:/not/there", "/not/there cannot be read"),
        ("hunter2", "secret", "env:NAME or file:PATH"),
        ("env:EMPTY", "env:EMPTY", "is empty"),
    ],
)
def test_a_reference_that_leads_nowhere_names_itself_and_the_next_step(
    monkeypatch: pytest.MonkeyPatch, reference: str, setting: str, words: str
) -> None:
    monkeypatch.setenv("EMPTY", "")
    with pytest.raises(Misconfigured) as caught:
        resolve_secret(reference)
    assert caught.value.setting == setting
    assert words in str(caught.value)
    assert WORD not in str(caught.value)


def test_a_relative_file_reference_is_meant_from_the_configuration(tmp_path: Path) -> None:
    path = written(tmp_path, "token = 'file:secrets/token'\nlist = ['file:/abs', 'env:X']")
    settings = load_config(path).systems[0].settings
    assert settings == {
        "token": f"file:{tmp_path}/secrets/token",
        "list": ["file:/abs", "env:X"],
    }

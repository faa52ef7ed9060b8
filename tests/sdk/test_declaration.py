"""A connector is declared once; what is wrong with its settings is said by name."""

from typing import Annotated, Literal

import msgspec
import pytest

from stockwright.domain.errors import Misconfigured
from stockwright.sdk.declaration import Capabilities, ConnectorSettings, Declaration, Limits
from stockwright.sdk.secrets import Secret, resolve_secret

LIMITS = Limits(
    batch_size=10, calls_per_s=1, burst=1, concurrency=1, timeout_s=1, longest_apply_delay_s=0
)


class Nested(msgspec.Struct, forbid_unknown_fields=True):
    path: str


class Formed(ConnectorSettings, frozen=True, kw_only=True):
    any: Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s?#]+$")] = "https://a"
    safe: Annotated[str, msgspec.Meta(pattern=r"^(https://[^\s?#/]+)?$")] = ""
    near: Annotated[str, msgspec.Meta(pattern=r"^(https://[^\s?#]+|http://localhost)$")] = (
        "https://a"
    )
    path: Annotated[str, msgspec.Meta(pattern=r"^(/.*)?$")] = ""
    names: tuple[Annotated[str, msgspec.Meta(pattern=r"^\d{1,3}$")], ...] = ()
    kind: Literal["shipment", "refund"] = "refund"


class Settings(ConnectorSettings, frozen=True, kw_only=True):
    url: Annotated[str, msgspec.Meta(description="where")]
    token: Secret | None = None
    secrets: tuple[Secret, ...] = ()
    size: Annotated[int, msgspec.Meta(ge=1, le=100)] = 50
    nested: tuple[Nested, ...] = ()
    low: int = 0
    high: int = 10

    def __post_init__(self):
        if self.low > self.high:
            raise ValueError("low must not be above high")


DECLARATION = Declaration(
    name="example",
    roles=("shop",),
    summary="An example.",
    settings=Settings,
    limits=LIMITS,
    capabilities=Capabilities(),
)


def parse(**given):
    return DECLARATION.parse_settings(given, resolve_secret, where="systems.shop.settings")


def test_settings_are_typed_and_defaults_filled_in():
    settings = parse(url="http://x")
    assert (settings.url, settings.size, settings.token) == ("http://x", 50, None)


@pytest.mark.parametrize(
    ("given", "field", "message"),
    [
        ({"any": "shop.example"}, "any",
         "is not an address that begins with http:// or https:// without blanks or ? or #"),
        ({"safe": "https://a/b"}, "safe",
         "is not an address that begins with https:// without blanks or ? or # or /"),
        ({"near": "http://a"}, "near",
         "is not an address that begins with https:// (on this machine alone http://)"
         " without blanks or ? or #"),
        ({"path": "levels"}, "path", "is not a path that begins with /"),
        ({"kind": "shipmnt"}, "kind",
         "is 'shipmnt', which is none of its values; did you mean shipment?"),
        ({"kind": "zzz"}, "kind", "is 'zzz', which is none of its values"),
        ({"names": ["7", "x"]}, "names[1]", r"is not of the form ^\d{1,3}$"),
    ],
)  # fmt: skip
def test_what_a_text_must_look_like_is_told_in_words(given, field, message):
    declaration = msgspec.structs.replace(DECLARATION, settings=Formed)
    (problem,) = declaration.problems(given)
    assert (problem.field, problem.message) == (field, message)


@pytest.mark.parametrize(
    ("given", "setting", "words"),
    [
        ({}, "url", "is required"),
        ({"url": 5}, "url", "expected 'str'"),
        ({"url": "x", "size": 0}, "size", ">= 1"),
        ({"url": "x", "size": "7"}, "size", "expected 'int'"),
        ({"url": "x", "sise": 7}, "sise", "did you mean size?"),
        ({"url": "x", "zzz": 7}, "zzz", "settings are url, token"),
        ({"url": "x", "nested": [{"path": "a"}, {"path": 1}]}, "nested[1].path", "expected 'str'"),
        ({"url": "x", "nested": [{"paht": "a"}]}, "nested[0]", "paht"),
        ({"url": "x", "token": "abc"}, "token", "env:NAME or file:PATH"),
        (
            {"url": "x", "token": "env:STOCKWRIGHT_NOT_SET"},
            "token",
            "STOCKWRIGHT_NOT_SET is not set",
        ),
        ({"url": "x", "secrets": ["env:STOCKWRIGHT_NOT_SET"]}, "secrets[0]", "is not set"),
        ({"url": "x", "token": "file:/nowhere/at/all"}, "token", "/nowhere/at/all cannot be read"),
        ({"url": "x", "low": 11}, "", "low must not be above high"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_wrong(given, setting, words):
    with pytest.raises(Misconfigured) as error:
        parse(**given)
    assert error.value.setting == f"systems.shop.settings.{setting}".removesuffix(".")
    assert words in str(error.value)


def test_all_problems_are_told_at_once_unknown_settings_last():
    problems = DECLARATION.problems({"size": 0, "colour": 1})
    assert [problem.field for problem in problems] == ["url", "size", "colour"]


def test_lint_without_the_machine_s_secrets_checks_only_their_form():
    assert DECLARATION.problems({"url": "x", "token": "env:STOCKWRIGHT_NOT_SET"}) == []


def test_a_secret_is_resolved_and_never_shown(monkeypatch, tmp_path):
    monkeypatch.setenv("STOCKWRIGHT_TEST_TOKEN", "hush-1")
    (tmp_path / "secret").write_text("hush-2\n", encoding="utf-8")
    settings = parse(
        url="x", token="env:STOCKWRIGHT_TEST_TOKEN", secrets=[f"file:{tmp_path / 'secret'}"]
    )
    assert [settings.token.reveal(), settings.secrets[0].reveal()] == ["hush-1", "hush-2"]
    assert "hush" not in repr(settings)
    assert "hush" not in str(settings.token)
    with pytest.raises(TypeError):
        msgspec.json.encode(settings)


def test_the_schema_says_how_a_secret_is_written():
    properties = DECLARATION.json_schema()["$defs"]["Settings"]["properties"]
    assert properties["url"]["description"] == "where"
    assert {"type": "string", "pattern": "^(env|file):", "writeOnly": True} in (
        properties["token"]["anyOf"]
    )

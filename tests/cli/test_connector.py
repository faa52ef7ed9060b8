"""`stockwright connector`: what is installed tells of itself, and a new one passes at once."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from stockwright.config import lint
from stockwright.config.connectors import (
    OURS,
    connector_names,
    find_connector,
    usable_connectors,
)

ENTRY = "[stockwright.connectors]\nacme_shop = {}\n"


@pytest.fixture
def made(stockwright, tmp_path):
    assert stockwright("connector", "new", "acme_shop").code == 0
    return tmp_path / "stockwright-acme-shop"


@pytest.fixture
def installed(made, monkeypatch):
    """The scaffold as if installed: its package and a distribution's metadata on the path."""
    monkeypatch.syspath_prepend(str(made / "src"))
    yield announce(made / "src", "stockwright_acme_shop:CONNECTOR")
    for name in [name for name in sys.modules if name.startswith("stockwright_acme_shop")]:
        del sys.modules[name]


def announce(folder: Path, target: str) -> Path:
    info = folder / "stockwright_acme_shop-0.1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: stockwright-acme-shop\nVersion: 0.1.0\n", encoding="utf-8"
    )
    (info / "entry_points.txt").write_text(ENTRY.format(target), encoding="utf-8")
    return folder


def test_all_that_is_ours_is_listed_with_its_verbs(stockwright):
    listed = {one["name"]: one for one in stockwright("connector", "list", "--json").json}
    assert list(OURS) == [name for name in listed if name in OURS]
    assert listed["json_http"]["verbs"] == [
        "publish", "read_back", "snapshot", "read", "receive", "submit", "map",
    ]  # fmt: skip
    assert "submit" in listed["shopify"]["verbs"]
    assert {"items", "expected"} <= set(listed["tryton"]["verbs"])
    assert "announce" in listed["nats"]["verbs"]
    for name in OURS:
        assert name in stockwright("connector", "list").out


@pytest.mark.parametrize("name", OURS)
def test_a_declaration_yields_its_page_and_a_schema_that_is_one(stockwright, name):
    declaration = find_connector(name).declaration
    page = stockwright("connector", "docs", name).out
    assert page.startswith(f"# Connector `{name}`\n")
    assert declaration.summary in page
    assert declaration.partner_docs in page
    declared = (declaration.limits, declaration.capabilities, declaration.patience)
    for part in (declaration.settings, *map(type, declared)):
        for field in part.__struct_fields__:
            assert f"| `{field}` |" in page
    schema = stockwright("connector", "schema", name).json
    jsonschema.Draft202012Validator.check_schema(schema)
    with pytest.raises(jsonschema.ValidationError, match="no_such"):
        jsonschema.validate({"no_such": 1}, schema)
    shown = stockwright("connector", "show", name, "--json").json
    assert shown["settings"] == list(declaration.settings.__struct_fields__)


def test_an_unknown_connector_is_told_with_the_closest_name(stockwright):
    ran = stockwright("connector", "show", "shopfy")
    assert ran.code == 2
    assert "did you mean shopify?" in ran.err


def test_another_package_s_connector_is_found_by_its_entry_point(installed, stockwright, tmp_path):
    assert connector_names() == [*OURS, "acme_shop"]
    assert "acme_shop" in stockwright("connector", "list").out
    path = tmp_path / "stockwright.toml"
    good = (
        '[systems.ACME]\nrole = "shop"\nconnector = "acme_shop"\n[systems.ACME.settings]\n'
        'base_url = "https://acme.example"\ntoken = "env:ACME"\n'
    )
    path.write_text(good, encoding="utf-8")
    assert lint(path) == []
    path.write_text(good + "chanel = 'WEB'\n", encoding="utf-8")
    (finding,) = lint(path)
    assert (finding.line, finding.field) == (7, "systems.ACME.settings.chanel")
    assert "did you mean channel?" in finding.fix


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("stockwright_acme_shop:NOTHING", "of stockwright-acme-shop cannot be loaded"),
        ("no_such_package:CONNECTOR", "ModuleNotFoundError"),
        ("stockwright_acme_shop.gone:CONNECTOR", "SystemExit"),
        ("stockwright_acme_shop:Path", "is no Connector"),
        ("stockwright.connectors.json_http:CONNECTOR", "declares itself as json_http"),
    ],
)
def test_a_package_that_is_broken_is_named_and_spoils_nothing_else(
    installed, stockwright, tmp_path, target, words
):
    gone = installed / "stockwright_acme_shop" / "gone.py"
    gone.write_text("raise SystemExit(7)\n", encoding="utf-8")
    announce(installed, target)
    ran = stockwright("connector", "show", "acme_shop")
    assert ran.code == 2
    assert words in ran.err
    assert stockwright("connector", "show", "shopify").code == 0
    listed = stockwright("connector", "list", "--json")
    assert (listed.code, [one["name"] for one in listed.json]) == (1, list(OURS))
    assert words in listed.err
    path = tmp_path / "stockwright.toml"
    path.write_text('[systems.A]\nrole = "shop"\nconnector = "acme_shop"\n', encoding="utf-8")
    (finding,) = lint(path)
    assert (finding.line, finding.field) == (3, "systems.A.connector")
    assert words in finding.problem
    assert [one.declaration.name for one in usable_connectors()] == list(OURS)
    misspelt = stockwright("sandbox", "shopfy")
    assert (misspelt.code, "take one of: json_http" in misspelt.err) == (2, True)


@pytest.mark.slow
def test_a_new_connector_passes_the_contract_at_once(made):
    where = os.pathsep.join([str(made / "src"), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=made,
        env={**os.environ, "PYTHONPATH": where},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"^(\d+) passed", done.stdout, re.MULTILINE)[1]) >= 13


def test_nothing_is_overwritten_and_a_bad_name_is_refused(made, stockwright):
    before = {file: file.read_bytes() for file in made.rglob("*") if file.is_file()}
    ran = stockwright("connector", "new", "acme_shop")
    assert ran.code == 2
    assert "was left as it is" in ran.err
    assert before == {file: file.read_bytes() for file in made.rglob("*") if file.is_file()}
    for name, words in [("Acme", "is no name"), ("a-b", "is no name"), ("shopify", "already")]:
        ran = stockwright("connector", "new", name)
        assert ran.code == 2
        assert words in ran.err


def test_what_was_written_is_told_to_machines(stockwright):
    told = json.loads(stockwright("connector", "new", "acme", "--folder", "x/y", "--json").out)
    assert told["package"] == "stockwright_acme"
    assert all((Path("x/y") / file).is_file() for file in told["files"])

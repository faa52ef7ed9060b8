"""`stockwright export`: what it writes, `stockwright import` reads back without a change."""

import json
from pathlib import Path

import pytest

from stockwright.cli import main

TOML = """\
[systems.SHOP]
role = "shop"
[locations.MAIN]
[channels.WEB]
system = "SHOP"
pool = ["MAIN"]
"""


@pytest.fixture(autouse=True)
def _in_a_folder_with_a_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STOCKWRIGHT_CONFIG", raising=False)
    monkeypatch.setenv("STOCKWRIGHT_DATABASE_URL", database_url)
    Path("stockwright.toml").write_text(TOML)
    Path("skus.csv").write_text('code,description,unit_cost\n007,"Tea, green",1.50\nA,,0\n')
    Path("listings.csv").write_text("channel,code,sku,quantity\nWEB,duo,007,2\nWEB,duo,A,1\n")
    assert main(["import", "skus", "skus.csv"]) == 0
    assert main(["import", "listings", "listings.csv"]) == 0


@pytest.mark.parametrize("ending", ["csv", "ndjson"])
@pytest.mark.parametrize(("kind", "count"), [("skus", 2), ("listings", 1)])
def test_an_exported_file_is_imported_without_a_change(capsys, kind, count, ending):
    name = f"out.{ending}"
    assert main(["export", kind, name]) == 0
    assert f"{kind} written to {name}" in capsys.readouterr().out
    if ending == "ndjson":
        assert len([json.loads(line) for line in Path(name).read_text().splitlines()]) == count
    assert main(["import", kind, name, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)["report"]
    assert report["rows"] == report["unchanged"] > 0


def test_without_a_file_the_rows_go_to_standard_output(capsys):
    capsys.readouterr()
    assert main(["export", "skus", "--format", "ndjson"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["code"] for row in rows] == ["007", "A"]


def test_a_bad_line_of_ndjson_is_told(capsys):
    Path("bad.ndjson").write_text('{"code":"B"}\n{"code":1}\n')
    capsys.readouterr()
    assert main(["import", "skus", "bad.ndjson", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)["report"]
    assert (report["new"], report["refused"]) == (1, 1)
    assert report["first_refusals"][0]["line"] == 2


def test_a_file_that_cannot_be_written_is_told(capsys):
    assert main(["export", "skus", "no/such/file.csv"]) == 2
    assert "cannot be written" in capsys.readouterr().err

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


def test_import_applies_the_configuration_and_reports_to_machines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("skus.csv").write_text("code,unit_cost\n007,1.5\nA,-1\n")
    assert main(["import", "skus", "skus.csv", "--refused", "bad.csv", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["refused_file"] == "bad.csv"
    assert told["report"] == {
        "kind": "skus",
        "rows": 2,
        "new": 1,
        "changed": 0,
        "unchanged": 0,
        "refused": 1,
        "first_refusals": [
            {"line": 3, "field": "unit_cost", "reason": "is negative; a cost is 0 or more"}
        ],
    }
    assert Path("bad.csv").read_text().splitlines()[1].endswith(",A,-1")
    Path("listings.csv").write_text("channel,code,sku\nWEB,seven,007\n")
    assert main(["import", "listings", "listings.csv"]) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["skus", "none.csv"], 2, "none.csv cannot be read"),
        (["skus", "head.csv"], 2, "cod is unknown (did you mean code?)"),
        (["skus", "empty.csv"], 2, "the file is empty"),
        (["skus", "skus.csv", "--refused", "skus.csv"], 2, "give another with --refused"),
        (["skus", "skus.csv", "--refused", "no/such/bad.csv"], 2, "cannot be written"),
        (["skus", "skus.csv", "--refused", "."], 2, "is no report of refused rows"),
        (["sku", "skus.csv"], 2, "sku"),
        (["skus", "skus.csv", "--config", "wrong.toml"], 2, "wrong.toml:1"),
    ],
)
def test_what_cannot_be_imported_at_all_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    Path("skus.csv").write_text("code\nA\n\x00\n")
    Path("head.csv").write_text("cod\nA\n")
    Path("empty.csv").write_text("")
    Path("wrong.toml").write_text("x = 1\n")
    assert main(["import", *arguments]) == code
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err


def test_a_database_that_does_not_answer_ends_with_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STOCKWRIGHT_DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:9/none")
    Path("skus.csv").write_text("code\nA\n")
    assert main(["import", "skus", "skus.csv"]) == 3
    assert "hunter2" not in capsys.readouterr().err

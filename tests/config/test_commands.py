import json
from pathlib import Path

import pytest

from stockwright.cli import main
from stockwright.config import template


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STOCKWRIGHT_CONFIG", raising=False)
    monkeypatch.delenv("STOCKWRIGHT_DATABASE_URL", raising=False)


def test_init_writes_a_file_that_lint_finds_good(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == 0
    assert Path("stockwright.toml").read_text() == template()
    assert main(["lint"]) == 0
    assert "stockwright.toml is good." in capsys.readouterr().out


def test_init_leaves_an_existing_file_alone_unless_forced(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("stockwright.toml").write_text("mine")
    assert main(["init"]) == 2
    assert "--force" in capsys.readouterr().err
    assert Path("stockwright.toml").read_text() == "mine"
    assert main(["init", "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": "stockwright.toml"}
    assert Path("stockwright.toml").read_text() == template()


def test_init_writes_where_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STOCKWRIGHT_CONFIG", str(tmp_path / "env.toml"))
    assert main(["init"]) == 0
    assert main(["init", "named.toml"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["env.toml", "named.toml"]
    assert main(["init", "no/such/folder.toml"]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_lint_ends_with_1_for_errors_and_with_0_for_warnings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("warn.toml").write_text("[locations.A]\npriority = 1\n[locations.B]\npriority = 1\n")
    assert main(["lint", "warn.toml"]) == 0
    assert "0 errors, 1 warning." in capsys.readouterr().out
    Path("bad.toml").write_text("[server]\nport = -1\n\n[systems.'[red]x']\n")
    assert main(["lint", "bad.toml"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("bad.toml:2:1: error: server.port: is out of range; give a whole number")
    assert 'bad.toml:4:1: error: systems."[red]x".role: is missing' in out


def test_lint_speaks_to_machines(capsys: pytest.CaptureFixture[str]) -> None:
    Path("stockwright.toml").write_text("[server]\nprot = 1\n")
    assert main(["lint", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "file": "stockwright.toml",
        "errors": 1,
        "warnings": 0,
        "findings": [
            {
                "file": "stockwright.toml",
                "line": 2,
                "field": "server.prot",
                "problem": "is unknown",
                "fix": "did you mean port?",
                "level": "error",
                "column": 1,
            }
        ],
    }


def test_lint_without_a_file_says_how_to_get_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint"]) == 2
    assert "stockwright init" in capsys.readouterr().err

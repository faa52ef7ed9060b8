"""`stockwright policy preview` and `replay`, as a person and as a machine reads them."""

import json

import pytest

from stockwright.cli import main
from tests.flow.channels import World


@pytest.fixture
def world(database_url, monkeypatch, tmp_path):
    monkeypatch.setenv("STOCKWRIGHT_DATABASE_URL", database_url)
    monkeypatch.chdir(tmp_path)
    world = World(database_url)
    world.stock("SKU-000", 40)
    return world


def write(tmp_path, **channels) -> str:
    path = tmp_path / "rules.json"
    path.write_text(json.dumps({"channels": channels}))
    return str(path)


def test_a_preview_shows_numbers_and_the_steps_that_differ(world, tmp_path, capsys):
    assert main(["policy", "preview", write(tmp_path, WEB=[{"buffer_percent": 25}])]) == 0
    text = capsys.readouterr().out
    assert "1 of 3 listings would show another number: 0 pieces more, 10 fewer." in text
    assert "then buffer -10: 25 % of the pool's 40, rounded up" in text
    assert main(["policy", "preview", write(tmp_path, WEB=[{"cap": 7}]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["items"][0]["then"] == 7


def test_a_configuration_file_is_taken_as_it_is(world, tmp_path, capsys):
    """A copy of the one in force with other rules; of a channel without any, none."""
    path = tmp_path / "tried.toml"
    path.write_text(
        '[systems.WEB]\nrole = "shop"\n[channels.WEB]\nsystem = "WEB"\npool = ["MAIN"]\n'
        "[[channels.WEB.policies]]\nbuffer_percent = 25\n"
    )
    assert main(["policy", "preview", str(path)]) == 0
    assert "0 pieces more, 10 fewer" in capsys.readouterr().out
    for text, problem in (
        ("x = 1", "has no [[channels.CODE.policies]]"),
        ("[channels.WEB]\npolicies = 3", "channels"),
        ("[[channels.WEB.policies]]\nbufer = 1", "bufer"),
        ("[[", "is no set of policies"),
    ):
        path.write_text(text)
        assert main(["policy", "preview", str(path)]) == 2
        assert problem in capsys.readouterr().err


def test_a_replay_without_sales_says_so(world, tmp_path, capsys):
    assert main(["policy", "replay", write(tmp_path, WEB=[{"buffer": 1}]), "--days", "7"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("WEB"))
    assert line.split() == ["WEB", *["0"] * 7]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is no set of policies"),
        ('{"channels": {"WEB": [{"bufer": 1}]}}', "bufer"),
        ('{"channels": {"WEV": []}}', "did you mean WEB"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_one_line(world, tmp_path, capsys, text, problem):
    path = tmp_path / "rules.json"
    path.write_text(text)
    assert main(["policy", "preview", str(path)]) == 2
    assert problem in capsys.readouterr().err
    assert main(["policy", "preview", str(tmp_path / "none.json")]) == 2

"""`stockwright config`: plan, apply, roll back, show, history."""

import tomllib

import pytest

from stockwright.cli import main

FILE = """\
[systems.shop]
role = "shop"

[locations.MAIN]

[channels.web]
system = "shop"
pool = ["MAIN"]

[[channels.web.policies]]
safety = 2
"""


@pytest.fixture
def write(tmp_path):
    """Writes the configuration file; answers nothing."""

    def write(text: str) -> None:
        (tmp_path / "stockwright.toml").write_text(text)

    write(FILE)
    return write


@pytest.fixture
def config(on_database, write):
    """`stockwright config ...` on a database that has read the file in."""
    assert on_database("config", "apply", "--reason", "the first", "--author", "ann").code == 0
    return lambda *arguments: on_database("config", *arguments)


def test_a_plan_ends_with_1_where_file_and_database_differ(on_database, write):
    ran = on_database("config", "plan")
    assert ran.code == 1
    for part in ("channels.web", "locations.MAIN", "systems.shop", "config apply --reason WHY"):
        assert part in ran.out


def test_a_plan_ends_with_0_where_they_agree(config):
    ran = config("plan")
    assert (ran.code, ran.out) == (0, "File and database agree, at revision 1.\n")


def test_an_application_is_a_revision_with_author_and_reason(config, write):
    write(FILE.replace("safety = 2", "safety = 5"))
    planned = config("plan", "--json")
    assert planned.code == 1
    (difference,) = planned.json["differences"]
    assert difference == {"field": "channels.web.policies[0].safety", "database": 2, "wanted": 5}
    applied = config("apply", "--reason", "too many returns", "--json").json
    assert applied == {"revision": 2, "changes": [difference]}
    assert "Nothing to change." in config("apply", "--reason", "again").out
    newest, first = config("history", "--json").json
    assert (newest["id"], newest["reason"], newest["source"]) == (2, "too many returns", "file")
    assert first["actor"] == "cli ann"
    assert "too many returns" in config("history").out


def test_a_rollback_leaves_the_file_and_the_plan_tells_of_it(config, write):
    write(FILE.replace("safety = 2", "safety = 5"))
    config("apply", "--reason", "more")
    ran = config("rollback", "1", "--reason", "less again")
    assert ran.code == 0
    assert "channels.web.policies[0].safety" in ran.out
    planned = config("plan")
    assert planned.code == 1
    assert "Edited at run time" in planned.out
    assert "less again" in planned.out


def test_what_is_shown_is_a_file_that_says_the_same(config, write, tmp_path):
    shown = config("show")
    assert tomllib.loads(shown.out) == tomllib.loads(FILE)
    write(shown.out)
    assert config("plan").code == 0


def test_an_earlier_revision_can_be_shown(config, write):
    write(FILE.replace("safety = 2", "safety = 5"))
    config("apply", "--reason", "more")
    assert "safety = 2" in config("show", "1").out
    assert "safety = 5" in config("show").out
    assert config("show", "9").code == 2


def test_a_revision_shows_what_it_changed(config, write):
    write(FILE.replace("safety = 2", "safety = 5"))
    config("apply", "--reason", "more")
    (change,) = config("history", "--revision", "2", "--json").json["changes"]
    assert (change["subject"], change["key"]) == ("exposure_policy", ["web", "1"])
    assert (change["before"]["safety"], change["after"]["safety"]) == (2, 5)
    assert "exposure_policy" in config("history", "--revision", "2").out


def test_the_rows_of_a_table_have_their_history(config, write, tmp_path):
    (tmp_path / "skus.csv").write_text("code,sku_group\nA-1,GIFTS\n")
    assert config("history", "--table", "sku", "--json").json == []
    assert main(["import", "skus", "skus.csv"]) == 0
    (version,) = config("history", "--table", "sku", "--key", "A-1", "--json").json
    assert (version["row"]["sku_group"], version["until"]) == ("GIFTS", None)
    assert (version["source"], version["reason"]) == ("import", "import of skus.csv")
    assert "GIFTS" in config("history", "--table", "sku").out
    every = config("history", "--all", "--json").json
    assert [one["source"] for one in every] == ["import", "file", "database"]
    assert [one["source"] for one in config("history", "--json").json] == ["file"]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("apply", "--reason", "  "), "reason"),
        (("rollback", "77", "--reason", "x"), "revision"),
        (("rollback", "0", "--reason", "x"), "revision"),
        (("history", "--table", "lots"), "subject"),
        (("history", "--key", "A"), "key"),
        (("history", "--limit", "0"), "limit"),
    ],
)
def test_a_bad_argument_is_named(config, arguments, field):
    ran = config(*arguments)
    assert ran.code == 2
    assert ran.err.startswith(f"error: {field}: ")


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_without_a_file_there_is_nothing_to_plan(on_database, command):
    ran = on_database("config", command, *(("--reason", "x") if command == "apply" else ()))
    assert ran.code == 2
    assert "--config" in ran.err


def test_a_file_with_faults_is_not_applied(config, write):
    write(FILE.replace('pool = ["MAIN"]', 'pool = ["MIAN"]'))
    ran = config("apply", "--reason", "x")
    assert ran.code == 2
    assert "did you mean MAIN?" in ran.err


def test_a_plan_shows_of_a_new_rule_what_it_does_and_not_its_defaults(config, write):
    write(FILE + '\n[[channels.web.policies]]\nsku_group = "GIFTS"\ncap = 9\n')
    assert 'nothing -> {"cap":9,"sku_group":"GIFTS"}' in config("plan").out

"""What every command shares: exit codes, one-line failures, --json, lazy loading, docs."""

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from stockwright.cli import COMMANDS, build_app, output
from stockwright.domain.errors import (
    Misconfigured,
    Rejected,
    StockwrightError,
    Throttled,
    Transient,
)
from stockwright.store.errors import DatabaseUnavailable

GROUPS = {
    "config": ("plan", "apply", "rollback", "show", "history"),
    "connection": ("add", "test", "items", "shadow", "live", "retry", "status"),
    "connector": ("list", "show", "schema", "docs", "new"),
    "key": ("create", "list", "revoke"),
    "map": ("test",),
    "policy": ("preview", "replay"),
    "publish": ("list", "pause", "resume", "resync"),
    "subscription": ("add", "list", "pause", "resume", "rotate", "replay", "delete"),
    "user": ("add", "list", "password", "role", "disable"),
    "work": ("list", "show", "close", "reopen", "assign"),
}
DOCS = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"


def raising(failure: BaseException):
    def command() -> int:
        raise failure

    return command


@pytest.fixture
def failing(monkeypatch, stockwright):
    """Runs `stockwright status` with a body that raises."""

    def run(failure: BaseException, *arguments: str):
        def command(*, as_json: output.AsJson = False) -> int:
            raise failure

        monkeypatch.setattr("stockwright.cli.status.command", command)
        return stockwright("status", *arguments)

    return run


@pytest.mark.parametrize(
    ("failure", "code", "line"),
    [
        (Misconfigured("server.port", "is taken"), 2, "error: server.port: is taken\n"),
        (Rejected("malformed", "sku", "is empty"), 2, "error: sku: is empty\n"),
        (Rejected("malformed", "sku", "sku: is empty"), 2, "error: sku: is empty\n"),
        (Rejected("malformed", "to", "too long"), 2, "error: to: too long\n"),
        (Transient("try later"), 3, "error: try later\n"),
        (DatabaseUnavailable("it is away"), 3, "error: it is away\n"),
        (Throttled("too much", 2.0), 4, "error: too much\n"),
        (StockwrightError("two\nlines"), 2, "error: two lines\n"),
    ],
)
def test_a_failure_is_one_line_and_its_kind_is_the_exit_code(failing, failure, code, line):
    ran = failing(failure)
    assert (ran.code, ran.out, ran.err) == (code, "", line)


def test_the_package_runs_as_the_command():
    command = [sys.executable, "-m", "stockwright", "no-such"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == output.USAGE
    assert "no command 'no-such'" in done.stderr


def test_a_failure_is_one_json_line_where_json_was_asked_for(failing):
    ran = failing(Throttled("too much", 2.0), "--json")
    assert ran.code == output.BUSY
    assert msgspec.json.decode(ran.err) == {
        "error": "Throttled",
        "message": "too much",
        "retry_after_s": 2.0,
    }
    told = msgspec.json.decode(failing(Misconfigured("x.y", "no"), "--json").err)
    assert told == {"error": "Misconfigured", "message": "no", "param": "x.y"}


def test_a_fault_of_ours_shows_its_traceback_and_has_its_own_code(failing):
    ran = failing(ZeroDivisionError("oh"))
    assert ran.code == output.INTERNAL
    assert "Traceback" in ran.err
    assert "ZeroDivisionError: oh" in ran.err


def test_an_interrupt_is_no_failure_to_explain(failing):
    ran = failing(KeyboardInterrupt())
    assert (ran.code, ran.err) == (output.INTERRUPTED, "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["statu"], "did you mean status?"),
        (["xyz"], "one of: init, lint"),
        (["status", "--colour"], "--colour"),
        (["key", "create", "x"], "--scope"),
        (["up", "--port", "many"], "many"),
        (["up", "--only", "nothing"], "nothing"),
        (["key", "explode"], "explode"),
    ],
)
def test_wrong_arguments_are_told_with_exit_code_2(stockwright, arguments, words):
    ran = stockwright(*arguments)
    assert ran.code == output.USAGE
    assert words in ran.err
    assert "Traceback" not in ran.err


def test_a_wrong_argument_leads_to_the_help_of_its_own_command(stockwright):
    ran = stockwright("connection", "live", "SHOP")
    assert ran.err.endswith("See: stockwright connection live --help\n")
    assert stockwright("key", "explode").err.endswith("See: stockwright key --help\n")


def test_help_fills_the_lines_of_the_terminal(stockwright, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = stockwright("pull", "--help").out.split("╭")[0]
    paragraph = [line.rstrip() for line in text.split("\n\n")[-2].splitlines()]
    assert len(paragraph) > 2
    assert all(60 < len(line) <= 80 for line in paragraph[:-1])


def test_no_arguments_show_every_command(stockwright):
    ran = stockwright()
    assert ran.code == output.OK
    for name, summary in COMMANDS.items():
        assert name in ran.out
        assert summary.split()[0] in ran.out


def test_showing_the_commands_loads_none_of_them():
    code = (
        "import sys; from stockwright.cli import main; main([]); "
        "print([n for n in sys.modules if n.startswith('stockwright.') and n.count('.') > 1])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "stockwright.store" not in done.stdout
    assert "stockwright.cli.up" not in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_loads_helps_and_speaks_json(stockwright, name):
    ran = stockwright(name, "--help")
    assert ran.code == output.OK
    assert ran.out.startswith(f"Usage: stockwright {name}")
    if name in GROUPS:
        ran = stockwright(name, GROUPS[name][0], "--help")
    assert "--json" in ran.out


def test_every_command_and_every_exit_code_has_its_heading_in_the_docs():
    headings = re.findall(r"^#+ (.*)$", DOCS.read_text(), re.MULTILINE)
    for name in COMMANDS:
        assert f"`stockwright {name}`" in headings
    for code, name, _ in output.EXIT_CODES:
        assert f"{code}: {name}" in headings


def test_the_docs_name_every_option_of_every_command():
    text = DOCS.read_text()
    app = build_app()
    for name in COMMANDS:
        part = re.search(rf"(?ms)^## `stockwright {name}`\n(.*?)(?=^## |\Z)", text)
        assert part is not None, name
        found = app[name]
        commands = [found[one] for one in GROUPS[name]] if name in GROUPS else [found]
        for command in commands:
            for argument in command.assemble_argument_collection():
                options = [one for one in argument.names if one.startswith("--")]
                # Those of every command are told once, at the top.
                common = argument.index is not None or {"--json", "--config"} & {*options}
                if options and argument.show and not common:
                    assert options[0] in part[1], f"{name} {options[0]}"


def test_json_text_is_the_same_for_the_same_data():
    assert output.json_text({"b": 1, "a": [1]}) == output.json_text({"a": [1], "b": 1})

"""The pages about the configuration and the item master are true: their snippets are run."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from stockwright.cli import main
from stockwright.config import lint
from stockwright.config.describe import settings
from stockwright.flow.csv_columns import COLUMNS

DOCS = Path(__file__).parents[2] / "docs"
CONFIGURATION = (DOCS / "reference" / "configuration.md").read_text()
CSV_FILES = (DOCS / "reference" / "csv-files.md").read_text()
HOW_TO = (DOCS / "how-to" / "import-the-item-master.md").read_text()


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """The fenced blocks of a page: what stands behind the fence, and the text."""
    for found in re.finditer(r"^```([^\n]*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        yield found[1], found[2]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STOCKWRIGHT_CONFIG", raising=False)


def test_every_setting_has_its_heading_and_says_what_it_takes() -> None:
    described = re.findall(r"^### `(.+)`\n\n(.+)$", CONFIGURATION, re.MULTILINE)
    expected = [
        (f"{each.table.strip('[]')}.{each.name}".lstrip("."), each.reference())
        for each in settings()
    ]
    assert described == expected


def test_every_table_has_its_heading() -> None:
    headings = re.findall(r"^## `(\[.+\])`$", CONFIGURATION, re.MULTILINE)
    assert headings == list(dict.fromkeys(each.table for each in settings() if each.table))


def test_the_examples_of_the_configuration_lint_clean_together() -> None:
    examples = [text for kind, text in blocks(CONFIGURATION) if kind == "toml"]
    # The one key at the top has to come before the tables.
    top = [line for text in examples for line in text.splitlines() if "imported_places" in line]
    path = Path("stockwright.toml")
    path.write_text(
        "\n".join([*top, *(re.sub(r"(?m)^imported_places.*$", "", text) for text in examples)])
    )
    assert lint(path) == []


def test_the_finding_that_the_page_shows_is_what_lint_says() -> None:
    shown = next(text for kind, text in blocks(CONFIGURATION) if kind == "")
    channel = '[channels.WEB]\nsystem = "SHOP"\npool = [\n  "MIAN"]\n'
    path = Path("stockwright.toml")
    path.write_text(f'[systems.SHOP]\nrole = "shop"\n\n[locations.MAIN]\n\n\n\n\n{channel}')
    assert [str(finding) for finding in lint(path)] == shown.splitlines()[-1:]


def test_every_column_of_every_file_is_described() -> None:
    parts = re.split(r"^## (\w+)$", CSV_FILES, flags=re.MULTILINE)[1:]
    pages = dict(zip(parts[::2], parts[1::2], strict=True))
    assert list(pages) == list(COLUMNS)
    for kind, columns in COLUMNS.items():
        rows = re.findall(r"^\| `.*\|$", pages[kind], re.MULTILINE)
        assert rows == [column.reference() for column in columns]


def test_the_example_files_are_imported_without_a_refusal(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STOCKWRIGHT_DATABASE_URL", database_url)
    Path("stockwright.toml").write_text(next(text for kind, text in blocks(HOW_TO) if kind))
    examples = {kind.split()[1]: text for kind, text in blocks(CSV_FILES)}
    assert list(examples) == [f"{kind}.csv" for kind in COLUMNS]
    for name, text in examples.items():
        Path(name).write_text(text)
        assert main(["import", name.removesuffix(".csv"), name]) == 0, capsys.readouterr().out


def test_the_how_to_does_what_it_says_word_by_word(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STOCKWRIGHT_DATABASE_URL", database_url)
    commands = 0
    for kind, text in blocks(HOW_TO):
        if kind != "console":
            Path(kind.split()[1]).write_text(text)
            continue
        said = []
        for command in re.findall(r"^\$ stockwright (.*)$", text, re.MULTILINE):
            main(shlex.split(command))
            commands += 1
            said.append(f"$ stockwright {command}\n{capsys.readouterr().out}")
        assert "".join(said) == text
    assert commands >= 8

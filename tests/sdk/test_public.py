"""What other packages build on: no name of the kit appears, changes or goes unnoticed."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

from stockwright import sdk
from stockwright.sdk import files

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/sdk.md"
FOLDER = Path(sdk.__file__).parent
MODULES = sorted([*sdk.__all__, *(f"files.{name}" for name in files.__all__)])


def public_names(module):
    """Names a module defines itself, without those of one letter, which stand for types."""
    found = set()
    path = FOLDER / f"{module.replace('.', '/')}.py"
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {one.id for one in node.targets if isinstance(one, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return sorted(name for name in found if not name.startswith("_") and len(name) > 1)


def test_every_module_of_the_kit_is_public_and_told_in_its_first_lines():
    modules = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}
    assert set(sdk.__all__) == modules
    for module in sdk.__all__:
        assert f"\n{module} " in sdk.__doc__


def test_a_connector_of_files_builds_on_public_names_alone():
    ours = (FOLDER.parent / "connectors").glob("*/*.py")
    text = "\n".join(path.read_text(encoding="utf-8") for path in ours)
    used = {
        line.split()[1] for line in text.splitlines() if line.startswith("from stockwright.sdk.")
    }
    assert used <= {f"stockwright.sdk.{name}" for name in MODULES}
    for module in files.__all__:
        assert f"\n{module} " in files.__doc__


@pytest.mark.parametrize("module", MODULES)
def test_the_page_names_what_a_module_offers_and_nothing_else(module):
    names = public_names(module)
    loaded = import_module(f"stockwright.sdk.{module}")
    assert [name for name in names if not hasattr(loaded, name)] == []
    told = ", ".join(f"`{name}`" for name in names)
    assert f"| `{module}` | {told} |" in PAGE.read_text(encoding="utf-8"), (
        "a public name came, went or was renamed: change the page and CHANGELOG.md, and the "
        "version as the page promises"
    )


def test_the_page_tells_of_no_module_that_is_gone():
    table = PAGE.read_text(encoding="utf-8").split("## Public names")[1]
    rows = [row for row in table.splitlines() if row.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == MODULES

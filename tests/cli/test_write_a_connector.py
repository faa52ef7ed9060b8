"""docs/how-to/write-a-connector.md leads a newcomer from nothing to a working REST partner."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/write-a-connector.md").read_text(encoding="utf-8")
RUN = "import sys; from stockwright.cli import main; sys.exit(main())"
PLUGIN = "stockwright.sdk.pytest_plugin"


def block(kind):
    (found,) = re.findall(rf"(?ms)^```{kind}\n(.*?)^```", PAGE)
    return found


def installed(folder):
    """What `pip install -e` leaves behind: the package on the path, its entry point known."""
    info = folder / "src/acme.dist-info"
    info.mkdir()
    project = (folder / "pyproject.toml").read_text(encoding="utf-8")
    (target,) = re.findall(r'^acme_shop = "(.*)"$', project, re.MULTILINE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 0.1\n", "utf-8")
    entry = f"[stockwright.connectors]\nacme_shop = {target}\n"
    (info / "entry_points.txt").write_text(entry, "utf-8")


@pytest.mark.slow
def test_every_command_and_snippet_of_the_how_to_works_in_its_order(tmp_path):
    package = tmp_path / "stockwright-acme-shop"
    path = os.pathsep.join([str(package / "src"), str(ROOT / "src"), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("STOCKWRIGHT_CONFIG", None)
    (tmp_path / "stockwright.toml").write_text(block("toml"), encoding="utf-8")
    (tmp_path / "sample.json").write_text(block("json"), encoding="utf-8")
    ((level, file),) = re.findall(r"(?m)^    echo '(.*)' > (\S+)$", PAGE)
    (tmp_path / file).write_text(level, encoding="utf-8")

    def run(*command):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    told = {}
    commands = re.findall(r"(?m)^    ((?:stockwright|pip|pytest) .*)$", PAGE)
    for command in commands:
        program, *arguments = shlex.split(command)
        if program == "pip":
            assert arguments == ["install", "-e", "./stockwright-acme-shop[test]"]
            installed(package)
        elif program == "pytest":
            snippet = package / "tests/test_partner.py"
            snippet.write_text(block("python"), encoding="utf-8")
            plugins = ["--disable-plugin-autoload", "-p", "pytest_asyncio.plugin", "-p", PLUGIN]
            told[command] = run("-m", "pytest", "-q", *plugins, *arguments)
        else:
            told[command] = run("-c", RUN, *arguments)
    assert "acme_shop" in told["stockwright connector list"]
    assert (
        int(re.search(r"^(\d+) passed", told["pytest stockwright-acme-shop"], re.MULTILINE)[1])
        >= 15
    )
    sample, sent = (told[one] for one in commands if "map test" in one)
    assert "kind = channel_order" in sample
    assert "POST /stock" in sent
    assert "Read back, it is the same." in sent
    assert len(told) == len(commands) - 1
    code = package / "src/stockwright_acme_shop"
    (code / "sandbox.py").write_text(block("python sandbox.py"), encoding="utf-8")
    joined = code / "__init__.py"
    text = joined.read_text(encoding="utf-8").replace(
        "from stockwright.sdk.connector",
        "from stockwright_acme_shop.sandbox import Sandbox\nfrom stockwright.sdk.connector",
    )
    joined.write_text(text.replace("    cases=", "    sandbox=Sandbox,\n    cases="), "utf-8")
    plugins = ["--disable-plugin-autoload", "-p", "pytest_asyncio.plugin", "-p", PLUGIN]
    held = run("-m", "pytest", "-q", *plugins, "stockwright-acme-shop")
    assert int(re.search(r"^(\d+) passed", held, re.MULTILINE)[1]) >= 35

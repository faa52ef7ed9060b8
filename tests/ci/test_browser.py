"""What `.ci/browser` decides, with a machine of fakes on PATH; what `.ci/run` makes of it."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

CI = Path(__file__).parents[2] / ".ci"
# The rest of a machine; everything else on PATH is the test's own.
TOOLS = ("bash", "dirname", "env", "grep", "mktemp", "mv", "rm", "sleep", "timeout", "true")
BROWSER = 'echo "Chromium 150"'
STUB = 'echo "install it from elsewhere" >&2; exit 1'
INSTALLS = 'mv "$MACHINE/package" "$MACHINE/chromium"'
# Notes what it is asked for; installing puts the browser where it will be found.
APT = 'echo "apt-get $*" >> "$MACHINE/log"; case "$*" in *install*) {};; esac'


class Machine:
    """A folder that is all of PATH, and runs of our scripts on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = {
            "OS_RELEASE": str(folder / "os-release"),
            "LIMIT_S": "60",
            "STOCKWRIGHT_CI_BUDGETS": "1",
        }
        for name in TOOLS:
            found = shutil.which(name)
            assert found is not None
            (folder / name).symlink_to(found)
        self.is_called("debian")
        self.has("id", "echo 0")
        self.has("package", BROWSER)

    def is_called(self, system: str) -> None:
        (self.folder / "os-release").write_text(f'NAME="x"\nID={system}\n')

    def has(self, name: str, does: str) -> None:
        program = self.folder / name
        program.write_text(f"#!/usr/bin/env bash\n{does}\n")
        program.chmod(0o755)

    @property
    def asked(self) -> str:
        log = self.folder / "log"
        return log.read_text() if log.exists() else ""

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        bash = os.path.realpath(self.folder / "bash")
        environment = {"PATH": str(self.folder), "MACHINE": str(self.folder), **self.settings}
        return subprocess.run(
            [bash, CI / script], env=environment, capture_output=True, text=True, timeout=120
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("name", ["chromium", "google-chrome"])
def test_a_browser_that_is_here_is_taken_and_nothing_installed(machine: Machine, name: str):
    machine.has(name, BROWSER)
    machine.has("apt-get", APT.format(INSTALLS))
    ran = machine.run("browser")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"{machine.folder}/{name}\n", "")
    assert machine.asked == ""


def test_the_browser_that_was_named_goes_before_others(machine: Machine):
    machine.has("chromium", BROWSER)
    machine.has("mine", BROWSER)
    machine.settings["STOCKWRIGHT_BROWSER"] = str(machine.folder / "mine")
    assert machine.run("browser").stdout == f"{machine.folder}/mine\n"


def test_debians_chromium_is_installed_quietly_by_root(machine: Machine):
    machine.has("apt-get", "echo noise; echo more noise >&2; " + APT.format(INSTALLS))
    ran = machine.run("browser")
    assert (ran.returncode, ran.stdout) == (0, f"{machine.folder}/chromium\n")
    assert ran.stderr.count("\n") == 1
    update, install = machine.asked.splitlines()
    assert update.endswith(" update")
    assert install.endswith(" --no-install-recommends install chromium")


def test_a_stub_that_is_called_like_a_browser_is_none(machine: Machine):
    machine.has("chromium-browser", STUB)
    machine.has("apt-get", APT.format(INSTALLS))
    assert machine.run("browser").stdout == f"{machine.folder}/chromium\n"


def test_sudo_without_a_password_will_do(machine: Machine):
    machine.has("id", "echo 1000")
    machine.has("sudo", 'echo "sudo $*" >> "$MACHINE/log"; shift; exec "$@"')
    machine.has("apt-get", APT.format(INSTALLS))
    assert machine.run("browser").returncode == 0
    assert "sudo -n env DEBIAN_FRONTEND=noninteractive timeout" in machine.asked


def without_apt(machine: Machine) -> None:
    """A Debian on which nothing can be installed."""


def on_another_system(machine: Machine) -> None:
    machine.is_called("fedora")
    machine.has("apt-get", APT.format(INSTALLS))


def without_root(machine: Machine) -> None:
    machine.has("id", "echo 1000")
    machine.has("apt-get", APT.format(INSTALLS))


def with_a_password(machine: Machine) -> None:
    without_root(machine)
    machine.has("sudo", 'echo "a password is required" >&2; exit 1')


def with_apt_that_fails(machine: Machine) -> None:
    machine.has("apt-get", "echo unreachable >&2; exit 100")


def with_apt_that_hangs(machine: Machine) -> None:
    machine.settings["LIMIT_S"] = "1"
    machine.has("apt-get", "exec sleep 60")


def with_a_broken_browser(machine: Machine) -> None:
    machine.has("package", STUB)
    machine.has("apt-get", APT.format(INSTALLS))


NONE: dict[Callable[[Machine], None], str] = {
    without_apt: "no apt-get",
    on_another_system: "neither Debian nor Ubuntu",
    without_root: "takes root or sudo",
    with_a_password: "takes root or sudo",
    with_apt_that_fails: "installed no chromium that runs",
    with_apt_that_hangs: "installed no chromium that runs within 1 s",
    with_a_broken_browser: "installed no chromium that runs",
}


@pytest.mark.parametrize("prepare", NONE)
def test_where_no_browser_can_be_had_one_line_says_why(
    machine: Machine, prepare: Callable[[Machine], None]
):
    prepare(machine)
    ran = machine.run("browser")
    assert (ran.returncode, ran.stdout) == (1, "")
    said = [line for line in ran.stderr.splitlines() if not line.startswith("Installing")]
    assert len(said) == 1
    assert said[0].startswith("The browser tests do not run: ")
    assert NONE[prepare] in said[0]


MAKE = """echo "make $*"
case "$*" in *{failing}*) exit 2;; esac
case "$*" in browser-test*) echo "with $STOCKWRIGHT_BROWSER";; esac
[ "$*" != test ] || echo "9 passed in 1.00s"
"""


@pytest.mark.parametrize(
    ("failing", "code"),
    [("nothing", 0), ("static", 1), ("not slow", 1), ("browser and slow", 1), ("test", 1)],
)
def test_everything_runs_and_any_failure_counts(machine: Machine, failing: str, code: int):
    machine.has("chromium", BROWSER)
    machine.has("make", MAKE.format(failing=failing.replace(" ", "\\ ")))
    ran = machine.run("run")
    assert ran.returncode == code
    assert [line for line in ran.stdout.splitlines() if line.startswith("make")] == [
        "make venv",
        "make --keep-going static",
        "make browser-test PYTEST=tests/browser -n 3 -m 'browser and not slow'",
        "make browser-test PYTEST=tests/browser -m 'browser and slow'",
        "make test",
    ]


def test_without_the_setting_nothing_is_judged_by_the_clock(machine: Machine):
    del machine.settings["STOCKWRIGHT_CI_BUDGETS"]
    machine.has("chromium", BROWSER)
    machine.has("make", MAKE.format(failing="browser\\ and\\ slow"))
    ran = machine.run("run")
    assert ran.returncode == 0
    asked = [line for line in ran.stdout.splitlines() if "browser-test" in line]
    assert asked == ["make browser-test PYTEST=tests/browser -n 3 -m 'browser and not slow'"]


def test_the_last_line_is_the_test_runners_own(machine: Machine):
    machine.has("chromium", BROWSER)
    machine.has("make", MAKE.format(failing="browser-test"))
    assert machine.run("run").stdout.splitlines()[-1] == "9 passed in 1.00s"


def test_the_browser_that_was_found_is_the_one_that_is_driven(machine: Machine):
    machine.has("chromium", STUB)
    machine.has("google-chrome", BROWSER)
    machine.has("make", MAKE.format(failing="nothing"))
    assert f"with {machine.folder}/google-chrome\n" in machine.run("run").stdout


def test_an_apt_that_fails_fails_nothing_else(machine: Machine):
    with_apt_that_fails(machine)
    machine.has("make", MAKE.format(failing="nothing"))
    ran = machine.run("run")
    assert ran.returncode == 0
    assert "make browser-test" not in ran.stdout
    assert "The browser tests do not run: " in ran.stderr

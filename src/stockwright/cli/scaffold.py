"""The package that `stockwright connector new` writes: templates with a name filled in."""

import re
from importlib import resources
from pathlib import Path
from typing import Final

import msgspec

from stockwright.config.connectors import connector_names
from stockwright.domain.errors import Misconfigured, Rejected

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LONGEST: Final = 40
_TEMPLATES: Final = "templates"
_FILES: Final = (
    "pyproject.toml",
    "README.md",
    "src/__PACKAGE__/__init__.py",
    "src/__PACKAGE__/declaration.py",
    "src/__PACKAGE__/client.py",
    "src/__PACKAGE__/mapping.py",
    "src/__PACKAGE__/cases/order_placed.json",
    "src/__PACKAGE__/cases/bad_line.json",
    "src/__PACKAGE__/cases/levels_out.json",
    "tests/test_contract.py",
)


class Scaffold(msgspec.Struct, frozen=True, kw_only=True):
    """What was written: the folder, and the files below it."""

    folder: str
    package: str
    files: tuple[str, ...]


def write_scaffold(name: str, folder: Path) -> Scaffold:
    """Writes the package of a connector. Raises Rejected (name) or Misconfigured (folder)."""
    if len(name) > _LONGEST or not _NAME.fullmatch(name):
        message = f"{name!r} is no name: take small letters, digits and _, such as acme_shop"
        raise Rejected("malformed", "name", message)
    if name in connector_names():
        raise Rejected("malformed", "name", f"there is a connector {name} already; take another")
    package = f"stockwright_{name}"
    words = {
        "PACKAGE": package,
        "CONNECTOR": name,
        "DISTRIBUTION": package.replace("_", "-"),
        "KIND": "".join(part.title() for part in name.split("_")),
    }
    texts = {_filled(file, words): _filled(_template(file), words) for file in _FILES}
    try:
        folder.mkdir(parents=True, exist_ok=False)
        for file, text in texts.items():
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except FileExistsError:
        message = f"{folder} exists and was left as it is; name another with --folder"
        raise Misconfigured("folder", message) from None
    except OSError as failure:
        raise Misconfigured("folder", f"{folder} cannot be written: {failure.strerror}") from None
    return Scaffold(folder=str(folder), package=package, files=tuple(texts))


def _template(file: str) -> str:
    # No .py of these is code of ours: their names end so that no tool takes them for it.
    name = f"{file.rpartition('/')[2]}.txt"
    return (resources.files(__package__) / _TEMPLATES / name).read_text(encoding="utf-8")


def _filled(text: str, words: dict[str, str]) -> str:
    return re.sub("__([A-Z]+)__", lambda found: words[found[1]], text)

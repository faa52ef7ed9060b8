"""The one configuration file, stockwright.toml: read, checked, written for a beginner."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from stockwright.config.findings import Finding
from stockwright.config.lint import lint, read, read_edits
from stockwright.config.model import Config, Connections, Database, Server
from stockwright.config.secrets import is_reference, resolve_secret
from stockwright.config.template import template
from stockwright.config.writing import toml_of
from stockwright.domain.errors import Misconfigured

FILE_NAME: Final = "stockwright.toml"
FILE_VARIABLE: Final = "STOCKWRIGHT_CONFIG"
DATABASE_VARIABLE: Final = "STOCKWRIGHT_DATABASE_URL"

__all__ = [
    "DATABASE_VARIABLE",
    "FILE_NAME",
    "FILE_VARIABLE",
    "Config",
    "ConfigInvalid",
    "Connections",
    "Database",
    "Finding",
    "Server",
    "database_url",
    "find_config",
    "lint",
    "load_config",
    "read_edits",
    "resolve_secret",
    "template",
    "toml_of",
]


class ConfigInvalid(Misconfigured):
    """The configuration file has errors; `findings` holds them all, warnings included."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        errors = [finding for finding in findings if finding.level == "error"]
        first = errors[0]
        more = f" (and {len(errors) - 1} more: run stockwright lint)" if len(errors) > 1 else ""
        place = f"{first.file}:{first.line}: {first.problem}; {first.fix}{more}"
        super().__init__(first.field, place)
        self.findings = list(findings)


def find_config(path: Path | str | None = None) -> Path | None:
    """The file to read: the one named here, or by STOCKWRIGHT_CONFIG, or ./stockwright.toml.

    None where no file is named and there is none in the current folder.
    """
    named = path or os.environ.get(FILE_VARIABLE)
    if named:
        return Path(named)
    here = Path(FILE_NAME)
    return here if here.exists() else None


def load_config(path: Path | str | None = None) -> Config:
    """The checked configuration; all defaults where no file is named and none is there.

    STOCKWRIGHT_DATABASE_URL overrides the file's database, and stays a reference. Raises
    ConfigInvalid with every finding; warnings alone do not keep anybody from starting.
    """
    file = find_config(path)
    config: Config | None = Config()
    if file is not None:
        config, findings = read(file)
        if config is None:
            raise ConfigInvalid(findings)
    assert config is not None
    if os.environ.get(DATABASE_VARIABLE):
        return replace(config, database=Database(url=f"env:{DATABASE_VARIABLE}"))
    return config


def database_url(config: Config) -> str | None:
    """The address of the database with its secret resolved; None for the embedded one.

    Raises Misconfigured where a reference leads nowhere.
    """
    url = config.database.url
    if not url:
        return None
    return resolve_secret(url) if is_reference(url) else url

"""`stockwright init`: a first configuration file."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.markup import escape

from stockwright.cli import output
from stockwright.config import FILE_NAME, find_config, template
from stockwright.domain.errors import Misconfigured


def command(
    file: Path | None = None,
    /,
    *,
    force: Annotated[
        bool, Parameter(negative="", help="Overwrite the file where it exists.")
    ] = False,
    as_json: output.AsJson = False,
) -> int:
    """Write a commented stockwright.toml: every setting, its meaning and its default.

    The file goes to the given path, else to where STOCKWRIGHT_CONFIG points, else to the current
    folder. An existing file stays as it is.
    """
    path = file or find_config() or Path(FILE_NAME)
    try:
        # "x" fails where the file exists, without a gap between looking and writing.
        with path.open("w" if force else "x", encoding="utf-8") as target:
            target.write(template())
    except FileExistsError:
        message = f"{path} exists and was left as it is; --force overwrites it"
        raise Misconfigured("file", message) from None
    except OSError as failure:
        raise Misconfigured("file", f"{path} cannot be written: {failure.strerror}") from None
    output.emit({"file": str(path)}, as_json, lambda _: escape(f"Wrote {path}. {_NEXT}"))
    return output.OK


_NEXT = "Edit it, check it with `stockwright lint`, then run `stockwright up`."

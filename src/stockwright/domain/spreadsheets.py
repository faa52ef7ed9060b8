"""Cells of a CSV file that a spreadsheet would run as a formula, made plain text and back.

A spreadsheet takes a cell that begins with one of OPENERS for a formula, whatever quotes stand
around it in the file: an order code could call a program of whoever opens the export. An apostrophe
in front makes it text. Reading takes that one apostrophe away again, so that an export comes back
as it was (OWASP, CSV Injection).
"""

import re
from typing import Any, Final

OPENERS: Final = "=+-@\t\r\n＝＋－＠"
_NUMBER: Final = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?")


def defused(cell: Any) -> Any:
    """A cell as it may be written: a text that would be run has one more apostrophe in front.

    Numbers stay as they are, also those below zero.
    """
    return f"'{cell}" if isinstance(cell, str) and _would_run(cell) else cell


def undone(cell: str) -> str:
    """A cell as it was before `defused`; any other as it is."""
    return cell[1:] if cell.startswith("'") and _would_run(cell) else cell


def kept_plain(cell: str) -> str:
    """A cell of a file that came in, as it may be written into one that is to be read again."""
    return cell if cell.startswith("'") else str(defused(cell))


def _would_run(cell: str) -> bool:
    """Whether a spreadsheet would run the cell but for the apostrophes it begins with."""
    bare = cell.lstrip("'")
    return bare.startswith(tuple(OPENERS)) and not _NUMBER.fullmatch(bare)

"""Makes data/days.csv.gz from the year's file: the days the demo ships with.

    python -m stockwright.demo.prepare PATH/online_retail.csv.gz

It keeps whole rows, unchanged and in their order: the four trading days 5 to 8 December 2011, of
which the first is the busiest of the year (5,331 lines) and the last has the second most, and the
one minute of 31 October 2011 that holds the largest invoice (1,114 lines). The same input gives the
same rows every time, so that a check can prove where they came from.
"""

import csv
import datetime as dt
import gzip
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from stockwright.demo.lines import COLUMNS, SHIPPED_FILE

FIRST_DAY: Final = dt.date(2011, 12, 5)
LAST_DAY: Final = dt.date(2011, 12, 8)
BURST_MINUTE: Final = "2011-10-31T14:41"
PEAK_DAY: Final = FIRST_DAY


def kept(row: list[str]) -> bool:
    """True for a row of the four days or of the burst minute."""
    at = row[4]
    return FIRST_DAY.isoformat() <= at[:10] <= LAST_DAY.isoformat() or at == BURST_MINUTE


def rows_of_year(path: Path) -> Iterator[list[str]]:
    """The data rows of the year's file; the header is checked and left out."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as text:
        rows = csv.reader(text)
        header = tuple(next(rows))
        if header != COLUMNS:
            raise ValueError(f"{path} has the columns {header}, expected {COLUMNS}")
        yield from rows


def pack(year: Path) -> bytes:
    """The shipped file's bytes: gzip without name or time of making."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(row for row in rows_of_year(year) if kept(row))
    return gzip.compress(text.getvalue().encode(), compresslevel=9, mtime=0)


def main(arguments: list[str]) -> int:
    """Write the file beside the package's other data; the exit code is 2 without a path."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m stockwright.demo.prepare PATH/online_retail.csv.gz\n")
        return 2
    target = Path(__file__).parent / "data" / SHIPPED_FILE
    packed = pack(Path(arguments[0]))
    target.write_bytes(packed)
    sys.stdout.write(f"{target}: {len(packed):,} bytes\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

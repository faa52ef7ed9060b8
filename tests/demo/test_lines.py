"""What a line of the data set means, row by row of its notes."""

import csv
import datetime as dt
import gzip
import hashlib
import importlib.resources
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from stockwright.demo.lines import COLUMNS, SHIPPED_FILE, Line, meaning, read_lines, shipped_lines
from stockwright.demo.prepare import kept, pack
from stockwright.domain.errors import Misconfigured

PACKED_ROWS = "d435b8a8a551b44b036566ad2af4e7aeb65690ced1df9de73b93f440a84f6596"
"""sha256 of what `prepare` kept of the year's file (sha256 c781bf1d...a061 unpacked)."""
NOON = dt.datetime(2011, 12, 5, 12, tzinfo=dt.UTC)


def line(invoice="536365", code="85123A", quantity=6, price="2.55", remark="HEART"):
    return Line(1, invoice, code, quantity, NOON, Decimal(price), "", remark)


@pytest.mark.parametrize(
    ("row", "means"),
    [
        (line(), "sale"),
        (line(code="85123a"), "sale"),
        (line(invoice="C536379", quantity=-1), "return"),
        (line(invoice="A563185", code="B", quantity=1), "none"),
        (line(invoice="A563186", code="22423", quantity=1, price="-11062.06"), "none"),
        (line(code="POST"), "none"),
        (line(code="m"), "none"),
        (line(code="gift_0001_20"), "none"),
        (line(invoice="C536379", code="D", quantity=-1), "none"),
        (line(code="DCGSSGIRL"), "sale"),
        (line(quantity=0), "none"),
        (line(quantity=-5, price="0", remark="damaged"), "damage"),
        (line(quantity=-5, price="0", remark="wet pallet"), "damage"),
        (line(quantity=-5, price="0", remark="Dagamed"), "damage"),
        (line(quantity=-5, price="0", remark="wet pallet-thrown away"), "scrap"),
        (line(quantity=-5, price="0", remark="Unsaleable, destroyed."), "scrap"),
        (line(quantity=-5, price="0", remark="check"), "count"),
        (line(quantity=-5, price="0", remark="?"), "count"),
        (line(quantity=-5, price="0", remark=""), "adjustment"),
        (line(quantity=-5, price="0", remark="sold as set on dotcom"), "adjustment"),
        (line(quantity=5, price="0", remark="found"), "count"),
        (line(quantity=5, price="0", remark="amazon"), "adjustment"),
        (line(quantity=5, price="0", remark="wet"), "adjustment"),
    ],
)
def test_each_row_of_the_mapping_table_has_its_meaning(row, means):
    assert meaning(row) == means


def test_the_canonical_code_ignores_the_case_of_the_source():
    assert line(code="85123a").sku == line(code="85123A").sku == "85123A"


def test_the_shipped_days_hold_the_busiest_day_and_the_largest_invoice():
    lines = shipped_lines()
    days = Counter(row.at.date() for row in lines)
    assert days[dt.date(2011, 12, 5)] == 5_331
    assert days[dt.date(2011, 12, 8)] == 4_940
    assert Counter(row.invoice for row in lines)["573585"] == 1_114
    assert [row.number for row in lines] == sorted(row.number for row in lines)


def test_minutes_are_local_uk_time():
    assert {row.at for row in shipped_lines() if row.invoice == "573585"} == {
        dt.datetime(2011, 10, 31, 14, 41, tzinfo=dt.UTC)
    }


def write(path: Path, rows: list[list[str]]) -> Path:
    with gzip.open(path, "wt", encoding="utf-8", newline="") as text:
        csv.writer(text, lineterminator="\n").writerows([list(COLUMNS), *rows])
    return path


def test_summer_time_of_the_source_becomes_one_hour_less_in_utc(tmp_path):
    row = ["1", "5", "22", "1", "2011-06-29T15:58", "1", "", "United Kingdom", "X"]
    assert next(read_lines(write(tmp_path / "a.csv.gz", [row]))).at == dt.datetime(
        2011, 6, 29, 14, 58, tzinfo=dt.UTC
    )


def test_packing_keeps_whole_rows_of_the_chosen_days_only(tmp_path):
    inside = ["2", "5", "22", "1", "2011-12-05T08:00", "1", "", "United Kingdom", 'A "B", C']
    outside = ["1", "4", "22", "1", "2011-12-04T08:00", "1", "", "United Kingdom", "X"]
    packed = gzip.decompress(pack(write(tmp_path / "a.csv.gz", [outside, inside]))).decode()
    assert list(csv.reader(packed.splitlines())) == [list(COLUMNS), inside]
    assert not kept(outside)


def test_the_shipped_rows_are_those_packed_from_the_year_s_file():
    shipped = importlib.resources.files("stockwright.demo") / "data" / SHIPPED_FILE
    rows = gzip.decompress(shipped.read_bytes())
    assert hashlib.sha256(rows).hexdigest() == PACKED_ROWS


def test_a_file_with_other_columns_is_refused_by_name(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(Misconfigured, match=r"other\.csv has the columns \['a', 'b'\]"):
        list(read_lines(path))


def test_a_missing_file_is_refused_with_the_next_step(tmp_path):
    with pytest.raises(Misconfigured, match=r"cannot read .*none\.csv.*name the year's file"):
        list(read_lines(tmp_path / "none.csv"))

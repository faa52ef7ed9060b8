"""What files look like: rows into cells, and cells into a file that reads back the same."""

import io
import random
import struct
import zipfile
from contextlib import suppress

import pytest

from stockwright.sdk.files.archives import Caps, Unfit, unpacked
from stockwright.sdk.files.shapes import (
    Cell,
    Line,
    Shape,
    cannot_be_written,
    cut,
    decoded,
    lines_of,
    problem_of_cells,
    written,
)
from stockwright.sdk.files.tables import Table, table_of
from stockwright.sdk.messages import Failure
from stockwright.sdk.sources import plain_number


def rows(text, **shape):
    return [line.cells for line in lines_of(text, Shape(**shape))]


def test_csv_quotes_as_declared_and_tsv_never():
    assert rows('a,"b,1"\n') == [["a", "b,1"]]
    assert rows("a,'b,1'\n", quote="'") == [["a", "b,1"]]
    assert rows('a;"b\n', delimiter=";", quote="") == [["a", '"b']]
    assert rows('a\t"b\n', form="tsv") == [["a", '"b']]


def test_fixed_width_breaks_lines_at_line_breaks_only():
    assert rows("a\u2028b\x0b\r\nc\rd\n\n", form="fixed") == [["a\u2028b\x0b"], ["c"], ["d"]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A1   0012", ["A1   ", "0012", ""]),
        ("A1   0012rest of it", ["A1   ", "0012", "rest of it"]),
        ("A1   001", "has 8 characters where 9 are declared"),
    ],
)
def test_a_line_that_ends_inside_a_number_is_no_row(text, expected):
    cells = [
        Cell(name="sku", start=1, length=5),
        Cell(name="qty", start=6, length=4),
        Cell(name="rest", start=10),
    ]
    assert cut(Line(1, [text]), cells, "fixed") == expected


@pytest.mark.parametrize(
    ("cells", "form", "problem"),
    [
        ([("a", 1, 3), ("b", 4, 2)], "fixed", ""),
        ([("a", 1, 3), ("b", 3, 2)], "fixed", "has b begin inside a"),
        ([("a", 0, 3)], "fixed", "must say where a starts"),
        ([("a", 1, 0), ("b", 4, 2)], "fixed", "must say how long a is"),
        ([("a", 1, 3), ("a", 4, 2)], "fixed", "names a column twice"),
        ([("a", 1, 3)], "csv", "only form fixed has"),
    ],
)
def test_places_that_cannot_be_are_refused(cells, form, problem):
    given = [Cell(name=name, start=start, length=length) for name, start, length in cells]
    assert problem in problem_of_cells(given, form)
    assert bool(problem) == bool(problem_of_cells(given, form))


@pytest.mark.parametrize(
    ("body", "encoding", "text"),
    [
        ("\ufeffä".encode(), "utf-8", "ä"),
        ("ä".encode("iso-8859-1"), "iso-8859-1", "ä"),
        ("ä".encode("cp850"), "cp850", "ä"),
        ("ä".encode("utf-16"), "utf-16", "ä"),
        (b"a\xffb", "utf-8", "a\udcffb"),
        (b"a\x81b", "cp1252", "a\udc81b"),
    ],
)
def test_text_is_read_as_declared_and_bytes_that_are_none_stay_in_their_cell(body, encoding, text):
    assert decoded(body, encoding) == text


@pytest.mark.parametrize(
    ("body", "encoding", "problem"),
    [
        ("a".encode("utf-16"), "utf-8", "mark of UTF-16"),
        (b"\xef\xbb\xbfa", "iso-8859-1", "mark of UTF-8"),
        (b"\xff\xfea", "utf-16", "no UTF-16"),
    ],
)
def test_another_encoding_than_declared_is_told_for_the_whole_file(body, encoding, problem):
    with pytest.raises(ValueError, match=problem):
        decoded(body, encoding)


@pytest.mark.parametrize(
    ("text", "decimal", "number"),
    [
        (" 12 ", ".", "12"),
        ("12-", ".", "-12"),
        ("1.234,50", ",", "1234.50"),
        ("1.234", ",", "1234"),
        ("-3,0", ",", "-3.0"),
        ("0007", ",", "0007"),
    ],
)
def test_numbers_are_read_with_the_declared_decimal(text, decimal, number):
    assert plain_number(text, decimal) == number


@pytest.mark.parametrize("text", ["1.5", "1.23", "12.3456", "1.2.3"])
def test_a_point_that_groups_nothing_is_no_number_with_a_decimal_comma(text):
    with pytest.raises(ValueError, match="decimal comma"):
        plain_number(text, ",")


def test_what_is_written_reads_back():
    table = [["a", 'b "1"', "c;d"], ["e", "", "7"]]
    for shape in (Shape(), Shape(delimiter=";"), Shape(quote="'", delimiter="|")):
        assert [line.cells for line in lines_of(written(table, shape), shape)] == table
    fixed = written([["A", 7], ["BC", 120]], Shape(form="fixed"), [3, 5])
    assert fixed == "A      7\r\nBC   120\r\n"


@pytest.mark.parametrize(
    ("value", "shape", "width", "problem"),
    [
        ("商", Shape(encoding="cp1252"), 0, "cannot be written in cp1252"),
        ("a\tb", Shape(form="tsv"), 0, "parts cells"),
        ("a;b", Shape(delimiter=";", quote=""), 0, "parts cells"),
        ("a;b", Shape(delimiter=";"), 0, ""),
        ("long", Shape(form="fixed"), 3, "longer than its 3 characters"),
        ("a\nb", Shape(form="fixed"), 9, "parts cells"),
    ],
)
def test_what_has_no_place_in_a_form_is_told_before_it_is_written(value, shape, width, problem):
    found = cannot_be_written(value, shape, width)
    assert problem in found
    assert bool(problem) == bool(found)


def test_a_table_without_header_has_its_columns_by_order():
    shape = Shape(header=False, cells=(Cell(name="sku"), Cell(name="qty")))
    table = table_of(b"A,1\nB\nC,2\n", shape, None, ["sku"])
    assert isinstance(table, Table)
    found = [row if isinstance(row, dict) else row.reason for _, row in table.rows()]
    assert found == [
        {"sku": "A", "qty": "1"},
        "has 1 cells where 2 are declared",
        {"sku": "C", "qty": "2"},
    ]
    lacking = table_of(b"A,1\n", shape, None, ["store"])
    assert isinstance(lacking, Failure)


# -------------------------------------------------------------------- zip

CAPS = Caps(member_bytes=100_000, total_bytes=150_000, ratio=100, members=3)


def noise(size):
    """Bytes that do not pack."""
    return random.Random(size).randbytes(size)


def zipped(*members, compression=zipfile.ZIP_DEFLATED, flags=0, mode=0):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, body in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = compression
            info.external_attr = mode << 16
            archive.writestr(info, body)
    body = bytearray(out.getvalue())
    if flags:
        # Bit 0 of the flags, in the local header and in the directory: encrypted.
        body[6] |= flags
        at = body.rindex(b"PK\x01\x02")
        body[at + 8] |= flags
    return bytes(body)


def test_members_come_by_name_in_their_order():
    assert unpacked(zipped(("b.csv", "2"), ("x/a.csv", "1"), ("x/", "")), CAPS) == {
        "b.csv": b"2",
        "a.csv": b"1",
    }


def lying_about_its_size():
    """A zip whose directory and header say that its 90,000 bytes are 10."""
    body = bytearray(zipped(("a.csv", b"0" * 90_000)))
    size = struct.pack("<I", 90_000)
    small = struct.pack("<I", 10)
    return bytes(body.replace(size, small))


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (zipped(("a.csv", noise(120_000))), "max_file_bytes"),
        (zipped(("a.csv", noise(99_000)), ("b.csv", noise(99_000))), "zip_max_bytes"),
        (zipped(("a.csv", b"0" * 99_000)), "zip_max_ratio"),
        (zipped(*((f"{n}.csv", "1") for n in range(4))), "4 members, more than 3"),
        (zipped(("../a.csv", "1")), "a path that is not taken"),
        (zipped(("/etc/a.csv", "1")), "a path that is not taken"),
        (zipped(("C:/a.csv", "1")), "a path that is not taken"),
        (zipped(("..\\a.csv", "1")), "a path that is not taken"),
        (zipped(("a.csv~.txt", "1")).replace(b"~", b"\x00"), "a path that is not taken"),
        (zipped((".hidden", "1")), "a path that is not taken"),
        (zipped(("a.csv", "1"), ("x/a.csv", "1")), "'a.csv' twice"),
        (zipped(("a.zip", "1")), "a zip in it"),
        (zipped(("a.csv", "/etc/passwd"), mode=0o120777), "no plain file"),
        (zipped(("a.csv", "1"), compression=zipfile.ZIP_BZIP2), "only deflate"),
        (zipped(("a.csv", "1"), flags=1), "under a password"),
        (zipped(), "no file in it"),
        (zipped(("a.csv", "123"))[:-8], "no whole zip"),
        (
            zipped(("a.csv", "123"), compression=zipfile.ZIP_STORED).replace(b"123", b"124"),
            "no whole zip",
        ),
        (zipped(("", "1")), "no whole zip"),
        (b"PK\x03\x04", "no whole zip"),
        (b"", "no whole zip"),
        (lying_about_its_size(), "no whole zip"),
    ],
)
def test_a_zip_beyond_its_caps_or_out_of_its_folder_is_not_unpacked(body, problem):
    with pytest.raises(Unfit, match=problem):
        unpacked(body, CAPS)


def test_no_bytes_of_a_zip_do_anything_but_unpack_or_say_why_not():
    chance = random.Random(7)
    whole = zipped(("a.csv", noise(300)), ("x/b.csv", b"0" * 3_000))
    for _ in range(2_000):
        body = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            body[chance.randrange(len(body))] = chance.randrange(256)
        with suppress(Unfit):
            members = unpacked(bytes(body[: chance.choice((len(body), 250))]), CAPS)
            assert sum(map(len, members.values())) <= CAPS.total_bytes

import csv
import io
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stockwright.domain.errors import Rejected
from stockwright.domain.events import MAX_CODE
from stockwright.domain.items import Sku
from stockwright.domain.network import Location
from stockwright.domain.spreadsheets import undone
from stockwright.flow.catalogue import export_csv, import_csv
from stockwright.flow.csv_columns import COLUMNS
from stockwright.flow.csv_report import ImportReport, RefusedRows
from stockwright.store import master
from stockwright.store.connection import Connection, connect
from stockwright.store.kinds import KINDS
from stockwright.store.master import save_one
from tests.master.conftest import revision


def run(
    connection: Connection, kind: str, text: str | bytes, path: Path | None = None, chunk: int = 2
) -> ImportReport:
    raw = text.encode() if isinstance(text, str) else text
    refused = RefusedRows(path) if path else None
    report = import_csv(connection, kind, io.BytesIO(raw), refused=refused, chunk_rows=chunk)
    if refused:
        refused.close()
    return report


def counts(report: ImportReport) -> tuple[int, int, int, int]:
    assert report.rows == report.new + report.changed + report.unchanged + report.refused
    return report.new, report.changed, report.unchanged, report.refused


def refusals(report: ImportReport) -> list[tuple[int, str, str]]:
    return [(each.line, each.field, each.reason) for each in report.first_refusals]


FILES = {
    "skus": "code,description,sku_group,unit_cost,currency,base_unit,control,active\n"
    "0010,Mug,G,1.50,GBP,EA,none,true\n"
    "0010a,Mug blue,G,0,,PC,lot,no\n"
    ' spaced code ,"A ""quoted"", text",,12.345678,EUR,EA,serial,1\n'
    "M,,,,,,,\n",
    "units": "sku,code,factor\nA,CASE,12\nA,PALLET,480\nB,CASE,6\n",
    "bindings": "system,subject,partner_code,code,unit\n"
    "SHOP,item,007,A,EA\nSHOP,,7,B,\nWMS,location,W1,MAIN,\n",
    "kits": "sku,component,quantity\nA,B,2\nA,C,1\n",
    "listings": "channel,code,sku,quantity,active\n"
    "WEB,pack,A,6,true\nWEB,set,A,1,no\nWEB,set,B,2,no\n",
    "locations": "code,name,time_zone,feed,priority,groups\n"
    "01,North,Europe/London,movement,1,SHOPS;UK\n1,South,,snapshot,,\n",
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_is_imported_and_the_second_time_nothing_changes(
    connection: Connection, kind: str
) -> None:
    rows = FILES[kind].count("\n") - 1
    assert counts(run(connection, kind, FILES[kind])) == (rows, 0, 0, 0)
    before = revision(connection)
    assert counts(run(connection, kind, FILES[kind])) == (0, 0, rows, 0)
    assert revision(connection) == before


@pytest.mark.parametrize("kind", FILES)
def test_an_export_is_read_back_without_any_change(connection: Connection, kind: str) -> None:
    run(connection, kind, FILES[kind])
    target = io.BytesIO()
    written = export_csv(connection, kind, target)
    assert written >= FILES[kind].count("\n") - 1
    assert counts(run(connection, kind, target.getvalue().decode())) == (0, 0, written, 0)


# kind, file, then for each refused row: line, field, words of the reason
Refused = list[tuple[int, str, str]]
BAD: list[tuple[str, str, str | bytes, int, Refused]] = [
    (
        "codes",
        "skus",
        f'code\n{"x" * (MAX_CODE + 1)}\n"  "\nA\x00B\n"two\nlines"\n"x\u200b"\n{"y" * MAX_CODE}\n',
        1,
        [
            (2, "code", "longer than 128"),
            (4, "code", "invisible character U+0000"),
            (5, "code", "invisible character U+000A"),
            (7, "code", "invisible character U+200B"),
        ],
    ),
    (
        "a code must be there",
        "skus",
        "code,description\n,nameless\nN,named\n",
        1,
        [(2, "code", "is empty")],
    ),
    (
        "amounts",
        "skus",
        'code,unit_cost\na,-1\nb,"1,50"\nc,1e3\nd,NaN\ne,1.1234567\nf,٣\ng,0.5\n',
        1,
        [
            (2, "unit_cost", "is negative"),
            (3, "unit_cost", "is no amount"),
            (4, "unit_cost", "is no amount"),
            (5, "unit_cost", "is no amount"),
            (6, "unit_cost", "at most 6 decimals"),
            (7, "unit_cost", "is no amount"),
        ],
    ),
    (
        "words",
        "skus",
        "code,control,active,currency\na,lots,yes,\nb,lot,maybe,\nc,lot,YES,eur\nd,lot,No,EUR\n",
        1,
        [
            (2, "control", "did you mean lot?"),
            (3, "active", "neither true nor false"),
            (4, "currency", "capital letters"),
        ],
    ),
    (
        "whole numbers",
        "units",
        "sku,code,factor\nA,a,0\nA,b,-2\nA,c,1.5\nA,d,1_000\nA,e,99999999999999999999\n"
        "A,f,1000001\nA,g,012\n",
        1,
        [
            (2, "factor", "out of range"),
            (3, "factor", "digits only"),
            (4, "factor", "digits only"),
            (5, "factor", "digits only"),
            (6, "factor", "digits only"),
            (7, "factor", "out of range"),
        ],
    ),
    (
        "shape of rows",
        "units",
        'sku,code,factor\nA,a\nA,b,2,3\n\n , ,\nA,"c"d,2\nA,e,2\n',
        1,
        [
            (2, "row", "2 cells where the header has 3"),
            (3, "row", "4 cells where the header has 3"),
            (6, "row", "closing quote"),
        ],
    ),
    (
        "a quote that is never closed hides no other row",
        "skus",
        'code,description\na,"open\nb,fine\nc,"closed"\nd,"open again\n',
        2,
        [(2, "row", "quote"), (5, "row", "quote that is not closed")],
    ),
    (
        "a quote that stays open for a hundred lines",
        "skus",
        'code\n"a\n' + "".join(f"n{n}\n" for n in range(200)),
        200,
        [(2, "row", "opens a quote that is not closed")],
    ),
    (
        "a line without an end",
        "skus",
        "code,description\na," + "x" * 250_000 + "\nb," + "y" * 2_001 + "\nc,z\n",
        1,
        [(2, "row", "longer than 100000"), (3, "description", "longer than 2000")],
    ),
    (
        "bytes that are not UTF-8",
        "skus",
        b"code,description\n\xe9,x\nb,caf\xe9\nc,caf\xc3\xa9\n",
        1,
        [(2, "code", "not UTF-8"), (3, "description", "not UTF-8")],
    ),
    (
        "one key, two contents",
        "skus",
        "code,description\na,one\nb,x\na,one\na,two\n",
        3,
        [(5, "code", "line 2 says otherwise of a")],
    ),
    (
        "codes nobody knows",
        "units",
        "sku,code,factor\nNONE,CASE,2\na,CASE,2\nA,EA,2\nA,CASE,2\n",
        1,
        [
            (2, "sku", "there is no SKU NONE"),
            (3, "sku", "there is no SKU a"),
            (4, "factor", "base unit"),
        ],
    ),
    (
        "a kit with one bad line is refused as a whole",
        "kits",
        "sku,component,quantity\nA,B,2\nA,C,x\nB,C,1\nC,NONE,1\nC,B,1\n",
        1,
        [
            (2, "row", "goes with line 3, which is refused"),
            (3, "quantity", "digits only"),
            (5, "component", "there is no SKU NONE"),
            (6, "component", "there is no SKU NONE"),
        ],
    ),
    (
        "a line that cannot be read may belong to the kit before or after it",
        "kits",
        'sku,component,quantity\nA,B,2\n"x\nB,C,1\nB,A,1\n',
        0,
        [
            (2, "row", "goes with line 3"),
            (3, "row", "quote"),
            (4, "row", "goes with line 3"),
            (5, "row", "goes with line 3"),
        ],
    ),
    (
        "lines of one kit stand together and agree",
        "kits",
        "sku,component,quantity\nA,B,2\nB,C,1\nB,C,2\nA,C,1\n",
        1,
        [
            (3, "quantity", "differs between two lines with C"),
            (4, "quantity", "differs between two lines with C"),
            (5, "sku", "line 2 says otherwise of A"),
        ],
    ),
    (
        "a kit within itself, by way of another chunk",
        "kits",
        "sku,component,quantity\nA,B,1\nB,C,1\nC,C,1\nC,A,1\n",
        2,
        [(4, "component", "C > A > B > C"), (5, "component", "C > A > B > C")],
    ),
    (
        "a listing is on sale or not",
        "listings",
        "channel,code,sku,active\nWEB,x,A,true\nWEB,x,B,false\nWEB,y,A,true\nNONE,z,A,true\n",
        1,
        [
            (2, "active", "differs"),
            (3, "active", "differs"),
            (5, "channel", "there is no channel NONE"),
        ],
    ),
    (
        "places",
        "locations",
        "code,time_zone,priority,groups\na,Europe/Lndon,1,\nb,,1.5,\nc,,,G;H; ;G\nd,,,MAIN\n"
        "EUROPE,,,\n",
        1,
        [
            (2, "time_zone", "did you mean Europe/London?"),
            (3, "priority", "digits only"),
            (5, "groups", "MAIN is the code of a location"),
            (6, "code", "EUROPE is the code of a group"),
        ],
    ),
]


@pytest.mark.parametrize(
    ("kind", "file", "imported", "expected"), [row[1:] for row in BAD], ids=[row[0] for row in BAD]
)
def test_every_bad_row_is_refused_with_its_line_field_and_reason_and_the_others_stay(
    connection: Connection, kind: str, file: str | bytes, imported: int, expected: Refused
) -> None:
    report = run(connection, kind, file)
    found = sorted(refusals(report))
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    for (*_, reason), (*_, words) in zip(found, expected, strict=True):
        assert words in reason
    new, _, unchanged, refused = counts(report)
    assert new + unchanged == imported
    assert refused == len(expected)


HEADERS: list[tuple[str, str, str | bytes, list[str]]] = [
    ("an empty file", "skus", "", ["empty"]),
    ("blank lines only", "skus", "\n \n", ["empty"]),
    (
        "unknown and missing columns, all at once",
        "units",
        "sku,cod,weight\n",
        ["cod is unknown (did you mean code?)", "weight is unknown", "code is missing", "factor"],
    ),
    ("a column twice", "units", "sku,code,factor,code\n", ["code is there twice"]),
    ("no header at all", "skus", "0010,Mug\n", ["0010 is unknown", "code is missing"]),
    ("UTF-16", "skus", "code\nA\n".encode("utf-16"), ["UTF-8"]),
    ("another kind of file", "kits", FILES["units"], ["factor is unknown", "component is missing"]),
]


@pytest.mark.parametrize(
    ("kind", "file", "words"), [row[1:] for row in HEADERS], ids=[row[0] for row in HEADERS]
)
def test_a_useless_header_is_refused_with_every_column_at_fault(
    connection: Connection, kind: str, file: str | bytes, words: list[str]
) -> None:
    with pytest.raises(Rejected) as caught:
        run(connection, kind, file)
    for word in words:
        assert word in caught.value.message


@pytest.mark.parametrize(
    "file",
    [
        b"\xef\xbb\xbfcode,unit_cost\n0010,1.50\n",
        b'\xef\xbb\xbf"code","unit_cost"\r\n"0010","1.50"\r\n',
        b"Code;Unit Cost\r\n0010;1.50\r\n",
        b'"code"\t"unit_cost"\n0010\t1.50',
        b"\n\nUNIT_COST,CODE\n 1.50 ,  0010 \n",
        b"code,unit_cost\r0010,1.50\r",
    ],
)
def test_what_spreadsheets_write_is_understood(connection: Connection, file: bytes) -> None:
    assert counts(run(connection, "skus", file)) == (1, 0, 0, 0)
    (row,) = master.read(connection, "skus", [("0010",)]).values()
    assert isinstance(row, Sku)
    assert str(row.unit_cost) == "1.50"


def test_columns_that_are_not_there_keep_what_is_known(connection: Connection) -> None:
    run(connection, "skus", FILES["skus"])
    report = run(connection, "skus", "code,unit_cost\n0010,2\nNEW,3\n")
    assert counts(report) == (1, 1, 0, 0)
    (row,) = master.read(connection, "skus", [("0010",)]).values()
    assert isinstance(row, Sku)
    assert (row.description, row.sku_group, str(row.unit_cost)) == ("Mug", "G", "2")


def test_places_keep_their_groups_where_the_file_has_none(connection: Connection) -> None:
    run(connection, "locations", "code,name\nMAIN,Main\n")
    (row,) = master.read(connection, "locations", [("MAIN",)]).values()
    assert row == Location(code="MAIN", name="Main", groups=("EUROPE",))


def test_refused_rows_are_written_as_they_were_and_can_be_imported_once_corrected(
    connection: Connection, tmp_path: Path
) -> None:
    path = tmp_path / "refused.csv"
    file = b'code,description,unit_cost\nA,"x, ""y""",-1\nB,fine,1\nC,caf\xe9,2\nD,"open\n'
    assert counts(run(connection, "skus", file, path)) == (0, 1, 0, 3)
    raw = path.read_bytes()
    rows = list(csv.reader(io.StringIO(raw.decode(errors="surrogateescape"))))
    assert rows[0] == ["line", "field", "reason", "code", "description", "unit_cost"]
    assert [(row[0], row[1], row[3:]) for row in rows[1:]] == [
        ("2", "unit_cost", ["A", 'x, "y"', "-1"]),
        ("4", "description", ["C", "caf\udce9", "2"]),
        ("5", "row", ['D,"open']),
    ]
    corrected = raw.replace(b"-1", b"1").replace(b"\xe9", b"e").splitlines(keepends=True)[:-1]
    again = run(connection, "skus", b"".join(corrected), tmp_path / "again.csv")
    assert counts(again) == (0, 2, 0, 0)
    assert not (tmp_path / "again.csv").exists()


def test_the_report_of_an_earlier_run_goes_but_no_other_file_is_touched(
    connection: Connection, tmp_path: Path
) -> None:
    path = tmp_path / "refused.csv"
    run(connection, "skus", "code,unit_cost\nA,x\n", path)
    assert path.exists()
    run(connection, "skus", "code,unit_cost\nA,1\n", path)
    assert not path.exists()
    path.write_text("somebody's work\n")
    with pytest.raises(Rejected, match="no report of refused rows"):
        run(connection, "skus", "code,unit_cost\nA,x\n", path)
    assert path.read_text() == "somebody's work\n"


def test_progress_adds_up_to_the_rows_of_the_file(connection: Connection) -> None:
    steps: list[int] = []
    file = "code\n" + "".join(f"{n}\n" for n in range(11))
    import_csv(connection, "skus", io.BytesIO(file.encode()), progress=steps.append, chunk_rows=4)
    assert steps == [4, 4, 3]


def test_two_imports_of_the_same_rows_at_once_import_each_row_once(
    connection: Connection, master_url: str
) -> None:
    barrier = threading.Barrier(2)
    reports: list[ImportReport] = []
    file = "code,description\n" + "".join(f"{n:05},x\n" for n in range(2_000))
    backwards = "code,description\n" + "".join(f"{n:05},x\n" for n in reversed(range(2_000)))

    def work(text: str) -> None:
        with connect(master_url) as own:
            barrier.wait()
            reports.append(run(own, "skus", text, chunk=100))

    threads = [threading.Thread(target=work, args=(text,)) for text in (file, backwards)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reports) == 2
    assert sum(report.new for report in reports) == 2_000
    assert sum(report.unchanged for report in reports) == 2_000
    assert sum(report.refused for report in reports) == 0


# Letters and digits of every script, in every case, with blanks and signs inside.
CODES = (
    st.text(
        st.characters(
            codec="utf-8", exclude_categories=("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs")
        )
        | st.sampled_from("0 01aA,;\"'\t".replace("\t", "")),
        min_size=1,
        max_size=12,
    )
    .map(str.strip)
    .filter(bool)
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=60,
)
@given(st.lists(CODES, min_size=1, max_size=8, unique=True))
def test_case_and_leading_zeros_survive_import_and_export(
    connection: Connection, codes: list[str]
) -> None:
    file = io.StringIO()
    csv.writer(file).writerows([["code"], *([code] for code in codes)])
    assert run(connection, "skus", file.getvalue()).refused == 0
    bindings = io.StringIO()
    csv.writer(bindings).writerows(
        [["system", "partner_code", "code"], *(["SHOP", code, code] for code in codes)]
    )
    assert run(connection, "bindings", bindings.getvalue()).refused == 0
    for kind, column in (("skus", "code"), ("bindings", "partner_code")):
        target = io.BytesIO()
        export_csv(connection, kind, target)
        rows = csv.DictReader(io.StringIO(target.getvalue().decode()))
        exported = {undone(row[column]) for row in rows}
        assert set(codes) <= exported


CELLS = st.sampled_from([*'ABC01é \n\r\x00,,"', '""', "12", "x,y"])


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=100,
)
@given(st.sampled_from(["skus", "units", "kits"]), st.lists(CELLS, max_size=60))
def test_whatever_a_file_holds_each_of_its_rows_is_accounted_for(
    connection: Connection, tmp_path: Path, kind: str, cells: list[str]
) -> None:
    header = ",".join(column.name for column in COLUMNS[kind] if column.required)
    path = tmp_path / "refused.csv"
    for table in ("kit", "unit"):
        connection.execute(f"delete from {table}".encode())
    report = run(connection, kind, f"{header}\n" + "".join(cells), path)
    new, changed, _, refused = counts(report)
    assert path.exists() == (refused > 0)
    again = run(connection, kind, f"{header}\n" + "".join(cells), path)
    assert counts(again) == (0, 0, report.unchanged + new + changed, refused)


def test_every_kind_of_row_has_its_columns() -> None:
    assert set(COLUMNS) == set(KINDS)
    for kind in ("skus", "units", "bindings"):
        names = {column.name for column in COLUMNS[kind]}
        assert names == set(KINDS[kind].struct.__struct_fields__)


def test_a_chunk_that_was_committed_stays_when_a_later_one_fails(connection: Connection) -> None:
    def stop(_rows: int) -> None:
        raise KeyboardInterrupt

    file = io.BytesIO(b"code\nP\nQ\nR\nS\n")
    with pytest.raises(KeyboardInterrupt):
        import_csv(connection, "skus", file, progress=stop, chunk_rows=2)
    connection.rollback()
    found = master.read(connection, "skus", [("P",), ("Q",), ("R",), ("S",)])
    assert sorted(code for (code,) in found) == ["P", "Q"]
    assert save_one(connection, "skus", Sku(code="R")) == "new"


def test_refused_rows_are_not_run_by_a_spreadsheet_and_are_read_again_as_they_were(
    connection: Connection, tmp_path: Path
) -> None:
    text = "code,description,unit_cost\n=1+1,@SUM(A1),x\n'=2+2,''tis,y\n"
    path = tmp_path / "refused.csv"
    assert counts(run(connection, "skus", text, path)) == (0, 0, 0, 2)
    rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
    assert [row[3:5] for row in rows[1:]] == [["'=1+1", "'@SUM(A1)"], ["'=2+2", "''tis"]]
    mended = path.read_text().replace(",x\n", ",1\n").replace(",y\n", ",2\n")
    assert counts(run(connection, "skus", mended)) == (2, 0, 0, 0)
    found = master.read(connection, "skus", [("=1+1",), ("=2+2",)])
    skus = [found[key] for key in (("=1+1",), ("=2+2",))]
    assert [one.description for one in skus if isinstance(one, Sku)] == ["@SUM(A1)", "''tis"]

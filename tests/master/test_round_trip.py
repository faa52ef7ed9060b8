"""The whole master out and in again: export, import into an empty database, export: the same."""

import io
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stockwright.cli import main
from stockwright.domain.items import Binding, Component, Kit, Listing, Sku, Unit
from stockwright.domain.network import Location
from stockwright.flow.catalogue import export_csv, import_csv
from stockwright.flow.ndjson_master import WHOLE, export_ndjson, import_ndjson
from stockwright.store.connection import Connection, connect
from stockwright.store.kinds import KINDS, Row
from stockwright.store.master import save
from stockwright.store.network import apply_config
from tests.master.conftest import CHILDREN_FIRST, NETWORK

ROWS: dict[str, list[Row]] = {
    "skus": [
        Sku(code="007", description='Tea, "green"', unit_cost=Decimal("1.50"), currency="EUR"),
        Sku(code="Größe 42", sku_group="SHOES", control="lot", active=False),
        Sku(code="BOX"),
        Sku(code="=1+1", description="=cmd|' /C calc'!A0", sku_group="'@x"),
    ],
    "units": [Unit(sku="007", code="CASE", factor=12), Unit(sku="007", code="PALLET", factor=480)],
    "kits": [
        Kit(sku="BOX", components=(Component(sku="007", quantity=2), Component(sku="Größe 42"))),
    ],
    "listings": [
        Listing(channel="WEB", code="tea", components=(Component(sku="007", quantity=6),)),
        Listing(channel="B2B", code="set", active=False, components=(
            Component(sku="007"), Component(sku="BOX", quantity=3))),
        Listing(channel="WEB", code="+set", components=(
            Component(sku="007"), Component(sku="=1+1", quantity=3))),
    ],
    "bindings": [
        Binding(system="WMS", partner_code="000007", code="007", unit="CASE"),
        Binding(system="SHOP", partner_code="DC-1", code="MAIN", subject="location"),
        Binding(system="SHOP", partner_code="-7", code="=1+1"),
    ],
    "locations": [
        Location(code="ANNEX", name="An; annex", time_zone="Europe/Berlin", priority=7,
                 groups=("EUROPE", "NEAR")),
    ],
}  # fmt: skip


def emptied(connection: Connection) -> None:
    for table in CHILDREN_FIRST:
        connection.execute(f"delete from {table}".encode())
    apply_config(connection, NETWORK)
    connection.commit()


@pytest.fixture
def filled(connection: Connection) -> Connection:
    emptied(connection)
    for kind in WHOLE:
        assert set(save(connection, kind, ROWS[kind])) == {"new"}
    connection.commit()
    return connection


def as_lines(connection: Connection) -> bytes:
    target = io.BytesIO()
    export_ndjson(connection, WHOLE, target)
    return target.getvalue()


def as_csv(connection: Connection) -> dict[str, bytes]:
    files = {}
    for kind in WHOLE:
        target = io.BytesIO()
        export_csv(connection, kind, target)
        files[kind] = target.getvalue()
    return files


def test_the_master_as_lines_of_json_comes_back_the_same(filled: Connection) -> None:
    before = as_lines(filled)
    assert before.count(b"\n") == sum(len(rows) for rows in ROWS.values()) + 2  # two of the network
    emptied(filled)
    reports = import_ndjson(filled, None, io.BytesIO(before))
    assert [report.kind for report in reports] == list(WHOLE)
    assert sum(report.refused for report in reports) == 0
    assert as_lines(filled) == before
    again = import_ndjson(filled, None, io.BytesIO(before))
    assert sum(report.new + report.changed for report in again) == 0


def test_the_master_as_csv_comes_back_the_same(filled: Connection) -> None:
    before = as_csv(filled)
    emptied(filled)
    for kind in WHOLE:
        report = import_csv(filled, kind, io.BytesIO(before[kind]))
        assert report.refused == 0, report
    assert as_csv(filled) == before


@pytest.mark.parametrize("kind", WHOLE)
def test_one_kind_comes_back_from_lines_without_a_tag(filled: Connection, kind: str) -> None:
    target = io.BytesIO()
    count = export_ndjson(filled, [kind], target)
    assert b'"kind"' not in target.getvalue()
    (report,) = import_ndjson(filled, kind, io.BytesIO(target.getvalue()))
    assert (report.rows, report.unchanged) == (count, count)


def test_the_command_line_moves_a_whole_master_to_another_database(
    filled: Connection, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    master_url: str, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STOCKWRIGHT_CONFIG", raising=False)
    monkeypatch.setenv("STOCKWRIGHT_DATABASE_URL", master_url)
    assert main(["export", "all", "master.ndjson"]) == 0
    assert main(["export", "all", "folder", "--format", "csv"]) == 0
    assert main(["export", "skus", "skus.ndjson", "--json"]) == 0
    assert '"skus": 4' in capsys.readouterr().out
    with connect(database_url, idle_in_transaction_s=0) as other:
        apply_config(other, NETWORK)
        other.commit()
        monkeypatch.setenv("STOCKWRIGHT_DATABASE_URL", database_url)
        assert main(["import", "all", "folder"]) == 0
        assert as_lines(other) == Path("master.ndjson").read_bytes()
        assert main(["import", "all", "master.ndjson"]) == 0
        noted = other.execute("select distinct action, subject from change_log").fetchall()
        assert ("skus.import", "skus.csv") in noted
        assert all(subject != "master.ndjson" for _, subject in noted), "nothing was changed twice"


def test_the_snapshot_of_an_export_is_of_one_moment(filled: Connection, master_url: str) -> None:
    from stockwright.store.master import fix_snapshot, iterate

    fix_snapshot(filled)
    assert len(list(iterate(filled, "skus"))) == 4
    with connect(master_url) as other:
        save(other, "skus", [Sku(code="LATE")])
        other.commit()
    assert len(list(iterate(filled, "skus"))) == 4
    filled.commit()


def test_to_standard_output_goes_nothing_but_rows(
    filled: Connection, master_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STOCKWRIGHT_DATABASE_URL", master_url)
    assert main(["export", "units"]) == 0
    told = capfdbinary.readouterr()
    assert told.out == b"sku,code,factor\n007,CASE,12\n007,PALLET,480\n"
    assert b"Exported 2 rows of units" in told.err


REFUSED = [
    ("skus", "nonsense", "row", "is no JSON object"),
    ("skus", "[1]", "row", "is no JSON object"),
    ("skus", '{"description": "x"}', "code", "missing"),
    ("skus", '{"code": "X", "colour": "red"}', "colour", "is unknown"),
    ("skus", '{"code": "X", "unit_cost": "-1"}', "row", "unit_cost must be"),
    ("skus", '{"code": "a\\u0000b"}', "row", "U+0000"),
    ("units", '{"sku": "A", "code": "EA2", "factor": 0}', "factor", "1"),
    ("units", '{"sku": "NONE", "code": "X", "factor": 2}', "sku", "NONE"),
    ("locations", '{"code": "X", "time_zone": "Mars"}', "time_zone", "no IANA time zone"),
    ("locations", '{"code": "X", "authority": []}', "authority", "is unknown"),
    (None, '{"code": "X"}', "kind", "names its kind"),
    (None, '{"kind": "skus", "code": " X"}', "code", "match"),
]


@pytest.mark.parametrize(("kind", "line", "field", "words"), REFUSED)
def test_a_bad_line_is_refused_with_its_field_and_its_neighbours_stay(
    connection: Connection, kind: str | None, line: str, field: str, words: str
) -> None:
    good = {"skus": '{"code": "GOOD"}', "units": '{"sku": "A", "code": "GOOD", "factor": 2}'}
    neighbour = good.get(kind or "", '{"kind": "skus", "code": "GOOD"}')
    neighbour = '{"code": "GOOD"}' if kind == "locations" else neighbour
    text = f"{neighbour}\n\n{line}\n".encode()
    reports = import_ndjson(connection, kind, io.BytesIO(text))
    refused = [one for report in reports for one in report.first_refusals]
    assert [(one.line, one.field) for one in refused] == [(3, field)]
    assert words in refused[0].reason
    assert sum(report.new for report in reports) == 1


def test_refused_lines_can_be_corrected_and_imported_again(
    connection: Connection, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    master_url: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STOCKWRIGHT_DATABASE_URL", master_url)
    Path("u.ndjson").write_text('{"sku": "A", "code": "X", "factor": 0}\nbroken\n')
    assert main(["import", "units", "u.ndjson"]) == 1
    first, second = map(msgspec.json.decode, Path("u.refused.ndjson").read_bytes().splitlines())
    assert (first["sku"], first["refused"]["line"], first["refused"]["field"]) == ("A", 1, "factor")
    assert second["refused"]["text"] == "broken"
    Path("mended.ndjson").write_bytes(msgspec.json.encode({**first, "factor": 3}))
    assert main(["import", "units", "mended.ndjson"]) == 0


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)
@given(TEXTS, st.decimals(0, 10**6, places=4), st.booleans())
def test_whatever_an_item_says_comes_back(
    connection: Connection, text: str, cost: Decimal, active: bool
) -> None:
    row = Sku(code="ANY", description=text, unit_cost=cost, active=active)
    save(connection, "skus", [row])
    connection.commit()
    target = io.BytesIO()
    export_ndjson(connection, ["skus"], target)
    (report,) = import_ndjson(connection, "skus", io.BytesIO(target.getvalue()))
    assert (report.refused, report.changed, report.new) == (0, 0, 0), report
    assert set(KINDS) == set(WHOLE)

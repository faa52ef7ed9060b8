"""The file drop: levels whole or not at all; files taken once they are whole, and by one."""

import asyncio
import csv
import datetime as dt
import hashlib
import io
import json
import os
import zipfile

import msgspec
import pytest

from stockwright.connectors.csv_drop import CONNECTOR, Sandbox
from stockwright.domain.errors import Misconfigured
from stockwright.sdk.connector import Opening
from stockwright.sdk.files.inbox import CLAIM_S
from stockwright.sdk.messages import (
    Applied,
    DocumentLine,
    InDoubt,
    LevelToSend,
    Refused,
    Retry,
    Shipment,
)
from stockwright.sdk.verbs import Reads


@pytest.fixture
async def partner(tmp_path):
    async with Sandbox(tmp_path) as partner:
        await partner.start()
        yield partner


class Clock:
    """The time, which a test moves on."""

    def __init__(self):
        self.now = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.now += dt.timedelta(seconds=seconds)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def connect(partner, clock):
    def connected(**settings):
        given = {"stable_s": 0, **partner.settings(), **settings}
        parsed = CONNECTOR.declaration.parse_settings(given, str)
        return CONNECTOR.open(Opening(system="partner", clock=clock), parsed)

    return connected


def levels(*numbers, quantity=5, version=1):
    return [
        LevelToSend(channel="partner", listing=f"L-{n}", quantity=quantity, version=version)
        for n in numbers
    ]


def written(partner):
    with (partner.outbox / "levels.csv").open(newline="") as file:
        return {row["listing"]: int(row["quantity"]) for row in csv.DictReader(file)}


# -------------------------------------------------------------------- levels out


async def test_a_changed_level_leaves_all_others_in_the_file(partner, connect):
    connection = connect()
    await connection.publish(levels(*range(50)))
    await connection.publish(levels(7, quantity=0, version=2))
    assert len(written(partner)) == 50
    assert (written(partner)["L-7"], written(partner)["L-8"]) == (0, 5)


async def test_the_sidecar_s_totals_are_those_of_the_file(partner, connect):
    await connect().publish(levels(1, 2, quantity=4))
    control = json.loads((partner.outbox / "levels.csv.control.json").read_bytes())
    body = (partner.outbox / "levels.csv").read_bytes()
    assert control == {"rows": 2, "quantity": 8, "sha256": hashlib.sha256(body).hexdigest()}


async def test_a_trailer_ends_the_file_with_its_totals(partner, connect):
    await connect(control="trailer").publish(levels(1, 2, quantity=4))
    assert (partner.outbox / "levels.csv").read_bytes().splitlines()[-1] == b"#total,2,8"


async def test_columns_delimiter_and_encoding_are_the_partner_s(partner, connect):
    connection = connect(
        columns={"listing": "Artikel", "quantity": "Menge"}, delimiter=";", encoding="cp1252"
    )
    await connection.publish([LevelToSend(channel="c", listing="Müller;7", quantity=3, version=1)])
    body = (partner.outbox / "levels.csv").read_bytes()
    assert body == 'Artikel;Menge\r\n"Müller;7";3\r\n'.encode("cp1252")


async def test_a_file_of_fixed_width_has_its_numbers_right_and_refuses_what_is_too_long(
    partner, connect
):
    connection = connect(
        form="fixed",
        columns={"listing": "Artikel", "quantity": "Menge"},
        widths={"listing": 6, "quantity": 4},
        control="trailer",
        inbox="",
    )
    long = LevelToSend(channel="c", listing="L-12345", quantity=1, version=1)
    big = LevelToSend(channel="c", listing="L-9", quantity=12345, version=1)
    results = await connection.publish([*levels(1, 2, quantity=40), long, big])
    assert [type(one) for one in results] == [Applied, Applied, Refused, Refused]
    body = (partner.outbox / "levels.csv").read_bytes()
    assert body.splitlines() == [
        b"L-1     40",
        b"L-2     40",
        b"#total           2             80",
    ]
    await connection.publish(levels(1, quantity=0, version=2))
    assert (partner.outbox / "levels.csv").read_bytes().startswith(b"L-1      0\r\nL-2     40")


async def test_a_file_with_tabs_refuses_a_listing_with_a_tab(partner, connect):
    odd = LevelToSend(channel="c", listing="a\tb", quantity=1, version=1)
    refused, applied = await connect(form="tsv").publish([odd, *levels(1)])
    assert (refused.reason, type(applied)) == ("form", Applied)
    assert b"L-1\t\t5\t1" in (partner.outbox / "levels.csv").read_bytes()


async def test_a_listing_the_encoding_cannot_write_is_refused_alone(partner, connect):
    connection = connect(encoding="iso-8859-1")
    odd = LevelToSend(channel="c", listing="商品", quantity=3, version=1)
    first, second = await connection.publish([odd, *levels(1)])
    assert (type(first), first.reason, type(second)) == (Refused, "encoding", Applied)


async def test_a_partner_that_takes_its_file_away_gets_the_whole_again(partner, connect):
    connection = connect()
    await connection.publish(levels(*range(10)))
    (partner.outbox / "levels.csv").unlink()
    await connection.publish(levels(3, quantity=1, version=2))
    assert len(written(partner)) == 10


async def test_nothing_to_send_writes_nothing_over_a_catalogue(partner, connect):
    connection = connect()
    await connection.publish(levels(*range(10)))
    before = (partner.outbox / "levels.csv").stat()
    assert await connection.publish([]) == []
    assert (partner.outbox / "levels.csv").stat() == before


@pytest.mark.parametrize("control", ["sidecar", "trailer", "none"])
async def test_a_file_that_would_lose_its_catalogue_is_not_written(partner, connect, control):
    connection = connect(control=control)
    await connection.publish(levels(*range(100)))
    (partner.outbox / ".levels.csv.kept").unlink()
    with pytest.raises(Misconfigured, match="would shrink from 100 rows to 1") as error:
        await connection.publish(levels(1, version=2))
    assert error.value.setting == "outbox"
    assert len(written(partner)) >= 100


async def test_a_damaged_memory_asks_an_operator_and_writes_nothing(partner, connect):
    connection = connect()
    await connection.publish(levels(*range(3)))
    (partner.outbox / ".levels.csv.kept").write_bytes(b"[[")
    with pytest.raises(Misconfigured, match="is damaged"):
        await connection.publish(levels(1, version=2))
    assert written(partner) == {"L-0": 5, "L-1": 5, "L-2": 5}


async def test_a_first_file_waits_until_enough_levels_are_known(partner, connect):
    connection = connect(min_rows=3)
    (result,) = await connection.publish(levels(1))
    assert isinstance(result, Retry)
    assert not (partner.outbox / "levels.csv").exists()
    assert all(isinstance(one, Applied) for one in await connection.publish(levels(2, 3)))
    assert written(partner) == {"L-1": 5, "L-2": 5, "L-3": 5}


async def test_a_disk_that_fails_leaves_the_old_file_whole_and_no_draft(
    partner, connect, monkeypatch
):
    connection = connect()
    await connection.publish(levels(1, 2))

    def fail(_file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    results = await connection.publish(levels(1, 2, quantity=9, version=2))
    assert all(isinstance(one, InDoubt) for one in results)
    assert written(partner) == {"L-1": 5, "L-2": 5}
    assert [path.name for path in partner.outbox.glob("*.tmp")] == []


async def test_two_connections_writing_at_once_lose_no_level(partner, connect):
    one, two = connect(), connect()

    async def push(connection, numbers):
        for n in numbers:
            while isinstance((await connection.publish(levels(n)))[0], Retry):
                pass

    await asyncio.gather(push(one, range(20)), push(two, range(20, 40)))
    assert len(written(partner)) == 40


async def test_a_missing_folder_names_the_setting(connect):
    with pytest.raises(Misconfigured, match="there is no folder") as error:
        await connect(outbox="/nowhere/at/all").publish(levels(1))
    assert error.value.setting == "outbox"
    with pytest.raises(Misconfigured) as error:
        await connect(inbox="/nowhere/at/all").read("")
    assert error.value.setting == "inbox"
    assert not isinstance(connect(inbox=""), Reads)


# -------------------------------------------------------------------- files in


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


async def test_a_file_is_read_once_and_laid_aside_once_it_is_kept(partner, connect):
    connection = connect()
    partner.sell("O1", [("L-1", 2)])
    page = await connection.read("")
    (payload,) = page.payloads
    assert payload.headers == {"file": "orders-000001.csv"}
    assert [part.item.document for part in connection.map(payload)] == ["O1"]
    assert (await connection.read("")).payloads == ()
    for _ in range(2):
        await connection.acknowledge(page)
    assert names(partner.inbox / "done") == ["orders-000001.csv"]
    assert names(partner.inbox / ".claimed") == []


async def test_a_file_that_still_grows_is_left_alone(partner, connect, clock):
    connection = connect(stable_s=3600)
    path = partner.drop("orders-1.csv", [["order", "sku", "quantity"]])
    assert (await connection.read("")).payloads == ()
    clock.wait(3599)
    assert (await connection.read("")).payloads == ()
    clock.wait(1)
    with path.open("a") as file:
        file.write("O1,A,1\n")
    assert (await connection.read("")).payloads == ()
    clock.wait(3600)
    assert len((await connection.read("")).payloads) == 1


async def test_a_file_that_grows_after_all_is_put_back(partner, connect, monkeypatch):
    connection = connect()
    path = partner.drop("orders-1.csv", [["order", "sku", "quantity"]])
    read = connection._place.read

    async def and_grow(name, limit):
        body = await read(name, limit)
        path.with_name(".claimed").joinpath(name).write_bytes(body + b"O1,A,1\n")
        return body

    monkeypatch.setattr(connection._place, "read", and_grow)
    assert (await connection.read("")).payloads == ()
    monkeypatch.undo()
    assert path.exists()
    assert names(partner.inbox / ".claimed") == []
    (payload,) = (await connection.read("")).payloads
    assert payload.body.endswith(b"O1,A,1\n")


async def test_a_file_waits_for_its_marker_where_one_is_declared(partner, connect):
    connection = connect(complete="marker", stable_s=3600)
    partner.drop("orders-1.csv", [["order", "sku", "quantity"]])
    marker = partner.inbox / "orders-1.csv.done"
    marker.unlink()
    assert (await connection.read("")).payloads == ()
    marker.touch()
    page = await connection.read("")
    assert len(page.payloads) == 1
    await connection.acknowledge(page)
    assert not marker.exists()


async def test_a_marker_may_be_named_by_the_stem_and_never_outlives_its_file(partner, connect):
    connection = connect(complete="marker", marker="{stem}.ok")
    (partner.inbox / "orders-1.ok").touch()
    assert (await connection.read("")).payloads == ()
    (partner.inbox / "orders-1.csv").write_text("order,sku,quantity\n")
    page = await connection.read("")
    assert [payload.headers["file"] for payload in page.payloads] == ["orders-1.csv"]
    # The next file of that name comes before the first is kept, and is not whole yet.
    (partner.inbox / "orders-1.csv").write_text("order,sku")
    await connection.acknowledge(page)
    assert (await connection.read("")).payloads == ()
    (partner.inbox / "orders-1.ok").touch()
    assert (await connection.read("")).payloads[0].body == b"order,sku"


async def test_a_file_that_is_renamed_when_it_is_whole_is_taken_at_once(partner, connect):
    connection = connect(complete="rename", stable_s=3600, unfinished=[".uploading"])
    draft = partner.inbox / "orders-1.csv.uploading"
    draft.write_text("order,sku,quantity\n")
    assert (await connection.read("")).payloads == ()
    draft.rename(partner.inbox / "orders-1.csv")
    assert len((await connection.read("")).payloads) == 1


async def test_drafts_folders_and_links_are_no_files(partner, connect, tmp_path):
    for name in (".hidden.csv", "orders.csv.tmp", "orders.csv.part", "orders.csv.done"):
        (partner.inbox / name).touch()
    (partner.inbox / "folder").mkdir()
    (tmp_path / "secret").write_text("order,sku,quantity\n")
    (partner.inbox / "orders-9.csv").symlink_to(tmp_path / "secret")
    page = await connect().read("")
    assert (page.payloads, page.complete) == ((), True)


async def test_each_file_is_taken_by_one_of_many_readers(partner, connect):
    for n in range(30):
        partner.drop(f"orders-{n}.csv", [["order", "sku", "quantity"], [f"O{n}", "A", "1"]])
    readers = [connect() for _ in range(4)]
    taken = []
    while True:
        pages = await asyncio.gather(*(reader.read("") for reader in readers))
        found = [payload.headers["file"] for page in pages for payload in page.payloads]
        if not found:
            break
        taken += found
    assert sorted(taken) == sorted(f"orders-{n}.csv" for n in range(30))


async def test_a_file_a_dead_reader_took_is_taken_again_by_one(partner, connect, clock):
    partner.sell("O1", [("L-1", 2)])
    await connect().read("")
    heirs = [connect() for _ in range(4)]
    assert (await heirs[0].read("")).payloads == ()
    clock.wait(CLAIM_S + 1)
    pages = await asyncio.gather(*(heir.read("") for heir in heirs))
    assert [len(page.payloads) for page in pages if page.payloads] == [1]


async def test_a_file_that_an_earlier_version_took_is_taken_again(partner, connect, clock):
    claimed = partner.inbox / ".claimed"
    claimed.mkdir()
    (claimed / "orders-1.csv").write_text("order,sku,quantity\n")
    clock.now = dt.datetime.now(dt.UTC)
    assert (await connect().read("")).payloads == ()
    clock.wait(CLAIM_S + 5)
    page = await connect().read("")
    assert [payload.headers["file"] for payload in page.payloads] == ["orders-1.csv"]
    await connect().acknowledge(page)
    assert (names(claimed), names(partner.inbox / "done")) == ([], ["orders-1.csv"])


async def test_the_same_name_a_second_time_is_kept_beside_the_first(partner, connect):
    connection = connect()
    for _ in range(2):
        partner.drop("orders-1.csv", [["order", "sku", "quantity"], ["O1", "A", "1"]])
        await connection.acknowledge(await connection.read(""))
    assert names(partner.inbox / "done") == ["orders-1.2.csv", "orders-1.csv"]


@pytest.mark.parametrize(
    ("name", "body", "reason"),
    [
        ("orders-1.csv", b"", "has no header"),
        ("orders-1.csv", b"\x00\x01\x02", "lacks the columns order"),
        ("orders-1.csv", b"order,sku\nO1,A\n", "lacks the columns quantity"),
        ("orders-1.csv", b"order;sku;quantity\n", "is one column: set delimiter to ;"),
        ("orders-1.csv", b"order\tsku\tquantity\n", "is one column: set form to tsv"),
        ("orders-1.csv", b"order,sku,quantity,sku\n", "names a column twice: sku"),
        ("orders-1.csv", b'"order,sku', "cannot be read"),
        ("prices.csv", b"a,b\n", "no kind of file matches this name"),
    ],
)
async def test_a_file_with_a_wrong_header_is_quarantined_whole(
    partner, connect, name, body, reason
):
    connection = connect()
    (partner.inbox / name).write_bytes(body)
    page = await connection.read("")
    (payload,) = page.payloads
    assert reason in payload.problem.reason
    assert payload.body == body
    await connection.acknowledge(page)
    assert names(partner.inbox / "quarantine") == [name, f"{name}.reason.txt"]
    assert reason in (partner.inbox / "quarantine" / f"{name}.reason.txt").read_text()


async def test_a_file_beyond_the_cap_is_told_and_kept_but_not_read(partner, connect):
    connection = connect(max_file_bytes=1024)
    (partner.inbox / "orders-1.csv").write_bytes(b"x" * 2000)
    page = await connection.read("")
    (payload,) = page.payloads
    assert (payload.body, payload.problem.path) == (b"", "orders-1.csv")
    assert "2000 bytes" in payload.problem.reason
    await connection.acknowledge(page)
    assert (partner.inbox / "quarantine" / "orders-1.csv").stat().st_size == 2000


async def test_rows_that_cannot_be_read_name_their_line_and_column(partner, connect):
    connection = connect()
    body = (
        b"order,line,sku,quantity\n"
        b"O1,1,A,1\n"
        b"O1,2,\xff\xfe,1\n"
        b"O1,3,A,1.5\n"
        b"O1,4,A\x00B,1\n"
        b"\n"
        b",5,A,1\n"
        b'O1,6,"A,1\n'
        b"O1,7,A,1\n"
    )
    (partner.inbox / "orders-1.csv").write_bytes(body)
    (payload,) = (await connection.read("")).payloads
    parts = [(part.place, getattr(part.item, "path", "")) for part in connection.map(payload)]
    assert parts == [
        ("line 2", ""),
        ("line 3", "line 3, column sku"),
        ("line 4", "line 4, column quantity"),
        ("line 5", "line 5, column sku"),
        ("line 7", "line 7, column order"),
        ("line 8", "line 8"),
    ]


async def test_ten_thousand_rows_are_mapped_one_by_one(partner, connect):
    connection = connect()
    rows = [["order", "line", "sku", "quantity"]]
    rows += [[f"O{n}", "1", "A", "1"] for n in range(10_000)]
    partner.drop("orders-1.csv", rows)
    (payload,) = (await connection.read("")).payloads
    parts = connection.map(payload)
    assert len(parts) == 10_000
    assert parts[-1].item.document == "O9999"


async def test_a_file_taken_before_it_could_be_laid_aside_is_not_read_again(partner, connect):
    partner.sell("O1", [("L-1", 2)])
    page = await connect().read("")
    # Its process died once the content and the cursor were kept.
    heir = connect()
    assert (await heir.read(page.next_cursor)).payloads == ()
    assert names(partner.inbox / "done") == ["orders-000001.csv"]
    assert names(partner.inbox / ".claimed") == []


async def test_a_name_of_odd_bytes_or_great_length_stops_nothing(partner, connect):
    long = "orders-" + "ü" * 120 + ".csv"
    for name in ("orders-\udcff\n.csv", long, "orders-2.csv"):
        (partner.inbox / name).write_text("order,sku,quantity\n")
    connection = connect()
    page = await connection.read("")
    assert len(page.payloads) == 3
    problems = [payload.problem.reason for payload in page.payloads if payload.problem]
    assert problems == ["has a name that is no text"]
    json.dumps([payload.headers for payload in page.payloads]).encode("utf-8")
    await connection.acknowledge(page)
    assert names(partner.inbox / "done") == sorted([long, "orders-2.csv"])


async def test_the_same_content_under_another_name_and_other_content_under_the_same_name(
    partner, connect
):
    connection = connect()
    rows = [["order", "line", "sku", "quantity"], ["O1", "1", "A", "1"]]
    partner.drop("orders-1.csv", rows)
    partner.drop("orders-2.csv", rows)
    page = await connection.read("")
    first, second = (connection.map(payload) for payload in page.payloads)
    # Equal facts: the ledger takes the second as what it has.
    assert first == second
    await connection.acknowledge(page)
    partner.drop("orders-1.csv", [rows[0], ["O2", "1", "A", "1"]])
    (payload,) = (await connection.read("")).payloads
    assert connection.map(payload)[0].item.document == "O2"


# -------------------------------------------------------------------- totals


SALES = "order,line,sku,quantity\nO1,1,A,2\nO1,2,B,3\n"
FILES = [
    {
        "pattern": "orders*",
        "rules": [
            {
                "kind": "channel_order",
                "fields": {"document": "@.order", "line": "@.line", "item": "@.sku",
                           "quantity": "@.quantity"},
            }
        ],
    }
]  # fmt: skip


def with_totals(**totals):
    return [{**FILES[0], "totals": totals}]


@pytest.mark.parametrize(
    ("end", "problem"),
    [
        ("#total,2,5\n", None),
        ("#total,2,6\n", "says 6 as the sum of quantity, the rows make 5"),
        ("#total,3,5\n", "says 3 rows, the file has 2"),
        ("#total,2\n", "has 2 cells where 3 are declared"),
        ("#total,two,5\n", "is 'two', not a number"),
        ("", "has no last row with totals"),
        ("#total,2,5\nO2,1,A,1\n", "has its totals before its end"),
        ("#total,2,5\n#total,2,5\n", "has its totals before its end"),
        ("O2,1,A,x\n#total,3,5\n", "cannot be summed"),
    ],
)
async def test_a_file_that_is_not_what_its_trailer_says_counts_in_nothing(
    partner, connect, end, problem
):
    connection = connect(files=with_totals(at="trailer"))
    (partner.inbox / "orders-1.csv").write_text(SALES + end)
    page = await connection.read("")
    (payload,) = page.payloads
    places = [part.place for part in connection.map(payload)]
    await connection.acknowledge(page)
    if problem is None:
        assert (payload.problem, places) == (None, ["line 2", "line 3"])
        assert names(partner.inbox / "done") == ["orders-1.csv"]
        return
    assert problem in payload.problem.reason
    assert places == ["$"]
    assert problem in (partner.inbox / "quarantine" / "orders-1.csv.reason.txt").read_text()


@pytest.mark.parametrize(
    ("control", "problem"),
    [
        ({"rows": 2, "quantity": 5}, None),
        ({"sha256": hashlib.sha256(SALES.encode()).hexdigest()}, None),
        ({"sha256": "0" * 64}, "its sha256 is not that of the file"),
        ({"rows": 1}, "says 1 rows, the file has 2"),
        ({}, "says neither rows, quantity nor sha256"),
        ("[", "cannot be read"),
        ({"quantity": "sNaN"}, "has a quantity that is no number"),
    ],
)
async def test_a_file_waits_for_its_totals_and_is_held_to_them(partner, connect, control, problem):
    connection = connect(files=with_totals(at="sidecar"))
    (partner.inbox / "orders-1.csv").write_text(SALES)
    assert (await connection.read("")).payloads == ()
    told = control if isinstance(control, str) else json.dumps(control)
    (partner.inbox / "orders-1.csv.control.json").write_text(told)
    page = await connection.read("")
    (payload,) = page.payloads
    found = [part.place for part in connection.map(payload)]
    if problem is None:
        assert (payload.problem, found) == (None, ["line 2", "line 3"])
    else:
        assert problem in payload.problem.reason
        assert found == ["$"]
    await connection.acknowledge(page)
    assert not list(partner.inbox.glob("*.control.json"))


async def test_the_sum_is_of_the_partner_s_own_column_and_may_have_a_fraction(partner, connect):
    fields = {"document": "@.Auftrag", "item": "@.Artikel", "quantity": "@.Menge"}
    files = [
        {
            "pattern": "*.txt",
            "rules": [{"kind": "channel_order", "fields": fields}],
            "totals": {"at": "trailer", "mark": "Summe"},
        }
    ]
    connection = connect(files=files, delimiter=";", decimal=",", encoding="cp1252")
    body = "Auftrag;Artikel;Menge\nO1;Müller;1.000,00\nO2;B;0,5\nSumme;2;1.000,5\n"
    (partner.inbox / "a.txt").write_text(body, encoding="cp1252")
    (payload,) = (await connection.read("")).payloads
    assert payload.problem is None
    first, second = (part.item for part in connection.map(payload))
    assert (first.item, first.quantity) == ("Müller", 1000)
    assert second.reason == "is '0.5', not a whole number"


async def test_a_file_that_has_no_totals_waits_for_none(partner, connect):
    files = [*with_totals(at="sidecar"), {**FILES[0], "pattern": "late*"}]
    connection = connect(files=files)
    for name in ("orders-1.csv", "late-1.csv"):
        (partner.inbox / name).write_text(SALES)
    page = await connection.read("")
    assert [payload.headers["file"] for payload in page.payloads] == ["late-1.csv"]


# -------------------------------------------------------------------- zip


def zipped(members, compression=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return out.getvalue()


async def test_each_member_of_a_zip_is_a_file_of_its_own(partner, connect):
    connection = connect(files=with_totals(at="sidecar"))
    control = json.dumps({"rows": 2})
    members = {"a/orders-1.csv": SALES, "a/orders-1.csv.control.json": control,
               "orders-2.csv": SALES, "orders-2.csv.control.json": control}  # fmt: skip
    (partner.inbox / "day.zip").write_bytes(zipped(members))
    page = await connection.read("")
    assert [payload.headers["file"] for payload in page.payloads] == [
        "orders-1.csv",
        "orders-2.csv",
    ]
    assert {payload.headers["archive"] for payload in page.payloads} == {"day.zip"}
    assert all(len(connection.map(payload)) == 2 for payload in page.payloads)
    await connection.acknowledge(page)
    assert names(partner.inbox / "done") == ["day.zip"]


@pytest.mark.parametrize(
    ("settings", "body", "problem"),
    [
        ({}, zipped({"orders.csv": SALES, "orders-2.csv": "order,sku\n"}), "orders-2.csv: line 1"),
        ({"zip": "refused"}, zipped({"orders.csv": SALES}), "none are taken"),
        ({"zip": "one"}, zipped({"orders.csv": SALES, "orders-2.csv": SALES}), "allows one"),
        ({}, zipped({"orders.csv": b"0" * 9_000_000}), "max_file_bytes"),
        ({}, zipped({"orders.csv": SALES})[:-30], "is no whole zip"),
    ],
)
async def test_a_zip_with_anything_wrong_in_it_counts_in_nothing(
    partner, connect, settings, body, problem
):
    connection = connect(**{"files": FILES, "zip_max_ratio": 1032, **settings})
    (partner.inbox / "orders.zip").write_bytes(body)
    page = await connection.read("")
    (payload,) = page.payloads
    assert problem in payload.problem.reason
    assert payload.body == body
    assert [part.place for part in connection.map(payload)] == ["$"]
    await connection.acknowledge(page)
    assert names(partner.inbox / "quarantine") == ["orders.zip", "orders.zip.reason.txt"]


# -------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"form": "fixed", "inbox": "/in"}, "must list its cells"),
        ({"header": False, "inbox": "/in"}, "must list its cells"),
        ({"form": "fixed", "outbox": "/out"}, "widths must say how wide listing is"),
        ({"sftp_user": "hub"}, "sftp_host must name the server"),
        ({"sftp_host": "h"}, "sftp_user must say"),
        ({"sftp_host": "h", "sftp_user": "u"}, "sftp_host_key must hold the server's public key"),
        (
            {"sftp_host": "h", "sftp_user": "u", "sftp_host_key": "ssh-ed25519 " + "A" * 44},
            "sftp_password or sftp_key must say how to sign in",
        ),
        ({"inbox": "/in", "files": with_totals(at="trailer", cells=[])}, "must name rows"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused_with_what_to_set(settings, problem):
    (found,) = CONNECTOR.declaration.problems(settings)
    assert problem in found.message


# -------------------------------------------------------------------- the sandbox itself


async def test_the_sandbox_shows_what_the_file_says_and_lowers_it_by_its_own_sales(
    partner, connect
):
    seen = []
    partner.on_level(lambda *level: seen.append(level[:3]))
    await connect().publish(levels(1, 2))
    assert partner.collect() == 2
    assert partner.collect() == 0
    assert seen == [("L-1", 5, 1), ("L-2", 5, 1)]
    partner.sell("O1", [("L-1", 2)])
    assert (partner.shown("L-1"), partner.shown("L-2"), partner.shown("L-3")) == (3, 5, None)


# -------------------------------------------------------------------- forms of what goes out

LEVELS_FORM = {
    "kind": "level",
    "fields": {"listing": "L-{@.article}", "quantity": "@.stock"},
    "when": {"@.unit": "PCE"},
}


async def test_levels_are_written_by_a_form_and_what_it_cannot_say_is_refused_alone(
    partner, connect
):
    connection = connect(out=[LEVELS_FORM])
    results = await connection.publish(
        [*levels(2, 1), LevelToSend(channel="partner", listing="X", quantity=1, version=1)]
    )
    assert [type(one) for one in results] == [Applied, Applied, Refused]
    assert "is 'X', which is not of the form" in results[2].message
    text = (partner.outbox / "levels.csv").read_text(encoding="utf-8")
    assert text == "article,stock,unit\n1,5,PCE\n2,5,PCE\n"


async def test_a_form_that_no_longer_says_what_is_kept_calls_an_operator(connect):
    await connect().publish([LevelToSend(channel="partner", listing="X", quantity=1, version=1)])
    with pytest.raises(Misconfigured, match="X cannot be written any more: listing"):
        await connect(out=[LEVELS_FORM]).publish(levels(1))


async def test_a_document_is_written_by_a_form(partner, connect):
    form = {
        "kind": "shipment",
        "body": {"@.no": "$.order", "@.pos": "#", "@.pieces": "@.quantity", "@.at": "$.shipped_at"},
    }
    line = DocumentLine(line="1", quantity=2)
    at = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
    shipment = Shipment(key="K", order="SO-7", lines=(line, line), shipped_at=at)
    for header, expected in ((None, "no,pos,pieces,at\n"), (False, "")):
        connection = connect(
            out=[form], documents=["shipment"], time_format="%d.%m.%y", header=header, inbox=""
        )
        message = msgspec.structs.replace(shipment, key=f"K-{header}")
        told = await connection.submit(message)
        text = (partner.outbox / told.reference).read_text(encoding="utf-8")
        assert text == expected + "SO-7,1,2,01.03.26\nSO-7,2,2,01.03.26\n"
        (shown,) = connection.map_out(message)
        assert (shown.to, shown.body.decode().replace("\r\n", "\n")) == (told.reference, text)


@pytest.mark.parametrize(
    ("settings", "field", "words"),
    [
        ({"out": [{**LEVELS_FORM, "each": "$.a"}]}, "out[0].each", "a row for each"),
        (
            {"out": [{**LEVELS_FORM, "when": {"$.unit": "PCE"}}]},
            'out[0].when."$.unit"',
            "is not a column",
        ),
        (
            {"out": [{"kind": "refund", "fields": {"order": "@.no"}}]},
            "out[0].kind",
            "documents does not name refund",
        ),
        ({"out": [LEVELS_FORM], "form": "fixed", "inbox": ""}, "", "columns and widths do"),
        ({"time_format": "%d.%m.%Y %H:%M %Z"}, "time_format", "reads the name of a zone and drops"),
    ],
)
def test_a_form_that_no_file_can_have_is_told(settings, field, words):
    (problem,) = CONNECTOR.declaration.problems(settings)
    assert problem.field == field
    assert words in problem.message

"""A partner's folders on a real SFTP server on loopback, by the connectors' own settings."""

import asyncio
import csv
import datetime as dt

import asyncssh
import pytest

from stockwright.connectors import csv_drop, pos_file
from stockwright.domain.errors import Misconfigured, Transient
from stockwright.sdk.connector import Opening
from stockwright.sdk.files.inbox import CLAIM_S
from stockwright.sdk.messages import (
    Applied,
    Delivered,
    DocumentLine,
    InDoubt,
    LevelToSend,
    Refund,
    Refused,
    Retry,
    Shipment,
)
from tests.sdk.sftp_server import serving

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
async def server(tmp_path):
    async with serving(tmp_path) as server:
        yield server


@pytest.fixture
async def connect(server):
    opened = []
    clock = [NOON]

    def connected(connector=csv_drop, **settings):
        given = {"stable_s": 0, **server.settings(), **settings}
        parsed = connector.CONNECTOR.declaration.parse_settings(given, str)
        opening = Opening(system="partner", clock=lambda: clock[0])
        opened.append(connector.CONNECTOR.open(opening, parsed))
        return opened[-1]

    connected.wait = lambda seconds: clock.append(clock.pop() + dt.timedelta(seconds=seconds))
    yield connected
    for connection in opened:
        await connection.close()


def levels(*numbers, quantity=5, version=1):
    return [
        LevelToSend(channel="partner", listing=f"L-{n}", quantity=quantity, version=version)
        for n in numbers
    ]


def shown(server):
    with (server.root / "out" / "levels.csv").open(newline="") as file:
        return {row["listing"]: int(row["quantity"]) for row in csv.DictReader(file)}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


async def test_levels_go_out_whole_and_by_two_processes_in_turn(server, connect):
    one, two = connect(), connect()

    async def push(connection, numbers):
        for n in numbers:
            while isinstance((await connection.publish(levels(n)))[0], Retry):
                pass

    await asyncio.gather(push(one, range(4)), push(two, range(4, 8)))
    assert shown(server) == {f"L-{n}": 5 for n in range(8)}
    assert names(server.root / "out") == [
        ".levels.csv.kept",
        "levels.csv",
        "levels.csv.control.json",
    ]


async def test_a_file_that_would_lose_its_catalogue_is_not_uploaded(server, connect):
    await connect().publish(levels(*range(20)))
    (server.root / "out" / ".levels.csv.kept").unlink()
    with pytest.raises(Misconfigured, match="would shrink from 20 rows to 1"):
        await connect().publish(levels(1, quantity=0, version=2))
    assert shown(server)["L-1"] == 5


async def test_an_upload_nobody_answered_is_in_doubt_and_heals(server, connect):
    connection = connect(timeout_s=6.0)
    await connection.publish(levels(1, 2))
    server.faults["posix_renamed"] = 12.0
    results = await connection.publish(levels(1, quantity=0, version=2))
    assert all(isinstance(one, InDoubt) for one in results)
    server.faults.clear()
    # What the server still carries out for the broken call must not come after the next one.
    (busy,) = await connection.publish(levels(1, quantity=7, version=3))
    assert isinstance(busy, Retry)
    connect.wait(3600)
    (done,) = await connection.publish(levels(1, quantity=7, version=3))
    assert isinstance(done, Applied)
    assert shown(server) == {"L-1": 7, "L-2": 5}


async def test_files_are_taken_by_one_and_laid_aside(server, connect):
    inbox = server.root / "in"
    for n in range(6):
        (inbox / f"orders-{n}.csv").write_text(f"order,sku,quantity\nO{n},A,1\n")
    (inbox / "prices.csv").write_text("a,b\n")
    readers = [connect(), connect()]
    pages = await asyncio.gather(*(reader.read("") for reader in readers))
    taken = sorted(payload.headers["file"] for page in pages for payload in page.payloads)
    assert taken == sorted([*(f"orders-{n}.csv" for n in range(6)), "prices.csv"])
    for reader, page in zip(readers, pages, strict=True):
        await reader.acknowledge(page)
    assert names(inbox) == [".claimed", "done", "quarantine"]
    assert names(inbox / ".claimed") == []
    assert names(inbox / "quarantine") == ["prices.csv", "prices.csv.reason.txt"]
    assert len(names(inbox / "done")) == 6


async def test_a_partial_upload_is_not_taken_until_it_rests(server, connect):
    connection = connect(stable_s=10)
    part = server.root / "in" / "orders-1.csv.filepart"
    part.write_text("order,sku")
    grows = server.root / "in" / "orders-2.csv"
    for text in ("order,sk", "order,sku,quantity\n", "order,sku,quantity\nO2,A,1\n"):
        grows.write_text(text)
        assert (await connection.read("")).payloads == ()
        connect.wait(9)
    connect.wait(1)
    (payload,) = (await connection.read("")).payloads
    assert payload.body.endswith(b"O2,A,1\n")
    part.rename(part.with_name("orders-1.csv"))
    assert (await connection.read("")).payloads == ()
    connect.wait(10)
    assert len((await connection.read("")).payloads) == 1


async def test_what_a_dead_process_took_is_read_again_or_laid_aside_by_the_cursor(server, connect):
    (server.root / "in" / "orders-1.csv").write_text("order,sku,quantity\nO1,A,1\n")
    page = await connect().read("")
    connect.wait(CLAIM_S + 1)
    again = await connect().read("")
    assert len(again.payloads) == len(page.payloads) == 1
    assert (await connect().read(again.next_cursor)).payloads == ()
    assert names(server.root / "in" / "done") == ["orders-1.csv"]


async def test_a_slow_server_gives_what_it_can_in_time_and_the_rest_with_the_next_page(
    server, connect
):
    for n in range(4):
        (server.root / "in" / f"orders-{n}.csv").write_text(f"order,sku,quantity\nO{n},A,1\n")
    connection = connect(timeout_s=6.0)
    server.faults["open"] = 1.8
    page = await connection.read("")
    assert 0 < len(page.payloads) < 4
    assert not page.complete
    server.faults.clear()
    rest = await connection.read(page.next_cursor)
    files = [payload.headers["file"] for payload in (*page.payloads, *rest.payloads)]
    assert sorted(files) == [f"orders-{n}.csv" for n in range(4)]
    assert rest.complete


async def test_a_server_that_stalls_while_a_file_is_read_loses_nothing(server, connect):
    (server.root / "in" / "orders-1.csv").write_text("order,sku,quantity\nO1,A,1\n")
    connection = connect(timeout_s=6.0)
    server.faults["open"] = 12.0
    with pytest.raises(Transient):
        await connection.read("")
    server.faults.clear()
    connect.wait(CLAIM_S + 1)
    assert len((await connection.read("")).payloads) == 1


async def test_a_shipment_is_laid_down_once_under_its_key(server, connect):
    shipment = Shipment(
        key="SH-1",
        order="O1",
        lines=(DocumentLine(line="1", quantity=2), DocumentLine(line="2", quantity=1)),
        shipped_at=NOON,
        carrier="DHL",
        tracking="0034",
    )
    takes = {"documents": ["shipment"]}
    first = await connect(**takes).submit(shipment)
    assert isinstance(first, Delivered)
    path = server.root / "out" / first.reference
    with path.open(newline="") as file:
        rows = [(row["line"], row["quantity"], row["carrier"]) for row in csv.DictReader(file)]
    assert rows == [("1", "2", "DHL"), ("2", "1", "DHL")]
    path.unlink()
    assert await connect(**takes).submit(shipment) == first
    assert not path.exists()
    refund = Refund(key="R-1", order="O1", lines=())
    refused = await connect(**takes).submit(refund)
    assert isinstance(refused, Refused)


async def test_tills_are_read_by_sftp_as_well(server, connect):
    text = "store,terminal,receipt,line,sku,quantity,time\n12,1,7,1,A,2,2026-03-02T09:00:00Z\n"
    (server.root / "in" / "sales.csv").write_text(text)
    connection = connect(pos_file)
    (payload,) = (await connection.read("")).payloads
    assert [part.item.kind for part in connection.map(payload)] == ["pos_sale"]


async def test_a_host_with_another_key_is_told_apart_before_anything_is_sent(server, connect):
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    connection = connect(sftp_host_key=other)
    for call in (connection.read(""), connection.publish(levels(1))):
        with pytest.raises(Misconfigured) as error:
            await call
        assert error.value.setting == "sftp_host_key"
    assert names(server.root / "out") == []


async def test_a_missing_folder_names_the_setting(connect):
    with pytest.raises(Misconfigured) as error:
        await connect(inbox="/none").read("")
    assert error.value.setting == "inbox"

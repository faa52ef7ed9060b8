"""A partner who may write into our folders has us read, write and move nothing from elsewhere."""

import asyncio
import datetime as dt
import os
import stat
from contextlib import nullcontext

import pytest

from stockwright.connectors.csv_drop import CONNECTOR
from stockwright.domain.errors import Misconfigured, Transient
from stockwright.sdk.connector import Opening
from stockwright.sdk.files.inbox import CLAIM_S
from stockwright.sdk.files.local import LocalPlace
from stockwright.sdk.messages import LevelToSend

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
GOOD = "order,sku,quantity\nO1,A,1\n"
LEVEL = LevelToSend(channel="WEB", listing="L-1", quantity=5, version=1)


class Clock:
    def __init__(self):
        self.now = NOON

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def inbox(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def outbox(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture
def secret(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "secret").write_text("the word is swordfish")
    return elsewhere / "secret"


@pytest.fixture
def connect(inbox, outbox, clock):
    def connected():
        given = {"stable_s": 0, "inbox": str(inbox), "outbox": str(outbox)}
        settings = CONNECTOR.declaration.parse_settings(given, str)
        return CONNECTOR.open(Opening(system="partner", clock=clock), settings)

    return connected


async def read_all(connection):
    page = await connection.read("")
    await connection.acknowledge(page)
    return [bytes(payload.body) for payload in page.payloads]


async def test_a_file_exchanged_for_a_link_of_its_size_and_time_is_not_read(
    inbox, secret, connect, monkeypatch
):
    """Its size is that of the secret and its time its own: nothing but its kind betrays it."""
    link, victim = str(secret), inbox / "orders-1.csv"
    secret.write_text("s" * len(link))
    victim.write_bytes(b"x" * len(link))
    os.utime(victim, ns=(0, 0))
    move = LocalPlace.move

    async def exchanged(self, source, target):
        if source.endswith("in/orders-1.csv"):
            victim.unlink()
            victim.symlink_to(link)
            os.utime(victim, ns=(0, 0), follow_symlinks=False)
        return await move(self, source, target)

    monkeypatch.setattr(LocalPlace, "move", exchanged)
    with pytest.raises(Transient, match="is a link or a pipe"):
        await connect().read("")


async def test_a_file_exchanged_for_a_pipe_keeps_nobody_waiting(inbox, tmp_path):
    os.mkfifo(inbox / "orders-1.csv")
    async with asyncio.timeout(30):
        with pytest.raises(Transient, match="no plain file"):
            await LocalPlace().read(str(inbox / "orders-1.csv"), 100)


@pytest.mark.parametrize("name", [".levels.csv.lock", ".levels.csv.PROCESS.tmp"])
async def test_a_link_in_the_outbox_has_us_write_over_nothing(outbox, secret, connect, name):
    """The names of locks and drafts can be guessed."""
    name = name.replace("PROCESS", str(os.getpid()))
    (outbox / name).symlink_to(secret)
    is_draft = name.endswith(".tmp")
    with nullcontext() if is_draft else pytest.raises(Transient, match="is a link"):
        await connect().publish([LEVEL])
    assert secret.read_text() == "the word is swordfish"
    written = outbox / "levels.csv"
    assert not written.is_symlink()
    assert written.exists() is is_draft, "a draft that is in the way is taken away"


@pytest.mark.parametrize("name", [".claimed", "done", "quarantine"])
async def test_a_folder_of_ours_that_is_a_link_stops_the_inbox_and_names_it(
    inbox, secret, connect, name
):
    (inbox / name).symlink_to(secret.parent)
    (inbox / "orders-1.csv").write_text(GOOD)
    with pytest.raises((Misconfigured, Transient), match=f"{name}.* is a link|is a link.*{name}"):
        await read_all(connect())
    assert [path.name for path in secret.parent.iterdir()] == ["secret"]


async def test_a_folder_exchanged_for_a_link_later_is_seen_as_well(inbox, secret, connect):
    connection = connect()
    assert await read_all(connection) == []
    (inbox / "done").rmdir()
    (inbox / "done").symlink_to(secret.parent)
    (inbox / "authorized_keys.csv").write_text(GOOD)
    with pytest.raises(Misconfigured, match="done .* is a link"):
        await read_all(connection)
    assert [path.name for path in secret.parent.iterdir()] == ["secret"]


async def test_a_bad_file_with_the_longest_name_there_is_blocks_no_other(inbox, connect):
    long = "orders-" + "a" * (255 - len("orders-.csv")) + ".csv"
    (inbox / long).write_text("wrong\n")
    connection = connect()
    assert len(await read_all(connection)) == 1
    laid = sorted(path.name for path in (inbox / "quarantine").iterdir())
    assert [name.endswith(".reason.txt") for name in laid] == [False, True]
    assert laid[0].endswith(".csv")
    (inbox / "orders-2.csv").write_text(GOOD)
    assert await read_all(connection) == [GOOD.encode()]


async def test_the_longest_name_may_come_twice(inbox, connect):
    long = "orders-" + "ü" * 120 + "a" * 4 + ".csv"
    connection = connect()
    for _ in range(2):
        (inbox / long).write_text(GOOD)
        assert len(await read_all(connection)) == 1
    laid = [path.name for path in (inbox / "done").iterdir()]
    assert len(laid) == 2
    assert not list((inbox / ".claimed").iterdir())


async def test_a_claim_from_a_time_when_the_clock_was_ahead_is_taken_over(inbox, connect, clock):
    (inbox / "orders-1.csv").write_text(GOOD)
    clock.now += dt.timedelta(days=365)
    assert len((await connect().read("")).payloads) == 1  # and this process dies
    clock.now = NOON
    assert len((await connect().read("")).payloads) == 1
    clock.now += dt.timedelta(seconds=CLAIM_S / 2)
    assert (await connect().read("")).payloads == (), "a fresh claim is left alone"


async def test_what_we_write_can_be_read_by_the_partner(outbox, connect):
    await connect().publish([LEVEL])
    mode = stat.S_IMODE((outbox / "levels.csv").stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    assert mode == 0o666 & ~mask

"""Where files lie: a folder here and an SFTP server keep the same promises."""

import asyncio
import datetime as dt
import sys
from contextlib import asynccontextmanager

import asyncssh
import pytest

from stockwright.connectors.csv_drop import CONNECTOR
from stockwright.domain.errors import Misconfigured, Transient
from stockwright.sdk.connector import Opening
from stockwright.sdk.files.local import LocalPlace
from stockwright.sdk.files.sftp import LOCK_S, Server, SftpPlace
from stockwright.sdk.secrets import Secret
from stockwright.sdk.transports import NotSent, Unanswered
from tests.sdk.sftp_server import PASSWORD, USER, serving

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


class Clock:
    def __init__(self):
        self.now = NOON

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def place_at(server, clock=lambda: NOON, **more):
    given = {
        "host": "127.0.0.1",
        "port": server.port,
        "user": USER,
        "host_key": server.host_key.export_public_key().decode(),
        "password": Secret(PASSWORD),
        "timeout_s": 20.0,
    }
    return SftpPlace(Server(**{**given, **more}), clock)


@asynccontextmanager
async def both(kind, root, clock=lambda: NOON):
    """Two holders of the same place, and the prefix of its paths."""
    if kind == "local":
        yield LocalPlace(), LocalPlace(), str(root)
        return
    async with serving(root) as server:
        one, two = place_at(server, clock), place_at(server, clock)
        yield one, two, ""
        await one.close()
        await two.close()


KINDS = pytest.mark.parametrize("kind", ["local", "sftp"])


@KINDS
async def test_a_file_is_replaced_whole_and_no_draft_is_left(kind, tmp_path):
    async with both(kind, tmp_path) as (place, _, at):
        await place.write(f"{at}/a", b"one")
        await place.write(f"{at}/a", b"two" * 50_000)
        assert await place.read(f"{at}/a", 1 << 30) == b"two" * 50_000
        assert await place.read(f"{at}/a", 4) == b"twot"
        assert [name for name in tmp_path.iterdir() if name.name.endswith(".tmp")] == []


@KINDS
async def test_entries_tell_files_folders_and_links_apart(kind, tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "odd\udcff").write_bytes(b"")
    async with both(kind, tmp_path) as (place, _, at):
        found = {one.name: (one.size, one.kind) for one in await place.entries(f"{at}/")}
        assert {"file", "folder", "link", "odd\udcff"} <= set(found)
        assert found["file"] == (5, "file")
        assert found["folder"][1] == "folder"
        assert found["link"][1] == "other"
        assert await place.read(f"{at}/odd\udcff", 9) == b""


@KINDS
async def test_a_move_is_won_by_one_and_writes_over_nothing(kind, tmp_path):
    async with both(kind, tmp_path) as (one, two, at):
        await one.write(f"{at}/a", b"a")
        won = await asyncio.gather(
            one.move(f"{at}/a", f"{at}/b"), two.move(f"{at}/a", f"{at}/c"), return_exceptions=True
        )
        assert sorted(won) == [False, True]
        await one.write(f"{at}/a", b"new")
        kept = "b" if (tmp_path / "b").exists() else "c"
        with pytest.raises(FileExistsError):
            await one.move(f"{at}/a", f"{at}/{kept}")
        assert (tmp_path / kept).read_bytes() == b"a"


@KINDS
async def test_what_is_not_there_is_told_apart_and_repeating_is_safe(kind, tmp_path):
    async with both(kind, tmp_path) as (place, _, at):
        with pytest.raises(FileNotFoundError):
            await place.read(f"{at}/none", 1)
        with pytest.raises(FileNotFoundError):
            await place.entries(f"{at}/none")
        assert not await place.move(f"{at}/none", f"{at}/b")
        assert not await place.has_folder(f"{at}/none")
        for _ in range(2):
            await place.make_folder(f"{at}/folder")
        assert await place.has_folder(f"{at}/folder")
        await place.write(f"{at}/folder/x", b"")
        await place.remove_folder(f"{at}/folder")
        for _ in range(2):
            await place.remove(f"{at}/folder/x")
            await place.remove_folder(f"{at}/folder")
        assert not (tmp_path / "folder").exists()


@KINDS
async def test_a_lock_has_one_holder_and_is_given_back(kind, tmp_path):
    async with both(kind, tmp_path) as (one, two, at):
        for _ in range(2):
            async with one.locked(f"{at}/.lock") as ours:
                assert ours
                async with two.locked(f"{at}/.lock") as theirs:
                    assert not theirs
        async with two.locked(f"{at}/.lock") as theirs:
            assert theirs


# -------------------------------------------------------------------- SFTP alone


async def test_the_lock_of_a_dead_process_is_taken_once_it_is_old(tmp_path, clock):
    async with both("sftp", tmp_path, clock) as (one, two, _):
        for content in (f"{NOON.timestamp():.3f} dead".encode(), b""):
            (tmp_path / ".lock").write_bytes(content)
            clock.now = NOON if content else dt.datetime.now(dt.UTC)
            async with one.locked("/.lock") as ours:
                assert not ours
            clock.now += dt.timedelta(seconds=LOCK_S + 1)
            async with one.locked("/.lock") as ours, two.locked("/.lock") as theirs:
                assert (ours, theirs) == (True, False)


def test_without_asyncssh_an_operator_is_told_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "stockwright.sdk.files.sftp")
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    settings = CONNECTOR.declaration.parse_settings(
        {
            "sftp_host": "sftp.partner.example",
            "sftp_user": "hub",
            "sftp_host_key": "ssh-ed25519 " + "A" * 68,
            "sftp_password": Secret(PASSWORD),
        },
        str,
    )
    with pytest.raises(Misconfigured, match=r"stockwright\[sftp\]") as error:
        CONNECTOR.open(Opening(system="partner"), settings)
    assert error.value.setting == "sftp_host"


async def test_another_host_key_is_never_spoken_to(tmp_path):
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    kind = asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_public_key().decode()
    async with serving(tmp_path) as server:
        for wrong in (other, kind):
            with pytest.raises(Misconfigured, match="pinned key SHA256:") as error:
                await place_at(server, host_key=wrong).entries("/in")
            assert error.value.setting == "sftp_host_key"
        both_keys = f"{other}\n{server.host_key.export_public_key().decode()}"
        place = place_at(server, host_key=both_keys)
        assert await place.has_folder("/in")
        await place.close()


async def test_a_key_opens_as_a_password_does(tmp_path):
    async with serving(tmp_path) as server:
        locked = server.client_key.export_private_key("pkcs8-pem", passphrase="open").decode()
        place = place_at(server, password=None, key=Secret(locked), passphrase=Secret("open"))
        assert await place.has_folder("/in")
        await place.close()
        wrong = place_at(server, password=None, key=Secret(locked), passphrase=Secret("no"))
        with pytest.raises(Misconfigured) as error:
            await wrong.has_folder("/in")
        assert error.value.setting == "sftp_key_passphrase"


@pytest.mark.parametrize(
    ("more", "setting"),
    [
        ({"password": Secret("wrong")}, "sftp_password"),
        ({"key": Secret("no key at all")}, "sftp_key"),
        ({"host_key": "ssh-ed25519 AAAA"}, "sftp_host_key"),
    ],
)
async def test_what_an_operator_must_mend_names_the_setting_and_no_secret(tmp_path, more, setting):
    async with serving(tmp_path) as server:
        with pytest.raises(Misconfigured) as error:
            await place_at(server, **more).has_folder("/in")
        assert error.value.setting == setting
        assert "wrong" not in str(error.value)


async def test_a_server_that_is_away_or_silent_is_asked_again_later(tmp_path):
    async with serving(tmp_path) as server:
        place = place_at(server, timeout_s=6.0)
        server.faults["open"] = 12.0
        with pytest.raises(Unanswered, match=r"did not answer within 6 s"):
            await place.read("/in/a", 1)
        server.faults.clear()
        await place.write("/in/a", b"again")
        assert (tmp_path / "in" / "a").read_bytes() == b"again"
        await place.close()
    with pytest.raises(NotSent, match="cannot be reached"):
        await place.read("/in/a", 1)


async def test_a_broken_connection_is_opened_anew(tmp_path):
    async with serving(tmp_path) as server:
        place = place_at(server)
        await place.write("/in/a", b"1")
        server.connections[0].abort()
        await server.connections[0].wait_closed()
        await asyncio.sleep(0)
        try:
            await place.write("/in/a", b"2")
        except Transient:
            await place.write("/in/a", b"2")
        assert (tmp_path / "in" / "a").read_bytes() == b"2"
        await place.close()


async def test_an_upload_is_in_place_or_not_there_at_all(tmp_path):
    async with serving(tmp_path) as server:
        place = place_at(server, timeout_s=6.0)
        await place.write("/out/levels.csv", b"old")
        server.faults["posix_rename"] = 12.0
        with pytest.raises(Unanswered):
            await place.write("/out/levels.csv", b"new")
        server.faults = {"posix_rename": asyncssh.SFTPFailure("disk full")}
        with pytest.raises(Transient, match="disk full"):
            await place.write("/out/levels.csv", b"new")
        assert (tmp_path / "out" / "levels.csv").read_bytes() == b"old"
        await place.close()


async def test_a_server_that_cannot_replace_at_once_never_shows_half_a_file(tmp_path):
    async with serving(tmp_path) as server:
        place = place_at(server)
        server.faults["posix_rename"] = asyncssh.SFTPOpUnsupported("no such extension")
        await place.write("/out/levels.csv", b"old")
        await place.write("/out/levels.csv", b"new")
        assert (tmp_path / "out" / "levels.csv").read_bytes() == b"new"
        await place.close()


async def test_a_folder_the_account_may_not_touch_calls_an_operator(tmp_path):
    async with serving(tmp_path) as server:
        place = place_at(server)
        server.faults["open"] = asyncssh.SFTPPermissionDenied("no")
        with pytest.raises(Misconfigured, match="may not work on /in/a") as error:
            await place.read("/in/a", 1)
        assert error.value.setting == "sftp_user"
        await place.close()

"""The embedded server: made once, shared, and gone with its last user, whatever happens."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import psutil
import psycopg
import pytest

from stockwright.store import cluster as cluster_module
from stockwright.store.account import run_as, server_account
from stockwright.store.cluster import Layout, read_pid_file, running_server
from stockwright.store.embedded import EmbeddedServer, binary, is_kept
from stockwright.store.errors import DirectoryUnusable, ServerDidNotStart, UpgradeNeeded
from tests.store.conftest import ends


def write_row(url: str) -> str:
    """Commits a row and answers its value."""
    value = uuid4().hex
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (value text)")
        connection.execute("INSERT INTO kept VALUES (%s)", [value])
    return value


def rows(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {value for (value,) in connection.execute("SELECT value FROM kept")}


def rows_when_up(url: str, within_s: float = 30.0) -> set[str]:
    deadline = time.monotonic() + within_s
    while True:
        try:
            return rows(url)
        except psycopg.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def keeper_pid(data_dir: Path) -> int:
    return int((data_dir / "keeper.lock").read_text())


def test_the_first_start_makes_a_durable_database_and_says_what_it_waits_for(data_dir):
    told: list[str] = []
    with EmbeddedServer.start(data_dir, told.append) as server:
        with psycopg.connect(server.url) as connection:
            settings = [
                connection.execute("SELECT current_setting(%s)", [name]).fetchone()[0]
                for name in ("fsync", "synchronous_commit", "data_checksums", "listen_addresses")
            ]
            facts = connection.execute(
                "SELECT datcollate, pg_encoding_to_char(encoding) FROM pg_database "
                "WHERE datname = current_database()"
            ).fetchone()
        assert server.data_dir == data_dir
    assert settings == ["on", "on", "on", ""]
    assert facts == ("C", "UTF8")
    assert told[:2] == ["Creating the database (once)", "Starting PostgreSQL 18"]


def test_an_interrupted_first_start_begins_anew(data_dir):
    data_dir.mkdir(mode=0o755)
    (data_dir / "cluster.draft").mkdir()
    (data_dir / "cluster.draft" / "half").write_text("made")
    with EmbeddedServer.start(data_dir) as server:
        assert write_row(server.url) in rows(server.url)


def test_only_the_user_who_runs_it_can_open_the_socket(home):
    with EmbeddedServer.start(home) as server:
        assert stat.S_IMODE(server.socket_dir.stat().st_mode) == 0o700
        with (
            pytest.raises(psycopg.OperationalError, match="no pg_hba.conf entry"),
            psycopg.connect(server.url, user="somebody"),
        ):
            pass


def test_pgbench_comes_with_the_server(home):
    with EmbeddedServer.start(home) as server:
        done = subprocess.run(
            [binary("pgbench"), "--initialize", "--quiet", server.url_of("postgres")],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr


def test_no_folder_above_the_data_directory_changes(data_dir):
    parent = data_dir / "above"
    parent.mkdir(parents=True)
    parent.chmod(0o751)
    data_dir.chmod(0o755)
    before = [path.stat() for path in (parent, data_dir)]
    EmbeddedServer.start(parent / "data").stop()
    after = [path.stat() for path in (parent, data_dir)]
    assert [(s.st_mode, s.st_uid, s.st_gid) for s in before] == [
        (s.st_mode, s.st_uid, s.st_gid) for s in after
    ]


def test_two_uses_share_one_server_and_the_last_one_out_stops_it(home):
    first = EmbeddedServer.start(home)
    second = EmbeddedServer.start(home)
    pid = first.pid
    assert second.pid == pid
    first.stop()
    assert second.pid == pid
    assert write_row(second.url) in rows(second.url)
    second.stop()
    second.stop()
    assert not psutil.pid_exists(pid)
    assert not is_kept(home)


def test_processes_share_one_server_and_the_last_one_out_stops_it(home, users):
    together = [users()]
    pids = {together[0].server_pid()}
    together += [users() for _ in range(2)]
    pids |= {user.server_pid() for user in together[1:]}
    assert len(pids) == 1
    for user in together[:2]:
        user.leave()
        assert psutil.pid_exists(*pids)
    together[2].leave()
    assert ends(*pids)


def test_the_server_goes_away_with_a_parent_that_was_killed(home, users):
    user = users()
    pid = user.server_pid()
    user.kill()
    assert ends(pid)
    with EmbeddedServer.start(home) as server:
        assert server.pid != pid


def test_a_killed_process_leaves_the_server_to_the_others(home, users):
    killed, other = users(), users()
    pid = killed.server_pid()
    assert other.server_pid() == pid
    killed.kill()
    time.sleep(1)
    assert psutil.pid_exists(pid)
    other.leave()
    assert ends(pid)


@pytest.mark.parametrize("word", ["SIGKILL", "SIGQUIT", "SIGINT"])
def test_a_server_killed_or_stopped_in_use_is_started_again_with_everything_that_was_committed(
    durable_cluster, word
):
    value = write_row(durable_cluster.url)
    pid = durable_cluster.pid
    os.kill(pid, signal.Signals[word])
    assert value in rows_when_up(durable_cluster.url)
    assert durable_cluster.pid != pid


def test_everything_is_there_after_server_keeper_and_user_were_killed_at_once(home, users):
    user = users()
    pid = user.server_pid()
    with EmbeddedServer.start(home) as server:
        value = write_row(server.url)
        os.kill(keeper_pid(home), signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
        user.kill()
    with EmbeddedServer.start(home) as server:
        assert value in rows(server.url)


def test_a_killed_keeper_leaves_no_server_behind_that_the_next_start_does_not_handle(home):
    first = EmbeddedServer.start(home)
    pid = first.pid
    value = write_row(first.url)
    os.kill(keeper_pid(home), signal.SIGKILL)
    with EmbeddedServer.start(home) as second:
        assert ends(pid)
        assert value in rows(second.url)
    first.stop()


def test_a_keeper_told_to_end_stops_the_server_in_order(home):
    with EmbeddedServer.start(home) as server:
        pid = server.pid
        os.kill(keeper_pid(home), signal.SIGTERM)
        assert ends(pid)
    assert "database system is shut down" in (home / "server.log").read_text().splitlines()[-1]


def test_a_stale_pid_file_whose_id_another_process_has_does_not_stop_the_start(home):
    EmbeddedServer.start(home).stop()
    layout = Layout(home)
    who = server_account()
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    # As the server's own account sees it: an id it may not signal would be ignored anyway.
    try:
        lines = [stranger.pid, layout.cluster, int(time.time()) - 9_000, 5432, layout.socket_dir]
        path = layout.cluster / "postmaster.pid"
        path.write_text("\n".join(map(str, [*lines, "", "  1234567  1", "ready", ""])))
        who.give(path)
        assert running_server(layout.cluster) is None
        with EmbeddedServer.start(home) as server:
            assert server.pid != stranger.pid
            assert stranger.poll() is None
    finally:
        stranger.communicate(b"\n")


def test_a_stale_pid_file_is_told_from_the_server_by_start_time_alone_if_need_be(home, monkeypatch):
    def hidden(_process: psutil.Process) -> str:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil.Process, "cwd", hidden)
    with EmbeddedServer.start(home) as server:
        found = running_server(Layout(home).cluster)
        assert found is not None
        assert found.pid == server.pid
        monkeypatch.setattr(cluster_module, "START_TIME_TOLERANCE_S", -1.0)
        assert running_server(Layout(home).cluster) is None


def test_a_half_written_pid_file_says_nothing(data_dir):
    data_dir.mkdir()
    (data_dir / "postmaster.pid").write_text("123\n")
    assert read_pid_file(data_dir) is None


def test_a_path_too_long_for_a_socket_gets_a_short_one(data_dir):
    long = data_dir / ("d" * 60) / ("e" * 60)
    with EmbeddedServer.start(long) as server:
        assert len(os.fsencode(server.socket_dir)) < 80
        assert write_row(server.url) in rows(server.url)
        socket_dir = server.socket_dir
    socket_dir.rmdir()


def test_a_directory_of_other_files_is_left_alone(data_dir):
    data_dir.mkdir()
    data_dir.chmod(0o755)
    (data_dir / "letters.txt").write_text("mine")
    with pytest.raises(DirectoryUnusable, match="holds other files") as caught:
        EmbeddedServer.start(data_dir)
    assert caught.value.setting == "data_dir"
    assert [path.name for path in data_dir.iterdir()] == ["letters.txt"]


def test_a_directory_out_of_reach_is_named_with_the_fix(data_dir):
    locked = data_dir / "locked"
    locked.mkdir(parents=True)
    data_dir.chmod(0o755)
    locked.chmod(0o700 if os.geteuid() == 0 else 0o000)
    with pytest.raises(DirectoryUnusable, match=f"may not enter {locked}.*setfacl"):
        EmbeddedServer.start(locked / "deep" / "data")
    locked.chmod(0o700)


def test_a_setting_the_server_refuses_ends_the_start_at_once_with_its_own_words(home):
    began = time.monotonic()
    with pytest.raises(ServerDidNotStart, match='unrecognized configuration parameter "no_such"'):
        EmbeddedServer.start(home, settings={"no_such": "1"})
    assert time.monotonic() - began < 60, "it might have waited for ten minutes"
    EmbeddedServer.start(home).stop()


def test_the_operators_own_settings_win(home):
    (home / "local.conf").write_text("work_mem = '9MB'\n")
    (home / "local.conf").chmod(0o644)
    with EmbeddedServer.start(home) as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SHOW work_mem").fetchone() == ("9MB",)
    (home / "local.conf").unlink()


def test_data_of_another_major_version_are_not_touched_and_the_fix_is_named(data_dir):
    EmbeddedServer.start(data_dir).stop()
    version = data_dir / "cluster" / "PG_VERSION"
    version.write_text("16\n")
    with pytest.raises(UpgradeNeeded, match="python -m stockwright.store.upgrade"):
        EmbeddedServer.start(data_dir)


def test_a_forked_child_does_not_stop_its_parents_server(home):
    with EmbeddedServer.start(home) as server:
        child = os.fork()
        if child == 0:
            server.stop()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert write_row(server.url) in rows(server.url)


def test_every_committed_row_survives_kill_after_kill_under_load(home, users):
    """What a client was told is committed is there after each crash, and nothing else breaks."""
    user = users()
    user.server_pid()
    with EmbeddedServer.start(home) as server:
        acknowledged: set[str] = {write_row(server.url)}
        for _ in range(3):
            with psycopg.connect(server.url, autocommit=True) as connection:
                for _ in range(50):
                    value = uuid4().hex
                    connection.execute("INSERT INTO kept VALUES (%s)", [value])
                    acknowledged.add(value)
                os.kill(server.pid, signal.SIGKILL)
            assert acknowledged <= rows_when_up(server.url)
    user.leave()


def test_the_server_never_runs_as_root(home):
    with EmbeddedServer.start(home) as server:
        assert psutil.Process(server.pid).uids().effective != 0
        assert psutil.Process(server.pid).uids().effective == server_account().uid


def test_programs_out_of_the_accounts_reach_are_copied(data_dir, monkeypatch):
    monkeypatch.setattr(cluster_module, "can_run", lambda account, program: False)
    with EmbeddedServer.start(data_dir) as server:
        executable = psutil.Process(server.pid).exe()
        assert executable.startswith(str(data_dir / "programs"))
        assert write_row(server.url) in rows(server.url)


def test_an_unprivileged_user_starts_it_as_himself(data_dir):
    """Under root in a child that gives root up; without root we are that user already."""
    script = Path(__file__).with_name("unprivileged.py")
    folder = data_dir / "his"
    folder.mkdir(parents=True)
    who = server_account()
    who.give(folder)
    data_dir.chmod(0o755)
    done = subprocess.run(
        [sys.executable, script, folder, who.name], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(who.uid), "42"]


def test_a_program_that_cannot_be_started_is_an_answer_and_no_exception():
    assert run_as(server_account(), ["/no/such/program"]).returncode == 126

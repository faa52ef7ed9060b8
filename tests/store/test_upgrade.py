"""An older major version's data arrive whole, whatever state they were left in."""

from pathlib import Path

import psycopg
import pytest

from stockwright.store.account import run_as, server_account
from stockwright.store.cluster import (
    Layout,
    configure_cluster,
    init_cluster,
    prepare_data_dir,
    prepare_socket_dir,
    reachable_bin_dir,
)
from stockwright.store.embedded import EmbeddedServer, socket_url
from stockwright.store.errors import DirectoryUnusable, ServerDidNotStart
from stockwright.store.upgrade import upgrade

OLD = 16


def make_old_cluster(data_dir, *, checksums=True, stop="fast") -> Layout:
    """A data directory as a Stockwright of PostgreSQL 16 would have left it, with 1,000 rows."""
    who = server_account()
    layout = prepare_data_dir(data_dir, who)
    prepare_socket_dir(layout, who)
    programs = reachable_bin_dir(layout, who, OLD)
    layout.cluster.mkdir(mode=0o700)
    who.give(layout.cluster)
    init_cluster(layout.cluster, who, programs, checksums)
    configure_cluster(layout.cluster, layout, who, OLD)
    pg_ctl: list[str | Path] = [
        programs / "pg_ctl",
        "-w",
        "-D",
        layout.cluster,
        "-l",
        layout.cluster / "log",
    ]
    started = run_as(who, [*pg_ctl, "start"])
    assert started.returncode == 0, started.stdout
    with psycopg.connect(socket_url(layout.socket_dir, "postgres"), autocommit=True) as server:
        server.execute("CREATE DATABASE stockwright")
    with psycopg.connect(socket_url(layout.socket_dir, "stockwright")) as database:
        database.execute("CREATE TABLE kept AS SELECT n FROM generate_series(1, 1000) AS n")
    assert run_as(who, [*pg_ctl, "-m", stop, "stop"]).returncode == 0
    return layout


@pytest.mark.parametrize(
    ("checksums", "stop"), [(True, "fast"), (False, "immediate")], ids=["tidy", "crashed"]
)
def test_an_older_database_is_upgraded_with_every_row(data_dir, checksums, stop):
    layout = make_old_cluster(data_dir, checksums=checksums, stop=stop)
    told: list[str] = []
    assert upgrade(data_dir, told.append) == OLD
    with EmbeddedServer.start(data_dir) as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT count(*), sum(n) FROM kept").fetchone() == (1000, 500500)
        assert connection.info.server_version >= 180_000
    assert told[0] == "Upgrading the database from PostgreSQL 16 to 18"
    assert told[-1] == f"Upgraded to PostgreSQL 18; the old data are in {data_dir}/cluster-16"
    assert (data_dir / "cluster-16" / "PG_VERSION").read_text() == "16\n"
    assert upgrade(layout.data_dir) is None


def test_an_upgrade_interrupted_between_its_last_two_steps_is_finished(data_dir):
    layout = make_old_cluster(data_dir)
    upgrade(data_dir)
    layout.cluster.rename(layout.upgraded)
    assert upgrade(data_dir) == OLD
    with EmbeddedServer.start(data_dir) as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1000,)


def test_a_failing_upgrade_keeps_the_old_data_and_says_why(data_dir):
    layout = make_old_cluster(data_dir)
    (layout.cluster / "global" / "pg_control").rename(data_dir / "pg_control")
    with pytest.raises(ServerDidNotStart, match="failed, the old data are kept"):
        upgrade(data_dir)
    (data_dir / "pg_control").rename(layout.cluster / "global" / "pg_control")
    assert upgrade(data_dir) == OLD


def test_a_database_in_use_is_not_upgraded(data_dir):
    with (
        EmbeddedServer.start(data_dir),
        pytest.raises(DirectoryUnusable, match="in use. Stop every Stockwright process"),
    ):
        upgrade(data_dir)


def test_a_disk_without_room_for_a_copy_is_refused_before_anything_happens(data_dir, monkeypatch):
    layout = make_old_cluster(data_dir)
    full = type("Usage", (), {"free": 1_000_000})
    monkeypatch.setattr("stockwright.store.upgrade.shutil.disk_usage", lambda _path: full)
    with pytest.raises(DirectoryUnusable, match="Make room"):
        upgrade(data_dir)
    assert layout.major() == OLD

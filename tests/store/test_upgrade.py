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
from stockwright.store.errors import DirectoryUnusable, ServerDidNotStart, UpgradeNeeded
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


def kept_rows(data_dir):
    with EmbeddedServer.start(data_dir) as server, psycopg.connect(server.url) as connection:
        assert connection.info.server_version >= 180_000
        return connection.execute("SELECT count(*), sum(n) FROM kept").fetchone()


def test_an_older_database_is_upgraded_with_every_row(data_dir):
    make_old_cluster(data_dir)
    told: list[str] = []
    assert upgrade(data_dir, told.append) == OLD
    assert kept_rows(data_dir) == (1000, 500500)
    assert told[0] == "Upgrading the database from PostgreSQL 16 to 18"
    assert told[-1] == f"Upgraded to PostgreSQL 18; the old data are in {data_dir}/cluster-16"
    assert (data_dir / "cluster-16" / "PG_VERSION").read_text() == "16\n"
    assert upgrade(data_dir) is None


def test_a_crashed_one_without_checksums_is_upgraded_too_even_if_interrupted_at_the_end(
    data_dir, monkeypatch
):
    layout = make_old_cluster(data_dir, checksums=False, stop="immediate")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("stockwright.store.upgrade._swap", interrupted_after_its_first_step)
        upgrade(data_dir)
    assert not layout.cluster.exists()
    with pytest.raises(UpgradeNeeded, match="Finish it"):
        EmbeddedServer.start(data_dir)
    assert upgrade(data_dir) == OLD
    assert kept_rows(data_dir) == (1000, 500500)


def interrupted_after_its_first_step(layout: Layout) -> int:
    layout.cluster.rename(layout.data_dir / "cluster-16")
    raise KeyboardInterrupt


def test_a_failing_upgrade_keeps_the_old_data_and_says_why(data_dir):
    layout = make_old_cluster(data_dir)
    (layout.cluster / "global" / "pg_control").rename(data_dir / "pg_control")
    with pytest.raises(ServerDidNotStart, match="failed, the old data are kept"):
        upgrade(data_dir)
    assert layout.major() == OLD
    assert not layout.upgraded.exists()


def test_a_database_in_use_is_not_upgraded(cluster):
    with pytest.raises(DirectoryUnusable, match="in use. Stop every Stockwright process"):
        upgrade(cluster.data_dir)


def test_a_disk_without_room_for_a_copy_is_refused_before_anything_happens(data_dir, monkeypatch):
    layout = prepare_data_dir(data_dir, server_account())
    layout.cluster.mkdir()
    server_account().give(layout.cluster)
    (layout.cluster / "PG_VERSION").write_text(f"{OLD}\n")
    (layout.cluster / "big").write_bytes(bytes(2_000))
    full = type("Usage", (), {"free": 1_000})
    monkeypatch.setattr("stockwright.store.upgrade.shutil.disk_usage", lambda _path: full)
    with pytest.raises(DirectoryUnusable, match="Make room"):
        upgrade(data_dir)
    assert not (data_dir / "upgrade.work").exists()

"""Brings an embedded database from an older major version of PostgreSQL to ours.

    python -m stockwright.store.upgrade DATA_DIR

pg_upgrade copies the old cluster; the old one stays beside the new as `cluster-OLD` until you
delete it. Interrupted at any moment, the same command starts over or finishes.
"""

import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg

from stockwright.store.account import Account, run_as, server_account
from stockwright.store.cluster import (
    ROLE,
    Layout,
    configure_cluster,
    disarm_stale_files,
    init_cluster,
    prepare_data_dir,
    prepare_socket_dir,
    reachable_bin_dir,
)
from stockwright.store.embedded import EmbeddedServer, Progress, hold_alone, quiet
from stockwright.store.errors import DirectoryUnusable, ServerDidNotStart
from stockwright.store.programs import MAJOR

LOCK_WAIT_S = 10.0
PG_CTL_WAIT_S = 600


def upgrade(
    data_dir: Path | str, progress: Progress | None = None, *, account: str | None = None
) -> int | None:
    """Upgrades the directory's cluster; answers the old major version, None if nothing to do.

    Nobody may use the directory meanwhile, and the disk must hold the data twice. Raises
    DirectoryUnusable (in use, too little space), ProgramsMissing, and ServerDidNotStart with
    pg_upgrade's own words; the old cluster is then as it was. Safe to repeat.
    """
    tell = progress or quiet
    who = server_account(account)
    layout = prepare_data_dir(Path(data_dir), who)
    with hold_alone(layout, time.monotonic() + LOCK_WAIT_S, tell):
        old = layout.major()
        if old is not None and old != MAJOR and not layout.upgraded.exists():
            _copy_upgraded(layout, who, old, tell)
        if not layout.upgraded.exists():
            return None
        old = _swap(layout)
    tell("Gathering statistics")
    with (
        EmbeddedServer.start(layout.data_dir, progress, account=account) as server,
        psycopg.connect(server.url, autocommit=True) as connection,
    ):
        connection.execute("ANALYZE")
    tell(f"Upgraded to PostgreSQL {MAJOR}; the old data are in {_kept(layout, old)}")
    return old


def _copy_upgraded(layout: Layout, account: Account, old: int, tell: Progress) -> None:
    """Leaves the upgraded copy at `layout.upgraded`."""
    _check_space(layout)
    prepare_socket_dir(layout, account)
    old_programs = reachable_bin_dir(layout, account, old)
    new_programs = reachable_bin_dir(layout, account)
    work, draft = layout.data_dir / "upgrade.work", layout.data_dir / "cluster.draft"
    for folder in (work, draft):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        account.give(folder)
    tell(f"Upgrading the database from PostgreSQL {old} to {MAJOR}")
    disarm_stale_files(layout)
    configure_cluster(layout.cluster, layout, account, old)
    _stop_cleanly(layout, account, old_programs, work)
    init_cluster(draft, account, new_programs, _has_checksums(layout, account, old_programs))
    configure_cluster(draft, layout, account)
    _run(
        account,
        [
            new_programs / "pg_upgrade",
            f"--old-bindir={old_programs}",
            f"--new-bindir={new_programs}",
            f"--old-datadir={layout.cluster}",
            f"--new-datadir={draft}",
            f"--socketdir={layout.socket_dir}",
            f"--username={ROLE}",
        ],
        work,
    )
    draft.rename(layout.upgraded)
    shutil.rmtree(work)


def _stop_cleanly(layout: Layout, account: Account, programs: Path, work: Path) -> None:
    """pg_upgrade wants a cluster that was shut down in order: recovers it, then stops it."""
    wait = ["-w", "-t", str(PG_CTL_WAIT_S)]
    pg_ctl: list[str | Path] = [programs / "pg_ctl", "-D", layout.cluster, *wait]
    _run(account, [*pg_ctl, "-l", work / "old.log", "start"], work)
    _run(account, [*pg_ctl, "-m", "fast", "stop"], work)


def _has_checksums(layout: Layout, account: Account, programs: Path) -> bool:
    told = _run(account, [programs / "pg_controldata", "-D", layout.cluster], layout.socket_dir)
    found = re.search(r"^Data page checksum version:\s*(\d+)", told, re.MULTILINE)
    return bool(found and int(found[1]))


def _run(account: Account, command: Sequence[str | Path], cwd: Path) -> str:
    done = run_as(account, command, env={"TZ": "UTC"}, cwd=cwd)
    if done.returncode:
        said = (done.stdout + done.stderr).strip()[-3000:]
        raise ServerDidNotStart(f"{Path(command[0]).name} failed, the old data are kept: {said}")
    return done.stdout


def _check_space(layout: Layout) -> None:
    needed = sum(
        (Path(folder) / name).lstat().st_size
        for folder, _, names in os.walk(layout.cluster)
        for name in names
    )
    free = shutil.disk_usage(layout.data_dir).free
    if free < needed:
        raise DirectoryUnusable(
            "data_dir",
            f"The upgrade needs {needed / 1e9:.1f} GB beside the old data and {layout.data_dir} "
            f"has {free / 1e9:.1f} GB free. Make room, then run it again.",
        )


def _swap(layout: Layout) -> int:
    """Puts the upgraded cluster in the old one's place; works after half of it was done."""
    old = layout.major()
    if old is not None:
        layout.cluster.rename(_kept(layout, old))
    layout.upgraded.rename(layout.cluster)
    return old or max(
        int(path.name.partition("-")[2]) for path in layout.data_dir.glob("cluster-*")
    )


def _kept(layout: Layout, old: int) -> Path:
    return layout.data_dir / f"cluster-{old}"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if upgrade(sys.argv[1], lambda line: print(line, flush=True)) is None:  # noqa: T201
        print(f"Nothing to do: the data are of PostgreSQL {MAJOR} already.")  # noqa: T201

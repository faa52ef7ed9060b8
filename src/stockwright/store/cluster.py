"""The files of an embedded database: how its folder is laid out, made, configured and read.

DATA_DIR/
  cluster/       what PostgreSQL calls its data directory
  socket/        the only way in; somewhere shorter if this path is too long for a socket
  programs/      a copy of the programs, only if the server's account cannot reach the originals
  *.lock         who uses the server, who starts it, who keeps it (see `embedded`)
  server.log     what PostgreSQL and its keeper say
  local.conf     settings of the operator's own; wins over ours
"""

import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from stockwright.store.account import Account, blocking_folder, can_run, current_user, run_as
from stockwright.store.errors import DirectoryUnusable, ServerDidNotStart
from stockwright.store.programs import MAJOR, bin_dir, copy_programs

ROLE = "stockwright"
DATABASE = "stockwright"
SOCKET_NAME = ".s.PGSQL.5432"
# sockaddr_un holds 104 bytes on macOS and 108 on Linux, the closing NUL included; a lock file
# with the suffix ".lock" lies beside the socket.
SOCKET_PATH_LIMIT = 103 - len(".lock")
# No process can have this id (Linux stops at 2**22, macOS at 99,998).
NO_PROCESS = 2**31 - 2
START_TIME_TOLERANCE_S = 5.0

# Durable, small (idle below 150 MB) and reachable through the socket only.
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "shared_buffers": "96MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_compression": "on",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "10min",
    # Short transactions on few rows: workers and compiling would cost more than they bring.
    "max_worker_processes": "4",
    "max_logical_replication_workers": "0",
    "max_parallel_workers": "2",
    "autovacuum_max_workers": "2",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "log_checkpoints": "off",
    "log_min_messages": "warning",
}
# Workers for asynchronous reading are separate processes; at this size they only cost memory.
_SETTINGS_SINCE = {18: {"io_method": "sync"}}


@dataclass(frozen=True)
class Layout:
    """Paths inside one data directory."""

    data_dir: Path

    @property
    def cluster(self) -> Path:
        """PostgreSQL's own data directory."""
        return self.data_dir / "cluster"

    @property
    def upgraded(self) -> Path:
        """A finished upgrade that has not taken the cluster's place yet."""
        return self.data_dir / "cluster.upgraded"

    @property
    def log(self) -> Path:
        """What the server and its keeper say."""
        return self.data_dir / "server.log"

    @property
    def programs(self) -> Path:
        """Where copies of the programs go when the originals are out of the account's reach."""
        return self.data_dir / "programs"

    @property
    def socket_dir(self) -> Path:
        """Folder of the socket: inside if the path is short enough, else a private short one."""
        inside = self.data_dir / "socket"
        if len(os.fsencode(inside / SOCKET_NAME)) <= SOCKET_PATH_LIMIT:
            return inside
        name = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"stockwright-{os.geteuid()}-{name}"

    def major(self) -> int | None:
        """Major version that wrote the cluster; None if there is none yet."""
        try:
            return int((self.cluster / "PG_VERSION").read_text().strip())
        except FileNotFoundError:
            return None


def prepare_data_dir(data_dir: Path, account: Account) -> Layout:
    """Makes the data directory if need be and checks that the account can live in it.

    Only folders made here get an owner or a mode; nothing above them is touched. Raises
    DirectoryUnusable with the folder in the way.
    """
    layout = Layout(data_dir.resolve())
    _check_reach(account, layout.data_dir.parent)
    try:
        for folder in reversed(layout.data_dir.parents):
            if not folder.exists():
                folder.mkdir(exist_ok=True)
                folder.chmod(0o755)
        _own_folder(layout.data_dir, account)
    except OSError as failure:
        raise DirectoryUnusable(
            "data_dir",
            f"{layout.data_dir} cannot be made ({failure.strerror}). Choose a data directory that "
            f"{current_user()} may write.",
        ) from failure
    _check_reach(account, layout.data_dir)
    _check_owner(layout, account)
    return layout


def prepare_socket_dir(layout: Layout, account: Account) -> None:
    """Makes the folder of the socket. Raises DirectoryUnusable if it is not private."""
    _own_folder(layout.socket_dir, account)
    if not _is_private_to(layout.socket_dir, account):
        raise DirectoryUnusable(
            "data_dir",
            f"The socket folder {layout.socket_dir} is not a private folder of {account.name}. "
            "Remove it, or choose a shorter data directory.",
        )


def _check_reach(account: Account, folder: Path) -> None:
    blocked = blocking_folder(account, folder)
    if blocked:
        raise DirectoryUnusable(
            "data_dir",
            f"The account {account.name}, which runs the database, may not enter {blocked}. "
            f"Choose a data directory it can reach, such as {default_data_dir()}, or let it pass: "
            f"setfacl -m u:{account.name}:x {blocked}",
        )


def _own_folder(folder: Path, account: Account) -> None:
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return
    account.give(folder)


def _check_owner(layout: Layout, account: Account) -> None:
    database = next((p for p in (layout.cluster, layout.upgraded) if p.exists()), None)
    if database is None:
        _check_empty(layout)
    elif not account.owns(database):
        raise DirectoryUnusable(
            "data_dir",
            f"The database in {layout.data_dir} belongs to user id {database.stat().st_uid}, not "
            f"to {account.name}. Start Stockwright as the user that made it, or choose another "
            "data directory.",
        )


def _check_empty(layout: Layout) -> None:
    ours = re.compile(r".*\.lock|server\.log(\.1)?|local\.conf|socket|programs|cluster\.draft")
    if not all(ours.fullmatch(entry.name) for entry in layout.data_dir.iterdir()):
        raise DirectoryUnusable(
            "data_dir",
            f"{layout.data_dir} holds other files. Choose an empty or a new directory for the "
            "database.",
        )


def _is_private_to(folder: Path, account: Account) -> bool:
    found = folder.lstat()
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == account.uid
        and stat.S_IMODE(found.st_mode) == 0o700
    )


def default_data_dir() -> Path:
    """Where the database goes when nobody says: the account's own place, or the system's for root.

    A folder below root's home would be out of reach of the server's unprivileged account.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/stockwright/database")
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "stockwright" / "database"


def reachable_bin_dir(layout: Layout, account: Account, major: int = MAJOR) -> Path:
    """The programs' folder, or that of a copy the account can run. Raises ProgramsMissing."""
    installed = bin_dir(major)
    if can_run(account, installed / "postgres"):
        return installed
    _own_folder(layout.programs, account)
    return bin_dir(major, copy_programs(layout.programs))


def create_cluster(layout: Layout, account: Account, programs: Path) -> None:
    """Makes an empty cluster: UTF-8, C collation, page checksums, no password to leak.

    It appears under its name only when it is whole, so an interrupted start begins anew.
    """
    draft = layout.data_dir / "cluster.draft"
    shutil.rmtree(draft, ignore_errors=True)
    _own_folder(draft, account)
    init_cluster(draft, account, programs)
    draft.rename(layout.cluster)


def init_cluster(target: Path, account: Account, programs: Path, checksums: bool = True) -> None:
    """Runs initdb into an empty folder of the account. Raises ServerDidNotStart."""
    flags = ["--data-checksums"] if checksums else []
    if not checksums and major_of(programs) >= 18:
        flags = ["--no-data-checksums"]  # a default since 18
    done = run_as(
        account,
        [
            programs / "initdb",
            f"--pgdata={target}",
            f"--username={ROLE}",
            "--encoding=UTF8",
            "--locale=C",
            "--auth-local=peer",
            "--auth-host=reject",
            "--no-instructions",
            *flags,
        ],
        env={"TZ": "UTC"},
    )
    if done.returncode:
        raise ServerDidNotStart(f"initdb could not make the database: {done.stderr.strip()}")


def major_of(programs: Path) -> int:
    """Major version of a programs' folder, from the name its package gives it."""
    return 18 if programs.parent.name.endswith("18") else 16


def configure_cluster(
    cluster: Path,
    layout: Layout,
    account: Account,
    major: int = MAJOR,
    settings: Mapping[str, str] | None = None,
) -> None:
    """Writes the server's settings and who may enter; done anew at every start.

    The operating system vouches for the client (peer): the user who runs Stockwright and the
    server's account enter as the role `stockwright`, nobody else does.
    """
    values = {
        **_SETTINGS,
        **{
            k: v
            for since, more in _SETTINGS_SINCE.items()
            if major >= since
            for k, v in more.items()
        },
        "unix_socket_directories": str(layout.socket_dir),
        **(settings or {}),
    }
    lines = [f"{name} = {_quoted(value)}" for name, value in values.items()]
    _write(
        cluster / "postgresql.conf",
        "# Written by Stockwright at every start; put settings of your own into local.conf.",
        *lines,
        f"include_if_exists = {_quoted(str(layout.data_dir / 'local.conf'))}",
        account=account,
    )
    _write(cluster / "pg_hba.conf", f"local all {ROLE} peer map=stockwright", account=account)
    users = sorted({current_user(), account.name})
    _write(
        cluster / "pg_ident.conf",
        *(f'stockwright "{user}" {ROLE}' for user in users),
        account=account,
    )


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _write(path: Path, *lines: str, account: Account) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    path.chmod(0o600)
    account.give(path)


@dataclass(frozen=True)
class PidFile:
    """First and third line of postmaster.pid: the server's process and when it started."""

    pid: int
    started_at_s: float


def read_pid_file(cluster: Path) -> PidFile | None:
    """What postmaster.pid says; None if there is none, or if it is still being written."""
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
        return PidFile(int(lines[0]), float(lines[2]))
    except (FileNotFoundError, IndexError, ValueError):
        return None


def running_server(cluster: Path) -> psutil.Process | None:
    """The process that serves this cluster, or None.

    A process id is reused, often after a reboot or in a container. So the process must also have
    started when postmaster.pid says, and work in this folder where we may see that.
    """
    recorded = read_pid_file(cluster)
    if recorded is None:
        return None
    try:
        process = psutil.Process(recorded.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        same_start = abs(process.create_time() - recorded.started_at_s) <= START_TIME_TOLERANCE_S
        try:
            # A clock that was set since moves the start time, but not the folder.
            return process if Path(process.cwd()).samefile(cluster) else None
        except (psutil.AccessDenied, OSError):
            return process if same_start else None
    except psutil.NoSuchProcess:
        return None


def disarm_stale_files(layout: Layout) -> None:
    """Makes what a dead server left behind harmless. Only while holding the lock for starting.

    PostgreSQL refuses to start while the process id in its lock files exists, be it another
    program's or a dead server's that nobody collects (as in a container without an init). The
    socket's lock goes, the folder being ours alone. postmaster.pid stays with an id nobody has,
    because its shared-memory line still guards against orphaned backends of a killed server.
    """
    if running_server(layout.cluster):
        return
    for name in (SOCKET_NAME, f"{SOCKET_NAME}.lock"):
        (layout.socket_dir / name).unlink(missing_ok=True)
    recorded = read_pid_file(layout.cluster)
    if recorded and psutil.pid_exists(recorded.pid):
        path = layout.cluster / "postmaster.pid"
        lines = path.read_text().splitlines(keepends=True)
        path.write_text(f"{NO_PROCESS}\n" + "".join(lines[1:]))


def tail(log: Path, lines: int = 12) -> str:
    """The last lines of a log, for an error message; empty if there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""

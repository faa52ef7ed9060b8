"""The embedded PostgreSQL: started when the first process needs it, stopped when the last is gone.

Three lock files in the data directory carry the whole protocol, because the kernel lets go of a
lock whenever its holder ends, however it ends:

- `start.lock`   held alone while a process looks for the server, makes or starts it;
- `users.lock`   held shared by every process that uses the server;
- `keeper.lock`  held alone by the keeper, the server's parent, for as long as it lives.

A user that goes away last asks the keeper to stop the server and waits for it. If it was killed
it cannot ask; then the keeper finds `users.lock` free and stops the server by itself.
"""

import atexit
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from urllib.parse import quote, urlencode

import psutil
import psycopg
from psycopg import sql

from stockwright.store import keeper
from stockwright.store.account import Account, server_account
from stockwright.store.cluster import (
    DATABASE,
    ROLE,
    Layout,
    configure_cluster,
    create_cluster,
    default_data_dir,
    disarm_stale_files,
    prepare_data_dir,
    prepare_socket_dir,
    reachable_bin_dir,
    read_pid_file,
    running_server,
    tail,
)
from stockwright.store.errors import DirectoryUnusable, ServerDidNotStart, UpgradeNeeded
from stockwright.store.programs import MAJOR, bin_dir, binary

__all__ = ["MAJOR", "EmbeddedServer", "bin_dir", "binary", "default_data_dir"]

Progress = Callable[[str], None]

START_TIMEOUT_S = 600.0
LOG_LIMIT_BYTES = 10_000_000
_POLL_S = 0.03
# Keepers this process started. They are our children, so we collect their exit codes.
_keepers: dict[Path, subprocess.Popen[bytes]] = {}


class _KeeperGone(Exception):
    """The keeper ended while we waited for its server."""


def quiet(_message: str) -> None:
    """Progress for callers who do not want to hear."""


class EmbeddedServer:
    """One process's use of the embedded server of a data directory.

    Processes that start the same directory share one server. Close the use with `stop()`, or as a
    context manager; the end of the process closes it in any case.
    """

    def __init__(self, layout: Layout, users_fd: int) -> None:
        self._layout = layout
        self._users_fd: int | None = users_fd
        self._owner_pid = os.getpid()
        atexit.register(self.stop)

    @classmethod
    def start(
        cls,
        data_dir: Path | str | None = None,
        progress: Progress | None = None,
        *,
        account: str | None = None,
        settings: Mapping[str, str] | None = None,
        timeout_s: float = START_TIMEOUT_S,
    ) -> "EmbeddedServer":
        """Attaches to the directory's server, starting it (and making its database) if need be.

        `progress` receives a sentence whenever there is something to wait for. `account` is the
        unprivileged account that runs the server when we are root. `settings` overrule
        PostgreSQL's settings, for the process that starts the server only. A recovery after a
        crash may take minutes: `timeout_s` bounds the wait.

        Raises DirectoryUnusable, AccountUnusable, ProgramsMissing, UpgradeNeeded (all
        Misconfigured) and ServerDidNotStart (Transient). Safe to repeat.
        """
        tell = progress or quiet
        who = server_account(account)
        layout = prepare_data_dir(Path(data_dir) if data_dir else default_data_dir(), who)
        deadline = time.monotonic() + timeout_s
        with held(layout.data_dir / "start.lock", deadline, tell):
            users_fd = lock(layout.data_dir / "users.lock", fcntl.LOCK_SH, deadline, tell)
            try:
                _bring_up(layout, who, settings, deadline, tell)
            except BaseException:
                os.close(users_fd)  # nobody left: a keeper that runs stops by itself
                raise
        return cls(layout, users_fd)

    @property
    def data_dir(self) -> Path:
        """The directory, as an absolute path."""
        return self._layout.data_dir

    @property
    def url(self) -> str:
        """Address of the database `stockwright`, for psycopg or STOCKWRIGHT_DATABASE_URL."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """Address of another database on the same server."""
        return socket_url(self._layout.socket_dir, database)

    @property
    def socket_dir(self) -> Path:
        """Folder of the server's socket."""
        return self._layout.socket_dir

    @property
    def pid(self) -> int | None:
        """Process id of the server; None while it is down, as between a crash and its restart."""
        recorded = read_pid_file(self._layout.cluster)
        return recorded.pid if recorded else None

    def stop(self) -> None:
        """Ends this use; the last user stops the server in order and waits for it. Repeatable."""
        fd, self._users_fd = self._users_fd, None
        if fd is None:
            return
        atexit.unregister(self.stop)
        try:
            # In a forked child the lock is still the parent's.
            if os.getpid() == self._owner_pid and _try_lock(fd, fcntl.LOCK_EX):
                _stop_keeper(self._layout)
        finally:
            os.close(fd)

    def __enter__(self) -> "EmbeddedServer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def socket_url(socket_dir: Path, database: str) -> str:
    """A `postgresql://` address through the socket in a folder."""
    query = urlencode({"host": str(socket_dir)}, quote_via=quote)
    return f"postgresql://{ROLE}@/{quote(database)}?{query}"


def is_kept(data_dir: Path) -> bool:
    """Whether a keeper runs for this directory, and with it most likely a server."""
    try:
        fd = os.open(data_dir / "keeper.lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(fd, fcntl.LOCK_EX)
    finally:
        os.close(fd)


def _bring_up(
    layout: Layout,
    account: Account,
    settings: Mapping[str, str] | None,
    deadline: float,
    tell: Progress,
) -> None:
    """Attaches or starts; a keeper that someone stops under our hands is followed by a new one."""
    while True:
        started = _start_keeper(layout, account, settings, tell)
        try:
            _wait_until_it_answers(layout, deadline, tell)
        except _KeeperGone:
            if started:
                raise ServerDidNotStart(
                    f"PostgreSQL ended instead of starting. {layout.log} says:\n{tail(layout.log)}"
                ) from None
            continue
        return _make_database(layout)


def _start_keeper(
    layout: Layout, account: Account, settings: Mapping[str, str] | None, tell: Progress
) -> bool:
    """Starts a keeper and with it the server; False if there is one already."""
    _collect(layout)
    lock_fd = os.open(layout.data_dir / "keeper.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _try_lock(lock_fd, fcntl.LOCK_EX):
            return False
        programs = _prepare_cluster(layout, account, settings, tell)
        tell(f"Starting PostgreSQL {MAJOR}")
        _keepers[layout.data_dir] = _spawn_keeper(layout, account, programs, lock_fd)
        return True
    finally:
        os.close(lock_fd)


def _prepare_cluster(
    layout: Layout, account: Account, settings: Mapping[str, str] | None, tell: Progress
) -> Path:
    """Everything a server needs before it starts; answers the folder of its programs."""
    major = _check_major(layout)
    prepare_socket_dir(layout, account)
    programs = reachable_bin_dir(layout, account)
    if major is None:
        tell("Creating the database (once)")
        create_cluster(layout, account, programs)
    stop_orphan(layout.cluster)
    disarm_stale_files(layout)
    configure_cluster(layout.cluster, layout, account, settings=settings)
    return programs


def _check_major(layout: Layout) -> int | None:
    """Our major version, or None where there is no database yet. Raises UpgradeNeeded."""
    command = f"python -m stockwright.store.upgrade {layout.data_dir}"
    if layout.upgraded.exists():
        raise UpgradeNeeded(
            "data_dir",
            f"An upgrade of the database in {layout.data_dir} was interrupted. "
            f"Finish it: {command}",
        )
    major = layout.major()
    if major not in (None, MAJOR):
        raise UpgradeNeeded(
            "data_dir",
            f"The database in {layout.data_dir} was written by PostgreSQL {major}; this version "
            f"runs {MAJOR}. Make a backup of the directory, then run: {command}",
        )
    return major


def stop_orphan(cluster: Path) -> None:
    """Stops a server whose keeper was killed where the system does not do it for us."""
    orphan = running_server(cluster)
    if orphan:
        orphan.send_signal(signal.SIGINT)
        with contextlib.suppress(psutil.NoSuchProcess):
            orphan.wait(keeper.STOP_S)


def _spawn_keeper(
    layout: Layout, account: Account, programs: Path, lock_fd: int
) -> subprocess.Popen[bytes]:
    """The keeper inherits the lock; isolated and without site packages, so that it stays small."""
    if layout.log.exists() and layout.log.stat().st_size > LOG_LIMIT_BYTES:
        layout.log.replace(layout.log.with_suffix(".log.1"))
    ids = [str(account.uid), str(account.gid)] if account.switch else []
    with layout.log.open("ab") as log:
        return subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", keeper.__file__),
                str(lock_fd),
                str(layout.data_dir / "users.lock"),
                str(programs / "postgres"),
                str(layout.cluster),
                *ids,
            ],
            pass_fds=[lock_fd],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,  # Ctrl-C in the user's terminal is not meant for the server
        )


def _wait_until_it_answers(layout: Layout, deadline: float, tell: Progress) -> None:
    """Readiness is a SELECT that works, nothing less. Raises _KeeperGone, ServerDidNotStart."""
    url = socket_url(layout.socket_dir, "postgres")
    began = told = time.monotonic()
    while True:
        try:
            with psycopg.connect(url, connect_timeout=5, autocommit=True) as connection:
                connection.execute("SELECT 1")
                return
        except psycopg.OperationalError as failure:
            answer = str(failure)
        _collect(layout)
        if not is_kept(layout.data_dir):
            raise _KeeperGone
        now = time.monotonic()
        if now > deadline:
            raise ServerDidNotStart(f"PostgreSQL does not answer: {answer}\n{tail(layout.log)}")
        if now - told >= 1:
            told = now
            # It answers so after a clean stop as well, for a moment.
            up = "starting up" in answer or "not yet accepting" in answer
            doing = "PostgreSQL starts up, or recovers its data" if up else "Starting PostgreSQL"
            tell(f"{doing}: {now - began:.0f} s")
        time.sleep(_POLL_S)


def _make_database(layout: Layout) -> None:
    url = socket_url(layout.socket_dir, "postgres")
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
        if found.fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))


def _stop_keeper(layout: Layout) -> None:
    """Tells the keeper to stop the server and waits. The caller holds the users' lock alone."""
    if is_kept(layout.data_dir):
        pid = int((layout.data_dir / "keeper.lock").read_text())
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    while is_kept(layout.data_dir):
        time.sleep(_POLL_S)
    _collect(layout)


def _collect(layout: Layout) -> None:
    """Collects the exit code of a keeper that was ours and is gone."""
    own = _keepers.get(layout.data_dir)
    if own is None:
        return
    if not is_kept(layout.data_dir):
        own.wait()
    if own.poll() is not None:
        del _keepers[layout.data_dir]


def _let_go_of_keepers() -> None:
    """At our end: a keeper whose server others still use outlives us by intention."""
    for own in _keepers.values():
        if own.poll() is None:
            own.returncode = 0  # else its destructor warns of a process that is still running


# Runs after the uses that are still open: each registers itself later.
atexit.register(_let_go_of_keepers)


def _try_lock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock(path: Path, kind: int, deadline: float, tell: Progress) -> int:
    """Opens and locks a file; the lock lives as long as the descriptor this answers."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    told = False
    while not _try_lock(fd, kind):
        if time.monotonic() > deadline:
            os.close(fd)
            raise ServerDidNotStart(f"Another process has held {path} for too long.")
        if not told:
            told = True
            tell("Waiting for another process that starts or stops the database")
        time.sleep(_POLL_S)
    return fd


@contextlib.contextmanager
def hold_alone(layout: Layout, deadline: float, tell: Progress) -> Iterator[None]:
    """Keeps everybody out of a data directory for a block. Raises DirectoryUnusable if in use."""
    with held(layout.data_dir / "start.lock", deadline, tell):
        users_fd = lock(layout.data_dir / "users.lock", fcntl.LOCK_SH, deadline, tell)
        try:
            if not _try_lock(users_fd, fcntl.LOCK_EX):
                raise DirectoryUnusable(
                    "data_dir",
                    f"The database in {layout.data_dir} is in use. Stop every Stockwright process "
                    "that uses it first.",
                )
            _stop_keeper(layout)
            yield
        finally:
            os.close(users_fd)


@contextlib.contextmanager
def held(path: Path, deadline: float, tell: Progress) -> Iterator[None]:
    """Holds a lock file alone for a block."""
    fd = lock(path, fcntl.LOCK_EX, deadline, tell)
    try:
        yield
    finally:
        os.close(fd)

"""The keeper: a small process that is the server's parent for as long as anybody uses it.

Run as a program, by `embedded` only, and with the standard library only, so that it stays small.
A user of the server holds a shared lock on `users.lock`. The kernel drops that lock with the
process, also after kill -9; once nobody holds it the keeper stops the server and ends. If the
server dies or is stopped by others while in use, the keeper starts it again. Should the keeper
itself be killed, Linux stops the server for us (PR_SET_PDEATHSIG); elsewhere the next start finds
the orphan and stops it.

    keeper.py LOCK_FD USERS_LOCK POSTGRES CLUSTER [UID GID]
"""

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

POLL_S = 0.2
# Until the server has been seen to serve.
FIRST_POLL_S = 0.02
# How long an orderly stop may take before the server is told to stop without a checkpoint; it
# then recovers at the next start and loses nothing.
STOP_S = 120.0
# Pauses before starting a server again that died. Backends of a killed server need a moment to
# notice and let go of its memory.
RESTART_PAUSES_S = (0.1, 0.3, 0.6, 1.0, 2.0, 4.0, 8.0)
STEADY_S = 60.0
_PR_SET_PDEATHSIG = 1


class Keeper:
    """Keeps one server until nobody uses it."""

    def __init__(self, users_lock: str, command: list[str], account: dict[str, object]) -> None:
        self._users = os.open(users_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._command = command
        self._pid_file = Path(command[-1], "postmaster.pid")
        self._account = account
        self._told_to_stop = False
        self._has_served = False

    def tell_to_stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Signal handler: end in order, whoever still uses the server."""
        self._told_to_stop = True

    def run(self) -> int:
        """Serves until nobody needs the server; the exit code says whether that went well."""
        failures = 0
        while True:
            unclean = self._pid_file.exists()
            began = time.monotonic()
            server = self._start()
            if self._wait(server):
                return 0
            if time.monotonic() - began > STEADY_S:
                failures = 0
            # A first start that fails without anything to recover will fail again.
            served = self._has_served or server.returncode == 0
            hopeful = unclean or served or self._pid_file.exists()
            if failures == len(RESTART_PAUSES_S) or not hopeful:
                return 1
            _say(f"the server ended by itself with {server.returncode}; starting it again")
            time.sleep(RESTART_PAUSES_S[failures])
            failures += 1

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
            self._command,
            stdin=subprocess.DEVNULL,
            preexec_fn=_die_with_parent(os.getpid()),
            **self._account,
        )

    def _wait(self, server: subprocess.Popen[bytes]) -> bool:
        """True when the server was stopped because it is no longer needed, False if it died."""
        while True:
            try:
                server.wait(POLL_S if self._has_served else FIRST_POLL_S)
                return self._told_to_stop
            except subprocess.TimeoutExpired:
                self._has_served = self._has_served or self._is_ready()
                if self._told_to_stop or self._nobody_left():
                    _stop(server)
                    return True

    def _is_ready(self) -> bool:
        """Whether the server has written of itself that it takes connections."""
        try:
            return self._pid_file.read_text().rstrip().endswith("ready")
        except FileNotFoundError:
            return False

    def _nobody_left(self) -> bool:
        """Takes the users' lock alone if it can, and keeps it: newcomers wait until we are gone."""
        try:
            fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGINT)  # "fast": ends sessions, writes a checkpoint
    try:
        server.wait(STOP_S)
    except subprocess.TimeoutExpired:
        _say("the server did not stop in order; stopping it at once")
        server.send_signal(signal.SIGQUIT)
        server.wait()


def _die_with_parent(keeper_pid: int) -> Callable[[], None] | None:
    """What the child does between fork and exec: ask for SIGINT when its parent dies."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
        if os.getppid() != keeper_pid:
            os._exit(1)

    return ask


def _say(text: str) -> None:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    sys.stderr.write(f"{stamp} keeper: {text}\n")
    sys.stderr.flush()


def main(arguments: list[str]) -> int:
    """Takes over the lock it inherits, writes its process id into it, keeps the server."""
    lock_fd, users_lock, postgres, cluster, *ids = arguments
    account: dict[str, object] = {}
    if ids:
        account = {"user": int(ids[0]), "group": int(ids[1]), "extra_groups": []}
    keeper = Keeper(users_lock, [postgres, "-D", cluster], account)
    signal.signal(signal.SIGTERM, keeper.tell_to_stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.set_inheritable(int(lock_fd), False)
    os.ftruncate(int(lock_fd), 0)
    os.pwrite(int(lock_fd), str(os.getpid()).encode(), 0)
    return keeper.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

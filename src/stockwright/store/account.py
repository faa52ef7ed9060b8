"""Which account the embedded server runs under.

PostgreSQL refuses to run as root. Started by root we therefore run it under an unprivileged
account, and everything it needs must be reachable for that account as the modes are: no folder
above the data directory is ever changed.
"""

import os
import pwd
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stockwright.store.errors import AccountUnusable

ACCOUNT_VARIABLE = "STOCKWRIGHT_DATABASE_ACCOUNT"
# Tried in this order when root starts the server and names no account.
CANDIDATES = ("stockwright", "postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """An operating system account, and whether we must switch to it (root) or already are it."""

    name: str
    uid: int
    gid: int
    switch: bool

    def popen_options(self) -> dict[str, int | list[int]]:
        """Keyword arguments with which `subprocess` starts a process under this account."""
        if not self.switch:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def owns(self, path: Path) -> bool:
        """Whether the account owns a file or folder."""
        return path.lstat().st_uid == self.uid

    def give(self, path: Path) -> None:
        """Hands the account a file or folder that we have just made ourselves."""
        if self.switch:
            os.chown(path, self.uid, self.gid)


def current_user() -> str:
    """Name of the account this process runs under. Raises AccountUnusable if it has none."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise AccountUnusable(
            "database.url",
            f"This process runs as user id {os.geteuid()}, which has no account name, and "
            "PostgreSQL needs one. Add the id to /etc/passwd, or point STOCKWRIGHT_DATABASE_URL "
            "at a PostgreSQL server of your own.",
        ) from None


def server_account(name: str | None = None) -> Account:
    """The account to run the server under: ourselves, or an unprivileged one if we are root.

    `name`, or else the environment's STOCKWRIGHT_DATABASE_ACCOUNT, chooses it for root; without
    either the first of `CANDIDATES` that exists. Raises AccountUnusable.
    """
    if os.geteuid() != 0:
        return Account(current_user(), os.geteuid(), os.getegid(), switch=False)
    wanted = name or os.environ.get(ACCOUNT_VARIABLE)
    for candidate in [wanted] if wanted else CANDIDATES:
        try:
            entry = pwd.getpwnam(candidate)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, switch=True)
    raise AccountUnusable(
        ACCOUNT_VARIABLE,
        f"Started as root, and {wanted or 'none of ' + ', '.join(CANDIDATES)} is an unprivileged "
        f"account here. Name one in {ACCOUNT_VARIABLE}, or start Stockwright without root.",
    )


def run_as(
    account: Account,
    command: Sequence[str | Path],
    env: Mapping[str, str] | None = None,
    cwd: Path | str = "/",
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end under the account, in a clean environment; output as text.

    The exit code is the caller's to judge. A program that cannot be started answers 126.
    """
    try:
        return subprocess.run(  # type: ignore[call-overload, no-any-return]
            [str(word) for word in command],
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            env={"PATH": os.defpath, "LC_ALL": "C", **(env or {})},
            **account.popen_options(),
        )
    except OSError as failure:
        return subprocess.CompletedProcess(list(command), 126, "", str(failure))


def can_reach(account: Account, folder: Path) -> bool:
    """Whether the account may enter a folder: tried, not computed, so that ACLs count."""
    return run_as(account, ["/bin/sh", "-c", 'cd -- "$1"', "sh", folder]).returncode == 0


def can_run(account: Account, program: Path) -> bool:
    """Whether the account can execute a program together with the libraries it loads."""
    return run_as(account, [program, "--version"]).returncode == 0


def blocking_folder(account: Account, folder: Path) -> Path | None:
    """The topmost folder on the way to `folder` that the account may not enter; None if it may.

    Folders that do not exist yet are no obstacle.
    """
    way = [step for step in [folder, *folder.parents] if _is_there(step)]
    if can_reach(account, way[0]):
        return None
    return next((step for step in reversed(way) if not can_reach(account, step)), None)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:  # then one of the folders above is the one in the way
        return False

"""`memory`: the whole product at rest, its database included."""

import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from bench.measure import Measure, measured
from bench.product import running
from stockwright.store.baseline import scratch_database
from stockwright.store.connection import connect

SETTLE_S = 10
TARGET_MB = 300


def measure(server: str) -> Iterator[Measure]:
    """Memory of `stockwright up` and every process of its PostgreSQL, idle, in MB."""
    with scratch_database(server) as url, running(url) as product:
        time.sleep(SETTLE_S)
        with connect(url, autocommit=True) as connection:
            postmaster = psutil.Process(connection.info.backend_pid).ppid()
        pids = [product.pid, *_children(product.pid), postmaster, *_children(postmaster)]
        total = sum(_proportional_kb(pid) for pid in pids) / 1024
        yield measured("memory", total, target=TARGET_MB, unit="MB")


def _children(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def _proportional_kb(pid: int) -> int:
    """Memory of one process, what it shares counted by its share (PSS)."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))

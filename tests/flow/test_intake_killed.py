"""A worker killed at any moment: nothing accepted is lost, nothing counts twice."""

import random
import subprocess
import sys
import time

import pytest

from stockwright.flow.intake import Intake
from stockwright.flow.recording import Recorder
from stockwright.store.connection import Pool
from tests.flow.partners import (
    child_environment,
    connections,
    receipt,
    rows,
    set_up,
)

CYCLES = 6


def start_worker(url, name):
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.flow.intake_worker", url, name],
        stdout=subprocess.PIPE,
        env=child_environment(),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.slow
def test_workers_killed_under_load_lose_nothing_and_count_nothing_twice(database_url):
    chance = random.Random(11)
    accepted = 0
    with set_up(database_url) as database, Pool(database_url) as pool:
        with Recorder(database_url) as recorder:
            door = Intake(pool, recorder, connections(), worker="door")
            workers = []
            try:
                for cycle in range(CYCLES):
                    workers = [start_worker(database_url, f"w{cycle}-{n}") for n in range(2)]
                    for _ in range(40):
                        lines = [("A", 1), ("B", 2), ("unbound", 1)]
                        told = receipt(f"R{accepted}", *lines)
                        for _ in range(chance.randint(1, 2)):
                            door.accept("wms", "webhook", told)
                        accepted += 1
                    time.sleep(chance.uniform(0.0, 0.15))
                    for worker in workers:
                        worker.kill()
                        worker.wait()
                        worker.stdout.close()
            finally:
                for worker in workers:
                    worker.kill()
                    worker.wait()
                    worker.stdout.close()
            deadline = time.monotonic() + 60
            open_payloads = "select count(*) from payload where state = 'received'"
            while rows(database, open_payloads) != [(0,)]:
                assert time.monotonic() < deadline, "the heir did not come to an end"
                door.step()
        assert rows(database, "select sku, sellable from balance order by sku") == [
            ("A", accepted),
            ("B", 2 * accepted),
        ]
        assert rows(database, "select count(*) from event") == [(2 * accepted,)]
        parts = "select count(distinct parent), count(*) from payload where state = 'parked'"
        payloads = rows(database, "select count(*) from payload where parent is null")[0][0]
        assert rows(database, parts) == [(payloads, payloads)], "each unbound line waits, once"

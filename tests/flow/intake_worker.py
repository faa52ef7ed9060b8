"""A worker process for the tests that kill it: maps and records until it is gone."""

import sys

from stockwright.flow.intake import Intake
from stockwright.flow.recording import Recorder
from stockwright.store.connection import Pool
from tests.flow.partners import connections


def main(url, worker):
    with Pool(url) as pool, Recorder(url) as recorder:
        intake = Intake(pool, recorder, connections(), worker=worker, lease_s=0.5)
        print("ready", flush=True)
        while True:
            if not intake.step(limit=7).payloads:
                intake.wake.wait(0.02)


if __name__ == "__main__":
    main(*sys.argv[1:])

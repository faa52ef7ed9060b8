"""A process for the races: it hammers a ledger, or freezes while it holds the lane.

    python -m tests.proof.hammer URL hammer NAME ATTEMPTS
    python -m tests.proof.hammer URL freeze reading|writing

It ends with one line of JSON: what it was answered, and how often its batches were interrupted.
"""

import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from unittest.mock import patch

from stockwright.domain.ledger import decide
from stockwright.flow.recording import Recorder
from stockwright.store.handed_in import BatchInterrupted
from stockwright.store.ledger import Ledger
from tests.proof.stage import receipt, reserve

THREADS = 8
interrupted: list[str] = []
"""SQLSTATE of every batch that had to be run again, '' where the connection was lost."""


def count_interruptions() -> None:
    """Notes every batch that had to be run again."""
    real = Ledger.record

    def counted(self, *args):
        try:
            return real(self, *args)
        except BatchInterrupted as fault:
            interrupted.append(getattr(fault.__cause__, "sqlstate", None) or "")
            raise

    patch.object(Ledger, "record", counted).start()


def hammer(url: str, name: str, attempts: int) -> None:
    """Reserves singly from several threads; every other document is also another process's."""
    answers: dict[str, tuple[str, int]] = {}
    with Recorder(url) as recorder:

        def client(number: int) -> None:
            chance = random.Random(number)
            for n in range(number, attempts, THREADS):
                document = f"shared-{n}" if n % 2 else f"{name}-{n}"
                # Two orders of the SKUs, so that row locks alone would meet crosswise.
                wanted = (("A", 1),) if chance.random() < 0.5 else (("B", 1),)
                if n % 2:
                    wanted = (("A", 1),) if n % 4 == 1 else (("B", 1),)
                (outcome,) = recorder.submit([reserve(document, *wanted)]).result(60)
                answers[document] = (outcome.code, outcome.sequence)

        threads = [threading.Thread(target=client, args=(n,)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    # 40: deadlocks, and rows that another process changed after this one had read them.
    crossed = sum(state.startswith("40") for state in interrupted)
    print(json.dumps({"answers": answers, "crossed": crossed}), flush=True)


def freeze(url: str, where: str) -> None:
    """Stops itself in the middle of a batch; thawed, it goes on as if nothing had been."""
    calls: list[int] = []

    def stop_in_the_middle(items, books):
        calls.append(len(items))
        if len(calls) == (1 if where == "reading" else 2):
            os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(0.2)  # this thread may run on for a moment before all are stopped
        return decide(items, books)

    # A batch sent ahead would hold the lane only once it is on its way, and go another way back.
    reading = patch.object(Ledger, "ahead", lambda *_args, **_named: None)
    stopping = patch("stockwright.store.ledger.decide", stop_in_the_middle)
    with reading, stopping, Recorder(url) as recorder:
        outcomes = recorder.submit([receipt(f"F{n}", 1) for n in range(200)]).result(60)
    codes = Counter(one.code for one in outcomes)
    print(json.dumps({"codes": codes, "interrupted": len(interrupted)}), flush=True)


if __name__ == "__main__":
    _, address, what, *more = sys.argv
    count_interruptions()
    if what == "hammer":
        hammer(address, more[0], int(more[1]))
    else:
        freeze(address, more[0])

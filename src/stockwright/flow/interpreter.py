"""How the interpreter is set for a process that records: measured, for the whole process."""

import gc
import sys
from typing import Final

YOUNG: Final = 50_000
"""Objects made between two looks for cycles; nearly all of a batch go away without one."""
SWITCH_S: Final = 0.0002


def settle_interpreter() -> None:
    """Call once, when everything is loaded, before the first batch. Safe to repeat.

    The search for cycles otherwise walks the cached item master again and again: without it a
    process records about a tenth more. The thread that records waits for the database a dozen
    times a batch; after each wait it gets the interpreter back from the callers' threads after
    a fifth of a millisecond instead of five.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 50)
    sys.setswitchinterval(SWITCH_S)

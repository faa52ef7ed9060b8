"""A recording process is set so that its threads do not wait for each other without need."""

import gc
import sys
from collections.abc import Iterator

import pytest

from stockwright.flow.interpreter import SWITCH_S, settle_interpreter


@pytest.fixture
def restored() -> Iterator[None]:
    threshold, interval = gc.get_threshold(), sys.getswitchinterval()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("restored")
def test_settling_twice_is_settling_once_and_cycles_are_still_collected() -> None:
    settle_interpreter()
    first = gc.get_threshold(), sys.getswitchinterval()
    settle_interpreter()
    assert (gc.get_threshold(), sys.getswitchinterval()) == first
    assert gc.isenabled()
    assert gc.get_threshold()[0] > 10_000
    assert sys.getswitchinterval() == pytest.approx(SWITCH_S)
    cycle: list[object] = []
    cycle.append(cycle)
    del cycle
    assert gc.collect() >= 1

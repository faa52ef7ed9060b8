"""Who goes first where publishers of one process meet."""

import asyncio

import pytest

from stockwright.flow.turns import Turns


async def order_of(turns, *asking):
    """In which order these criticalities get their turns; all ask while one holds the only one."""
    went = []

    async def ask(criticality):
        async with turns.turn(criticality):
            went.append(criticality)
            await asyncio.sleep(0)

    async with turns.turn("low"):
        tasks = [asyncio.create_task(ask(one)) for one in asking]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    return went


async def test_the_more_critical_goes_first_and_equals_in_order():
    turns = Turns(1)
    found = await order_of(turns, "low", "normal", "high", "critical", "normal")
    assert found == ["critical", "high", "normal", "normal", "low"]


async def test_nobody_waits_for_ever(monkeypatch):
    turns = Turns(1)
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)
    went = []

    async def ask(criticality):
        async with turns.turn(criticality):
            went.append(criticality)

    async with turns.turn("normal"):
        tasks = [asyncio.create_task(ask("low"))]
        await asyncio.sleep(0)
        now += 1.5
        tasks.append(asyncio.create_task(ask("critical")))
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert went == ["low", "critical"]


async def test_as_many_at_once_as_there_are_turns_also_after_some_gave_up():
    turns = Turns(2)
    busy, most = 0, 0

    async def ask():
        nonlocal busy, most
        async with turns.turn("normal"):
            busy += 1
            most = max(most, busy)
            await asyncio.sleep(0)
            busy -= 1

    tasks = [asyncio.create_task(ask()) for _ in range(9)]
    await asyncio.sleep(0)
    for task in tasks[2:6]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert most == 2
    await asyncio.gather(*[ask() for _ in range(4)])
    assert (busy, most) == (0, 2), "no turn was lost"


async def test_one_that_gave_up_at_the_moment_of_its_turn_passes_it_on():
    turns = Turns(1)

    async def ask():
        async with turns.turn("normal"):
            pass

    async with turns.turn("normal"):
        task = asyncio.create_task(ask())
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(ask(), 5)

"""The bell: heard in any event loop, never missed while looking, silent for nobody."""

import asyncio
import threading
import time

from stockwright.app.bell import Bell


async def test_a_ring_from_another_thread_wakes_whoever_waits():
    bell = Bell()
    ringing = threading.Timer(0.05, bell.ring)
    ringing.start()
    await asyncio.wait_for(bell.heard(bell.rings, 3_600), 30)
    ringing.join()


async def test_a_ring_while_looking_is_not_missed():
    bell = Bell()
    before = bell.rings
    bell.ring()
    await asyncio.wait_for(bell.heard(before, 3_600), 30)


async def test_without_a_ring_the_time_goes_by():
    bell = Bell()
    began = time.perf_counter()
    await bell.heard(bell.rings, 0.05)
    assert time.perf_counter() - began >= 0.05
    assert not bell._waiting


async def test_once_closed_nobody_waits():
    bell = Bell()
    waiting = asyncio.create_task(bell.heard(bell.rings, 3_600))
    await asyncio.sleep(0)
    bell.close()
    await asyncio.wait_for(waiting, 30)
    await asyncio.wait_for(bell.heard(bell.rings, 3_600), 30)

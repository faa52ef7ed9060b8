"""The first door: keep the raw payload, answer, then map it and record what it says.

A payload is leased, mapped, and its facts go to the recorder together with the mark that it is
done: both stand in one transaction. What cannot be mapped waits with the path that failed. A crash
at any point leaves a lease that ends; the next worker maps the same bytes again, and the ledger
absorbs by identity what it has.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from typing import Final, NamedTuple

from stockwright import telemetry
from stockwright.domain.errors import Rejected, Throttled, Transient
from stockwright.flow.handover import Handover, Records
from stockwright.flow.keeping import Keeper, new_payload
from stockwright.flow.parts import Parts, codes_of
from stockwright.flow.unpacking import WHOLE, Unpacked, unpack
from stockwright.sdk.messages import Failure, Payload
from stockwright.sdk.verbs import Maps
from stockwright.store import levels
from stockwright.store import payloads as store
from stockwright.store.connection import Pool
from stockwright.store.handed_in import RawPayload
from stockwright.store.payloads import Claimed, Part
from stockwright.store.polls import hurry_poll
from stockwright.store.session import session

MAX_ATTEMPTS: Final = 5
SWEEP_S: Final = 30.0
MOST_A_STEP: Final = 2_000
CLAIM: Final = 500
"""Payloads leased in one transaction."""
_AT_ONCE: Final = 1_000
_GROUP: Final = 125
"""Payloads mapped before they are handed over: the recorder works on them while others are."""
_GROUP_BYTES: Final = 4 * 1024 * 1024


class Step(NamedTuple):
    """What one step did. replayed: items the ledger had before; parked: payloads and parts."""

    payloads: int = 0
    items: int = 0
    replayed: int = 0
    parked: int = 0


class Intake:
    """Keeps, maps and records payloads of the connections given, by the code of their system.

    Any number of these may run, in any number of processes. `step` is for one thread at a time.
    """

    def __init__(
        self,
        pool: Pool,
        recorder: Records,
        connections: Mapping[str, Maps],
        *,
        worker: str,
        lease_s: float = 60.0,
    ) -> None:
        self._pool = pool
        self._keeper = Keeper(pool)
        self._recorder = recorder
        self._connections = connections
        self._worker = worker
        self._lease_s = lease_s
        self._swept_revision = -1
        self._sweep_due = 0.0
        self._parts = Parts(pool, connections)
        self._restocked: dict[str, set[str]] = {}
        self.wake = threading.Event()

    # ---------------------------------------------------------------- the door

    def accept(self, system: str, door: str, payload: Payload) -> int:
        """Keeps one payload for good and answers its id; only then may its sender be answered.

        Raises Rejected (too_large) where it is beyond MAX_BODY_BYTES: nothing is kept. Any number
        of threads may call it: what comes in while one commit runs shares the next. A payload that
        only hints at news makes the next poll of the system due.
        """
        number = self._keeper.keep(new_payload(system, door, payload))
        if payload.hint:
            self._hurry_poll(system)
        self.wake.set()
        return number

    async def accept_soon(self, system: str, door: str, payload: Payload, threads: Executor) -> int:
        """`accept` for a coroutine: any number of them wait, and no thread with them."""
        number = await self._keeper.keep_soon(new_payload(system, door, payload), threads)
        if payload.hint:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(threads, self._hurry_poll, system)
        self.wake.set()
        return number

    def _hurry_poll(self, system: str) -> None:
        # Kept it is, whatever becomes of this: the next poll comes by itself.
        with suppress(Transient), session(self._pool) as connection:
            hurry_poll(connection, system)

    # ---------------------------------------------------------------- the work

    def step(self, limit: int = MOST_A_STEP) -> Step:
        """Maps and records up to `limit` payloads; all zeroes where none waits.

        Raises Transient where database or recorder are away: what was not done is free again, at
        once or when its lease ends.
        """
        self.wake.clear()
        self._restocked.clear()
        self._sweep()
        handover = Handover(self._recorder, self._park_parts, self._lease_s)
        leased: list[int] = []
        begun = parked = 0
        try:
            # The recorder works on what was handed over while more is leased and mapped.
            for claimed in self._claims(limit):
                leased += [one.id for one in claimed]
                for group in _groups(claimed):
                    with telemetry.span("intake.map", payloads=len(group)):
                        ready, some = self._sorted_out(group)
                    parked += some
                    begun += len(group) - len(ready)
                    for one, unpacked in ready:
                        handover.submit(_raw(one), unpacked, self._keeping_alive(one.id))
                        begun += 1
            handover.finish()
            self._look_again()
        except BaseException as fault:
            # What is settled by now stays so; all else is free for the next worker at once.
            self._release(leased)
            if not isinstance(fault, Throttled):
                raise
        return Step(begun, handover.items, handover.replayed, parked + handover.parked)

    def _claims(self, limit: int) -> Iterator[list[Claimed]]:
        """Leases payloads, some at a time, up to `limit` or until fewer wait than asked for."""
        systems, left, full = list(self._connections), limit, True
        while full and left:
            most = min(CLAIM, left)
            with session(self._pool) as connection:
                claimed = store.claim(
                    connection, self._worker, systems, lease_s=self._lease_s, limit=most
                )
            if not any(one.parent for one in claimed):
                self._parts.forget()
            left -= len(claimed)
            full = len(claimed) == most
            if claimed:
                yield claimed

    def _sorted_out(self, group: Sequence[Claimed]) -> tuple[list[tuple[Claimed, Unpacked]], int]:
        """`_sort_out`; where the database cannot take what one of them says, that one is parked."""
        try:
            return self._sort_out(group)
        except Rejected as refusal:
            if len(group) == 1:
                failure = Failure(path=refusal.field or WHOLE, reason=refusal.message)
                with session(self._pool) as connection:
                    return [], store.park(connection, group[0].id, _part(group[0].place, failure))
        ready: list[tuple[Claimed, Unpacked]] = []
        parked = 0
        for one in group:
            some, more = self._sorted_out([one])
            ready += some
            parked += more
        return ready, parked

    def _sort_out(self, group: Sequence[Claimed]) -> tuple[list[tuple[Claimed, Unpacked]], int]:
        """Maps payloads and parks what cannot go on; those with something to record, and how much
        was parked.
        """
        parts = [self._parts.of(one) for one in group]
        for one, its_parts in zip(group, parts, strict=True):
            self._restocked.setdefault(one.system, set()).update(
                self._parts.restocked(one, its_parts)
            )
        ready: list[tuple[Claimed, Unpacked]] = []
        done: list[int] = []
        parked = 0
        with session(self._pool) as connection:
            codes = codes_of(connection, group, parts)
            for one, its_parts in zip(group, parts, strict=True):
                unpacked = unpack(its_parts, one.system, one.received_at, codes[one.system])
                failure = self._why_not_at_all(one, unpacked)
                if failure is not None:
                    parked += store.park(connection, one.id, _part(one.place, failure))
                    continue
                # Before the facts, so that a crash in between loses none; each is parked once.
                waiting = [_part(place, why) for place, why in unpacked.waiting]
                parked += store.park_parts(connection, one.id, waiting)
                if unpacked.items:
                    ready.append((one, unpacked))
                else:
                    done.append(one.id)
            store.settle(connection, done)
        return ready, parked

    def _look_again(self) -> None:
        """Has read back what partners may have put back on sale by themselves. Only once the facts
        are recorded: the number that is true now is to be compared with what is shown.
        """
        named = {system: some for system, some in sorted(self._restocked.items()) if some}
        if not named:
            return
        with session(self._pool) as connection:
            for system, listings in named.items():
                levels.doubt(connection, system, listings)

    def _why_not_at_all(self, claimed: Claimed, unpacked: Unpacked) -> Failure | None:
        if claimed.attempts > MAX_ATTEMPTS:
            reason = f"{MAX_ATTEMPTS} workers in a row did not come to its end"
            return Failure(path=WHOLE, reason=reason)
        if claimed.parent is not None and unpacked.waiting:
            # It is a part already: what of it cannot go on stays under its own number.
            return unpacked.waiting[0].failure
        return unpacked.hopeless

    # ---------------------------------------------------------------- what waits

    def resume(self, missing: str = "", system: str = "") -> int:
        """Sends parked payloads to work again that miss a code ("item:CODE"); how many.

        Without `missing`, all those whose code is known by now. Safe to repeat: what was recorded
        once is absorbed. `step` does the same by itself at its next turn.
        """
        with session(self._pool) as connection:
            if missing:
                ids = store.requeue_missing(connection, missing, system)
            else:
                ids = store.requeue_bound(connection, 10_000)
        if ids:
            self.wake.set()
        return len(ids)

    def _sweep(self) -> None:
        """Resumes what newly bound codes cure: after each change of the master, and now and then.

        Now and then, since an item may be parked by a batch that began before the code was bound.
        """
        with session(self._pool) as connection:
            revision = store.master_revision(connection)
            if revision == self._swept_revision and time.monotonic() < self._sweep_due:
                return
            resumed = store.requeue_bound(connection, _AT_ONCE)
        if len(resumed) < _AT_ONCE:
            self._swept_revision = revision
            self._sweep_due = time.monotonic() + SWEEP_S

    # ---------------------------------------------------------------- parts of the work

    def _park_parts(self, payload_id: int, parts: Sequence[Part]) -> None:
        with session(self._pool) as connection:
            store.park_parts(connection, payload_id, parts)

    def _release(self, ids: Sequence[int]) -> None:
        if ids:
            with session(self._pool) as connection:
                store.release(connection, self._worker, ids)

    def _keeping_alive(self, payload_id: int) -> Callable[[], None]:
        """Extends the lease of a payload whose many items take long to hand over."""
        due = time.monotonic() + self._lease_s / 3

        def alive() -> None:
            nonlocal due
            if time.monotonic() >= due:
                due = time.monotonic() + self._lease_s / 3
                with session(self._pool) as connection:
                    store.extend_lease(connection, payload_id, self._worker, self._lease_s)

        return alive


def _groups(claimed: Sequence[Claimed]) -> Iterator[list[Claimed]]:
    """The payloads in their order, so many at a time as fit in memory when they are mapped."""
    group: list[Claimed] = []
    size = 0
    for one in claimed:
        weight = _GROUP_BYTES if one.body is None else len(one.body)
        if group and (size + weight > _GROUP_BYTES or len(group) == _GROUP):
            yield group
            group, size = [], 0
        group.append(one)
        size += weight
    if group:
        yield group


def _raw(claimed: Claimed) -> RawPayload:
    """The payload as the events name it: kept already, received when it came in."""
    return RawPayload(
        system=claimed.system,
        door=claimed.door,
        content_type=claimed.content_type,
        headers={},
        body=b"",
        received_at=claimed.received_at,
        id=claimed.id,
        stored=True,
    )


def _part(place: str, failure: Failure) -> Part:
    return Part(place, failure.path, failure.reason, failure.missing, failure.found)

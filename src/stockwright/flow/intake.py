"""The first door: keep the raw payload, answer, then map it and record what it says.

A payload is leased, mapped, and its facts go to the recorder together with the mark that it is
done: both stand in one transaction. What cannot be mapped waits with the path that failed. A crash
at any point leaves a lease that ends; the next worker maps the same bytes again, and the ledger
absorbs by identity what it has.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from stockwright.domain.errors import Rejected, Throttled
from stockwright.domain.events import Fact
from stockwright.flow.handover import Handover, Records
from stockwright.flow.unpacking import WHOLE, Codes, Unpacked, mapped, unpack
from stockwright.sdk.messages import Failure, Mapped, Payload
from stockwright.sdk.verbs import Maps
from stockwright.store import payloads as store
from stockwright.store.connection import Connection, Pool
from stockwright.store.ledger import RawPayload
from stockwright.store.payloads import Claimed, NewPayload, Part
from stockwright.store.session import session

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
MAX_ATTEMPTS: Final = 5
SWEEP_S: Final = 30.0
_AT_ONCE: Final = 1_000


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
        self._recorder = recorder
        self._connections = connections
        self._worker = worker
        self._lease_s = lease_s
        self._swept_revision = -1
        self._sweep_due = 0.0
        self._parent: tuple[int, dict[str, list[Mapped]]] = (0, {})
        self.wake = threading.Event()

    # ---------------------------------------------------------------- the door

    def accept(self, system: str, door: str, payload: Payload) -> int:
        """Keeps one payload for good and answers its id; only then may its sender be answered.

        Raises Rejected (too_large) where it is beyond MAX_BODY_BYTES: nothing is kept.
        """
        with session(self._pool) as connection:
            ids = store.keep(connection, system, [new_payload(door, payload)])
        self.wake.set()
        return ids[0]

    # ---------------------------------------------------------------- the work

    def step(self, limit: int = 100) -> Step:
        """Maps and records up to `limit` payloads; all zeroes where none waits.

        Raises Transient where database or recorder are away: what was not done is free again, at
        once or when its lease ends.
        """
        self.wake.clear()
        self._sweep()
        systems = list(self._connections)
        with session(self._pool) as connection:
            claimed = store.claim(
                connection, self._worker, systems, lease_s=self._lease_s, limit=limit
            )
        handover = Handover(self._recorder, self._park_parts, self._lease_s)
        begun = parked = 0
        try:
            for one in claimed:
                parked += self._begin(one, handover)
                begun += 1
            handover.finish()
        except Throttled:
            handover.finish()
        finally:
            undone = [one.id for one in claimed[begun:]]
            self._release([*undone, *handover.unfinished()])
        return Step(begun, handover.items, handover.replayed, parked + handover.parked)

    def _begin(self, claimed: Claimed, handover: Handover) -> int:
        """Maps one payload, parks what cannot go on, submits the rest; how much was parked."""
        parts = self._parts_of(claimed)
        with session(self._pool) as connection:
            unpacked = unpack(
                parts,
                claimed.system,
                claimed.received_at,
                lambda locations, asked: _codes(connection, claimed.system, locations, asked),
            )
            failure = self._why_not_at_all(claimed, unpacked)
            if failure is not None:
                return int(store.park(connection, claimed.id, _part(claimed.place, failure)))
            # Before the facts, so that a crash in between loses none; each is parked once.
            waiting = [_part(place, why) for place, why in unpacked.waiting]
            parked = store.park_parts(connection, claimed.id, waiting)
            if not unpacked.items:
                store.settle(connection, claimed.id)
        handover.submit(_raw(claimed), unpacked, self._keeping_alive(claimed.id))
        return parked

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

    def _parts_of(self, claimed: Claimed) -> list[Mapped]:
        """A payload's parts; of one that is a part itself, those at its place in the parent.

        The parent is mapped once for all its parts that resume one after the other.
        """
        if claimed.parent is None:
            return self._mapped(claimed.id, claimed)
        if self._parent[0] != claimed.parent:
            by_place: dict[str, list[Mapped]] = {}
            for part in self._mapped(claimed.parent, claimed._replace(body=None)):
                by_place.setdefault(part.place, []).append(part)
            self._parent = (claimed.parent, by_place)
        gone = Failure(
            path=claimed.place, reason="the mapping finds nothing at this place any more"
        )
        return self._parent[1].get(claimed.place) or [Mapped(place=claimed.place, item=gone)]

    def _mapped(self, payload_id: int, source: Claimed) -> list[Mapped]:
        if source.body is None:
            with session(self._pool) as connection:
                found = store.body_of(connection, payload_id)
            assert found is not None, "a payload is never deleted while it waits"
            source = source._replace(**found._asdict())
        connected = self._connections.get(source.system)
        payload = Payload(
            body=bytes(source.body or b""),
            content_type=source.content_type,
            headers=source.headers,
            raw_key=source.raw_key,
        )
        if source.door == "item" or connected is None:
            return mapped(map_item, payload)
        return mapped(connected.map, payload)

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


def _codes(
    connection: Connection,
    system: str,
    locations: Sequence[str],
    asked: Sequence[tuple[str, str]],
) -> Codes:
    places = store.places_of(connection, system, locations) if locations else {}
    return places, store.unknown_codes(connection, system, asked)


def new_payload(door: str, payload: Payload) -> NewPayload:
    """A connector's payload as it is kept. Raises Rejected (too_large) beyond MAX_BODY_BYTES."""
    if len(payload.body) > MAX_BODY_BYTES:
        raise Rejected("too_large", "body", f"send at most {MAX_BODY_BYTES} bytes at a time")
    problem = payload.problem or Failure(path="", reason="")
    return NewPayload(
        door=door,
        body=payload.body,
        content_type=payload.content_type,
        headers=payload.headers,
        raw_key=payload.raw_key,
        path=problem.path,
        reason=problem.reason,
        missing=problem.missing,
    )


def map_item(payload: Payload) -> list[Mapped]:
    """The mapping of an item that the ledger itself parked: its body is that one fact."""
    try:
        return [Mapped(place=WHOLE, item=msgspec.json.decode(payload.body, type=Fact))]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return [Mapped(place=WHOLE, item=Failure(path=WHOLE, reason=str(error)))]


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

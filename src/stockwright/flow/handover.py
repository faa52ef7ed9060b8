"""Hands a payload's items to the recorder, chunk by chunk with the mark of how far it is."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from stockwright.domain.errors import Throttled
from stockwright.domain.events import Fact, Item
from stockwright.flow.promise import Promise
from stockwright.flow.unpacking import Unpacked
from stockwright.store.handed_in import RawPayload, Settlement
from stockwright.store.payloads import Part

CHUNK: Final = 250
"""Items in one submission: each is one transaction with its mark, beside other callers' items."""
MAX_UNDER_WAY: Final = 4_000
"""Items a worker has under way: a file of a million rows leaves room for others."""
_BULK: Final = 100
_TRIES: Final = 5
_KEPT_BY_LEDGER: Final = frozenset({"parked", "poison", "conflict"})


class Records(Protocol):
    """The recorder, as far as the intake knows it."""

    def submit(
        self,
        items: Sequence[Item],
        *,
        bulk: bool = False,
        raw: RawPayload | None = None,
        settles: Settlement | None = None,
    ) -> Promise:
        """Records items and the mark of their payload in one transaction; see flow.recording."""
        ...


class Sent(NamedTuple):
    """One submission under way; places are aligned with items, and with the outcomes to come."""

    payload_id: int
    items: Sequence[Item]
    places: Sequence[str]
    future: Promise


class Handover:
    """The submissions of one worker's step, and what came of them. For one thread.

    refused(payload_id, parts) keeps what the recorder would neither take nor keep itself.
    """

    def __init__(
        self, recorder: Records, refused: Callable[[int, Sequence[Part]], None], timeout_s: float
    ) -> None:
        self._recorder = recorder
        self._refused = refused
        self._timeout_s = timeout_s
        self._under_way: deque[Sent] = deque()
        self._items_under_way = 0
        self.items = 0
        self.replayed = 0
        self.parked = 0

    def submit(self, raw: RawPayload, unpacked: Unpacked, alive: Callable[[], None]) -> None:
        """Submits all items of a payload in order; the last chunk carries the final mark.

        From the first item each time, also where a worker before was cut off: what the ledger has
        it absorbs, and no position can go wrong. alive is called between chunks. Many items, of one
        payload or of many, let interactive callers go first.
        Raises Throttled where the recorder stays full, and what the recorder raises.
        """
        total = len(unpacked.items)
        for start in range(0, total, CHUNK):
            end = min(start + CHUNK, total)
            mark = Settlement(payload_id=raw.id, items_done=end, final=end == total)
            items, places = unpacked.items[start:end], unpacked.places[start:end]
            bulk = total > _BULK or self._items_under_way >= _BULK
            future = self._submit(items, mark, raw, bulk=bulk)
            self._under_way.append(Sent(raw.id, items, places, future))
            self._items_under_way += len(items)
            while self._items_under_way > MAX_UNDER_WAY:
                self._finish_oldest()
            alive()

    def finish(self) -> None:
        """Waits for all that is under way. Raises what the recorder raised, at the first."""
        while self._under_way:
            self._finish_oldest()

    def _submit(
        self, items: Sequence[Item], mark: Settlement, raw: RawPayload, *, bulk: bool
    ) -> Promise:
        for _ in range(_TRIES):
            try:
                return self._recorder.submit(items, bulk=bulk, raw=raw, settles=mark)
            except Throttled as busy:
                if self._under_way:
                    self._finish_oldest()
                else:
                    time.sleep(min(busy.retry_after_s, 1.0))
        return self._recorder.submit(items, bulk=bulk, raw=raw, settles=mark)

    def _finish_oldest(self) -> None:
        sent = self._under_way[0]
        outcomes = sent.future.result(self._timeout_s)
        refused = [
            Part(place, f"{place} {outcome.field}".strip(), outcome.message or outcome.code)
            for place, item, outcome in zip(sent.places, sent.items, outcomes, strict=True)
            if isinstance(item, Fact)
            and not outcome.accepted
            and outcome.code not in _KEPT_BY_LEDGER
        ]
        if refused:
            self._refused(sent.payload_id, refused)
        self._under_way.popleft()
        self._items_under_way -= len(outcomes)
        self.items += len(outcomes)
        self.replayed += sum(outcome.replay for outcome in outcomes)
        self.parked += len(refused) + sum(o.code in _KEPT_BY_LEDGER for o in outcomes)

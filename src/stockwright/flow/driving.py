"""An event loop that drives the recorder for its own callers, without a thread in between.

The recorder's thread and an event loop take turns at the ledger. An event loop holds it while the
callers are its own coroutines and their batches can be decided ahead: nothing is waited for then.
The loop goes on serving while a batch is being committed, and no thread has to be woken, neither
to decide nor to answer. What has to wait for the database is handed to the thread, with all that
is under way; the thread gives back once only such callers are left.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from stockwright.flow.batches import Batch

MOST_ITEMS: Final = 100
"""Items decided at one time: the loop has others to serve."""
WORTH_A_BATCH: Final = 24
"""Items that must wait before a batch follows one that is still on its way."""
MOST_AHEAD: Final = 2
LOOK_AGAIN_S: Final = 0.1


class Driven(Protocol):
    """What the recorder gives to whoever drives it."""

    def next_plain(self, most: int, least: int) -> Batch | None:
        """Up to `most` items of a loop's callers, where `least` wait."""

    def send(self, batch: Batch, *, look_up: bool) -> bool:
        """Sends a batch ahead; False where something has to be read first."""

    def land(self, batch: Batch, here: asyncio.AbstractEventLoop) -> None:
        """Answers a batch that arrived."""

    def push(self) -> bool:
        """Sends what is left to send; False where some of it still is."""

    def hear(self) -> bool:
        """Takes what has come from the database; False where something is left to send."""

    def release(self, driver: "LoopDriver") -> bool:
        """Lets the ledger go; False where something waits for it."""

    def inherit(self, driver: "LoopDriver", batches: deque[Batch]) -> None:
        """Makes the thread hold the ledger and go on with these."""

    @property
    def socket(self) -> int | None:
        """Where the database's answers come in."""


class LoopDriver:
    """Drives a recorder from one event loop, while it holds the ledger."""

    def __init__(self, recorder: Driven, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.holds = False
        self.wanted = False
        """Set where something waits that only the thread may do."""
        self._recorder = recorder
        self._sent: deque[Batch] = deque()
        self._scheduled = False
        self._reading: int | None = None
        self._writing = False

    # ------------------------------------------------------------ for any thread

    def take(self) -> bool:
        """Gives it the ledger. False where its event loop does not run any more."""
        self.holds, self.wanted = True, False
        self.holds = self.kick()
        return self.holds

    def kick(self) -> bool:
        """Sees to it that what queued is looked at. False where its event loop does not run."""
        if self.runs_here():
            if not self._scheduled:
                self._scheduled = True
                self.loop.call_soon(self._turn)
            return True
        if not self.loop.is_running():
            return False
        self._scheduled = True
        return self._call(self._turn)

    def let_go(self) -> None:
        """Hands the ledger to the thread, and returns once that is done."""
        done = threading.Event()

        def hand_over() -> None:
            self._hand_over()
            done.set()

        elsewhere = not self.runs_here() and self.loop.is_running()
        if not elsewhere or not self._call(hand_over):
            self._hand_over()
            return
        while not done.wait(LOOK_AGAIN_S):
            if not self.loop.is_running():
                self._hand_over()
                return

    def runs_here(self) -> bool:
        """Whether this is its event loop's own thread."""
        try:
            return asyncio.get_running_loop() is self.loop
        except RuntimeError:
            return False

    def _call(self, what: Callable[[], None]) -> bool:
        try:
            self.loop.call_soon_threadsafe(what)
        except RuntimeError:
            return False  # closed a moment ago
        return True

    # ------------------------------------------------------------ in the event loop

    def _turn(self) -> None:
        """One look: answers what is committed, sends what waits, lets go where nothing does."""
        self._scheduled = False
        if not self.holds:
            return
        try:
            if not self._land() or self.wanted or not self._send():
                self._hand_over()
            elif not self._sent:
                self._rest()
        except BaseException:
            self._hand_over()
            raise

    def _land(self) -> bool:
        """Answers what arrived; False where something of it was lost."""
        sent = self._sent
        while sent and (flight := sent[0].flight) is not None and flight.arrived:
            if not flight.held:
                return False
            self._recorder.land(sent.popleft(), self.loop)
        return not sent or self._recorder.socket is not None

    def _send(self) -> bool:
        """Sends what waits; False where something has to be read first."""
        sent = self._sent
        while len(sent) < MOST_AHEAD:
            batch = self._recorder.next_plain(MOST_ITEMS, WORTH_A_BATCH if sent else 1)
            if batch is None:
                break
            sent.append(batch)
            if not self._recorder.send(batch, look_up=False):
                return False
            self._watch()
        return True

    def _watch(self) -> None:
        """Has the loop tell when the database answers, and when it takes more."""
        if self._reading is None and (socket := self._recorder.socket) is not None:
            self._reading = socket
            self.loop.add_reader(socket, self._on_socket)
        if not self._recorder.push():
            self._on_socket()

    def _on_socket(self) -> None:
        if not self.holds:
            return
        left = not self._recorder.hear()
        if self._recorder.socket is None:
            # Nothing comes any more, and the number may soon be another connection's.
            self._look_away()
            self.kick()
            return
        if left and not self._writing and self._reading is not None:
            self._writing = True
            self.loop.add_writer(self._reading, self._on_socket)
        elif not left and self._writing and self._reading is not None:
            self._writing = False
            self.loop.remove_writer(self._reading)
        if self._sent and (flight := self._sent[0].flight) is not None and flight.arrived:
            self.kick()

    def _rest(self) -> None:
        self._look_away()
        if not self._recorder.release(self):
            self.kick()

    def _hand_over(self) -> None:
        """The thread goes on with what is under way. Safe to repeat."""
        if not self.holds:
            return
        self._look_away()
        sent, self._sent = self._sent, deque()
        self._recorder.inherit(self, sent)

    def _look_away(self) -> None:
        if self._reading is None:
            return
        socket, self._reading, self._writing = self._reading, None, False
        if not self.loop.is_closed():
            self.loop.remove_reader(socket)
            self.loop.remove_writer(socket)

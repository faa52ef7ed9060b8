"""How many reservations a second this process records, by callers that wait for each answer."""

import random
import time
from collections import deque

from stockwright.domain.events import Request, RequestLine
from stockwright.flow.promise import Promise
from stockwright.flow.recording import Recorder
from stockwright.store.baseline import PLACE, SYSTEM, MeasurementFailed, code_of

CALLERS = 1_000
_ANSWER_S = 60


def reservations_per_s(
    recorder: Recorder, *, turn: str, items: int, seconds: float, callers: int = CALLERS
) -> float:
    """Reservations of one line and one unit granted a second, over `items` SKUs at random.

    At any time `callers` of them wait for their answers; a batch is what they queued meanwhile.
    `turn` makes their documents unlike those of other turns. Raises MeasurementFailed where one
    is not granted, since the comparison would no longer be of like with like.
    """
    chance = random.Random(turn)
    waiting: deque[Promise] = deque()
    began = time.perf_counter()
    asked = answered = 0
    while time.perf_counter() - began < seconds:
        while len(waiting) < callers:
            item = int(chance.random() * items)
            waiting.append(recorder.submit([_ask(f"{turn}-{asked:08}", code_of(item))]))
            asked += 1
        # Looked at in blocks, so that the measuring itself costs little.
        for _ in range(callers // 4):
            answered += _granted(waiting.popleft())
    answered += sum(_granted(one) for one in waiting)
    return answered / (time.perf_counter() - began)


def _ask(document: str, sku: str) -> Request:
    line = RequestLine(sku=sku, quantity=1, location=PLACE)
    return Request(kind="reserve", document=document, system=SYSTEM, lines=[line])


def _granted(answer: Promise) -> int:
    (outcome,) = answer.result(_ANSWER_S)
    if outcome.code != "granted":
        raise MeasurementFailed(f"a reservation was answered {outcome.code}: {outcome.message}")
    return 1

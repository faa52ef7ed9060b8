"""What the intake hands to the recorder, and in which lane."""

import datetime as dt

from stockwright.domain.events import Fact, Outcome
from stockwright.flow.handover import Handover
from stockwright.flow.promise import Promise
from stockwright.flow.unpacking import Unpacked
from stockwright.store.handed_in import RawPayload

AT = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


class Taking:
    """A recorder that takes all and notes the lane of each submission."""

    def __init__(self):
        self.bulk = []

    def submit(self, items, *, bulk=False, raw=None, settles=None):
        self.bulk.append(bulk)
        promise = Promise()
        promise.keep([Outcome(code="recorded") for _ in items])
        return promise


def handed_over(*sizes):
    recorder = Taking()
    handover = Handover(recorder, lambda number, parts: None, 1.0)
    for number, size in enumerate(sizes, 1):
        facts = [
            Fact(kind="receipt", document=f"{number}-{n}", quantity=1, system="wms", sku="A")
            for n in range(size)
        ]
        raw = RawPayload("wms", "webhook", "", {}, b"", AT, id=number, stored=True)
        handover.submit(raw, Unpacked(facts, ["$"] * size, []), lambda: None)
    handover.finish()
    assert handover.items == sum(sizes)
    return recorder.bulk


def test_a_few_webhooks_go_with_the_interactive_and_a_storm_lets_them_go_first():
    assert handed_over(*[1] * 5) == [False] * 5
    assert handed_over(*[1] * 150) == [False] * 100 + [True] * 50


def test_a_payload_of_many_items_goes_in_bulk_from_its_first():
    assert handed_over(600) == [True] * 3

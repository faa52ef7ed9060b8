"""What is promised of documents: told once under their key, however often they are submitted.

A sandbox is asked for a little more:

ordered       a coroutine: an order of two units or more that waits for its shipment, and its line
shipments_of  how many shipments it has of an order
TAKES_JOBS    True where it takes documents as jobs that it ends later: what `follow` is tried with
"""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec

from stockwright.domain.errors import Misconfigured, Transient
from stockwright.sdk.declaration import DocumentKind
from stockwright.sdk.hostile import Fault, FaultKind
from stockwright.sdk.messages import (
    Cancellation,
    Delivered,
    Document,
    DocumentLine,
    InDoubt,
    Refund,
    Refused,
    Retry,
    Shipment,
    SubmitResult,
)
from stockwright.sdk.promises.trial import Test, Trial

DOCUMENT_FAULTS: Final[Sequence[FaultKind]] = (
    "throttled",
    "dropped",
    "applied_then_error",
    "applied_then_dropped",
    "applied_then_garbage",
)
MOST_CALLS: Final = 4
"""Each of the first calls of a document is spoilt in turn."""
MOST_TRIES: Final = 8
LONGEST_JOB_S: Final = 0.1
"""Between two looks at a document that a partner works on: its sandbox is quick."""
HOSTILE_ORDERS: Final[Sequence[str]] = ("999", "../products/1", "a b?c=d&e#f", "'\"\n", "\x00", "")
"""Numbers of orders that nobody has, and that a path, a query or a file's name could trip over."""
DOCUMENTS: Final[Mapping[DocumentKind, Callable[[str, str, DocumentLine], Document]]] = {
    "shipment": lambda key, order, line: Shipment(
        key=key,
        order=order,
        lines=(line,),
        shipped_at=dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC),
        carrier="DHL",
        tracking=f"T-{key}",
    ),
    "cancellation": lambda key, order, _line: Cancellation(key=key, order=order),
    "refund": lambda key, order, line: Refund(key=key, order=order, lines=(line,)),
}


def submitted(trial: Trial) -> dict[str, Test]:
    """For connections with `submit`, whose sandbox takes orders."""
    offered = trial.connector.declaration.capabilities.documents

    async def test_documents_are_told_once_and_what_is_not_offered_is_refused(
        self: object,
    ) -> None:
        async with trial.meet() as meeting:
            for kind, made in DOCUMENTS.items():
                order, line = await _ordered(meeting.partner)
                document = made(f"D-{kind}", order, line)
                results = [await _ended(meeting.connection, document) for _ in range(2)]
                if kind in offered:
                    assert all(isinstance(one, Delivered) for one in results), (kind, results)
                    assert results[0] == results[1], "the same answer again"
                else:
                    assert all(isinstance(one, Refused) for one in results), (kind, results)

    async def test_each_key_is_a_shipment_of_its_own(self: object) -> None:
        async with trial.meet() as meeting:
            order, line = await _ordered(meeting.partner)
            one = msgspec.structs.replace(line, quantity=1)
            assert line.quantity > 1, "ordered() sells two units or more"
            # One of them is a part of the other, as keys that are counted up soon are.
            for key in ("D-11", "D-1", "D-11"):
                told = await _ended(meeting.connection, DOCUMENTS["shipment"](key, order, one))
                assert isinstance(told, Delivered)
            assert meeting.partner.shipments_of(order) == 2

    tests: dict[str, Test] = {
        name: test for name, test in locals().items() if name.startswith("test_")
    }
    for kind in DOCUMENT_FAULTS if trial.has_faults else ():
        tests[f"test_a_shipment_is_told_once_when_the_partner_is_{kind}"] = _told_under(trial, kind)
    return tests


def followed(trial: Trial) -> dict[str, Test]:
    """For connections with `follow`, whose sandbox takes jobs: they outlive whoever began them."""
    offered = trial.connector.declaration.capabilities.documents

    async def test_another_process_follows_a_job_to_its_end(self: object) -> None:
        async with trial.meet() as meeting:
            jobs = 0
            for kind in offered:
                order, line = await _ordered(meeting.partner)
                document = DOCUMENTS[kind](f"D-{kind}", order, line)
                told = await meeting.connection.submit(document)
                if not isinstance(told, InDoubt) or not told.reference:
                    continue
                jobs += 1
                other: Any = trial.connect({**trial.settings, **meeting.partner.settings()})
                try:
                    for _ in range(2):
                        ended = await _until_ended(other.follow, document, told.reference)
                        assert isinstance(ended, Delivered), (kind, ended)
                finally:
                    await other.close()
            assert jobs, "the sandbox takes a document as a job"

    name = test_another_process_follows_a_job_to_its_end.__name__
    return {name: test_another_process_follows_a_job_to_its_end}


def of_nobody(trial: Trial) -> dict[str, Test]:
    """For all connections with `submit`."""

    async def test_a_document_of_an_order_that_is_not_there_is_answered(self: object) -> None:
        async with trial.meet() as meeting:
            before = meeting.shown()
            for order in HOSTILE_ORDERS:
                line = DocumentLine(line=order, quantity=1, listing="L-1")
                for kind, made in DOCUMENTS.items():
                    # What goes into a path may not lead to another one, and nothing else is raised.
                    with suppress(Misconfigured):
                        told = await meeting.connection.submit(made(f"{kind}-{order}", order, line))
                        assert isinstance(told, Delivered | Refused | Retry | InDoubt)
            assert meeting.shown() == before

    name = "test_a_document_of_an_order_that_is_not_there_is_answered"
    return {name: test_a_document_of_an_order_that_is_not_there_is_answered}


def _told_under(trial: Trial, kind: FaultKind) -> Test:
    """A document whose answer was lost is told again under its key until the partner has it."""

    async def test(self: object) -> None:
        async with trial.meet() as meeting:
            faults = meeting.partner.faults
            for at in range(MOST_CALLS):
                order, line = await _ordered(meeting.partner)
                document = DOCUMENTS["shipment"](f"D-{at}", order, line)
                rightly = [Fault(kind="slow")] * at
                faults.plan(*rightly, Fault(kind=kind))
                for _ in range(MOST_TRIES):
                    if await _delivered(meeting.connection, document):
                        break
                    faults.clear()
                else:
                    raise AssertionError(f"not told within {MOST_TRIES} tries")
                faults.clear()
                assert meeting.partner.shipments_of(order) == 1
            assert kind in [fault.kind for fault in faults.spoilt]

    return test


async def _ended(connection: Any, document: Document) -> SubmitResult:
    """What becomes of a document, which a partner may take as a job that it works off later."""
    return await _until_ended(connection.submit, document)


async def _until_ended(
    ask: Callable[..., Awaitable[SubmitResult]], document: Document, *reference: str
) -> SubmitResult:
    for _ in range(MOST_TRIES):
        told = await ask(document, *reference)
        if not isinstance(told, InDoubt) or not told.taken:
            return told
        await asyncio.sleep(min(told.retry_after_s, LONGEST_JOB_S))
    raise AssertionError("a document that was taken comes to no end")


async def _delivered(connection: Any, document: Document) -> bool:
    try:
        result = await connection.submit(document)
    except (Misconfigured, Transient):
        return False
    assert not isinstance(result, Refused), "what may have been told is not refused for it"
    return isinstance(result, Delivered)


async def _ordered(partner: Any) -> tuple[str, DocumentLine]:
    made: Awaitable[tuple[str, DocumentLine]] = partner.ordered()
    return await made

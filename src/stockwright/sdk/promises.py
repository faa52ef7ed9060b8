"""The contract's tests of what is declared, and of the verbs `receive`, `snapshot` and `submit`.

`contract.suite` puts them among its own. A sandbox is asked for a little more:

deliver       it sends webhooks to its `webhook_url`: what `receive` is tried with
SIGNS         False where whoever brings a webhook knows a key, and the body is not signed
ordered       a coroutine: an order of two units or more that waits for its shipment, and its line
shipments_of  how many shipments it has of an order
"""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Final, NamedTuple

import msgspec
from aiohttp import web

from stockwright.domain.errors import Misconfigured, Rejected, Transient
from stockwright.sdk.connector import Connector
from stockwright.sdk.declaration import DocumentKind
from stockwright.sdk.hostile import Fault, FaultKind, HostilePartner
from stockwright.sdk.messages import (
    Cancellation,
    Delivered,
    Document,
    DocumentLine,
    InDoubt,
    LevelToSend,
    Refund,
    Refused,
    Retry,
    Shipment,
    SubmitResult,
)
from stockwright.sdk.reference import verbs_of
from stockwright.sdk.secrets import Secret
from stockwright.sdk.verbs import Connection
from stockwright.sdk.webhooks import new_secret

Test = Callable[[object], Any]
DOCUMENT_FAULTS: Final[Sequence[FaultKind]] = (
    "throttled",
    "dropped",
    "applied_then_error",
    "applied_then_dropped",
    "applied_then_garbage",
)
SNAPSHOT_FAULTS: Final[Sequence[FaultKind]] = ("dropped", "server_error", "garbage", "swallowed")
MOST_CALLS: Final = 4
"""Each of the first calls of a document is spoilt in turn."""
MOST_TRIES: Final = 8
LONGEST_JOB_S: Final = 0.1
"""Between two looks at a document that a partner works on: its sandbox is quick."""
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


class Trial(NamedTuple):
    """How a connector is tried: a fresh meeting with its sandbox, or a connection by settings.

    odd: bytes that no partner sends on purpose.
    """

    connector: Connector[Any]
    settings: Mapping[str, Any]
    meet: Callable[[], AbstractAsyncContextManager[Any]]
    connect: Callable[[Mapping[str, Any]], Connection]
    odd: Sequence[bytes]


def declared(connector: Connector[Any]) -> dict[str, Test]:
    """What is declared is what there is, neither more nor less."""

    def test_the_declaration_promises_the_verbs_there_are(self: object) -> None:
        capabilities, verbs = connector.declaration.capabilities, verbs_of(connector)
        assert ("read_back" in verbs) == capabilities.read_back
        assert ("receive" in verbs) == capabilities.webhooks
        assert ("submit" in verbs) == bool(capabilities.documents)
        assert ("announce" in verbs) == capabilities.announces
        assert "read" in verbs or not capabilities.order_watermark
        of_levels = (
            capabilities.compare_and_set,
            capabilities.versioned_writes,
            capabilities.levels_are == "gross",
        )
        assert "publish" in verbs or not any(of_levels)

    name = test_the_declaration_promises_the_verbs_there_are.__name__
    return {name: test_the_declaration_promises_the_verbs_there_are}


def met(trial: Trial) -> dict[str, Test]:
    """The tests against the sandbox, of the verbs that there are and that it can be asked about."""
    verbs, sandbox = verbs_of(trial.connector), trial.connector.sandbox
    faulty = bool(getattr(sandbox, "HAS_FAULTS", False))
    tests: dict[str, Test] = {}
    if "receive" in verbs and hasattr(sandbox, "deliver"):
        tests |= _received(trial)
    if "snapshot" in verbs and hasattr(sandbox, "show"):
        tests |= _counted(trial, faulty=faulty)
    if "submit" in verbs and hasattr(sandbox, "ordered"):
        tests |= _told(trial, faulty=faulty)
    if trial.connector.declaration.capabilities.compare_and_set:
        tests |= _compared(trial)
    return tests


# ---------------------------------------------------------------------------- receive


def _received(trial: Trial) -> dict[str, Test]:
    async def test_a_webhook_is_taken_as_it_was_signed_and_not_otherwise(self: object) -> None:
        async with trial.meet() as meeting:
            receive, partner = meeting.connection.receive, meeting.partner
            for headers, body in await _webhooks(meeting):
                for given in (headers, {name.swapcase(): one for name, one in headers.items()}):
                    payload = receive(given, body)
                    assert payload is None or payload.body == body, "byte for byte"
                proof = _proof_in(receive, headers, body)
                assert proof, "a webhook without its proof is refused"
                for name in proof:
                    for value in ("", "x", headers[name][::-1]):
                        assert _is_refused(receive, {**headers, name: value}, body)
                if getattr(partner, "SIGNS", True):
                    assert _is_refused(receive, headers, body + b" ")
                    assert _is_refused(receive, headers, body[:-1])

    async def test_each_of_several_secrets_is_believed_and_no_other(self: object) -> None:
        async with trial.meet() as meeting:
            told = await _webhooks(meeting)
            known = meeting.partner.settings()
            for name in _lists_of_secrets(known):
                both = {**trial.settings, **known, name: [new_secret(), *known[name]]}
                other = {**trial.settings, **known, name: [new_secret()]}
                for headers, body in told:
                    payload = trial.connect(both).receive(headers, body)  # type: ignore[attr-defined]
                    assert payload is None or payload.body == body
                    assert _is_refused(trial.connect(other).receive, headers, body)  # type: ignore[attr-defined]

    async def test_what_strangers_send_is_refused_whatever_it_is(self: object) -> None:
        async with trial.meet() as meeting:
            ((headers, _body), *_) = await _webhooks(meeting)
            odd = ("", "x", "=" * 10_000, "\x00", "\udcff", "ÿ", "9" * 400)
            for body in trial.odd:
                for value in odd:
                    given = dict.fromkeys(headers, value)
                    assert _is_refused(meeting.connection.receive, given, body)
            many = [new_secret().reveal()] * 100
            given = dict.fromkeys(headers, " ".join(many))
            assert _is_refused(meeting.connection.receive, given, b"{}")

    async def test_a_webhook_and_a_poll_tell_the_same(self: object) -> None:
        async with trial.meet() as meeting:
            connection = meeting.connection
            heard = [
                part.item
                for headers, body in await _webhooks(meeting)
                if (payload := connection.receive(headers, body)) is not None and not payload.hint
                for part in connection.map(payload)
            ]
            page = await connection.read("")
            polled = [part.item for one in page.payloads for part in connection.map(one)]
            assert all(item in polled for item in heard)

    return {name: test for name, test in locals().items() if name.startswith("test_")}


async def _webhooks(meeting: Any) -> list[tuple[dict[str, str], bytes]]:
    """What the partner sends by itself when something happens there."""
    told: list[tuple[dict[str, str], bytes]] = []

    async def take(request: web.Request) -> web.Response:
        told.append((dict(request.headers), await request.read()))
        return web.Response(status=202)

    async with HostilePartner([web.post("/", take)]) as hub:
        meeting.partner.webhook_url = f"{hub.url}/"
        await meeting.happen()
        meeting.partner.webhook_url = ""
    assert told, "the sandbox sends a webhook when something happens"
    return told


def _proof_in(
    receive: Callable[..., Any], headers: Mapping[str, str], body: bytes
) -> Sequence[str]:
    """The headers without which a webhook is not believed."""
    return [
        name
        for name in headers
        if _is_refused(receive, {other: headers[other] for other in headers if other != name}, body)
    ]


def _is_refused(receive: Callable[..., Any], headers: Mapping[str, str], body: bytes) -> bool:
    try:
        receive(headers, body)
    except Rejected as refusal:
        return (refusal.reason, refusal.field) in (("signature", "headers"), ("too_large", "body"))
    return False


def _lists_of_secrets(settings: Mapping[str, Any]) -> list[str]:
    return [
        name
        for name, value in settings.items()
        if isinstance(value, list) and value and isinstance(value[0], Secret)
    ]


# ---------------------------------------------------------------------------- snapshot


def _counted(trial: Trial, *, faulty: bool) -> dict[str, Test]:
    async def test_a_snapshot_tells_every_level_once_as_it_is_shown(self: object) -> None:
        async with trial.meet() as meeting:
            await meeting.publish(7, version=1)
            meeting.partner.show("L-2", 4)
            found = await meeting.connection.snapshot()
            keys = [(one.listing, one.location) for one in found]
            assert len(keys) == len(set(keys))
            shown = {one.listing: one.quantity for one in found}
            assert [shown.get(name) for name in ("L-1", "L-2", "L-3")] == meeting.shown()

    tests: dict[str, Test] = {
        "test_a_snapshot_tells_every_level_once_as_it_is_shown": (
            test_a_snapshot_tells_every_level_once_as_it_is_shown
        )
    }
    for kind in SNAPSHOT_FAULTS if faulty else ():
        tests[f"test_no_snapshot_is_cut_short_when_the_partner_is_{kind}"] = _counted_under(
            trial, kind
        )
    return tests


def _counted_under(trial: Trial, kind: FaultKind) -> Test:
    """Half a count is none: what it leaves out would be taken for gone."""

    async def test(self: object) -> None:
        async with trial.meet() as meeting:
            await meeting.publish(7, version=1)
            whole = await meeting.connection.snapshot()
            meeting.partner.faults.plan(Fault(kind=kind))
            with suppress(Misconfigured, Transient):
                assert list(await meeting.connection.snapshot()) == list(whole)
            assert meeting.partner.faults.spoilt
            meeting.partner.faults.clear()
            assert list(await meeting.connection.snapshot()) == list(whole)

    return test


# ---------------------------------------------------------------------------- submit


def _told(trial: Trial, *, faulty: bool) -> dict[str, Test]:
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
    for kind in DOCUMENT_FAULTS if faulty else ():
        tests[f"test_a_shipment_is_told_once_when_the_partner_is_{kind}"] = _told_under(trial, kind)
    return tests


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
    for _ in range(MOST_TRIES):
        told: SubmitResult = await connection.submit(document)
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


# ---------------------------------------------------------------------------- comparing


def _compared(trial: Trial) -> dict[str, Test]:
    async def test_a_number_that_is_not_the_expected_one_is_left_and_told(self: object) -> None:
        async with trial.meet() as meeting:
            await meeting.publish(9, version=1)
            meeting.partner.show("L-2", 4)
            levels = [
                LevelToSend(channel="partner", listing=name, quantity=2, version=2, expected=9)
                for name in ("L-1", "L-2", "L-3")
            ]
            results = list(await meeting.connection.publish(levels))
            second = results[1]
            assert isinstance(second, Retry)
            assert second.shown in (None, 4)
            assert meeting.shown()[1] == 4, "a sale we did not know of is not written over"
            for result, shown in zip(results, meeting.shown(), strict=True):
                assert shown == 2 or isinstance(result, Retry)

    name = test_a_number_that_is_not_the_expected_one_is_left_and_told.__name__
    return {name: test_a_number_that_is_not_the_expected_one_is_left_and_told}

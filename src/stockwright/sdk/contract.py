"""The tests every connector passes, in this repository or outside.

    TestMyPartner = contract.suite(CONNECTOR, settings={...})

pytest runs the class (with pytest-asyncio, for the verbs; our plugin marks them). Cases are JSON
files in the connector's `cases` folder: {"about", "settings", "time_zone", "headers",
"body" | "json", "expected": [{"place", "item" | "failure"}]}. Those of what goes out have our own
message instead, {"out": {"levels": [...]} | {"type": "shipment", ...}}, and expect
[{"to", "json" | "text", "lost"}] or [{"failure"}].
"""

import datetime as dt
import inspect
import random
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from stockwright.domain.errors import Misconfigured, Transient
from stockwright.sdk import promises
from stockwright.sdk.bodies import message_from
from stockwright.sdk.connector import Connector, Opening
from stockwright.sdk.hostile import Fault, FaultKind, Faults
from stockwright.sdk.messages import (
    Applied,
    Cancellation,
    Delivered,
    DocumentLine,
    Failure,
    InDoubt,
    LevelKey,
    LevelToSend,
    Mapped,
    Outbound,
    Outgoing,
    Payload,
    PublishResult,
    Refund,
    Refused,
    Retry,
    Shipment,
)
from stockwright.sdk.secrets import Secret, resolve_secret
from stockwright.sdk.verbs import (
    Connection,
    MapsOut,
    Publishes,
    Reads,
    ReadsBack,
    Receives,
    Submits,
    WatchesWebhooks,
)

LONGEST_TIMEOUT_S: Final = 60.0
"""A call ends before the lease of whoever makes it."""
SHORTEST_LOOK_S: Final = 10.0
"""Between two looks at a partner's webhooks."""
MAX_PAGES: Final = 50
HOSTILE_ORDERS: Final[Sequence[str]] = ("999", "../products/1", "a b?c=d&e#f", "'\"\n", "\x00", "")
"""Numbers of orders that nobody has, and that a path, a query or a file's name could trip over."""
_NOON: Final = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
POLL_FAULTS: Final[Sequence[FaultKind]] = ("dropped", "garbage", "swallowed")
"""What a poll of a partner that shows levels meets: no answer, half of one, one that says
nothing."""
HOSTILE_BYTES: Final[Sequence[bytes]] = (
    b"",
    b"\x00",
    b"\xff\xfe\x00",
    b"\xef\xbb\xbf",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'"\\ud800"',
    b"9" * 100_000,
    b'{"type": 1e999}',
    b"NaN",
    b"\r\n" * 1_000,
    b'"' + b"x" * 200_000,
)
HOSTILE_TEXTS: Final[Sequence[str]] = (
    "", " ", "0", "a,b;c\td|e", 'quo"te\'d', "line\nbreak", "{@.x}", "$.x", "\x00", "\u20ac\u4e2d",
    "\U0001f4e6", "x" * 10_000,
)  # fmt: skip


class Partner(Protocol):
    """A sandbox, as far as the contract uses it.

    `refused` and `collect` are looked for. One that says HAS_FAULTS has `faults`, with `keep` where
    it is read back, and `happen()`, which may be a coroutine: one thing that a poll tells. One that
    is only asked has no `shown` and no `show`.
    """

    async def start(self) -> str:
        """Begins to answer."""
        ...

    async def stop(self) -> None:
        """Ends it."""
        ...

    def settings(self) -> dict[str, Any]:
        """What a connection to it is configured with."""
        ...

    def shown(self, listing: str) -> int | None:
        """What it shows now."""
        ...

    def show(self, listing: str, quantity: int) -> None:
        """Somebody edits the number there, behind our back."""
        ...


_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?([.]\d+)?(Z|[+-]\d\d:?\d\d)?")
HOSTILE_TIMES: Final[Sequence[str]] = (
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "0001-01-01 00:00:00",
    "9999-12-31 23:59:59", "2026-02-30T10:00:00Z",
)  # fmt: skip
"""Times that no calendar has, or no zone."""


def suite(connector: Connector[Any], settings: Mapping[str, Any]) -> type:
    """A class of tests for a connector. settings are valid ones, and short time-outs."""
    tests: dict[str, Any] = {"is_connector_contract": True, **_static(connector, settings)}
    tests |= promises.declared(connector)
    for path in sorted(connector.cases.glob("*.json")):
        tests[f"test_case_{path.stem}"] = _case(connector, settings, path)
    if connector.sandbox is not None:
        tests |= _polled(connector, settings)
        trial = promises.Trial(
            connector,
            settings,
            lambda: Meeting(connector, settings),
            lambda given: _connect(connector, given),
            HOSTILE_BYTES,
        )
        tests |= promises.met(trial)
        # A connection that shows levels nowhere is held to what it reads.
        connection = _connect(connector, settings)
        publishes = isinstance(connection, Publishes)
        tests |= (_published if publishes else _read)(connector, settings)
        if isinstance(connection, Submits):
            tests |= _submitted(connector, settings)
    return type(f"Contract{connector.declaration.name.title()}", (), tests)


def mapped_as_data(mapped: Sequence[Mapped]) -> list[dict[str, Any]]:
    """Mapped parts as they are written in a case: defaults left out."""
    return [
        {
            "place": part.place,
            "failure" if isinstance(part.item, Failure) else "item": msgspec.to_builtins(part.item),
        }
        for part in mapped
    ]


def sent_as_data(sent: list[Outbound] | Failure) -> list[dict[str, Any]]:
    """What goes out, as it is written in a case: bodies as JSON where they are, else as text."""
    if isinstance(sent, Failure):
        return [{"failure": msgspec.to_builtins(sent)}]
    return [_outbound_as_data(one) for one in sent]


def _outbound_as_data(one: Outbound) -> dict[str, Any]:
    found: dict[str, Any] = {"to": one.to}
    if one.content_type == "application/json":
        found["json"] = msgspec.json.decode(one.body)
    else:
        found["text"] = one.body.decode("utf-8", "replace")
    return found if one.lost is None else {**found, "lost": list(one.lost)}


def run_case(connector: Connector[Any], settings: Mapping[str, Any], path: Path) -> tuple[Any, Any]:
    """What a case's payload or message is mapped to, and what the case expects."""
    case = msgspec.json.decode(path.read_bytes())
    if "out" in case:
        given = {**settings, **case.get("settings", {})}
        connection = _connect(connector, given, case.get("time_zone", "UTC"))
        assert isinstance(connection, MapsOut), f"{path.name}: the connection has no map_out"
        message = message_from(case["out"], connection.system)
        return sent_as_data(connection.map_out(message)), case["expected"]
    body = msgspec.json.encode(case["json"]) if "json" in case else case["body"].encode()
    zone = case.get("time_zone", "UTC")
    connection = _connect(connector, {**settings, **case.get("settings", {})}, zone)
    payload = Payload(body=body, headers=case.get("headers", {}))
    return mapped_as_data(connection.map(payload)), case["expected"]


def _connect(connector: Connector[Any], given: Mapping[str, Any], zone: str = "UTC") -> Connection:
    settings = connector.declaration.parse_settings(given, resolve_secret)
    return connector.open(Opening(system="partner", time_zone=zone), settings)


def _static(connector: Connector[Any], given: Mapping[str, Any]) -> dict[str, Callable[..., Any]]:
    declaration = connector.declaration

    def test_every_setting_says_what_it_is_for(self: object) -> None:
        properties = declaration.json_schema()["$defs"][declaration.settings.__name__]["properties"]
        assert [name for name, one in properties.items() if not one.get("description")] == []

    def test_limits_are_ones_a_worker_can_keep(self: object) -> None:
        limits = _connect(connector, given).limits
        assert limits.batch_size >= 1
        assert limits.concurrency >= 1
        assert limits.calls_per_s > 0
        assert 0 < limits.timeout_s <= LONGEST_TIMEOUT_S

    def test_who_watches_webhooks_receives_them_and_looks_at_a_pace(self: object) -> None:
        connection = _connect(connector, given)
        if isinstance(connection, WatchesWebhooks):
            assert isinstance(connection, Receives)
            assert declaration.capabilities.webhooks
            assert connection.webhook_look_s >= SHORTEST_LOOK_S

    def test_an_unknown_setting_is_refused_by_name(self: object) -> None:
        problems = declaration.problems({**given, "no_such_setting": 1})
        assert [problem.field for problem in problems] == ["no_such_setting"]

    def test_a_secret_given_in_clear_is_refused_and_never_shown(self: object) -> None:
        for name in _secret_settings(declaration.settings):
            for value in ("s3cret-in-clear", ["s3cret-in-clear"]):
                problems = declaration.problems({**given, name: value})
                assert problems
                assert "s3cret-in-clear" not in str(problems)

    def test_no_bytes_make_the_mapping_fail(self: object) -> None:
        connection = _connect(connector, given)
        chance = random.Random(7)
        for body in [*HOSTILE_BYTES, *(chance.randbytes(500) for _ in range(50))]:
            for part in connection.map(Payload(body=body)):
                assert isinstance(part.item, Failure)
                assert part.item.reason

    def test_no_time_makes_the_mapping_fail(self: object) -> None:
        for path in _cases(connector, out=False):
            case = msgspec.json.decode(path.read_bytes())
            text = msgspec.json.encode(case["json"]).decode() if "json" in case else case["body"]
            more, zone = case.get("settings", {}), case.get("time_zone", "UTC")
            connection = _connect(connector, {**given, **more}, zone)
            for time in HOSTILE_TIMES:
                body = _TIME.sub(time, text).encode()
                payload = Payload(body=body, headers=case.get("headers", {}))
                mapped_as_data(connection.map(payload))

    def test_the_same_bytes_are_mapped_alike(self: object) -> None:
        for path in connector.cases.glob("*.json"):
            assert run_case(connector, given, path) == run_case(connector, given, path)

    def test_there_are_cases(self: object) -> None:
        assert _cases(connector, out=False)
        if isinstance(_connect(connector, given), MapsOut):
            assert _cases(connector, out=True), 'add a case with "out" for what map_out writes'

    def test_nothing_that_goes_out_makes_the_mapping_fail(self: object) -> None:
        connection = _connect(connector, given)
        if isinstance(connection, MapsOut):
            for message in _hostile_messages():
                for one in sent_as_data(connection.map_out(message)):
                    assert one.get("to") or one["failure"]["reason"]

    tests = locals()
    return {name: test for name, test in tests.items() if name.startswith("test_")}


def _cases(connector: Connector[Any], *, out: bool) -> list[Path]:
    paths = sorted(connector.cases.glob("*.json"))
    return [path for path in paths if ("out" in msgspec.json.decode(path.read_bytes())) is out]


def _hostile_messages() -> list[Outgoing]:
    """Levels and documents of every kind with text that forms trip over."""
    made: list[Outgoing] = []
    moment = dt.datetime(2026, 10, 25, 0, 30, tzinfo=dt.UTC)
    for text in HOSTILE_TEXTS:
        for quantity in (0, 10**12):
            line = DocumentLine(line=text, quantity=quantity, listing=text)
            level = LevelToSend(
                channel=text, listing=text, quantity=quantity, version=2**53, location=text
            )
            made += [
                (level,),
                Shipment(key=text, order=text, lines=(line, line), shipped_at=moment, carrier=text),
                Cancellation(key=text, order=text, reason=text),
                Refund(key=text, order=text, lines=(line,), amount=Decimal("1E+3"), currency=text),
            ]
    return made


def _secret_settings(settings: type[msgspec.Struct]) -> list[str]:
    return [
        field.name
        for field in msgspec.structs.fields(settings)
        if Secret.__name__ in str(field.type)
    ]


def _case(
    connector: Connector[Any], settings: Mapping[str, Any], path: Path
) -> Callable[[object], None]:
    def test(self: object) -> None:
        mapped, expected = run_case(connector, settings, path)
        assert mapped == expected, f"{path.name}: mapped to {msgspec.json.encode(mapped).decode()}"

    return test


# -------------------------------------------------------------------- against the sandbox


class Meeting:
    """A connection and the sandbox it talks to, for the length of one test."""

    def __init__(self, connector: Connector[Any], settings: Mapping[str, Any]) -> None:
        assert connector.sandbox is not None
        self._connector = connector
        self._settings = settings
        self.partner: Any = connector.sandbox()
        self.connection: Any = None

    async def __aenter__(self) -> "Meeting":
        await self.partner.start()
        given = {**self._settings, **self.partner.settings()}
        self.connection = _connect(self._connector, given)
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.connection.close()
        await self.partner.stop()

    async def publish(self, quantity: int, version: int) -> list[PublishResult]:
        """Sends three levels of that quantity; the results."""
        levels = [
            LevelToSend(channel="partner", listing=name, quantity=quantity, version=version)
            for name in ("L-1", "L-2", "L-3")
        ]
        results = list(await self.connection.publish(levels))
        assert len(results) == len(levels), "one result for each level, aligned"
        return results

    async def read_back(self) -> list[int | None]:
        """What the connection reads back for the three."""
        keys = [LevelKey(listing=name) for name in ("L-1", "L-2", "L-3")]
        return [one and one.quantity for one in await self.connection.read_back(keys)]

    async def happen(self) -> None:
        """One thing happens at the partner that a poll tells."""
        done = self.partner.happen()
        if inspect.isawaitable(done):
            await done

    def shown(self) -> list[int | None]:
        """What the partner shows for the three."""
        getattr(self.partner, "collect", lambda: None)()
        return [self.partner.shown(name) for name in ("L-1", "L-2", "L-3")]


def _polled(
    connector: Connector[Any], settings: Mapping[str, Any]
) -> dict[str, Callable[..., Any]]:
    async def test_a_poll_of_a_quiet_partner_is_complete(self: object) -> None:
        async with Meeting(connector, settings) as meeting:
            if isinstance(meeting.connection, Reads):
                page = await meeting.connection.read("")
                assert (page.complete, page.payloads) == (True, ())

    return {
        "test_a_poll_of_a_quiet_partner_is_complete": test_a_poll_of_a_quiet_partner_is_complete
    }


def _submitted(
    connector: Connector[Any], settings: Mapping[str, Any]
) -> dict[str, Callable[..., Any]]:
    async def test_a_document_of_an_order_that_is_not_there_is_answered(self: object) -> None:
        async with Meeting(connector, settings) as meeting:
            before = meeting.shown()
            for order in HOSTILE_ORDERS:
                line = DocumentLine(line=order, quantity=1, listing="L-1")
                for document in (
                    Shipment(key=f"S-{order}", order=order, lines=(line,), shipped_at=_NOON),
                    Cancellation(key=f"C-{order}", order=order),
                    Refund(key=f"R-{order}", order=order, lines=(line,)),
                ):
                    # What goes into a path may not lead to another one, and nothing else is raised.
                    with suppress(Misconfigured):
                        told = await meeting.connection.submit(document)
                        assert isinstance(told, Delivered | Refused | Retry | InDoubt)
            assert meeting.shown() == before

    name = "test_a_document_of_an_order_that_is_not_there_is_answered"
    return {name: test_a_document_of_an_order_that_is_not_there_is_answered}


def _published(
    connector: Connector[Any], settings: Mapping[str, Any]
) -> dict[str, Callable[..., Any]]:
    async def test_levels_sent_are_levels_shown(self: object) -> None:
        async with Meeting(connector, settings) as meeting:
            assert isinstance(meeting.connection, Publishes)
            assert all(isinstance(one, Applied) for one in await meeting.publish(5, version=1))
            assert meeting.shown() == [5, 5, 5]
            assert list(await meeting.connection.publish([])) == []

    async def test_sending_twice_changes_nothing(self: object) -> None:
        async with Meeting(connector, settings) as meeting:
            assert await meeting.publish(5, version=1) == await meeting.publish(5, version=1)
            assert meeting.shown() == [5, 5, 5]

    async def test_a_late_older_version_does_not_win(self: object) -> None:
        if not connector.declaration.capabilities.versioned_writes:
            return  # who keeps no versions shows what came last: read-back finds it out
        async with Meeting(connector, settings) as meeting:
            await meeting.publish(3, version=9)
            for result in await meeting.publish(8, version=2):
                assert not isinstance(result, Applied) or result.version == 9
            assert meeting.shown() == [3, 3, 3]

    async def test_the_level_of_one_place_is_never_shown_as_that_of_all(self: object) -> None:
        async with Meeting(connector, settings) as meeting:
            await meeting.publish(9, version=1)
            one = LevelToSend(
                channel="partner", listing="L-1", location="ELSEWHERE", quantity=1, version=2
            )
            assert len(await meeting.connection.publish([one])) == 1
            assert meeting.shown() == [9, 9, 9]

    async def test_half_a_batch_refused_leaves_the_other_half_applied(self: object) -> None:
        async with Meeting(connector, settings) as meeting:
            if not hasattr(meeting.partner, "refused"):
                # Who answers no call can refuse none.
                assert not getattr(connector.sandbox, "HAS_FAULTS", False), "give it `refused`"
                return
            await meeting.publish(9, version=1)
            meeting.partner.refused["L-2"] = "delisted"
            first, second, third = await meeting.publish(2, version=2)
            assert isinstance(first, Applied)
            assert isinstance(third, Applied)
            assert isinstance(second, Refused)
            assert second.reason == "delisted"
            assert meeting.shown() == [2, 9, 2]

    tests = {name: test for name, test in locals().items() if name.startswith("test_")}
    connection = _connect(connector, settings)
    if isinstance(connection, ReadsBack) and hasattr(connector.sandbox, "show"):
        # Where nobody can edit, a test of it would say nothing.
        tests |= _edited(connector, settings)
    if getattr(connector.sandbox, "HAS_FAULTS", False):
        for kind in FaultKind.__args__:  # type: ignore[attr-defined]
            tests[f"test_no_claim_is_false_when_the_partner_is_{kind}"] = _under(
                connector, settings, kind
            )
        for kind in POLL_FAULTS if isinstance(connection, Reads) else ():
            tests[f"test_nothing_is_lost_when_the_partner_is_{kind}"] = _read_under(
                connector, settings, kind
            )
        if isinstance(connection, ReadsBack):
            tests |= _lied_to(connector, settings)
    return tests


def _edited(
    connector: Connector[Any], settings: Mapping[str, Any]
) -> dict[str, Callable[..., Any]]:
    async def test_an_edit_behind_our_back_is_read_back(self: object) -> None:
        async with Meeting(connector, settings) as meeting:
            await meeting.publish(9, version=1)
            meeting.partner.show("L-2", 4)
            assert await meeting.read_back() == meeting.shown() == [9, 4, 9]

    return {"test_an_edit_behind_our_back_is_read_back": test_an_edit_behind_our_back_is_read_back}


def _lied_to(
    connector: Connector[Any], settings: Mapping[str, Any]
) -> dict[str, Callable[..., Any]]:
    """What no connector can notice when it is told: it may not believe it for longer."""

    async def test_what_a_partner_shows_is_read_back_whatever_it_said(self: object) -> None:
        async with Meeting(connector, settings) as meeting:
            faults: Faults = meeting.partner.faults
            await meeting.publish(9, version=1)
            faults.plan(Fault(kind="not_applied"))
            await meeting.publish(2, version=2)
            assert [fault.kind for fault in faults.spoilt] == ["not_applied"]
            assert 9 in meeting.shown()
            assert await meeting.read_back() == meeting.shown()
            await meeting.publish(3, version=3)
            assert meeting.shown() == [3, 3, 3]

    async def test_an_old_answer_is_believed_only_once(self: object) -> None:
        async with Meeting(connector, settings) as meeting:
            faults: Faults = meeting.partner.faults
            faults.remember = True
            await meeting.publish(9, version=1)
            assert await meeting.read_back() == [9, 9, 9]
            await meeting.publish(2, version=2)
            faults.plan(Fault(kind="stale"))
            assert await meeting.read_back() != [2, 2, 2]
            assert [fault.kind for fault in faults.spoilt] == ["stale"]
            assert await meeting.read_back() == meeting.shown() == [2, 2, 2]

    return {name: test for name, test in locals().items() if name.startswith("test_")}


def _read(connector: Connector[Any], settings: Mapping[str, Any]) -> dict[str, Callable[..., Any]]:
    """For a partner that is only asked. Its sandbox has `happen()`: one thing that a poll tells."""

    async def test_what_happened_is_told_once(self: object) -> None:
        async with Meeting(connector, settings) as meeting:
            await meeting.happen()
            first, cursor = await _told(meeting.connection, "")
            await meeting.happen()
            second, cursor = await _told(meeting.connection, cursor)
            assert len(first) == len(second) == 1
            assert (await _told(meeting.connection, cursor))[0] == []

    tests: dict[str, Any] = {"test_what_happened_is_told_once": test_what_happened_is_told_once}
    if getattr(connector.sandbox, "HAS_FAULTS", False):
        for kind in FaultKind.__args__:  # type: ignore[attr-defined]
            tests[f"test_nothing_is_lost_when_the_partner_is_{kind}"] = _read_under(
                connector, settings, kind
            )
    return tests


def _read_under(
    connector: Connector[Any], settings: Mapping[str, Any], kind: FaultKind
) -> Callable[[object], Any]:
    """One spoilt call: what the poll tells is true or nothing, and told whole once it heals."""

    async def test(self: object) -> None:
        async with Meeting(connector, settings) as meeting:
            await meeting.happen()
            meeting.partner.faults.plan(Fault(kind=kind, seconds=0.5))
            told: list[Payload] = []
            cursor = ""
            # Raised means: nothing was read, and the cursor stays where it was.
            with suppress(Misconfigured, Transient):
                told, cursor = await _told(meeting.connection, "")
                assert told, "a poll that comes to its end proves that nothing is unseen"
            assert meeting.partner.faults.spoilt
            meeting.partner.faults.clear()
            more, _ = await _told(meeting.connection, cursor)
            assert len(told + more) == 1
            for payload in told + more:
                assert all(not isinstance(x.item, Failure) for x in meeting.connection.map(payload))

    return test


async def _told(connection: Any, cursor: str) -> tuple[list[Payload], str]:
    """All that a poll tells until it has no more, and the cursor after it."""
    told: list[Payload] = []
    for _ in range(MAX_PAGES):
        page = await connection.read(cursor)
        told += page.payloads
        cursor = page.next_cursor
        if page.complete:
            return told, cursor
    raise AssertionError(f"a poll comes to no end within {MAX_PAGES} pages")


def _under(
    connector: Connector[Any], settings: Mapping[str, Any], kind: FaultKind
) -> Callable[[object], Any]:
    """One spoilt call: `applied`, `refused` and `retry` are true, all else is in doubt, and it
    heals.
    """

    async def test(self: object) -> None:
        async with Meeting(connector, settings) as meeting:
            await meeting.publish(9, version=1)
            faults: Faults = meeting.partner.faults
            faults.plan(Fault(kind=kind, seconds=0.5))
            try:
                results = await meeting.publish(2, version=2)
            except (Misconfigured, Transient):
                # Raised means: nothing was done.
                assert meeting.shown() == [9, 9, 9]
                results = []
            for result, shown in zip(results, meeting.shown(), strict=False):
                assert shown == 2 or not isinstance(result, Applied)
                assert shown == 9 or not isinstance(result, Refused | Retry)
            faults.clear()
            assert all(isinstance(one, Applied) for one in await meeting.publish(2, version=2))
            assert meeting.shown() == [2, 2, 2]

    return test

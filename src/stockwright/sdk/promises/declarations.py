"""What is promised by declaration: settings, limits, verbs, and a mapping that never fails."""

import datetime as dt
import random
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from stockwright.sdk.messages import (
    Cancellation,
    DocumentLine,
    Failure,
    LevelToSend,
    Outgoing,
    Payload,
    Refund,
    Shipment,
)
from stockwright.sdk.promises.cases import paths_of, run_case, sent_as_data
from stockwright.sdk.promises.trial import Test, Trial
from stockwright.sdk.reference import verbs_of
from stockwright.sdk.secrets import Secret
from stockwright.sdk.verbs import MapsOut, Receives, WatchesWebhooks

LONGEST_TIMEOUT_S: Final = 60.0
"""A call ends before the lease of whoever makes it."""
SHORTEST_LOOK_S: Final = 10.0
"""Between two looks at a partner's webhooks."""
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
HOSTILE_TIMES: Final[Sequence[str]] = (
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "0001-01-01 00:00:00",
    "9999-12-31 23:59:59", "2026-02-30T10:00:00Z",
)  # fmt: skip
"""Times that no calendar has, or no zone."""
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?([.]\d+)?(Z|[+-]\d\d:?\d\d)?")


def declared(trial: Trial) -> dict[str, Test]:
    """What is declared is what there is, and no bytes and no words make the mapping fail."""
    declaration, given = trial.connector.declaration, trial.settings

    def test_the_declaration_promises_the_verbs_there_are(self: object) -> None:
        capabilities, verbs = declaration.capabilities, verbs_of(trial.connector)
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

    def test_every_setting_says_what_it_is_for(self: object) -> None:
        properties = declaration.json_schema()["$defs"][declaration.settings.__name__]["properties"]
        assert [name for name, one in properties.items() if not one.get("description")] == []

    def test_limits_are_ones_a_worker_can_keep(self: object) -> None:
        limits = trial.connect().limits
        assert limits.batch_size >= 1
        assert limits.concurrency >= 1
        assert limits.calls_per_s > 0
        assert 0 < limits.timeout_s <= LONGEST_TIMEOUT_S

    def test_who_watches_webhooks_receives_them_and_looks_at_a_pace(self: object) -> None:
        connection = trial.connect()
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
        connection = trial.connect()
        chance = random.Random(7)
        for body in [*HOSTILE_BYTES, *(chance.randbytes(500) for _ in range(50))]:
            for part in connection.map(Payload(body=body)):
                assert isinstance(part.item, Failure)
                assert part.item.reason

    def test_no_time_makes_the_mapping_fail(self: object) -> None:
        for path in paths_of(trial, out=False):
            case = msgspec.json.decode(path.read_bytes())
            text = msgspec.json.encode(case["json"]).decode() if "json" in case else case["body"]
            connection = trial.connect(
                {**given, **case.get("settings", {})}, case.get("time_zone", "UTC")
            )
            for time in HOSTILE_TIMES:
                body = _TIME.sub(time, text).encode()
                for part in connection.map(Payload(body=body, headers=case.get("headers", {}))):
                    assert part.place

    def test_the_same_bytes_are_mapped_alike(self: object) -> None:
        for path in trial.connector.cases.glob("*.json"):
            assert run_case(trial, path) == run_case(trial, path)

    def test_there_are_cases(self: object) -> None:
        assert paths_of(trial, out=False)
        if isinstance(trial.connect(), MapsOut):
            assert paths_of(trial, out=True), 'add a case with "out" for what map_out writes'

    def test_nothing_that_goes_out_makes_the_mapping_fail(self: object) -> None:
        connection = trial.connect()
        if isinstance(connection, MapsOut):
            for message in _hostile_messages():
                for one in sent_as_data(connection.map_out(message)):
                    assert one.get("to") or one["failure"]["reason"]

    tests = locals()
    return {name: test for name, test in tests.items() if name.startswith("test_")}


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

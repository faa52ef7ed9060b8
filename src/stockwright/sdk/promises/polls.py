"""What is promised of polls: what happened is told once, whatever becomes of a call."""

from contextlib import suppress
from typing import Any, Final

from stockwright.domain.errors import Misconfigured, Transient
from stockwright.sdk.hostile import FaultKind
from stockwright.sdk.messages import Failure, Payload
from stockwright.sdk.promises.trial import Test, Trial
from stockwright.sdk.verbs import Reads

MAX_PAGES: Final = 50


def polled(trial: Trial) -> dict[str, Test]:
    """For every partner that has a sandbox."""

    async def test_a_poll_of_a_quiet_partner_is_complete(self: object) -> None:
        async with trial.meet() as meeting:
            if isinstance(meeting.connection, Reads):
                page = await meeting.connection.read("")
                assert (page.complete, page.payloads) == (True, ())

    return {
        "test_a_poll_of_a_quiet_partner_is_complete": test_a_poll_of_a_quiet_partner_is_complete
    }


def read(trial: Trial) -> dict[str, Test]:
    """For a partner that is only asked. Its sandbox has `happen()`: one thing that a poll tells."""

    async def test_what_happened_is_told_once(self: object) -> None:
        async with trial.meet() as meeting:
            await meeting.happen()
            first, cursor = await _told(meeting.connection, "")
            await meeting.happen()
            second, cursor = await _told(meeting.connection, cursor)
            assert len(first) == len(second) == 1
            assert (await _told(meeting.connection, cursor))[0] == []

    tests: dict[str, Any] = {"test_what_happened_is_told_once": test_what_happened_is_told_once}
    if trial.has_faults:
        for kind in FaultKind.__args__:  # type: ignore[attr-defined]
            tests[f"test_nothing_is_lost_when_the_partner_is_{kind}"] = read_under(trial, kind)
    return tests


def read_under(trial: Trial, kind: FaultKind) -> Test:
    """One spoilt call: what the poll tells is true or nothing, and told whole once it heals."""

    async def test(self: object) -> None:
        async with trial.meet() as meeting:
            await meeting.happen()
            meeting.partner.faults.plan(meeting.fault(kind))
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

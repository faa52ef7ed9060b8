"""What is promised of levels: what `publish` says is true, and `read_back` finds out the rest."""

from typing import Final

from stockwright.domain.errors import Misconfigured, Transient
from stockwright.sdk.hostile import Fault, FaultKind, Faults
from stockwright.sdk.messages import Applied, LevelToSend, Refused, Retry
from stockwright.sdk.promises.polls import read_under
from stockwright.sdk.promises.trial import Test, Trial
from stockwright.sdk.verbs import Publishes, Reads, ReadsBack

POLL_FAULTS: Final[tuple[FaultKind, ...]] = ("dropped", "garbage", "swallowed")
"""What a poll of a partner that shows levels meets: no answer, half of one, one that says
nothing."""


def published(trial: Trial) -> dict[str, Test]:
    """For connections with `publish`."""

    async def test_levels_sent_are_levels_shown(self: object) -> None:
        async with trial.meet() as meeting:
            assert isinstance(meeting.connection, Publishes)
            assert all(isinstance(one, Applied) for one in await meeting.publish(5, version=1))
            assert meeting.shown() == [5, 5, 5]
            assert list(await meeting.connection.publish([])) == []

    async def test_sending_twice_changes_nothing(self: object) -> None:
        async with trial.meet() as meeting:
            assert await meeting.publish(5, version=1) == await meeting.publish(5, version=1)
            assert meeting.shown() == [5, 5, 5]

    async def test_a_late_older_version_does_not_win(self: object) -> None:
        if not trial.connector.declaration.capabilities.versioned_writes:
            return  # who keeps no versions shows what came last: read-back finds it out
        async with trial.meet() as meeting:
            await meeting.publish(3, version=9)
            for result in await meeting.publish(8, version=2):
                assert not isinstance(result, Applied) or result.version == 9
            assert meeting.shown() == [3, 3, 3]

    async def test_the_level_of_one_place_is_never_shown_as_that_of_all(self: object) -> None:
        async with trial.meet() as meeting:
            await meeting.publish(9, version=1)
            one = LevelToSend(
                channel="partner", listing="L-1", location="ELSEWHERE", quantity=1, version=2
            )
            assert len(await meeting.connection.publish([one])) == 1
            assert meeting.shown() == [9, 9, 9]

    async def test_half_a_batch_refused_leaves_the_other_half_applied(self: object) -> None:
        async with trial.meet() as meeting:
            if not hasattr(meeting.partner, "refused"):
                # Who answers no call can refuse none.
                assert not trial.has_faults, "give it `refused`"
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
    connection = trial.connect()
    if isinstance(connection, ReadsBack) and hasattr(trial.connector.sandbox, "show"):
        # Where nobody can edit, a test of it would say nothing.
        tests |= _edited(trial)
    if trial.has_faults:
        for kind in FaultKind.__args__:  # type: ignore[attr-defined]
            tests[f"test_no_claim_is_false_when_the_partner_is_{kind}"] = _under(trial, kind)
        for kind in POLL_FAULTS if isinstance(connection, Reads) else ():
            tests[f"test_nothing_is_lost_when_the_partner_is_{kind}"] = read_under(trial, kind)
        if isinstance(connection, ReadsBack):
            tests |= _lied_to(trial)
    return tests


def _edited(trial: Trial) -> dict[str, Test]:
    async def test_an_edit_behind_our_back_is_read_back(self: object) -> None:
        async with trial.meet() as meeting:
            await meeting.publish(9, version=1)
            meeting.partner.show("L-2", 4)
            assert await meeting.read_back() == meeting.shown() == [9, 4, 9]

    return {"test_an_edit_behind_our_back_is_read_back": test_an_edit_behind_our_back_is_read_back}


def _lied_to(trial: Trial) -> dict[str, Test]:
    """What no connector can notice when it is told: it may not believe it for longer."""

    async def test_what_a_partner_shows_is_read_back_whatever_it_said(self: object) -> None:
        async with trial.meet() as meeting:
            faults: Faults = meeting.partner.faults
            await meeting.publish(9, version=1)
            faults.plan(Fault(kind="not_applied"))
            await meeting.publish_once(2, version=2)
            assert [fault.kind for fault in faults.spoilt] == ["not_applied"]
            assert 9 in meeting.shown()
            assert await meeting.read_back() == meeting.shown()
            await meeting.publish(3, version=3)
            assert meeting.shown() == [3, 3, 3]

    async def test_an_old_answer_is_believed_only_once(self: object) -> None:
        async with trial.meet() as meeting:
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


def _under(trial: Trial, kind: FaultKind) -> Test:
    """One spoilt call: `applied`, `refused` and `retry` are true, all else is in doubt, and it
    heals.
    """

    async def test(self: object) -> None:
        async with trial.meet() as meeting:
            await meeting.publish(9, version=1)
            faults: Faults = meeting.partner.faults
            faults.plan(meeting.fault(kind))
            try:
                results = await meeting.publish_once(2, version=2)
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


def compared(trial: Trial) -> dict[str, Test]:
    """For connectors that declare `compare_and_set`."""

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

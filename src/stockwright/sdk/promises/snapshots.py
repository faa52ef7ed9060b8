"""What is promised of snapshots: all that is shown, each level once, or nothing."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from stockwright.domain.errors import Misconfigured, Transient
from stockwright.sdk.hostile import Fault, FaultKind
from stockwright.sdk.promises.trial import Test, Trial

SNAPSHOT_FAULTS: Final[Sequence[FaultKind]] = ("dropped", "server_error", "garbage", "swallowed")


def counted(trial: Trial) -> dict[str, Test]:
    """For connections with `snapshot`."""

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
    for kind in SNAPSHOT_FAULTS if trial.has_faults else ():
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

"""Sets of exposure policies: what is odd about one, and a set that somebody thinks of using."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from stockwright.domain.codes import Code
from stockwright.domain.exposure import Policy
from stockwright.domain.network import ExposurePolicy

SMALLEST_RISK: Final = 0.001
_NEEDS_RISK: Final = ("buffer_most", "buffer_most_percent", "blind_s")


class CandidatePolicy(ExposurePolicy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule of a candidate set, with the fields of the configuration file."""


class PolicySet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules that some channels would have, in order, in place of all they have now.

    A channel with an empty list would have none; channels that are not named keep theirs.
    """

    channels: dict[Code, list[CandidatePolicy]]

    def rows(self) -> dict[str, list[Policy]]:
        """The rules by channel as the rows they would be."""
        return {
            channel: [
                Policy(channel=channel, position=place, **msgspec.structs.asdict(one))
                for place, one in enumerate(some, start=1)
            ]
            for channel, some in self.channels.items()
        }


def oddities(policy: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(field, problem, fix) of what is allowed but hardly meant; policy holds the given fields."""
    risk = policy.get("buffer_risk")
    cap, pack = policy.get("cap"), policy.get("pack_size", 1)
    if cap is not None and cap < pack:
        yield (
            "cap",
            "is below pack_size, so that nothing is ever shown",
            "raise cap, or set it to 0 and pack_size to 1",
        )
    if policy.get("buffer_percent") == 100:
        yield "buffer_percent", "is 100, so that nothing is ever shown", "give less, or set cap = 0"
    if risk is None:
        for field in _NEEDS_RISK:
            if field in policy:
                yield field, "has no effect without buffer_risk", "give buffer_risk, or remove it"
    elif risk < SMALLEST_RISK:
        yield (
            "buffer_risk",
            f"is smaller than {SMALLEST_RISK:g}: demand seen in weeks cannot tell so small a risk",
            f"give {SMALLEST_RISK:g} or more",
        )
    most = policy.get("buffer_most")
    if most is not None and risk is not None and most < policy.get("buffer", 0):
        yield "buffer_most", "is below buffer, which is held back anyway", "raise it"
    if "ring_fence_mode" in policy and not policy.get("ring_fence"):
        yield "ring_fence_mode", "has no effect without ring_fence", "give ring_fence, or remove it"

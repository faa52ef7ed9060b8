"""Which calls to the API are kept for people to look at, and for how long."""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

Kept = Literal["failed", "refused", "slow", "sample"]
"""Why a call is kept. refused: it was understood, and an item of it was answered with no."""


class ApiLog(Struct, frozen=True, kw_only=True):
    """What is kept of calls to the API: all that failed or were slow, and a sample of the rest."""

    sample: Annotated[
        int, Meta(ge=0, le=1_000_000, description="of the good calls one in so many; 0 keeps none")
    ] = 100
    slow_ms: Annotated[
        int, Meta(ge=1, le=600_000, description="milliseconds from which on a call is slow")
    ] = 1_000
    days: Annotated[int, Meta(ge=1, le=400, description="days for which a call is kept")] = 7
    rows: Annotated[
        int, Meta(ge=1_000, le=10_000_000, description="calls kept at most, the newest ones")
    ] = 200_000
    bodies: Annotated[
        bool,
        Meta(description="whether failed and refused calls keep the start of what was sent"),
    ] = True


MOST_OF_A_BODY: Final = 16_384
"""Bytes of a body that are kept."""


def why_kept(status: int, refused: int, *, slow: bool, chosen: bool) -> Kept | None:
    """Why a call is kept; None where it is only counted. chosen: chance put it into the sample."""
    if refused:
        return "refused"
    if status >= 400:
        return "failed"
    if slow:
        return "slow"
    return "sample" if chosen else None

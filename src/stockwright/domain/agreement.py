"""Who agrees with whom on one item: what a channel confirmed and showed, what a partner counted.

Each answer is a word, so that nobody needs to see a colour.
"""

import datetime as dt
from typing import Literal

import msgspec

Word = Literal[
    "agrees",
    "too many",
    "too few",
    "more",
    "fewer",
    "shows nothing",
    "corrected",
    "not compared",
    "not read",
    "out of date",
    "never confirmed",
]
APART: frozenset[Word] = frozenset({"too many", "too few", "more", "fewer", "shows nothing"})
"""Words that say that two sides name different numbers."""


class Verdict(msgspec.Struct, frozen=True):
    """How one number stands to the one it should be; apart is how far above it, below zero less."""

    word: Word
    apart: int = 0

    @property
    def differs(self) -> bool:
        """True where two sides name different numbers."""
        return self.word in APART


def of_acknowledged(desired: int, acknowledged: int | None, *, is_told: bool = True) -> Verdict:
    """What a channel confirmed, against what it should show; one told nothing may differ."""
    if acknowledged is None:
        return Verdict("never confirmed")
    apart = acknowledged - desired
    if not apart or not is_told:
        return Verdict("agrees", apart)
    return Verdict("too many" if apart > 0 else "too few", apart)


def of_verified(
    acknowledged: int | None,
    acknowledged_at: dt.datetime | None,
    verified: int | None,
    verified_at: dt.datetime | None,
) -> Verdict:
    """What a channel was read back to show, against what it confirmed.

    A reading from before the last confirmation says nothing about it.
    """
    if verified_at is None:
        return Verdict("not read")
    if acknowledged_at is not None and verified_at < acknowledged_at:
        return Verdict("out of date")
    if verified is None:
        return Verdict("shows nothing", -(acknowledged or 0))
    apart = verified - (acknowledged or 0)
    if not apart:
        return Verdict("agrees")
    return Verdict("more" if apart > 0 else "fewer", apart)


def of_told(difference: int | None, *, posted: bool) -> Verdict:
    """What a partner counted, against the ledger as of the time it counted.

    difference is None where the two were not compared; posted where the ledger followed the count.
    """
    if difference is None:
        return Verdict("not compared")
    if not difference:
        return Verdict("agrees")
    if posted:
        return Verdict("corrected", difference)
    return Verdict("more" if difference > 0 else "fewer", difference)

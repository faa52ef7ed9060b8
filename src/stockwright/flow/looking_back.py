"""Explains a number that a channel was meant to show: by the ledger, and by the rules, of then.

A number notes the sequence it reflects and the revision of the rules it followed. Read at both, the
very code that computed it computes it again, so that the steps end in the number there was.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from stockwright.domain.availability import Explanation
from stockwright.flow.exposing import read_listings
from stockwright.store import history, past, stock
from stockwright.store.connection import Connection
from stockwright.store.history import Revision
from stockwright.store.past import Carried, LevelThen
from stockwright.store.stock import LedgerRow

CAUSE_ROWS: Final = 20


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """How a number came about and went out.

    rules is the last change of rules that counted. causes are the entries of the SKU asked for that
    came since the number before; where there are none, a rule or another component changed. carried
    are the calls that brought it, or the newer number that took its place. `due` is there where the
    moment asked for another number already, and the projection had not come to it.
    """

    explanation: Explanation
    rules: Revision
    causes: Sequence[LedgerRow]
    carried: Sequence[Carried]
    due: int | None = None


def explain_level(connection: Connection, level: LevelThen) -> Explanation:
    """The steps that led to this number when it was computed."""
    key = (level.channel, level.listing)
    with past.visit(connection, past.moment_of(connection, level)):
        _, explained = read_listings(connection, [key])
    return explained[key]


def shown(connection: Connection, level: LevelThen, sku: str, by_then: Explanation) -> Shown:
    """All that is known of a number; by_then explains what the moment asked for asked for."""
    return came_about(connection, level, sku, explain_level(connection, level), by_then)


def came_about(
    connection: Connection,
    level: LevelThen,
    sku: str,
    explanation: Explanation,
    by_then: Explanation | None = None,
) -> Shown:
    """The same around an explanation that is known already."""
    newest = stock.ledger_before(connection, sku, level.sequence + 1, CAUSE_ROWS)
    asked_for = explanation if by_then is None else by_then
    return Shown(
        explanation=explanation,
        rules=history.revision(connection, past.moment_of(connection, level).revision),
        causes=[row for row in newest if row.sequence > level.since_sequence],
        carried=past.attempts_of(connection, level),
        due=asked_for.result if asked_for.result != level.value else None,
    )

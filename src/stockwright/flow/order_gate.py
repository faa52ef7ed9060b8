"""Increases wait until the channel's orders are known; see domain.watermark for why and how long.

All of it happens in the transaction that claims a call, under the lock of the connection.
"""

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from stockwright.domain import watermark
from stockwright.domain.levels import Level
from stockwright.domain.watermark import Gate, Seen
from stockwright.store import attempts, levels, watermarks
from stockwright.store.connection import Connection

if TYPE_CHECKING:
    from stockwright.flow.calls import Link

LOOK_AGAIN_S: Final = 0.2
"""Seconds until it is looked again whether the orders have come."""
CALLS_PER_POLL: Final = 5.0
"""Increases ask for their partner's orders no more often than once in so many calls of its plan."""
UNSEEN: Final = "orders_unseen"
"""The kind of work item that says that increases go without the channel's orders."""


def look(connection: Connection, link: "Link", channels: Sequence[str], now: dt.datetime) -> Gate:
    """Which increases of these channels may go now. Read their levels in a later statement."""
    if not link.order_watermark:
        return Gate(now)
    progress = watermarks.progress(connection, link.system)
    before = Seen(progress.seen, progress.recorded, progress.recorded_at)
    after = watermark.advance(progress)
    if after != before:
        watermarks.keep(connection, link.system, after)
    gate = watermark.gate(after.seen, now, link.increase_wait)
    if not gate.held_back and watermark.gate(before.seen, now, link.increase_wait).held_back:
        attempts.close_item(connection, UNSEEN, link.system, "the channel's orders are known again")
    ready, waits = watermarks.increases(connection, channels, gate.until, now)
    return replace(gate, ready=ready, waits=waits)


def ask(connection: Connection, link: "Link") -> bool:
    """Asks for a poll of the orders that increases wait for; False where none is due now."""
    gap_s = max(link.patience.orders_every_s, CALLS_PER_POLL / link.limits.calls_per_s)
    return watermarks.ask_for_orders(connection, link.system, gap_s)


def put_off(
    connection: Connection, chosen: Sequence[Level], gate: Gate, now: dt.datetime
) -> list[Level]:
    """Takes out increases of which nothing would be left but the buffer, until another wait is
    over; answers them.
    """
    if not gate.held_back:
        return []
    idle = [
        level for level in chosen if level.lane == "increase" and not watermark.is_worth_it(level)
    ]
    for level in idle:
        level.due_at = now
        level.last_error = "held back until the channel's orders are known"
    levels.write_levels(connection, idle)
    return idle


def tell_held(connection: Connection, link: "Link", carried: Sequence[Level], gate: Gate) -> None:
    """Tells a person, once per connection, that increases go without the channel's orders."""
    if not gate.held_back or all(level.lane != "increase" for level in carried):
        return
    share = f"{watermark.HELD_SHARE:.0%}"
    known = f"since {gate.seen:%Y-%m-%d %H:%M:%S %Z}" if gate.seen else "yet"
    message = (
        f"No complete poll of the orders of {link.system} {known}. Increases wait for one; after"
        f" {link.increase_wait.total_seconds():.0f} s they go less {share}, at least 1 piece."
    )
    detail: dict[str, object] = {"channel": carried[0].channel, "message": message}
    attempts.open_refusal(connection, UNSEEN, link.system, link.system, detail)

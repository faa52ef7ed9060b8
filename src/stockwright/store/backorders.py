"""Backorders: units owed to demand lines, recorded under the ledger's lane.

The ledger looks for backorders of flagged SKUs only. So a SKU is flagged first, in a transaction of
its own; what is decided from then on knows of it, and the lane keeps all else in order.
"""

import datetime as dt
from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec

from stockwright.domain.events import Outcome
from stockwright.domain.owing import Backorder, BackorderState, LineKey, Standing
from stockwright.store.access import log_change
from stockwright.store.arrays import texts
from stockwright.store.connection import Connection
from stockwright.store.ledger import LANE
from stockwright.store.master import lock_master, raise_revision
from stockwright.store.queries import load

_SQL = load("backorders")
_FIELDS: Final = len(Backorder.__struct_fields__)
FLAGGED_FOR_S: Final = 3_600.0
"""A flag stays so long at least: each change of flags makes all ledgers read their codes again."""


class BackorderRow(msgspec.Struct, frozen=True, kw_only=True):
    """A backorder as it is told. What is None was not told: its class is the channel's then, and it
    is owed from now, or as known before.
    """

    system: str
    order: str
    line: str
    revision: int
    sku: str
    channel: str
    channel_class: int
    quantity: int
    demand_class: int | None = None
    owed_since: dt.datetime | None = None

    @property
    def key(self) -> LineKey:
        """The demand line it is owed to."""
        return (self.system, self.order, self.line)


class BackorderView(msgspec.Struct, kw_only=True):
    """Units owed to one demand line, and what became of them. owed: units still owed now."""

    id: int
    system: str
    order: str
    line: str
    revision: int
    sku: str
    channel: str
    demand_class: int
    quantity: int
    served: int
    cancelled: int
    owed: int
    owed_since: dt.datetime
    state: BackorderState
    reason: str
    changed_at: dt.datetime


class Unflagged(Exception):
    """The ledger does not look for backorders of these SKUs: flag them and try again."""


def flag(connection: Connection, skus: Collection[str]) -> None:
    """From its commit on, the ledger looks for backorders of these SKUs."""
    wanted = {"skus": texts(sorted(set(skus)))}
    if connection.execute(_SQL["unflagged"], wanted).fetchone() is not None:
        lock_master(connection)
        connection.execute(_SQL["flag"], wanted)
        raise_revision(connection)


def unflag(connection: Connection, after_s: float = FLAGGED_FOR_S) -> int:
    """Lets the ledger look no more where nothing is owed any more; how many SKUs."""
    row = connection.execute(_SQL["idle_flags"], {"after_s": after_s}).fetchone()
    if row is None or not row[0]:
        return 0
    lock_master(connection)
    _take_lane(connection)
    gone = connection.execute(_SQL["unflag"], {"after_s": after_s}).fetchall()
    if gone:
        raise_revision(connection)
    return len(gone)


def tell(connection: Connection, rows: Sequence[BackorderRow]) -> list[Outcome]:
    """Records backorders in the caller's transaction, which does nothing before; aligned outcomes.

    recorded where one is new or its revision higher, and as a replay where it was told before;
    superseded, conflict as for all statements; already_claimed where the demand line is for another
    SKU. Raises Unflagged.
    """
    _take_lane(connection)
    wanted = {"skus": texts(sorted({row.sku for row in rows}))}
    if connection.execute(_SQL["unflagged"], wanted).fetchone() is not None:
        raise Unflagged
    keys = [row.key for row in rows]
    known = _known(connection, keys)
    lines = _demand(connection, keys)
    touched = {one.sku for one, _ in known.values()}
    now = _now(connection)
    told: dict[LineKey, int] = {}
    outcomes = []
    for row in rows:
        outcome = _judge(row, known.get(row.key), lines.get(row.key))
        if outcome.code == "recorded" and not outcome.replay:
            former = known[row.key][0] if row.key in known else None
            known[row.key] = _recorded(row, former, lines.get(row.key), now), row.revision
            told[row.key] = row.revision
        outcomes.append(outcome)
    if told:
        records = [{**msgspec.structs.asdict(known[key][0]), "revision": told[key]} for key in told]
        connection.execute(_SQL["write"], {"rows": msgspec.json.encode(records).decode()})
        _mark(connection, touched | {known[key][0].sku for key in told})
    return outcomes


class _Line(msgspec.Struct, frozen=True):
    """A demand line as far as its backorder is concerned."""

    sku: str
    standing: Standing


def _judge(row: BackorderRow, known: tuple[Backorder, int] | None, line: _Line | None) -> Outcome:
    if line is not None and line.sku != row.sku:
        message = f"this order line is for SKU {line.sku!r}"
        return Outcome(code="already_claimed", field="sku", message=message)
    if known is None or row.revision > known[1]:
        return Outcome(code="recorded")
    former, revision = known
    if row.revision < revision:
        message = f"revision {revision} of this line was recorded before"
        return Outcome(code="superseded", field="revision", message=message)
    same = (
        (row.sku, row.channel, row.quantity) == (former.sku, former.channel, former.quantity)
        and row.demand_class in (None, former.demand_class)
        and row.owed_since in (None, former.owed_since)
    )
    if same:
        return Outcome(code="recorded", replay=True)
    message = f"revision {revision} of this line said otherwise; send a higher revision"
    return Outcome(code="conflict", field="revision", message=message)


def _recorded(
    row: BackorderRow, former: Backorder | None, line: _Line | None, now: dt.datetime
) -> Backorder:
    """The backorder as it stands from here on; what served the former serves it as well."""
    standing = line.standing if line is not None else Standing()
    goes_on = former is not None and former.sku == row.sku and former.state in ("owed", "served")
    one = Backorder(
        id=former.id if former else 0,
        system=row.system,
        order=row.order,
        line=row.line,
        sku=row.sku,
        channel=row.channel,
        demand_class=row.channel_class if row.demand_class is None else row.demand_class,
        quantity=row.quantity,
        owed_since=row.owed_since or (former.owed_since if former else now),
        claimed_before=former.claimed_before if former and goes_on else standing.claimed,
        cancelled_before=former.cancelled_before if former and goes_on else standing.cancelled,
    )
    return one.after(standing) if goes_on else one


def end(
    connection: Connection, key: LineKey, state: BackorderState, *, actor: str, reason: str
) -> bool:
    """Ends what is owed (cancelled, closed) and notes who said so; False where nothing was.

    In the caller's transaction, which does nothing before.
    """
    _take_lane(connection)
    view = find(connection, key)
    if view is None:
        return False
    asked = {"id": view.id, "state": state, "reason": reason}
    if connection.execute(_SQL["set_state"], asked).fetchone() is None:
        return False
    _mark(connection, {view.sku})
    log_change(connection, actor, f"backorder.{state}", " ".join(key), {"reason": reason})
    return True


def find(connection: Connection, key: LineKey) -> BackorderView | None:
    """One backorder, whatever became of it; None where there is none."""
    found = [_view(row) for row in connection.execute(_SQL["by_key"], _keys([key]))]
    return found[0] if found else None


def page(
    connection: Connection,
    *,
    sku: str = "",
    channel: str = "",
    system: str = "",
    order: str = "",
    state: str = "owed",
    before: int = 2**63 - 1,
    limit: int = 100,
) -> list[BackorderView]:
    """Backorders with an id below `before`, newest first, at most `limit`."""
    asked = {
        "sku": sku,
        "channel": channel,
        "system": system,
        "order": order,
        "state": state,
        "before": before,
        "limit": limit,
    }
    return [_view(row) for row in connection.execute(_SQL["page"], asked)]


def owed(connection: Connection, skus: Sequence[str]) -> dict[str, list[Backorder]]:
    """By SKU what is owed, by rank."""
    found: dict[str, list[Backorder]] = {}
    for row in connection.execute(_SQL["owed"], {"skus": texts(skus)}):
        one = _backorder(row)
        found.setdefault(one.sku, []).append(one)
    return found


# ---------------------------------------------------------------- rows


def _known(connection: Connection, keys: Sequence[LineKey]) -> dict[LineKey, tuple[Backorder, int]]:
    rows = connection.execute(_SQL["by_key"], _keys(keys))
    found = ((_backorder(row[:_FIELDS]), row[_FIELDS]) for row in rows)
    return {one.key: (one, revision) for one, revision in found}


def _demand(connection: Connection, keys: Sequence[LineKey]) -> dict[LineKey, _Line]:
    found = {}
    for system, order, line, sku, claimed, cancelled, state, finals in connection.execute(
        _SQL["demand"], _keys(keys)
    ):
        ended = bool(finals) or state in ("released", "cancelled")
        standing = Standing(claimed, cancelled, state == "open", ended)
        found[system, order, line] = _Line(sku, standing)
    return found


def _backorder(row: Sequence[Any]) -> Backorder:
    return Backorder(**dict(zip(Backorder.__struct_fields__, row, strict=True)))


def _view(row: Sequence[Any]) -> BackorderView:
    one = _backorder(row[:_FIELDS])
    revision, reason, changed_at = row[_FIELDS:]
    return BackorderView(
        id=one.id,
        system=one.system,
        order=one.order,
        line=one.line,
        revision=revision,
        sku=one.sku,
        channel=one.channel,
        demand_class=one.demand_class,
        quantity=one.quantity,
        served=one.served,
        cancelled=one.cancelled,
        owed=one.owed,
        owed_since=one.owed_since,
        state=one.state,
        reason=reason,
        changed_at=changed_at,
    )


def _keys(keys: Collection[LineKey]) -> dict[str, str]:
    systems, orders, lines = zip(*keys, strict=True) if keys else ((), (), ())
    return {"systems": texts(systems), "orders": texts(orders), "lines": texts(lines)}


def _take_lane(connection: Connection) -> None:
    connection.execute(_SQL["lane"], {"lane": LANE})


def _now(connection: Connection) -> dt.datetime:
    row = connection.execute(_SQL["clock"]).fetchone()
    assert row is not None
    now: dt.datetime = row[0]
    return now


def _mark(connection: Connection, skus: Collection[str]) -> None:
    connection.execute(_SQL["mark"], {"skus": texts(sorted(skus))})

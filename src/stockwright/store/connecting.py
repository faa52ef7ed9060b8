"""How far connections have come: stage, steps, what their partner said and what it would get."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from psycopg.types.json import Jsonb

from stockwright.domain.connecting import Stage, Step, StepName
from stockwright.domain.connecting import State as StepState
from stockwright.domain.item_match import ITEM_STATES, ItemState, Known, PartnerItem
from stockwright.store.arrays import numbers, texts, times
from stockwright.store.connection import Connection
from stockwright.store.queries import load

_SQL: Final = load("connecting")


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """The stage of a connection that is connected by steps, since when, by whom and why."""

    system: str
    stage: Stage
    since: dt.datetime
    by: str
    why: str
    forced: bool


class Kept(msgspec.Struct, frozen=True):
    """A step as it was kept, and the digest of the settings it was taken with."""

    step: Step
    settings: str


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A number a partner told, in its own codes and its own unit."""

    code: str
    quantity: int
    as_of: dt.datetime
    location: str = ""
    lot: str = ""
    unit: str = ""


class StockLine(msgspec.Struct, frozen=True, kw_only=True):
    """What a partner said it holds of a matched item.

    place is our location, '' where its own is not bound; holder has the authority for counts there
    as of then, '' where nobody has.
    """

    code: str
    location: str
    place: str
    lot: str
    unit: str
    quantity: int
    as_of: dt.datetime
    feed: str
    holder: str


class ShadowLevel(msgspec.Struct, frozen=True, kw_only=True):
    """A level as it would have been sent, and what the partner shows: None where it does not.

    times counts the different numbers that would have been sent since first_at.
    """

    channel: str
    listing: str
    location: str
    desired: int
    shown: int | None
    shown_at: dt.datetime | None
    first_at: dt.datetime
    noted_at: dt.datetime
    times: int

    @property
    def difference(self) -> int | None:
        """What sending it would change; None where the partner shows nothing."""
        return None if self.shown is None else self.desired - self.shown


class ShadowCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What would have been sent in all: levels, and how they compare with what is shown."""

    levels: int = 0
    zeroes: int = 0
    differing: int = 0
    not_shown: int = 0
    changed: int = 0


def standings(connection: Connection, system: str = "") -> dict[str, Standing]:
    """The connections that are connected by steps, or this one, by system."""
    rows = connection.execute(_SQL["stages"], {"system": system})
    fields = Standing.__struct_fields__
    return {row[0]: Standing(**dict(zip(fields, row, strict=True))) for row in rows}


def set_stage(
    connection: Connection,
    system: str,
    stage: Stage,
    *,
    actor: str,
    why: str = "",
    forced: bool = False,
) -> None:
    """Brings a connection to a stage. Lock it first: publishers look under that lock."""
    arguments = {"system": system, "stage": stage, "actor": actor, "why": why, "forced": forced}
    connection.execute(_SQL["set_stage"], arguments)


def lock_system(connection: Connection, system: str) -> None:
    """Of several who take a step of one connection, one goes after the other."""
    connection.execute(_SQL["lock_system"], {"system": system})


def steps(connection: Connection, system: str = "") -> dict[str, dict[StepName, Kept]]:
    """The steps that were taken of every connection, or of this one, by system and name."""
    found: dict[str, dict[StepName, Kept]] = {}
    for code, name, state, at, by, note, settings, detail in connection.execute(
        _SQL["steps"], {"system": system}
    ):
        step = Step(name=name, state=state, at=at, by=by, note=note, detail=detail)
        found.setdefault(code, {})[name] = Kept(step, settings)
    return found


def write_step(
    connection: Connection,
    system: str,
    step: StepName,
    state: StepState,
    *,
    actor: str,
    note: str = "",
    settings: str = "",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Keeps the outcome of a step, in place of the one before. detail carries no secret."""
    connection.execute(
        _SQL["write_step"],
        {
            "system": system,
            "step": step,
            "state": state,
            "actor": actor,
            "note": note,
            "settings": settings,
            "detail": Jsonb(msgspec.to_builtins(detail or {})),
        },
    )


def forget(connection: Connection, system: str) -> None:
    """Forgets how far a connection came before, and what its partner said then."""
    connection.execute(_SQL["forget_steps"], {"system": system})
    for table in ("items", "shown", "shadow"):
        connection.execute(_SQL[f"clear_{table}"], {"system": system})


def workers_at(connection: Connection, system: str = "") -> dict[str, dt.datetime | None]:
    """When a worker last looked at each connection, or asked it; None where none ever did."""
    return dict(connection.execute(_SQL["workers_at"], {"system": system}).fetchall())


def known_items(connection: Connection, system: str, codes: Sequence[str]) -> dict[str, Known]:
    """What the item master says of a system's codes, by code; each is there."""
    rows = connection.execute(_SQL["known_items"], {"system": system, "codes": texts(codes)})
    return {
        code: msgspec.convert(
            {
                "sku": sku,
                "unit": unit,
                "base_unit": base,
                "factors": factors,
                "listings": listings,
                "same": same,
            },
            Known,
        )
        for code, sku, unit, base, factors, listings, same in rows
    }


def write_items(connection: Connection, system: str, items: Sequence[PartnerItem]) -> None:
    """Keeps the items a partner was seen to name, in place of those before."""
    connection.execute(_SQL["clear_items"], {"system": system})
    columns = {
        "codes": texts([item.code for item in items]),
        "states": texts([item.state for item in items]),
        "skus": texts([item.sku for item in items]),
        "units": texts([item.unit for item in items]),
        "seen": texts(["\n".join(item.seen) for item in items]),
        "whys": texts([item.why for item in items]),
    }
    connection.execute(_SQL["write_items"], {"system": system, **columns})


def items(
    connection: Connection,
    system: str,
    *,
    state: ItemState | str = "",
    after: PartnerItem | None = None,
    limit: int = 100,
) -> list[PartnerItem]:
    """A partner's items, conflicts first, then unknown ones; of one state where it is given."""
    arguments = {
        "system": system,
        "state": state,
        "after_state": 0 if after is None else ITEM_STATES.index(after.state) + 1,
        "after_code": "" if after is None else after.code,
        "limit": limit,
    }
    return [
        PartnerItem(
            code=code, state=found, sku=sku, unit=unit, why=why, seen=tuple(seen.split("\n"))
        )
        for code, found, sku, unit, why, seen in connection.execute(_SQL["items"], arguments)
    ]


def item_counts(connection: Connection, system: str = "") -> dict[str, dict[ItemState, int]]:
    """How many items of each system, or of this one, stand how; every state is there."""
    found: dict[str, dict[ItemState, int]] = {}
    for code, state, count in connection.execute(_SQL["item_counts"], {"system": system}):
        found.setdefault(code, dict.fromkeys(ITEM_STATES, 0))[state] = count
    return found


def write_shown(
    connection: Connection, system: str, shown: Iterable[Shown], *, whole: bool = True
) -> None:
    """Keeps what a partner said it shows or holds; whole: nothing else of before counts."""
    told = list(shown)
    if whole:
        connection.execute(_SQL["clear_shown"], {"system": system})
    if not told:
        return
    columns = {
        "codes": texts([one.code for one in told]),
        "locations": texts([one.location for one in told]),
        "lots": texts([one.lot for one in told]),
        "units": texts([one.unit for one in told]),
        "quantities": numbers([one.quantity for one in told]),
        "as_of": times([one.as_of for one in told]),
    }
    connection.execute(_SQL["write_shown"], {"system": system, **columns})


def shown_total(connection: Connection, system: str) -> tuple[int, dt.datetime | None]:
    """How many numbers a partner told, and the newest time of them."""
    row = connection.execute(_SQL["shown_total"], {"system": system}).fetchone()
    assert row is not None
    return row[0], row[1]


def stock_lines(connection: Connection, system: str) -> list[StockLine]:
    """What a partner said it holds of its matched items, by code, location and lot."""
    fields = StockLine.__struct_fields__
    rows = connection.execute(_SQL["stock_lines"], {"system": system})
    return [StockLine(**dict(zip(fields, row, strict=True))) for row in rows]


def note_shadow(connection: Connection, limit: int) -> list[str]:
    """Writes down what would be sent to connections in shadow; the channel of each such level."""
    channels = [code for (code,) in connection.execute(_SQL["shadow_channels"])]
    if not channels:
        return []
    arguments = {"channels": texts(channels), "limit": limit}
    return [channel for (channel,) in connection.execute(_SQL["note_shadow"], arguments)]


def clear_shadow(connection: Connection, system: str) -> None:
    """Forgets what would have been sent to a connection."""
    connection.execute(_SQL["clear_shadow"], {"system": system})


def shadow(
    connection: Connection, system: str, *, differing: bool = False, limit: int = 100
) -> list[ShadowLevel]:
    """What would have been sent to a connection: what is not shown first, then by difference."""
    arguments = {"system": system, "differing": differing, "limit": limit}
    fields = ShadowLevel.__struct_fields__
    rows = connection.execute(_SQL["shadow"], arguments)
    return [ShadowLevel(**dict(zip(fields, row, strict=True))) for row in rows]


def shadow_counts(connection: Connection, system: str = "") -> dict[str, ShadowCounts]:
    """What would have been sent to each connection in shadow, or to this one, by system."""
    rows = connection.execute(_SQL["shadow_counts"], {"system": system})
    fields = ShadowCounts.__struct_fields__
    return {row[0]: ShadowCounts(**dict(zip(fields, row[1:], strict=True))) for row in rows}


def shadow_keys(connection: Connection, system: str, limit: int) -> list[tuple[str, str]]:
    """(listing, location) of what would have been sent, those longest unlooked at first."""
    rows = connection.execute(_SQL["shadow_keys"], {"system": system, "limit": limit})
    return [(listing, location) for listing, location in rows]


def active_listings(connection: Connection, system: str) -> int:
    """How many listings of a system's channels are on sale."""
    row = connection.execute(_SQL["active_listings"], {"system": system}).fetchone()
    assert row is not None
    return int(row[0])


def any_listings(connection: Connection, system: str, limit: int) -> list[str]:
    """A few listings of a system's channels."""
    rows = connection.execute(_SQL["any_listings"], {"system": system, "limit": limit})
    return [code for (code,) in rows]


OF_CONNECTIONS: Final = (
    "connection_misconfigured", "connection_not_opened", "orders_unseen", "publication_stuck",
    "webhook_off",
)  # fmt: skip
"""The kinds of work items that end with the connection they are about."""


def close_of_others(connection: Connection, systems: Sequence[str]) -> None:
    """Closes the work items about connections of all but these systems. Safe to repeat."""
    arguments = {"systems": texts(systems), "kinds": texts(OF_CONNECTIONS)}
    connection.execute(_SQL["close_of_others"], arguments)


def close_not_opened(connection: Connection, systems: Sequence[str]) -> None:
    """Closes the work items about connections that could not be opened. Safe to repeat."""
    connection.execute(_SQL["close_not_opened"], {"systems": texts(systems)})

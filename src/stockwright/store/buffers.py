"""Risk-bounded buffers: which are wanted, what they are, and what they were computed from."""

import datetime as dt
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from stockwright.domain.availability import RiskBuffer
from stockwright.domain.risk import Inputs
from stockwright.store.arrays import numbers, texts
from stockwright.store.connection import Connection
from stockwright.store.queries import load

_SQL: Final = load("buffers")

Pair = tuple[str, str]
"""(channel, sku)"""


class Wanted(msgspec.Struct, frozen=True):
    """A SKU that a channel sells, its group, and how many of the channel's listings hold it."""

    channel: str
    sku: str
    sku_group: str
    listings: int

    @property
    def pair(self) -> Pair:
        """(channel, sku)."""
        return (self.channel, self.sku)


class Stored(msgspec.Struct, frozen=True):
    """A buffer in base units, with its inputs."""

    channel: str
    sku: str
    units: int
    inputs: Inputs

    @property
    def explained(self) -> RiskBuffer:
        """The buffer as the step of an explanation."""
        return RiskBuffer(units=self.units, why=self.inputs.why(self.units))


def take_time(connection: Connection) -> None:
    """Lets this transaction stand still while we compute: it holds nothing the ledger waits for."""
    connection.execute(_SQL["take_time"])


def asked_for(connection: Connection) -> bool:
    """Whether any policy asks for a risk-bounded buffer."""
    row = connection.execute(_SQL["asked_for"]).fetchone()
    return bool(row and row[0])


def wanted(
    connection: Connection, after: Pair, limit: int, skus: Collection[str] | None = None
) -> list[Wanted]:
    """What channels with a risk-bounded policy sell, in order of key after one."""
    rows = connection.execute(
        _SQL["wanted"],
        {
            "channel": after[0],
            "sku": after[1],
            "limit": limit,
            "skus": None if skus is None else texts(sorted(skus)),
        },
    )
    return [Wanted(*row) for row in rows]


def of_pairs(connection: Connection, pairs: Collection[Pair]) -> list[Wanted]:
    """These channels and SKUs as far as the channels sell them, in order of key."""
    ordered = sorted(set(pairs))
    columns = {
        "channels": texts([channel for channel, _ in ordered]),
        "skus": texts([sku for _, sku in ordered]),
    }
    return [Wanted(*row) for row in connection.execute(_SQL["of_pairs"], columns)]


def buffers(connection: Connection, skus: Sequence[str]) -> dict[Pair, Stored]:
    """The buffers of these SKUs by (channel, sku)."""
    rows = connection.execute(_SQL["buffers"], {"skus": texts(skus)})
    return {
        (channel, sku): Stored(channel, sku, units, msgspec.convert(inputs, Inputs))
        for channel, sku, units, inputs in rows
    }


def write(connection: Connection, found: Sequence[Stored], now: dt.datetime) -> int:
    """Stores buffers and marks SKUs whose number changed; answers how many did."""
    if not found:
        return 0
    row = connection.execute(
        _SQL["write"],
        {
            "channels": texts([one.channel for one in found]),
            "skus": texts([one.sku for one in found]),
            "units": numbers([one.units for one in found]),
            "inputs": texts([msgspec.json.encode(one.inputs).decode() for one in found]),
            "now": now,
        },
    ).fetchone()
    return int(row[0]) if row else 0


def forget(connection: Connection, limit: int) -> int:
    """Takes buffers away that no policy asks for any more; answers how many."""
    row = connection.execute(_SQL["forget"], {"limit": limit}).fetchone()
    return int(row[0]) if row else 0

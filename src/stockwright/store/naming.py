"""What partners' codes stand for: SKUs with their units, bindings, classes of channels."""

from collections.abc import Collection

from stockwright.domain.catalog import Sku
from stockwright.store.connection import Connection
from stockwright.store.queries import load

_SQL = load("catalog")


def skus(connection: Connection, codes: Collection[str]) -> dict[str, Sku]:
    """These SKUs as far as the item master has them."""
    rows = connection.execute(_SQL["skus"], (sorted(codes),))
    return {row[0]: Sku(*row) for row in rows}


def bindings(
    connection: Connection, pairs: Collection[tuple[str, str]]
) -> dict[tuple[str, str], tuple[str, str]]:
    """(SKU, unit) of each (system, partner's code) that is bound."""
    ordered = sorted(pairs)
    asked = ([system for system, _ in ordered], [code for _, code in ordered])
    return {
        (system, partner_code): (code, unit)
        for system, partner_code, code, unit in connection.execute(_SQL["bindings"], asked)
    }


def channel_classes(connection: Connection) -> dict[str, int]:
    """The demand class of every channel."""
    return {row[0]: row[5] for row in connection.execute(_SQL["channels"])}

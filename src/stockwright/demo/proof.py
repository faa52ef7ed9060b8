"""What a replay ends with: the hub's books against the warehouse's list and the judge's view."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import aiohttp

from stockwright.demo.outcome import AuditFigures
from stockwright.flow.audit import run_audit
from stockwright.store.connection import connect
from stockwright.store.links import totals
from stockwright.store.stock import stock_of_skus


class HubBooks(NamedTuple):
    """The hub's pieces by SKU over all places, and how much waits for a person."""

    shelf: Counter[str]
    free: Counter[str]
    work_items: int
    parked: int


def read_books(url: str, skus: list[str]) -> HubBooks:
    """What the hub holds of these SKUs."""
    with connect(url, application_name="stockwright demo") as connection:
        books = stock_of_skus(connection, skus)
        counts = totals(connection)
    shelf: Counter[str] = Counter()
    free: Counter[str] = Counter()
    for sku, places in books.places.items():
        for stock in places:
            shelf[sku] += stock.sellable
            free[sku] += stock.sellable - stock.reserved - stock.allocated - stock.picked
    return HubBooks(shelf, free, counts.work_items, counts.parked)


async def warehouse_list(address: str) -> dict[str, int]:
    """What the WMS answers to lie on its shelves, by SKU."""
    async with (
        aiohttp.ClientSession(trust_env=False) as session,
        session.get(f"{address}/stock") as answer,
    ):
        answer.raise_for_status()
        stock: dict[str, int] = (await answer.json())["stock"]
        return stock


def prove(
    url: str, books: HubBooks, shelf: Mapping[str, int], free: Mapping[str, int]
) -> AuditFigures:
    """Audit the ledger, and compare it with what two others kept apart from it."""
    with connect(url, application_name="stockwright demo", autocommit=True) as connection:
        report = run_audit(connection, rebuild=True)
    shelf_differences = differing(books.shelf, shelf)
    free_differences = differing(books.free, free)
    return AuditFigures(
        ok=report.ok and not shelf_differences and not free_differences,
        checks=len(report.checks),
        failed=[check.name for check in report.checks if not check.ok],
        shelf_differences=len(shelf_differences),
        free_differences=len(free_differences),
    )


def differing(one: Mapping[str, int], other: Mapping[str, int]) -> list[str]:
    """SKUs of which the two do not hold the same number, sorted; one not named holds nothing."""
    return sorted(sku for sku in one.keys() | other.keys() if one.get(sku, 0) != other.get(sku, 0))

"""Answers of any shape, read without trust: pages of a connection, and values on a path."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from stockwright.connectors.shopify.paced import Paced
from stockwright.domain.errors import Misconfigured, Transient

MOST_PAGES: Final = 100_000


def value_at(root: Any, *path: str) -> Any:
    """The value on a path of names; None where there is none."""
    for name in path:
        root = root.get(name) if isinstance(root, dict) else None
    return root


def nodes_of(connection: Any) -> list[dict[str, Any]]:
    """The objects of a connection. Raises Transient where it is none."""
    nodes = connection.get("nodes") if isinstance(connection, dict) else None
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        raise Transient("the shop's answer holds no list where one belongs")
    return nodes


def next_of(connection: Any) -> str | None:
    """The cursor of the page after this one; None where there is no such page."""
    if value_at(connection, "pageInfo", "hasNextPage") is not True:
        return None
    cursor = value_at(connection, "pageInfo", "endCursor")
    if not isinstance(cursor, str) or not cursor:
        raise Transient("the shop says that there is more, and not where")
    return cursor


async def each_page(
    shop: Paced,
    document: str,
    variables: Mapping[str, Any],
    *path: str,
    after: str | None = None,
    gone: Misconfigured | None = None,
) -> AsyncIterator[dict[str, Any]]:
    """Every object of the connection on that path, page after page from a cursor on.

    gone is raised where the shop says that there is no object whose connection it would be.
    """
    for _ in range(MOST_PAGES):
        data = await shop.ask(document, {**variables, "after": after})
        if gone is not None and data.get(path[0]) is None:
            raise gone
        connection = value_at(dict(data), *path)
        for node in nodes_of(connection):
            yield node
        after = next_of(connection)
        if after is None:
            return

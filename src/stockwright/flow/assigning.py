"""A partner's unknown items and places made known: codes bound, items listed where it sells.

What `stockwright import bindings` and `listings` do with the files of `connection items`, for a
few codes that a person says something about.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from stockwright.domain.errors import Rejected
from stockwright.domain.item_match import Known
from stockwright.domain.items import Binding, Component, Listing
from stockwright.flow.checking import rematch
from stockwright.flow.connecting import ConnectionView, channels_of, system_of, view
from stockwright.store import connecting as store
from stockwright.store import master
from stockwright.store.access import log_change
from stockwright.store.connection import Connection
from stockwright.store.history import Said, said_by
from stockwright.store.kinds import KINDS, Row

MOST: Final = 200
"""Items that are assigned at one time."""


def assign(
    connection: Connection, system: str, skus: Mapping[str, str], said: Said
) -> ConnectionView:
    """Ties items of the last test to our SKUs, by the partner's code, and matches all once more.

    A code is bound where the partner tells of it, and becomes a listing of one piece on each
    channel of the system that has none of that code. What is bound or listed already stays.
    Raises Rejected (malformed) naming the item, and then nothing is written; not_ready where no
    item was seen yet.
    """
    if not skus:
        raise Rejected("malformed", "sku", "Write our SKU beside at least one item.")
    if len(skus) > MOST:
        raise Rejected("malformed", "sku", f"Assign at most {MOST} items at one time.")
    _found, network = system_of(connection, system)
    items = store.steps(connection, system).get(system, {}).get("items")
    detail = items.step.detail if items is not None else {}
    channels = channels_of(network, system) if detail.get("listed") else ()
    said_by(connection, said)
    for code, known in store.known_items(connection, system, list(skus)).items():
        if detail.get("bound") and not known.sku:
            row = Binding(system=system, partner_code=code, code=skus[code])
            _save(connection, "bindings", row, code, said)
        for channel in _without(channels, known):
            parts = (Component(sku=skus[code]),)
            listing = Listing(channel=channel, code=code, components=parts)
            _save(connection, "listings", listing, code, said)
    return rematch(connection, system, actor=said.actor)


def bind_places(
    connection: Connection, system: str, places: Mapping[str, str], said: Said
) -> ConnectionView:
    """Ties the partner's names of places to ours. Its sample is to be tested once more by then.

    Raises Rejected (malformed) naming the place, and then nothing is written.
    """
    if not places:
        raise Rejected("malformed", "place", "Write our place beside at least one of theirs.")
    if len(places) > MOST:
        raise Rejected("malformed", "place", f"Bind at most {MOST} places at one time.")
    system_of(connection, system)
    said_by(connection, said)
    for name, code in places.items():
        row = Binding(system=system, subject="location", partner_code=name, code=code)
        _save(connection, "bindings", row, name, said, "place")
    return view(connection, system)


def _without(channels: tuple[str, ...], known: Known) -> list[str]:
    """The channels that have no listing of the code, on sale or not."""
    have = {listing.channel for listing in known.listings}
    return [channel for channel in channels if channel not in have]


def _save(
    connection: Connection, kind: str, row: Row, code: str, said: Said, field: str = "sku"
) -> None:
    try:
        saved = master.save_one(connection, kind, row)
    except Rejected as refused:
        raise Rejected("malformed", field, f"{code}: {refused.message}.") from None
    if saved != "unchanged":
        key = " ".join(KINDS[kind].key_of(row))
        log_change(connection, said.actor, f"{kind}.put", key, msgspec.to_builtins(row))

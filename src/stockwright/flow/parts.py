"""The parts of a kept payload: its bytes mapped by the connection of its system, any time again."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from stockwright.domain.events import Fact
from stockwright.flow.unpacking import Codes, codes_in, map_item, mapped
from stockwright.sdk.messages import Failure, Mapped, Payload
from stockwright.sdk.verbs import Maps, Restocks
from stockwright.store import payloads as store
from stockwright.store.connection import Connection, Pool
from stockwright.store.payloads import Claimed
from stockwright.store.session import session

_PUT_BACK: Final = frozenset({"channel_cancel", "return_receipt"})
GONE: Final = "the mapping finds nothing at this place any more"


class Parts:
    """Maps payloads of the connections given, by the code of their system. For one thread."""

    def __init__(self, pool: Pool, connections: Mapping[str, Maps]) -> None:
        self._pool = pool
        self._connections = connections
        self._parent: tuple[int, dict[str, list[Mapped]]] = (0, {})

    def forget(self) -> None:
        """Lets the payload go whose parts came last."""
        self._parent = (0, {})

    def of(self, claimed: Claimed) -> list[Mapped]:
        """A payload's parts; of one that is a part itself, those at its place in the parent.

        The parent is mapped once for all its parts that come one after the other.
        """
        if claimed.parent is None:
            return self._mapped(claimed.id, claimed)
        if self._parent[0] != claimed.parent:
            by_place: dict[str, list[Mapped]] = {}
            for part in self._mapped(claimed.parent, claimed._replace(body=None)):
                by_place.setdefault(part.place, []).append(part)
            self._parent = (claimed.parent, by_place)
        gone = Failure(path=claimed.place, reason=GONE)
        return self._parent[1].get(claimed.place) or [Mapped(place=claimed.place, item=gone)]

    def restocked(self, claimed: Claimed, parts: Sequence[Mapped]) -> set[str]:
        """The listings that a payload's partner may have put back on sale by itself."""
        facts = [part.item for part in parts if isinstance(part.item, Fact)]
        found = {fact.item for fact in facts if fact.item and fact.kind in _PUT_BACK}
        connected: object = self._connections.get(claimed.system)
        # Anybody's code: whatever it does, the facts go on.
        with suppress(Exception):
            if claimed.body is not None and isinstance(connected, Restocks):
                found.update(map(str, connected.restocked(_payload(claimed))))
        return found

    def _mapped(self, payload_id: int, source: Claimed) -> list[Mapped]:
        if source.body is None:
            with session(self._pool) as connection:
                found = store.body_of(connection, payload_id)
            assert found is not None, "a payload is never deleted while it waits"
            source = source._replace(**found._asdict())
        connected = self._connections.get(source.system)
        payload = _payload(source)
        if source.door == "item" or connected is None:
            return mapped(map_item, payload)
        return mapped(connected.map, payload)


def _payload(claimed: Claimed) -> Payload:
    return Payload(
        body=bytes(claimed.body or b""),
        content_type=claimed.content_type,
        headers=claimed.headers,
        raw_key=claimed.raw_key,
    )


def codes_of(
    connection: Connection, group: Sequence[Claimed], parts: Sequence[Sequence[Mapped]]
) -> dict[str, Codes]:
    """What is known of the codes that payloads name, by system; parts are aligned with them."""
    by_system: dict[str, list[Mapped]] = {one.system: [] for one in group}
    for one, its_parts in zip(group, parts, strict=True):
        by_system[one.system] += its_parts
    return {system: codes_for(connection, system, some) for system, some in by_system.items()}


def codes_for(connection: Connection, system: str, parts: Sequence[Mapped]) -> Codes:
    """What is known of the codes that parts of one system's payloads name."""
    asked = codes_in(parts)
    locations = [code for subject, code in asked if subject == "location"]
    places = store.places_of(connection, system, locations) if locations else {}
    unknown = store.unknown_codes(connection, system, asked) if asked else set()
    return Codes(places, unknown)

"""The kinds of rows the item master has: their keys, their queries, and which levels they touch."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from stockwright.domain.items import Binding, Component, Kit, Listing, Sku, Unit
from stockwright.domain.network import Location

Row = Sku | Unit | Binding | Kit | Listing | Location
Key = tuple[str, ...]


class Kind(Struct, frozen=True, kw_only=True):
    """How one kind of row is read and written.

    touched names the SKUs whose levels change with a row: from the old row and the new one.
    clears run before writes, for rows that are kept in several tables.
    """

    name: str
    struct: type[Row]
    key: tuple[str, ...]
    from_row: Callable[[Sequence[Any]], Row]
    touched: Callable[[Any, Any], Iterable[str]]
    clears: tuple[str, ...] = ()
    writes: tuple[str, ...]

    def key_of(self, row: Row) -> Key:
        """The key of a row, unique within its kind."""
        return tuple(getattr(row, name) for name in self.key)

    def label(self, key: Key) -> str:
        """A key as people read it."""
        return " ".join(key)


def tidy(row: Row) -> Row:
    """The row with its parts in their order, so that equal rows compare equal."""
    match row:
        case Kit() | Listing():
            ordered = tuple(sorted(row.components, key=lambda part: part.sku))
            return replace(row, components=ordered)
        case Location():
            return replace(row, groups=tuple(sorted(set(row.groups))))
    return row


def _plain(struct: type[Row]) -> Callable[[Sequence[Any]], Row]:
    names = struct.__struct_fields__
    return lambda row: struct(**dict(zip(names, row, strict=True)))


def _components(skus: Iterable[str] | None, quantities: Iterable[int] | None) -> Any:
    pairs = zip(skus or (), quantities or (), strict=True)
    return tuple(Component(sku=sku, quantity=quantity) for sku, quantity in pairs)


def _kit(row: Sequence[Any]) -> Kit:
    return Kit(sku=row[0], components=_components(row[1], row[2]))


def _listing(row: Sequence[Any]) -> Listing:
    channel, code, active, skus, quantities = row
    return Listing(
        channel=channel, code=code, components=_components(skus, quantities), active=active
    )


def _location(row: Sequence[Any]) -> Location:
    code, name, time_zone, feed, priority, grace_s, groups = row
    return Location(
        code=code,
        name=name,
        time_zone=time_zone,
        feed=feed,
        priority=priority,
        supply_grace_s=grace_s,
        groups=tuple(groups),
    )


def _by_sku(old: Sku | None, new: Sku) -> Iterable[str]:
    """A new SKU is listed nowhere; of an old one only these two shape a level."""
    if old and (old.sku_group, old.active) != (new.sku_group, new.active):
        return (new.code,)
    return ()


def _by_binding(old: Binding | None, new: Binding) -> Iterable[str]:
    if new.subject != "item":
        return ()
    return (old.code, new.code) if old else (new.code,)


def _by_listing(old: Listing | None, new: Listing) -> Iterable[str]:
    return [part.sku for row in (old, new) if row for part in row.components]


def _nothing(_old: Row | None, _new: Row) -> Iterable[str]:
    return ()


SKUS: Final = Kind(
    name="skus",
    struct=Sku,
    key=("code",),
    from_row=_plain(Sku),
    touched=_by_sku,
    writes=("write_skus",),
)
UNITS: Final = Kind(
    name="units",
    struct=Unit,
    key=("sku", "code"),
    from_row=_plain(Unit),
    touched=_nothing,
    writes=("write_units",),
)
BINDINGS: Final = Kind(
    name="bindings",
    struct=Binding,
    key=("system", "subject", "partner_code"),
    from_row=_plain(Binding),
    touched=_by_binding,
    writes=("write_bindings",),
)
KITS: Final = Kind(
    name="kits",
    struct=Kit,
    key=("sku",),
    from_row=_kit,
    touched=lambda _old, new: (new.sku,),
    clears=("clear_kits",),
    writes=("write_kits",),
)
LISTINGS: Final = Kind(
    name="listings",
    struct=Listing,
    key=("channel", "code"),
    from_row=_listing,
    touched=_by_listing,
    clears=("clear_listings",),
    writes=("write_listings",),
)
LOCATIONS: Final = Kind(
    name="locations",
    struct=Location,
    key=("code",),
    from_row=_location,
    touched=_nothing,
    clears=("clear_groups",),
    writes=("write_locations", "write_groups"),
)

KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind for kind in (SKUS, UNITS, BINDINGS, KITS, LISTINGS, LOCATIONS)
}

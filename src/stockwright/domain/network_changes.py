"""Where two networks differ: what the database holds, and what a file or a program wants of it."""

import datetime as dt
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from stockwright.domain.codes import field_name
from stockwright.domain.network import Channel, Location, Network, System

Family = Literal["systems", "locations", "channels"]
Part = System | Location | Channel
FAMILIES: Final[tuple[Family, ...]] = ("systems", "locations", "channels")


class Difference(Struct, frozen=True, kw_only=True):
    """One field of two networks, as the database has it and as it is wanted.

    None stands for what is not there: a part as a whole, a policy, a setting.
    """

    field: str
    database: Any
    wanted: Any


def normal(network: Network) -> Network:
    """The network with what has no order in one order, so that equal ones compare equal."""
    return Network(
        systems=tuple(
            replace(system, settings=_as_json(system.settings))
            for system in sorted(network.systems, key=_code)
        ),
        locations=tuple(_normal_place(place) for place in sorted(network.locations, key=_code)),
        channels=tuple(sorted(network.channels, key=_code)),
    )


def _normal_place(place: Location) -> Location:
    held = (
        replace(entry, valid_from=entry.valid_from.astimezone(dt.UTC)) for entry in place.authority
    )
    return replace(
        place,
        groups=tuple(sorted(set(place.groups))),
        authority=tuple(sorted(held, key=lambda entry: (entry.group, entry.valid_from))),
    )


def _code(part: Part) -> str:
    return part.code


def parts(network: Network) -> dict[tuple[Family, str], Part]:
    """Every part of a network by its family and code."""
    return {(family, part.code): part for family in FAMILIES for part in getattr(network, family)}


def of_parts(found: dict[tuple[Family, str], Part]) -> Network:
    """The network of these parts."""
    families: dict[Family, Any] = {
        family: tuple(found[key] for key in sorted(found) if key[0] == family)
        for family in FAMILIES
    }
    return Network(**families)


def part_name(key: tuple[Family, str]) -> str:
    """A part as people write it: channels.web."""
    return field_name(key)


def differences(
    database: Network, wanted: Network, *, complete: bool = True
) -> tuple[Difference, ...]:
    """What the database would take from `wanted`, by field.

    Parts that only the database has stay as they are, but for the connector of a system: where
    `wanted` is complete, a system it does not name is disconnected.
    """
    has, wants = parts(normal(database)), parts(normal(wanted))
    found: list[Difference] = []
    for key, part in wants.items():
        found += _of_part(key, has.get(key), part)
    for key, part in has.items():
        if complete and key not in wants and isinstance(part, System) and part.connector:
            name = field_name((*key, "connector"))
            found.append(Difference(field=name, database=part.connector, wanted=""))
    return tuple(sorted(found, key=lambda one: one.field))


def _of_part(key: tuple[Family, str], has: Part | None, wants: Part) -> Iterator[Difference]:
    told = {name: value for name, value in _plain(wants).items() if name != "code"}
    if has is None:
        yield Difference(field=part_name(key), database=None, wanted=told)
        return
    known = _plain(has)
    for name, value in told.items():
        yield from _of_value((*key, name), known[name], value)


def _plain(part: Part) -> dict[str, Any]:
    plain: dict[str, Any] = _as_json(part)
    return plain


def _as_json(value: Any) -> Any:
    """The value as it comes back from where it is kept: lists for tuples, text for times."""
    return msgspec.json.decode(msgspec.json.encode(value))


def _of_value(path: tuple[str | int, ...], has: Any, wants: Any) -> Iterator[Difference]:
    if has == wants:
        return
    if isinstance(has, dict) and isinstance(wants, dict):
        for name in sorted(has.keys() | wants.keys()):
            yield from _of_value((*path, name), has.get(name), wants.get(name))
    elif _are_tables(has, wants):
        for n, (one, other) in enumerate(zip_longest(has, wants)):
            yield from _of_value((*path, n), one, other)
    else:
        yield Difference(field=field_name(path), database=has, wanted=wants)


def _are_tables(*values: Any) -> bool:
    """True for lists of tables, which are told apart by their places."""
    return all(
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and all(isinstance(entry, dict) for entry in value)
        for value in values
    )


def only_in(database: Network, wanted: Network) -> tuple[str, ...]:
    """Names of the parts that the database has and `wanted` does not."""
    wants = parts(wanted)
    return tuple(part_name(key) for key in sorted(parts(database)) if key not in wants)


def overlaid(database: Network, edits: Network) -> Network:
    """The database's network with some parts as the edits give them."""
    return of_parts(parts(database) | parts(edits))


def lost_names(before: Network, after: Network) -> tuple[tuple[str, str], ...]:
    """Pools that would name what is no location or group any more, as (field, name).

    What named nothing before is not counted: that is nobody's doing now.
    """
    known, left = _places(before), _places(after)
    return tuple(
        (field_name(("channels", channel.code, "pool")), name)
        for channel in after.channels
        for name in channel.pool
        if name in known and name not in left
    )


def _places(network: Network) -> set[str]:
    """What a pool can name: locations and groups."""
    groups = {group for place in network.locations for group in place.groups}
    return {place.code for place in network.locations} | groups


def merged(base: Network, database: Network, file: Network) -> tuple[Network, tuple[str, ...]]:
    """What of a file may be applied over edits made at run time, and the parts that are held back.

    base is what the file said when it was last read. A part that the database gives otherwise was
    edited since: it stays, and is held back unless the file has come to say the same.
    """
    was, has, wants = (parts(normal(each)) for each in (base, database, file))
    result = dict(wants)
    held = []
    for key, part in has.items():
        edited = was.get(key) != part
        if edited and wants.get(key) != part and _reaches(key, part, wants):
            result[key] = part
            held.append(part_name(key))
    return of_parts(result), tuple(sorted(held))


def _reaches(key: tuple[Family, str], part: Part, wants: dict[tuple[Family, str], Part]) -> bool:
    """Whether applying a file would touch this part of the database at all."""
    return key in wants or (isinstance(part, System) and bool(part.connector))

"""What must hold between the parts of the file: references, authorities, order of policies."""

import datetime as dt
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from stockwright.config.connectors import connector_names, find_connector, settings_problems
from stockwright.config.findings import Report
from stockwright.config.host_paths import is_absolute, is_root, overlap
from stockwright.config.locator import Path
from stockwright.config.secrets import carries_password, is_reference, literal_secrets
from stockwright.config.sections import Values
from stockwright.domain.codes import did_you_mean
from stockwright.domain.errors import Misconfigured
from stockwright.domain.network import BEGINNING
from stockwright.domain.policies import oddities
from stockwright.domain.proxies import network_problem

Family = Mapping[str, Values]

_SECRET_FIX: Final = "put it into the environment or a file and write env:NAME or file:PATH here"
_POSTING: Final = ("inbound", "outbound", "internal")


def check_all(report: Report, top: Values, families: Mapping[str, Family]) -> None:
    """Runs every rule over what could be read."""
    systems, places = families["systems"], families["locations"]
    check_database(report, top.get("database", {}))
    check_server(report, top.get("server", {}))
    check_subscriptions(report, top.get("subscriptions", {}))
    check_folders(report, top.get("connections", {}))
    check_connectors(report, systems)
    check_groups(report, places)
    check_priorities(report, places)
    check_authorities(report, places, systems)
    check_channels(report, families["channels"], systems, places, top.get("imported_places", ()))
    check_order_channels(report, systems, families["channels"])


def check_database(report: Report, database: Values) -> None:
    """One database, named without its password."""
    url = database.get("url", "")
    path = ("database", "url")
    if url and database.get("data_dir"):
        report.add(path, "is given beside data_dir", "give one of the two")
    if not url or is_reference(url):
        return
    if carries_password(url):
        report.add(path, "carries a password", _SECRET_FIX)
    elif not url.startswith(("postgresql://", "postgres://")):
        report.add(path, "is no PostgreSQL address", "give postgresql://..., env:NAME or file:PATH")


def check_server(report: Report, server: Values) -> None:
    """An outside address that a browser can follow, and networks of proxies that are networks."""
    base = server.get("base", "")
    if base and (urlsplit(base).scheme not in ("http", "https") or not urlsplit(base).netloc):
        report.add(("server", "base"), "is no web address", "give https://host or http://host:port")
    for index, text in enumerate(server.get("trusted_proxies", ())):
        problem, fix = network_problem(text)
        if problem:
            report.add(("server", "trusted_proxies", index), problem, fix)


def check_subscriptions(report: Report, subscriptions: Values) -> None:
    """Networks that are networks; all of the world would switch the guard off unnoticed."""
    for index, text in enumerate(subscriptions.get("allowed_networks", ())):
        problem, fix = network_problem(text)
        if problem.startswith("trusts"):
            problem, fix = "allows every address", "name the networks of your consumers"
        if problem:
            report.add(("subscriptions", "allowed_networks", index), problem, fix)


def check_folders(report: Report, connections: Values) -> None:
    """Folders that are folders of their own: the root of all files would switch the guard off."""
    secret = connections.get("secret_folders", ())
    for name in ("secret_folders", "exchange_folders"):
        for index, text in enumerate(connections.get(name, ())):
            path: Path = ("connections", name, index)
            if not is_absolute(text):
                report.add(path, "is no absolute path", "give one, such as /srv/stockwright")
            elif is_root(text):
                report.add(path, "allows every file", "name a folder that holds nothing else")
            elif name == "exchange_folders" and any(overlap(text, one) for one in secret):
                report.add(
                    path,
                    "holds secrets, or lies among them",
                    "keep files of partners and secrets in folders apart",
                )


def check_connectors(report: Report, systems: Family) -> None:
    """Known connectors, settings that can be kept as JSON, no secret written out."""
    names = connector_names()
    for code, system in systems.items():
        path: Path = ("systems", code)
        connector = system.get("connector", "")
        if connector and connector not in names:
            known = f"give one of {', '.join(names)}, or leave it empty"
            near = did_you_mean(connector, names)
            report.add((*path, "connector"), "is no connector that is installed", near or known)
        settings = system.get("settings", {})
        _check_settings(report, (*path, "settings"), connector, settings)


def _check_settings(report: Report, path: Path, name: str, settings: Mapping[str, Any]) -> None:
    """The connector's own rules come last: they need not repeat that a value is a secret."""
    told = set()
    for literal in literal_secrets(path, settings):
        report.add(literal, "holds a secret as itself", _SECRET_FIX)
        told.add(literal)
    for odd in _not_json(path, settings):
        report.add(odd, "cannot be kept as JSON", "give text, a finite number, true or false")
        told.add(odd)
    try:
        connector = find_connector(name)
    except Misconfigured as broken:
        what, _, fix = str(broken).rpartition("; ")
        report.add((*path[:-1], "connector"), what, fix)
        return
    if connector is None:
        return
    for inner, problem, fix in settings_problems(connector, settings):
        if (*path, *inner) not in told:
            report.add((*path, *inner), problem, fix)


def _not_json(path: Path, value: object) -> Iterator[Path]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _not_json((*path, key), part)
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _not_json((*path, index), part)
    elif (isinstance(value, float) and not math.isfinite(value)) or (
        isinstance(value, str) and "\x00" in value
    ):
        yield path


def check_groups(report: Report, places: Family) -> None:
    """A pool names locations and groups alike, so that no code may mean both."""
    for code, place in places.items():
        for index, group in enumerate(place.get("groups", ())):
            if group in places:
                report.add(
                    ("locations", code, "groups", index),
                    f"the group {group} has the code of a location",
                    "give the group another code",
                )


def check_priorities(report: Report, places: Family) -> None:
    """Equal priorities, where they were stated, are decided by code: perhaps not what was meant."""
    first: dict[int, str] = {}
    for code, place in places.items():
        if "priority" not in place:
            continue
        other = first.setdefault(place["priority"], code)
        if other != code:
            report.add(
                ("locations", code, "priority"),
                f"is that of {other} too",
                "give each its own, or let the lower code go first",
                "warning",
            )


def check_authorities(report: Report, places: Family, systems: Family) -> None:
    """Authorities name systems, once each; where two systems post, somebody must hold the word."""
    posting = [code for code, system in systems.items() if system.get("role") in ("wms", "3pl")]
    for code, place in places.items():
        path: Path = ("locations", code, "authority")
        seen: dict[tuple[str, dt.datetime], int] = {}
        for index, entry in enumerate(place.get("authority", ())):
            _check_authority(report, (*path, index), entry, systems, seen)
        held = {group for group, _ in seen}
        open_groups = [group for group in _POSTING if group not in held]
        if len(posting) > 1 and open_groups and place.get("feed") != "snapshot":
            report.add(
                path,
                f"nobody holds {', '.join(open_groups)}, and {' and '.join(posting)} may post both",
                f'add {{ group = "{open_groups[0]}", system = "{posting[0]}" }}',
                "warning",
            )


def _check_authority(
    report: Report,
    path: Path,
    entry: Values,
    systems: Family,
    seen: dict[tuple[str, dt.datetime], int],
) -> None:
    _check_system(report, path, entry, systems)
    group = entry.get("group")
    if isinstance(group, str):
        key = (group, entry.get("valid_from", BEGINNING))
        if key in seen:
            report.add(path, f"{group} is given twice from the same time", "remove one of the two")
        seen[key] = 1


def _check_system(report: Report, path: Path, values: Values, systems: Family) -> None:
    system = values.get("system")
    if system is not None and system not in systems:
        fix = did_you_mean(system, systems) or f"add [systems.{system}], or name one there is"
        report.add((*path, "system"), f"there is no system {system}", fix)


def check_channels(
    report: Report, channels: Family, systems: Family, places: Family, imported: tuple[str, ...]
) -> None:
    """Channels sell from places that exist, for a system that exists, by rules that are reached."""
    groups = {group for place in places.values() for group in place.get("groups", ())}
    known = {*places, *groups, *imported}
    for code, channel in channels.items():
        path: Path = ("channels", code)
        _check_system(report, path, channel, systems)
        pool: tuple[str, ...] = channel.get("pool", ())
        for index, member in enumerate(pool):
            if member not in known:
                fix = did_you_mean(member, known) or (
                    f"add [locations.{member}], or name it in imported_places"
                )
                report.add((*path, "pool", index), f"there is no location or group {member}", fix)
            elif member in pool[:index]:
                report.add((*path, "pool", index), f"{member} stands twice", "remove one")
        _check_policies(report, (*path, "policies"), channel.get("policies", ()))
        _check_caps(report, (*path, "policies"), channel.get("policies", ()), systems)


def check_order_channels(report: Report, systems: Family, channels: Family) -> None:
    """Orders are of a channel that there is; by default it has the code of their system."""
    for code, system in systems.items():
        own = [name for name, one in channels.items() if one.get("system") == code]
        settings = system.get("settings", {})
        channel = settings.get("channel") or code
        if own and channel not in channels and _takes_a_channel(system.get("connector", "")):
            report.add(
                ("systems", code, "settings", "channel"),
                f"its orders are of the channel {channel}, which there is not",
                f'set channel = "{own[0]}", or bind the code {channel} to a channel',
                "warning",
            )


def _takes_a_channel(name: str) -> bool:
    try:
        connector = find_connector(name)
    except Misconfigured:
        return False  # told by the check of connectors
    if connector is None:
        return False
    fields = msgspec.structs.fields(connector.declaration.settings)
    return any(field.name == "channel" for field in fields)


def _check_caps(
    report: Report, path: Path, policies: list[Values] | tuple[()], systems: Family
) -> None:
    """A cap while a source is silent needs a source of which silence can be told."""
    if any(system.get("heartbeat_s") or system.get("connector") for system in systems.values()):
        return
    for index, policy in enumerate(policies):
        if policy.get("degraded_cap") is not None:
            report.add(
                (*path, index, "degraded_cap"),
                "never holds: no system promises heartbeats or is polled by a connector",
                "give the systems that tell of sales or goods a heartbeat_s",
                "warning",
            )


def _check_policies(report: Report, path: Path, policies: list[Values] | tuple[()]) -> None:
    seen: dict[tuple[Any, Any], int] = {}
    for index, policy in enumerate(policies):
        sku, group = policy.get("sku"), policy.get("sku_group")
        # Every row that matches at least what this one does, and stands before it.
        for wider in ((None, None), (sku, None), (None, group), (sku, group)):
            if wider in seen:
                report.add(
                    (*path, index),
                    f"is never reached: policies[{seen[wider]}] matches before it",
                    "put the general policy last",
                    "warning",
                )
                break
        seen.setdefault((sku, group), index)
        for field, problem, fix in oddities(policy):
            report.add((*path, index, field), problem, fix, "warning")

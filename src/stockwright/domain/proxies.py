"""Whose word counts about where a call came from: the peer's, and that of our own proxies."""

import ipaddress
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Net: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_HOPS: Final = 32
"""Addresses of X-Forwarded-For that are looked at, from its end."""


class Origin(NamedTuple):
    """Where a call came from. https None: nobody whose word counts said so."""

    address: str
    https: bool | None = None


def network_problem(text: str) -> tuple[str, str]:
    """What is wrong with a network of proxies, and how to mend it; empty texts for a good one."""
    try:
        net = ipaddress.ip_network(text)
    except ValueError:
        try:
            meant = ipaddress.ip_network(text, strict=False)
        except ValueError:
            return "is no network", "give an address such as 10.0.0.7 or a network as 10.0.0.0/24"
        return "has bits set behind its prefix", f"write {meant}, or {text.split('/')[0]} alone"
    if net.prefixlen == 0:
        return "trusts every address, so that anybody may claim any", "name the proxies' networks"
    return "", ""


def networks(texts: Sequence[str]) -> tuple[Net, ...]:
    """Networks that `network_problem` found good."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def origin(
    peer: str, forwarded_for: Sequence[str], forwarded_proto: Sequence[str], trusted: Sequence[Net]
) -> Origin:
    """Where a call of this peer came from, by the values of its X-Forwarded headers in order.

    Each trusted proxy appended whom it heard from, so the client is the last address that is not
    one of ours; what stands before it, the client may have made up. An entry that is no address
    ends the search at the proxy that wrote it.
    """
    found = _address(peer)
    if found is None or not _is_trusted(found, trusted):
        return Origin(peer)
    hops = _entries(forwarded_for)
    place = len(hops)
    for hop in range(len(hops) - 1, max(-1, len(hops) - 1 - _HOPS), -1):
        told = _address(hops[hop])
        if told is None:
            break
        found, place = told, hop
        if not _is_trusted(told, trusted):
            break
    protocols = _entries(forwarded_proto)
    # One for each hop where every proxy appended its own; else what the nearest of ours says.
    aligned = len(protocols) == len(hops) and place < len(hops)
    said = protocols[place if aligned else -1].lower() if protocols else ""
    return Origin(str(found), {"https": True, "http": False}.get(said))


def _entries(values: Sequence[str]) -> list[str]:
    return [entry.strip() for value in values for entry in value.split(",") if entry.strip()]


def _address(text: str) -> Address | None:
    """The address of an entry, which may name a port: 1.2.3.4:80, [2001:db8::1]:80."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def _is_trusted(address: Address, trusted: Sequence[Net]) -> bool:
    return any(address.version == net.version and address in net for net in trusted)

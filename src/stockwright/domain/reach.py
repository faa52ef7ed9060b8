"""Which network addresses a stranger's address may lead us to: never into our own networks."""

import ipaddress
from collections.abc import Sequence
from typing import Final

from stockwright.domain.proxies import Address, Net

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_COMPATIBLE: Final = ipaddress.ip_network("::/96")
"""An IPv4 address written as an IPv6 one, as it was done once; `::` and `::1` are none."""
_NOT_PUBLIC: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "fec0::/10",  # networks of one site, as they were once
        "64:ff9b:1::/48",  # translation inside one network
        "::ffff:0:0:0/96",  # the same, as IPv4-translated addresses
        "100::/64",
        "2001::/23",
        "3fff::/20",
        "5f00::/16",
        "192.88.99.0/24",
    )
)
"""What `ipaddress` takes for public, in some of the versions of Python that we run on."""


def may_reach(text: str, allowed: Sequence[Net], *, public: bool = True) -> bool:
    """Whether an IP address may be called: a public one, or one in an allowed network.

    Without public only the allowed networks count. An IPv4 address that is wrapped in an IPv6 one
    is judged as itself. A text that is no address may not.
    """
    try:
        address = _plain(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return False
    if any(address.version == net.version and address in net for net in allowed):
        return True
    inside = any(address.version == net.version and address in net for net in _NOT_PUBLIC)
    return public and address.is_global and not address.is_multicast and not inside


def is_address(text: str) -> bool:
    """Whether a host is written as an IP address rather than a name."""
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


def _plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, where it stands for one."""
    if not isinstance(address, ipaddress.IPv6Address):
        return address
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address

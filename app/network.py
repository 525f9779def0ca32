"""Where this service may connect to on a user's behalf: addresses of the public internet, and what settings allow.

A user names a host; without these rules the service would reach its own network for them: databases on loopback, the
credentials that a cloud hands out at link-local addresses. Rules apply to the *resolved* address, when a config is
saved and again when a connection is made, for a name may resolve differently later.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Protocol, Self

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""The addresses of a name.

:raises OSError: when it has none.
"""
IP = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

NAME: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?", re.ASCII)
NAT64: Final = IPv6Network("64:ff9b::/96")
SPECIAL: Final = tuple(
    ip_network(text)
    for text in ("192.0.0.0/24", "192.88.99.0/24", "64:ff9b:1::/48", "3fff::/20", "5f00::/16", "fec0::/10")
)
"""Set aside, which not every version of Python knows."""
METADATA: Final = frozenset({ip_address("168.63.129.16")})
"""Of clouds whose metadata service has a public address. The others' are link-local or private."""


class AddressRefused(Exception):
    """A host may not be connected to."""


async def resolve_by_system(host: str) -> Sequence[str]:
    """Whatever the operating system says. Odd spellings of addresses (``0x7f.1``) are resolved here too."""
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


class Options(Protocol):
    """The settings that make a :class:`Network`."""

    @property
    def allowed_private_hosts(self) -> Sequence[str]: ...

    @property
    def http_destination_urls(self) -> Sequence[str]: ...

    @property
    def resolve_timeout_seconds(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Network:
    """The rules of one process."""

    networks: tuple[IPNetwork, ...] = ()
    """Allowed though they are not public."""
    hosts: frozenset[str] = frozenset()
    """Names that are allowed, with everything below them, wherever they lead."""
    http_urls: frozenset[str] = frozenset()
    """The URLs that an HTTP destination may have."""
    timeout: float = 3.0
    """Seconds that resolving a name may take."""
    resolve: Resolve | None = None
    """Instead of the operating system's."""

    @classmethod
    def of(cls, options: Options) -> Self:
        networks, hosts = parse_allowed(options.allowed_private_hosts)
        return cls(networks, hosts, frozenset(options.http_destination_urls), options.resolve_timeout_seconds)

    def judge(self, host: str) -> bool | None:
        """Whether ``host`` may be connected to; None: its addresses decide."""
        host = host.strip("[]")
        if (address := _parse(host)) is not None:
            return self._allows(address)
        if NAME.fullmatch(host) is None:
            return False
        name = host.lower().rstrip(".")
        return True if any(name == allowed or name.endswith(f".{allowed}") for allowed in self.hosts) else None

    def allows(self, addresses: Iterable[str]) -> bool:
        """Whether all of a name's addresses may be connected to. One that has none may not."""
        parsed = [_parse(address) for address in addresses]
        return bool(parsed) and all(address is not None and self._allows(address) for address in parsed)

    async def addresses(self, host: str) -> Sequence[str]:
        """None at all when it cannot be resolved in time."""
        try:
            async with asyncio.timeout(self.timeout):
                return await (self.resolve or resolve_by_system)(host)
        except (OSError, UnicodeError):
            return ()

    async def vet(self, host: str) -> Sequence[str]:
        """The addresses to connect to, for one connection.

        :raises AddressRefused: when a rule is against it.
        :raises OSError: when the name cannot be resolved.
        """
        verdict = self.judge(host)
        if verdict is False:
            raise AddressRefused
        if _parse(host.strip("[]")) is not None:
            return (host.strip("[]"),)
        if not (addresses := await self.addresses(host)):
            raise OSError("name not resolved")
        if verdict is None and not self.allows(addresses):
            raise AddressRefused
        return addresses

    def _allows(self, address: IP) -> bool:
        # In whichever of its spellings a network is allowed: mapped addresses lead where the embedded ones do.
        spellings = {address, _embedded(address)}
        if any(spelling in network for spelling in spellings for network in self.networks):
            return True
        return all(_is_public(spelling) for spelling in spellings if not _is_wrapper(spelling))


class Names:
    """What is known of the hosts that the rules of one request ask about.

    Rules are synchronous, resolving is not: a host that is not known yet counts as allowed and is noted; after
    :meth:`look_up` the rules are applied once more.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.missing: set[str] = set()
        self._known: dict[str, bool] = {}

    def permits(self, host: str) -> bool:
        if (verdict := self.network.judge(host)) is not None:
            return verdict
        if host not in self._known:
            self.missing.add(host)
        return self._known.get(host, True)

    async def look_up(self) -> None:
        hosts = sorted(self.missing)
        found = await asyncio.gather(*(self.network.addresses(host) for host in hosts))
        for host, addresses in zip(hosts, found, strict=True):
            self._known[host] = self.network.allows(addresses)
        self.missing.clear()


def parse_allowed(entries: Iterable[str]) -> tuple[tuple[IPNetwork, ...], frozenset[str]]:
    """Networks and names of a list that holds both.

    :raises ValueError: for an entry that is neither.
    """
    networks, hosts = [], set()
    for entry in entries:
        try:
            networks.append(ip_network(entry, strict=False))
        except ValueError:
            if NAME.fullmatch(entry) is None:
                raise ValueError("each entry must be a host name, an address or a network") from None
            hosts.add(entry.lower().rstrip("."))
    return tuple(networks), frozenset(hosts)


def _parse(text: str) -> IP | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _embedded(address: IP) -> IP:
    """The IPv4 address that an IPv6 one stands for, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_wrapper(address: IP) -> bool:
    return _embedded(address) != address


def _is_public(address: IP) -> bool:
    if address in METADATA or any(address in network for network in SPECIAL):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved

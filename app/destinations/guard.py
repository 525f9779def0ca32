"""Where HTTP clients may connect to, held at each connection anew."""

import socket

from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult

from app.network import AddressRefused, Network


class Guard(AbstractResolver):
    """Resolves names for each connection anew, and lets only those addresses be connected to that are allowed.

    The HTTP client follows redirections, and asks no resolver about an address in figures: so each socket is looked at
    once more when it is made.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._vetted: set[str] = set()
        """Addresses of names that are allowed wherever they lead."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = await self._network.vet(host)
        self._vetted.update(addresses)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    def open_socket(self, info: AddrInfoType) -> socket.socket:
        """:raises AddressRefused: before anything is connected to."""
        family, kind, protocol, _, address = info
        host = str(address[0])
        if host not in self._vetted and not self._network.allows([host]):
            raise AddressRefused
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        """Nothing is held."""

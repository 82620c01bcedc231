"""What an engine's address may look like: one check for the client package and the engine's own commands."""

from collections.abc import Sequence
from typing import Final

PORT_DEFAULT: Final = 50_051
RESOLVED: Final = ("dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:", "xds:")
"""How gRPC targets begin that name a resolver of gRPC's; they are left to it."""


def is_host_and_port(text: str) -> bool:
    """Tell whether this is HOST:PORT, with brackets around an IPv6 address."""
    host, _, port = text.rpartition(":")
    is_port = port.isascii() and port.isdecimal() and len(port) <= 5 and 0 < int(port) < 65_536
    is_bare = ":" not in host or (host.startswith("[") and host.endswith("]"))
    return bool(host) and is_port and is_bare and text.isprintable() and not set(text) & set(" /?#@")


def check_address(address: str, name: str = "address") -> str:
    """Return an address as it was given.

    Raises
    ------
    ValueError
        gRPC would look up another name than the one meant, or dial port 443; the message says what to write instead.
    """
    if address.startswith(RESOLVED) or is_host_and_port(address):
        return address
    meant = _meant(address)
    way_out = f'; write "{meant}"' if is_host_and_port(meant) else ""
    raise ValueError(f'{name}: expected HOST:PORT, was "{address}"{way_out}')


def check_addresses(address: str | Sequence[str]) -> str | Sequence[str]:
    """Return one address or several as they were given; raises ValueError as `check_address` does."""
    for each in (address,) if isinstance(address, str) else address:
        if each:  # whether there is any at all is somebody else's question
            check_address(each)
    return address


def _meant(address: str) -> str:
    """Return what was probably meant: without a scheme and a path, with the port that engines have by default."""
    host = address.strip().partition("://")[2] or address.strip()
    host = host.partition("/")[0].rpartition("@")[2].removesuffix(":")
    if is_host_and_port(host):
        return host
    return f"[{host}]:{PORT_DEFAULT}" if host.count(":") > 1 and "[" not in host else f"{host}:{PORT_DEFAULT}"

"""Which proxies are trusted, with what: the settings on it, as tables that the core searches.

What an address or a field says is looked at in C (csrc/fw_addr, fw_forwarded, fw_proxy); here the settings
become the bytes that it is compared with.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fastwsgi.settings import Settings

# The longest name or value in a table: its length is one byte.
LONGEST_TEXT = 255
# The most names with an underscore: FW_FORWARDED_NAMES.
MOST_NAMES = 64
# The most proxies in a row: FW_FORWARDED_HOPS.
MOST_HOPS = 32


@dataclass(frozen=True)
class ForwardedFor:
    """Which field names the client; how many proxies are believed at the most, 0: all that are trusted."""

    field: str
    hops: int = 0

    def __str__(self) -> str:
        return f"{self.field}:{self.hops}" if self.hops else self.field


@dataclass(frozen=True)
class Proxies:
    """What a worker's loop is told. By default nobody is trusted."""

    trusted: tuple[str, ...] = ()
    scheme_headers: Mapping[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    header_map: str = "drop"
    forwarded_for: ForwardedFor | None = None
    proxy_protocol: str = "off"
    proxy_protocol_peers: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Proxies:
        return cls(
            trusted=settings.forwarded_allow_ips,
            scheme_headers=settings.secure_scheme_headers,
            names=settings.forwarder_headers,
            header_map=settings.header_map,
            forwarded_for=settings.forwarded_for,
            proxy_protocol=settings.proxy_protocol,
            proxy_protocol_peers=settings.proxy_allow_ips,
        )


def networks(written: Iterable[str]) -> bytes:
    """Addresses and networks, without '*', as an array of struct fw_network (csrc/fw_addr.h)."""
    rows = []
    for item in written:
        if item == "*":
            continue
        network = ipaddress.ip_network(item)
        rows.append(struct.pack("BB16s", network.version, network.prefixlen, network.network_address.packed))
    return b"".join(rows)


def fields(written: Mapping[str, str]) -> bytes:
    """Names of header fields with their values as a struct fw_forwarded_table (csrc/fw_forwarded.h)."""
    rows = []
    for name, value in written.items():
        name_bytes, value_bytes = name.lower().encode("latin-1"), value.encode("latin-1")
        rows.append(bytes((len(name_bytes), len(value_bytes))) + name_bytes + value_bytes)
    return b"".join(rows)

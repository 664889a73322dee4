"""The address guard: decides from which IP addresses, not names, a model may be fetched."""

from __future__ import annotations

import ipaddress
import re
import socket

from imageclassifier_runtime.errors import ADDRESS_REFUSED, UNREACHABLE, ModelError, error_text
from imageclassifier_runtime.settings.proxies import Address, literal

# Cloud metadata services outside the link-local range.
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd20:ce::254")
)
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
_BROADCAST = ipaddress.ip_address("255.255.255.255")
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


def refusal(address: Address, *, allow_loopback: bool = False) -> str | None:
    """Return why models may not be fetched from an address, or None if they may; private ranges are allowed."""
    for form in _forms(address):
        if form.is_loopback:
            if allow_loopback:
                continue
            return "a loopback address"
        if form in _METADATA:
            return "a cloud metadata service"
        if form.is_link_local:
            return "a link-local address (the range of cloud metadata services)"
        if form.is_unspecified or (form.version == 4 and form in _THIS_NETWORK):
            return "an unspecified address"
        if form.is_multicast or form == _BROADCAST:
            return "a multicast or broadcast address"
    return None


def resolve(host: str, port: int, *, allow_loopback: bool = False) -> list[str]:
    """Resolve a host and return the addresses to connect to, in order.

    Raises ModelError if any address is refused: a name that mixes allowed and refused addresses is an attempt to
    bypass the guard.
    """
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except (socket.gaierror, UnicodeError) as error:
        raise ModelError(UNREACHABLE, f"cannot resolve {host}: {error_text(error)}") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
    for text in addresses:
        reason = refusal(ipaddress.ip_address(text), allow_loopback=allow_loopback)
        if reason is not None:
            raise ModelError(ADDRESS_REFUSED, f"{host} resolves to {text}, {reason}, which is not allowed")
    return addresses


def check_literal(host: str, *, allow_loopback: bool = False) -> None:
    """Raise ModelError if a host is an IP address that is refused; a name is not resolved.

    A host with other characters is refused too: it could be an address for the proxy that gets it, after decoding.
    """
    if not _HOST.fullmatch(host):
        raise ModelError(ADDRESS_REFUSED, f"{host} is neither a host name nor an IP address, which is not allowed")
    address = literal(host)
    reason = None if address is None else refusal(address, allow_loopback=allow_loopback)
    if reason is not None:
        raise ModelError(ADDRESS_REFUSED, f"{host} is {reason}, which is not allowed")


def _forms(address: Address) -> list[Address]:
    """Return the address and all IPv4 addresses that it embeds (mapped, 6to4, Teredo, NAT64)."""
    forms: list[Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        teredo = address.teredo
        inner = (address.ipv4_mapped, address.sixtofour, teredo[1] if teredo else None)
        forms.extend(form for form in inner if form is not None)
        low = int(address) & 0xFFFFFFFF
        if any(address in network for network in _NAT64) or (int(address) >> 32 == 0 and low > 1):
            forms.append(ipaddress.IPv4Address(low))
    return forms

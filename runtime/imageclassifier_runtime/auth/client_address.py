"""Determines the client's address: the peer's, or the one that trusted proxies report.

Proxies report it in `Forwarded` (RFC 7239) or X-Forwarded-For by appending to what the client sent. So the
addresses are read from the right, as long as each belongs to a trusted proxy; the first that does not is the
client.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from imageclassifier_runtime.settings.environment import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

UNKNOWN = "unknown"
_MAX_HOPS = 32
_MAX_ADDRESS_LENGTH = 64
# One pair of a `Forwarded` element and its separator. The character classes are disjoint: no backtracking.
_PAIR = re.compile(
    r"""[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)="""
    r"""(?:([]!#$%&'*+.^_`|~0-9A-Za-z:\[-]+)|"((?:[^"\\]|\\.)*)")[ \t]*([;,]|$)"""
)
_ESCAPED = re.compile(r"\\(.)")


def client_of(
    peer: str | None, headers: Iterable[tuple[bytes, bytes]], trusted: Sequence[Network]
) -> Address | None:
    """Return the client's address; `peer` is the connecting address, or None or a name if it has none.

    If a request has both kinds of headers and they disagree, both are ignored: a proxy writes one of them, and
    forwards the other as the client sent it.
    """
    address = parse_address(peer or "")
    if address is None or not _is_in(address, trusted):
        return address
    lists: dict[bytes, list[str]] = {}
    for name, value in headers:
        if name in (b"x-forwarded-for", b"forwarded"):
            lists.setdefault(name, []).append(value.decode("latin-1"))
    if not lists:
        return address
    readers = {b"x-forwarded-for": _parse_x_forwarded_for, b"forwarded": _parse_forwarded}
    addresses = {
        _first_untrusted(address, readers[name](",".join(values)), trusted) for name, values in lists.items()
    }
    return addresses.pop() if len(addresses) == 1 else address


def account_of(address: Address | None) -> str:
    """Return the rate limit's key of an address: the address, or the /64 of IPv6, since a host owns all of it."""
    if address is None:
        return UNKNOWN
    if address.version == 4:
        return str(address)
    return f"{ipaddress.IPv6Address(int(address) >> 64 << 64)}/64"


def parse_address(text: str) -> Address | None:
    """Return an address written as in a header: with or without a port, IPv6 with or without brackets."""
    text = text.strip()
    if len(text) > _MAX_ADDRESS_LENGTH or "%" in text:
        return None
    if text.startswith("["):
        text, closing, port = text[1:].partition("]")
        if not closing or (port and not port.startswith(":")):
            return None
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # A dual-stack socket reports IPv4 addresses in this form.
    return getattr(address, "ipv4_mapped", None) or address


def _first_untrusted(address: Address, named: Sequence[str | None], trusted: Sequence[Network]) -> Address:
    """Return the first address from the right that is not a trusted proxy, or the last valid one."""
    for text in list(reversed(named))[:_MAX_HOPS]:
        hop = parse_address(text) if text is not None else None
        if hop is None:
            return address
        address = hop
        if not _is_in(address, trusted):
            return address
    return address


def _parse_x_forwarded_for(value: str) -> Sequence[str | None]:
    return value.rsplit(",", _MAX_HOPS)


def _parse_forwarded(value: str) -> Sequence[str | None]:
    """Return the `for` of each element, or None if it has none; an empty list if the header is malformed."""
    elements: list[str | None] = [None]
    at = 0
    while at < len(value):
        pair = _PAIR.match(value, at)
        if pair is None:
            return []
        name, token, quoted, then = pair.groups()
        if name.lower() == "for":
            elements[-1] = token if token is not None else _ESCAPED.sub(r"\1", quoted)
        if then == ",":
            elements.append(None)
        at = pair.end()
    return elements


def _is_in(address: Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)

"""The proxies for outgoing requests, from the standard variables HTTPS_PROXY, HTTP_PROXY and NO_PROXY.

The rules are those of Go's package `golang.org/x/net/http/httpproxy`, which the programs of Kubernetes use: each
variable also exists in lower case, and the one in upper case takes precedence; localhost and loopback addresses
are never requested through a proxy.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import re
import socket
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from imageclassifier_runtime.errors import SettingsError
from imageclassifier_runtime.settings.credentials import basic
from imageclassifier_runtime.settings.urls import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PORTS = {"http": 80, "https": 443}
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_HOST_AND_PORT = re.compile(r"(\[[^\]]*\]|[^:]*):([^:]*)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Proxy:
    """A proxy server, and the variable that names it; `str()` and `repr()` of it do not show credentials."""

    variable: str
    scheme: str
    host: str
    port: int
    authorization: str | None = dataclasses.field(default=None, repr=False)

    def __str__(self) -> str:
        """Return the URL of the proxy, and its variable."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port} ({self.variable})"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exemption:
    """An entry of NO_PROXY: a network, or a domain; with a port, it is only about that port.

    `subdomains_only` is whether the domain itself does not match. The domain `*` is every host.
    """

    network: _Network | None = None
    domain: str = ""
    subdomains_only: bool = False
    port: str = ""

    def matches(self, host: str, address: Address | None, port: int) -> bool:
        """Return whether requests to a host, which has this address if it is an IP address, use no proxy."""
        if self.domain == "*":
            return True
        if self.port not in {"", str(port)}:
            return False
        if self.network is not None:
            return address is not None and address in self.network
        return host.endswith(f".{self.domain}") or (host == self.domain and not self.subdomains_only)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Proxies:
    """The proxy for each scheme of a target, None for none, and the exemptions of NO_PROXY."""

    https: Proxy | None = None
    http: Proxy | None = None
    exemptions: tuple[Exemption, ...] = ()

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Proxies:
        """Read the variables; raises SettingsError that names an invalid one."""
        _, no_proxy = _variable(env, "NO_PROXY")
        entries = (_exemption(entry) for entry in re.split(r"[\s,]+", no_proxy.lower()))
        return cls(
            https=_proxy(*_variable(env, "HTTPS_PROXY")),
            http=_proxy(*_variable(env, "HTTP_PROXY")),
            exemptions=tuple(entry for entry in entries if entry is not None),
        )

    def find(self, scheme: str, host: str, port: int) -> Proxy | None:
        """Return the proxy for requests to a host, or None if they use none."""
        proxy = self.https if scheme == "https" else self.http
        name = host.lower().rstrip(".")
        address = literal(name)
        if proxy is None or name == "localhost" or name.endswith(".localhost"):
            return None
        if address is not None and address.is_loopback:
            return None
        return None if any(entry.matches(name, address, port) for entry in self.exemptions) else proxy


def literal(host: str) -> Address | None:
    """Return the IP address that a host is, in any notation that a system accepts (127.1, 127.0.0.1.), or None."""
    host = host.rstrip(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _variable(env: Mapping[str, str], name: str) -> tuple[str, str]:
    """Return the name and the value of a variable; the value is empty if the variable is not set."""
    for variable in (name, name.lower()):
        value = env.get(variable, "").strip()
        if value:
            return variable, value
    return name, ""


def _proxy(variable: str, value: str) -> Proxy | None:
    """Return the proxy of a URL, whose scheme is http if it has none; errors do not show its password."""
    if not value:
        return None
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        port, host = parts.port, parts.hostname
    except ValueError:
        host = None
    # A path is rejected, because it is often the rest of a password.
    if (
        not host
        or parts.scheme not in _PORTS
        or port == 0
        or parts.path not in {"", "/"}
        or parts.query
        or parts.fragment
        or not _VISIBLE.fullmatch(value)
    ):
        raise SettingsError(
            f"{variable} must be http(s)://[user:password@]host[:port], not {shown(value)[:200]!r}; in a "
            "password, encode / as %2F and @ as %40"
        )
    authorization = None
    if parts.username is not None:
        authorization = basic(unquote(parts.username), unquote(parts.password or ""))
    return Proxy(
        variable=variable,
        scheme=parts.scheme,
        host=host,
        port=port or _PORTS[parts.scheme],
        authorization=authorization,
    )


def _exemption(entry: str) -> Exemption | None:
    """Parse an entry of NO_PROXY; one that matches nothing is ignored, as other programs do."""
    if entry == "*":
        return Exemption(domain="*")
    if "/" in entry:
        with contextlib.suppress(ValueError):
            return Exemption(network=ipaddress.ip_network(entry, strict=False))
        return None
    match = _HOST_AND_PORT.fullmatch(entry)
    host, port = (match[1], match[2]) if match else (entry, "")
    host = host.strip("[]")
    with contextlib.suppress(ValueError):
        return Exemption(network=ipaddress.ip_network(host), port=port)
    domain = re.sub(r"^\*?\.", "", host)
    if domain in {"", "*"}:
        return None
    subdomains_only = domain != host
    with contextlib.suppress(UnicodeError):
        domain = domain.encode("idna").decode("ascii")
    return Exemption(domain=domain, subdomains_only=subdomains_only, port=port)

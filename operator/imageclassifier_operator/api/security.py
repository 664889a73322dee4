"""Who is let in: the part of the spec that names a Secret with keys, rates, and networks of proxies."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.api.types import RateLimit, Security

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PATH = "spec.security"


def security_problems(raw: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with `spec.security` beyond what its schema says; CEL has networks only since 1.31."""
    secret = raw.get("apiKeysSecretRef")
    if secret is not None and not secret.get("name"):
        yield f"{_PATH}.apiKeysSecretRef: name is required"
    rate = raw.get("rateLimit")
    if rate is not None and not rate.get("requestsPerSecond"):
        yield f"{_PATH}.rateLimit: requestsPerSecond is required"
    for index, text in enumerate(raw.get("trustedProxies") or []):
        problem = _network_problem(text)
        if problem is not None:
            yield f"{_PATH}.trustedProxies[{index}]: {problem}"


def security(raw: Mapping[str, Any]) -> Security:
    """Return the typed part of a spec without problems."""
    secret, rate = raw.get("apiKeysSecretRef"), raw.get("rateLimit")
    return Security(
        api_keys_secret=None if secret is None else secret.get("name"),
        rate_limit=None
        if rate is None
        else RateLimit(requests_per_second=int(rate.get("requestsPerSecond") or 1), burst=rate.get("burst")),
        trusted_proxies=tuple(raw.get("trustedProxies") or ()),
    )


def _network_problem(text: str) -> str | None:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return f"{text} is not a network; write one as 10.0.0.0/8 or fd00::/8"
    if network.prefixlen == 0:
        return f"{text} is everyone, and then every client could name itself as it likes"
    if str(ipaddress.ip_interface(text).ip) != str(network.network_address):
        return f"{text} is an address within a network; the network is {network}"
    return None

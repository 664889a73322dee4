"""Classifies paths: the protocol a path belongs to, and whether a request is a probe."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from imageclassifier_runtime.request.problems import PROBLEM_DETAILS, ErrorFormat
from imageclassifier_runtime.request.responses import ERROR_OBJECT

if TYPE_CHECKING:
    from collections.abc import Callable

API = "/api/v1"
_OPEN = frozenset({"/", "/docs", "/openapi.json"})


def _none(_: str) -> bool:
    return False


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """One protocol; its paths start with one of `prefixes` or are listed in `paths`.

    A request is a probe if its path starts with one of `probes`, or if it is a GET and `is_probe(path)` is true.
    """

    name: str
    prefixes: tuple[str, ...]
    paths: frozenset[str] = frozenset()
    probes: tuple[str, ...] = ()
    is_probe: Callable[[str], bool] = _none
    errors: ErrorFormat


NATIVE = Protocol(
    name="native",
    prefixes=(f"{API}/classify",),
    probes=(f"{API}/health",),
    errors=PROBLEM_DETAILS,
)
V2 = Protocol(
    name="v2",
    prefixes=("/v2/",),
    paths=frozenset({"/v2"}),
    probes=("/v2/health/",),
    is_probe=lambda path: path.startswith("/v2/models/") and path.endswith("/ready"),
    errors=ERROR_OBJECT,
)
V1 = Protocol(
    name="v1",
    prefixes=("/v1/",),
    is_probe=lambda path: path.startswith("/v1/models/") and ":" not in path and not path.endswith("/metadata"),
    errors=ERROR_OBJECT,
)
OTHER = Protocol(
    name="other",
    prefixes=("",),
    probes=("/metrics",),
    errors=PROBLEM_DETAILS,
)
PROTOCOLS = (NATIVE, V2, V1, OTHER)
"""In lookup order; the last one matches every remaining path."""

_PROBES = tuple(prefix for protocol in PROTOCOLS for prefix in protocol.probes)


def protocol_of(path: str) -> Protocol:
    """Return the protocol of a path; its name is the value of the label `protocol`."""
    for protocol in PROTOCOLS:
        if path.startswith(protocol.prefixes) or path in protocol.paths:
            return protocol
    return OTHER


def is_probe(method: str, path: str) -> bool:
    """Return whether this is a request of the kubelet or Prometheus: always answered, never logged or counted."""
    if path.startswith(_PROBES):
        return True
    # The router ignores a line feed at the end of a path.
    if method != "GET" or not path.isprintable():
        return False
    return protocol_of(path).is_probe(path)


def is_open(method: str, path: str) -> bool:
    """Return whether this request needs no API key: the page and the documentation."""
    return path in _OPEN and method in {"GET", "HEAD"}

"""What a path stands for: which protocol it belongs to, and whether a probe asks it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from imageclassifier_runtime.request import problems, responses

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response

    from imageclassifier_runtime.errors import RequestError

API = "/api/v1"
_OPEN = frozenset({"/", "/docs", "/openapi.json"})


def _none(_: str) -> bool:
    return False


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """One protocol: the paths that belong to it begin with one of `prefixes`, or are one of `paths`.

    A request is a probe if its path begins with one of `probes`, and also if it is a GET and `is_probe` says so of
    its path. `of_error` answers a typed error, `of_status` any other: both answers have the type `error_type`.
    """

    name: str
    prefixes: tuple[str, ...]
    paths: frozenset[str] = frozenset()
    probes: tuple[str, ...] = ()
    is_probe: Callable[[str], bool] = _none
    error_type: str
    of_error: Callable[[RequestError], Response]
    of_status: Callable[[int, str, dict[str, str] | None], Response]


NATIVE = Protocol(
    name="native",
    prefixes=(f"{API}/classify",),
    probes=(f"{API}/health",),
    error_type=problems.MEDIA_TYPE,
    of_error=problems.of_error,
    of_status=problems.of_status,
)
V2 = Protocol(
    name="v2",
    prefixes=("/v2/",),
    paths=frozenset({"/v2"}),
    probes=("/v2/health/",),
    is_probe=lambda path: path.startswith("/v2/models/") and path.endswith("/ready"),
    error_type=responses.MEDIA_TYPE,
    of_error=responses.of_error,
    of_status=responses.of_status,
)
V1 = Protocol(
    name="v1",
    prefixes=("/v1/",),
    is_probe=lambda path: path.startswith("/v1/models/") and ":" not in path and not path.endswith("/metadata"),
    error_type=responses.MEDIA_TYPE,
    of_error=responses.of_error,
    of_status=responses.of_status,
)
OTHER = Protocol(
    name="other",
    prefixes=("",),
    probes=("/metrics",),
    error_type=problems.MEDIA_TYPE,
    of_error=problems.of_error,
    of_status=problems.of_status,
)
PROTOCOLS = (NATIVE, V2, V1, OTHER)
"""In the order in which a path is looked up; the last one takes what the others leave."""

_PROBES = tuple(prefix for protocol in PROTOCOLS for prefix in protocol.probes)


def protocol_of(path: str) -> Protocol:
    """Return the protocol that a path belongs to; its name is the value of the label `protocol`."""
    for protocol in PROTOCOLS:
        if path.startswith(protocol.prefixes) or path in protocol.paths:
            return protocol
    return OTHER


def is_probe(method: str, path: str) -> bool:
    """Return whether this is what kubelet or Prometheus ask: always answered, never logged or counted."""
    if path.startswith(_PROBES):
        return True
    # The router takes a path with a line feed after it for the one without.
    if method != "GET" or not path.isprintable():
        return False
    return protocol_of(path).is_probe(path)


def is_open(method: str, path: str) -> bool:
    """Return whether this needs no API key: how to use the server, which is the same for everybody."""
    return path in _OPEN and method in {"GET", "HEAD"}

"""What a path stands for: which protocol it belongs to, and whether a probe asks it."""

from __future__ import annotations

API = "/api/v1"
NATIVE, V1, V2, OTHER = "native", "v1", "v2", "other"
_CLASSIFY = f"{API}/classify"
_QUIET = (f"{API}/health", "/metrics", "/v2/health/")
_OPEN = frozenset({"/", "/docs", "/openapi.json"})


def protocol_of(path: str) -> str:
    """Return the value of the label `protocol` for a path."""
    if path.startswith(_CLASSIFY):
        return NATIVE
    if path == "/v2" or path.startswith("/v2/"):
        return V2
    return V1 if path.startswith("/v1/") else OTHER


def is_probe(method: str, path: str) -> bool:
    """Return whether this is what kubelet or Prometheus ask: always answered, never logged or counted."""
    if path.startswith(_QUIET):
        return True
    # The router takes a path with a line feed after it for the one without.
    if method != "GET" or not path.isprintable():
        return False
    if path.startswith("/v2/models/"):
        return path.endswith("/ready")
    return path.startswith("/v1/models/") and ":" not in path and not path.endswith("/metadata")


def is_open(method: str, path: str) -> bool:
    """Return whether this needs no API key: how to use the server, which is the same for everybody."""
    return path in _OPEN and method in {"GET", "HEAD"}

"""What the server gets for its cache of results: settings, and the login of Redis from a Secret by the kubelet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imageclassifier_operator.api import Cache

_LOGIN = {"password": "CACHE_REDIS_PASSWORD", "username": "CACHE_REDIS_USERNAME"}
"""By key of the Secret, as in one of type kubernetes.io/basic-auth; a user is not needed, a password is."""


def settings(cache: Cache | None) -> dict[str, str]:
    """Return the settings of `serve` that the cache adds; none where there is no cache."""
    if cache is None:
        return {}
    found = {"CACHE_MAX_BYTES": str(cache.max_bytes)}
    if cache.redis is not None:
        found |= {"CACHE_REDIS_URL": cache.redis.url, "CACHE_REDIS_TTL_SECONDS": str(cache.redis.ttl_seconds)}
    return found


def secret_env(cache: Cache | None) -> list[dict[str, Any]]:
    """Return the variables whose values the kubelet takes from the Secret."""
    if cache is None or cache.redis is None or cache.redis.credentials_secret is None:
        return []
    name = cache.redis.credentials_secret
    return [
        {
            "name": f"IMAGECLASSIFIER_{variable}",
            # a false is left out: the API server drops it
            "valueFrom": {
                "secretKeyRef": {"name": name, "key": key, **({"optional": True} if key == "username" else {})}
            },
        }
        for key, variable in _LOGIN.items()
    ]

"""The server's settings for the result cache, and the Redis credentials, which the kubelet reads from a Secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imageclassifier_operator.api import Cache

_LOGIN = {"password": "CACHE_REDIS_PASSWORD", "username": "CACHE_REDIS_USERNAME"}
"""By key of the Secret, as in type kubernetes.io/basic-auth; the username is optional, the password is not."""


def settings(cache: Cache | None) -> dict[str, str]:
    """Return the settings of `serve` for the cache, none without a cache."""
    if cache is None:
        return {}
    found = {"CACHE_MAX_BYTES": str(cache.max_bytes)}
    if cache.redis is not None:
        found |= {"CACHE_REDIS_URL": cache.redis.url, "CACHE_REDIS_TTL_SECONDS": str(cache.redis.ttl_seconds)}
    return found


def secret_env(cache: Cache | None) -> list[dict[str, Any]]:
    """Return the variables whose values come from the Secret."""
    if cache is None or cache.redis is None or cache.redis.credentials_secret is None:
        return []
    name = cache.redis.credentials_secret
    return [
        {
            "name": f"IMAGECLASSIFIER_{variable}",
            # false is omitted: the API server drops it
            "valueFrom": {
                "secretKeyRef": {"name": name, "key": key, **({"optional": True} if key == "username" else {})}
            },
        }
        for key, variable in _LOGIN.items()
    ]

"""The server's settings for the result cache, and the Redis credentials, which the kubelet reads from a Secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imageclassifier_operator.api import Cache

_VARIABLE_BY_SECRET_KEY = {"password": "CACHE_REDIS_PASSWORD", "username": "CACHE_REDIS_USERNAME"}
"""The variable for each key of the Secret. The keys are those of a Secret of type kubernetes.io/basic-auth."""


def settings(cache: Cache | None) -> dict[str, str]:
    """Return the settings of `serve` for `spec.cache`; an object without a cache has none of them."""
    if cache is None:
        return {}
    result = {"CACHE_MAX_BYTES": str(cache.max_bytes)}
    if cache.redis is not None:
        result |= {"CACHE_REDIS_URL": cache.redis.url, "CACHE_REDIS_TTL_SECONDS": str(cache.redis.ttl_seconds)}
    return result


def secret_env(cache: Cache | None) -> list[dict[str, Any]]:
    """Return the variables whose values come from the Secret. It must have a password; a username is optional."""
    if cache is None or cache.redis is None or cache.redis.credentials_secret is None:
        return []
    name = cache.redis.credentials_secret
    return [
        {
            "name": f"IMAGECLASSIFIER_{variable}",
            # For a required key, `optional` is omitted: its default is false.
            "valueFrom": {
                "secretKeyRef": {"name": name, "key": key, **({"optional": True} if key == "username" else {})}
            },
        }
        for key, variable in _VARIABLE_BY_SECRET_KEY.items()
    ]

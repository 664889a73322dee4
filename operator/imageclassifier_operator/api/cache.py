"""The part of the spec about the cache of results: from fields to a typed value, and what is wrong with it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.api.types import Cache, RedisStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MEBIBYTE = 1024 * 1024
_LEAST, _MOST = MEBIBYTE, 16 * 1024 * MEBIBYTE
# The schema's pattern, for servers that keep an older schema.
_URL = re.compile(
    r"rediss?://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[0-9]{1,5})?"
)


def parse_cache(
    raw: Mapping[str, Any] | None, quantity: Callable[[str, Any], int], problems: list[str]
) -> Cache | None:
    """Return the cache, None where the spec has none; `quantity` reads a field's value and tells its problem."""
    if raw is None:
        return None
    path, written = "spec.cache.maxBytes", raw.get("maxBytes")
    default = Cache()
    if written is None:
        size = default.max_bytes
    else:
        before = len(problems)
        size = quantity(path, written)
        if len(problems) == before and not _LEAST <= size <= _MOST:
            problems.append(f"{path}: must be between 1Mi and 16Gi, is {written}")
    redis = raw.get("redis")
    if redis is None:
        return Cache(max_bytes=size)
    problems.extend(_redis_problems(redis))
    secret = redis.get("credentialsSecretRef")
    return Cache(
        max_bytes=size,
        redis=RedisStore(
            url=redis.get("url") or "",
            credentials_secret=secret.get("name") if secret is not None else None,
            ttl_seconds=int(redis.get("ttlSeconds", RedisStore.ttl_seconds)),
        ),
    )


def _redis_problems(redis: Mapping[str, Any]) -> Iterator[str]:
    if not _URL.fullmatch(redis.get("url") or ""):
        # what is written is not shown: it may have a password in it
        yield "spec.cache.redis.url: must be redis://host[:port][/number] or rediss://…, without user and password"
    secret = redis.get("credentialsSecretRef")
    if secret is not None and not secret.get("name"):
        yield "spec.cache.redis.credentialsSecretRef: name is required"

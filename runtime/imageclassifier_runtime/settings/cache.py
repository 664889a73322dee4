"""Settings of the result cache, read from the environment; apart from it, so that off imports none of it."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from imageclassifier_runtime.errors import SettingsError
from imageclassifier_runtime.settings.urls import shown

if TYPE_CHECKING:
    from imageclassifier_runtime.settings.environment import Reader


_DEFAULT_BYTES = 16 * 1024 * 1024
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
_URL = re.compile(rf"rediss?://{_HOST}(?::[0-9]{{1,5}})?(?:/[0-9]{{1,5}})?/?")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RedisSettings:
    """Where Redis is, and how long it is waited for: `timeout_seconds` for a question and its connection."""

    url: str
    username: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)
    ttl_seconds: int = 86_400
    timeout_seconds: float = 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class CacheSettings:
    """The bound of the process's own cache in bytes, 0 for none, and Redis, None for none."""

    max_bytes: int = 0
    redis: RedisSettings | None = None

    @property
    def on(self) -> bool:
        """Tell whether results are kept anywhere."""
        return self.max_bytes > 0 or self.redis is not None


def read_cache(read: Reader) -> CacheSettings:
    """Read the settings; without any of them the cache is off, with Redis it is on in the process too."""
    redis = _read_redis(read)
    default = 0 if redis is None else _DEFAULT_BYTES
    return CacheSettings(max_bytes=read.integer("CACHE_MAX_BYTES", default, 0, 2**40), redis=redis)


def _read_redis(read: Reader) -> RedisSettings | None:
    url = read.text("CACHE_REDIS_URL", None)
    if url is None:
        return None
    if not _URL.fullmatch(url):
        raise SettingsError(
            "IMAGECLASSIFIER_CACHE_REDIS_URL must be redis(s)://host[:port][/number], without user and password "
            f"(CACHE_REDIS_USERNAME, CACHE_REDIS_PASSWORD), not {shown(url)[:200]!r}"
        )
    username = read.text("CACHE_REDIS_USERNAME", None)
    password = read.text("CACHE_REDIS_PASSWORD", None)
    if username and not password:
        raise SettingsError("IMAGECLASSIFIER_CACHE_REDIS_USERNAME is given without CACHE_REDIS_PASSWORD")
    return RedisSettings(
        url=url,
        username=username,
        password=password,
        ttl_seconds=read.integer("CACHE_REDIS_TTL_SECONDS", RedisSettings.ttl_seconds, 1, 31_536_000),
        timeout_seconds=read.integer("CACHE_REDIS_TIMEOUT_MILLISECONDS", 50, 1, 1000) / 1000,
    )

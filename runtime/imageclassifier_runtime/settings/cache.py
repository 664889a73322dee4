"""Settings of the result cache; a separate module, so that a disabled cache is not imported."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from imageclassifier_runtime.errors import SettingsError
from imageclassifier_runtime.settings import fields
from imageclassifier_runtime.settings.environment import PREFIX
from imageclassifier_runtime.settings.urls import shown

if TYPE_CHECKING:
    from pathlib import Path

    from imageclassifier_runtime.settings.environment import Reader


_DEFAULT_BYTES = 16 * 1024 * 1024
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
_URL = re.compile(rf"rediss?://{_HOST}(?::[0-9]{{1,5}})?(?:/[0-9]{{1,5}})?/?")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CacheSettings:
    """The size limit of the in-process cache in bytes, 0 for none, and Redis, None for none."""

    max_bytes: int = fields.whole(
        0,
        0,
        2**40,
        "size in bytes of the in-process cache of results by content hash; 0 is off",
        variable="CACHE_MAX_BYTES",
        shown=f"0; {_DEFAULT_BYTES // fields.MIB} MiB with Redis",
        flag_default=f"0, or {_DEFAULT_BYTES} ({_DEFAULT_BYTES // fields.MIB} MiB) with Redis",
        flag=True,
    )
    redis: RedisSettings | None = None

    @property
    def on(self) -> bool:
        """Return whether any cache is enabled."""
        return self.max_bytes > 0 or self.redis is not None


def _url(read: Reader, name: str) -> str | None:
    url = read.text(name, None)
    if url is not None and not _URL.fullmatch(url):
        raise SettingsError(
            f"{PREFIX}{name} must be redis(s)://host[:port][/number], without user and password "
            f"(CACHE_REDIS_USERNAME, CACHE_REDIS_PASSWORD), not {shown(url)[:200]!r}"
        )
    return url


@dataclasses.dataclass(frozen=True, kw_only=True)
class RedisSettings:
    """The address of Redis, and its `timeout_seconds` for a command including the connection.

    `ca_dir` has additional certificate authorities for `rediss://`.
    """

    url: str = fields.custom(
        _url,
        dataclasses.MISSING,
        "`redis://` or `rediss://host[:port][/number]`: also caches results, for all servers of a model",
        variable="CACHE_REDIS_URL",
        shown="none",
        flag=True,
    )
    username: str | None = fields.text(None, "user of Redis", variable="CACHE_REDIS_USERNAME")
    password: str | None = fields.text(None, "password of that user", variable="CACHE_REDIS_PASSWORD", secret=True)
    ttl_seconds: int = fields.whole(
        86_400, 1, 31_536_000, "how long Redis keeps a result", variable="CACHE_REDIS_TTL_SECONDS"
    )
    timeout_seconds: float = fields.custom(
        lambda read, name: read.integer(name, 50, 1, 1000) / 1000,
        0.05,
        "timeout of Redis, including the connection",
        variable="CACHE_REDIS_TIMEOUT_MILLISECONDS",
        shown="50",
        values="1 to 1000",
    )
    ca_dir: Path | None = None


def read_cache(read: Reader, *, ca_dir: Path | None = None) -> CacheSettings:
    """Read the settings; by default the cache is off, and Redis enables the in-process cache too."""
    found = fields.values_of(CacheSettings, read)
    if read.text("CACHE_REDIS_URL", None) is None:
        return CacheSettings(**found)
    redis = fields.values_of(RedisSettings, read)
    if redis["username"] and not redis["password"]:
        raise SettingsError(f"{PREFIX}CACHE_REDIS_USERNAME is set without CACHE_REDIS_PASSWORD")
    if read.text("CACHE_MAX_BYTES", None) is None:
        found["max_bytes"] = _DEFAULT_BYTES
    return CacheSettings(**found, redis=RedisSettings(**redis, ca_dir=ca_dir))

"""Settings of both commands, read once from the environment and then frozen."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING

from imageclassifier_runtime.access.peers import Network, networks
from imageclassifier_runtime.cache_settings import CacheSettings, read_cache
from imageclassifier_runtime.errors import SettingsError
from imageclassifier_runtime.fetch.credentials import Credentials
from imageclassifier_runtime.fetch.credentials import from_env as credentials_from_env
from imageclassifier_runtime.tracing.settings import TracingSettings
from imageclassifier_runtime.urls import http_parts, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "IMAGECLASSIFIER_"
MIB = 1024 * 1024
BUNDLED = "bundled:"
DEFAULT_MODEL_URI = "bundled:cifar10-mobilenet-v2"
TERMINATION_LOG = "/dev/termination-log"
LOOPBACK, ALL_ADDRESSES = "127.0.0.1", "*"
FP32, INT8, AUTO = PRECISIONS = ("FP32", "INT8", "Auto")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """What `imageclassifier serve` needs to know. Times in seconds, sizes in bytes."""

    model_dir: Path | None = None
    model_name: str | None = None
    precision: str = FP32
    host: str = LOOPBACK
    port: int = 8080
    max_image_bytes: int = 10 * MIB
    max_image_pixels: int = 25_000_000
    max_image_side: int = 16_384
    max_queue_size: int = 64
    max_connections: int = 512
    max_batch_size: int = 1
    max_queue_delay_milliseconds: int = 2
    drain_seconds: float = 10.0
    finish_seconds: float = 15.0
    queue_timeout_seconds: float = 10.0
    body_timeout_seconds: float = 30.0
    body_idle_seconds: float = 10.0
    header_timeout_seconds: float = 10.0
    keep_alive_seconds: int = 75
    threads: int = 0
    memory_limit_bytes: int = 0
    termination_log: Path = Path(TERMINATION_LOG)
    tracing: TracingSettings | None = None
    api_keys_path: Path | None = None
    api_keys_seconds: float = 5.0
    rate_limit: float | None = None
    rate_limit_burst: int | None = None
    trusted_proxies: tuple[Network, ...] = ()
    cache: CacheSettings = dataclasses.field(default_factory=CacheSettings)

    @classmethod
    def from_env(cls, env: Mapping[str, str], *, folder: Path | None = None) -> ServeSettings:
        """Read every setting that is there; a bad value is named with what it should be."""
        read = _Reader(env)
        model_dir = folder or read.path("MODEL_DIR", None)
        max_queue_size = read.integer("MAX_QUEUE_SIZE", cls.max_queue_size, 1, 10_000)
        if read.text("RATE_LIMIT_BURST", None) and not read.text("RATE_LIMIT", None):
            raise SettingsError(f"{PREFIX}RATE_LIMIT_BURST must be given together with {PREFIX}RATE_LIMIT")
        max_batch_size = read.integer("MAX_BATCH_SIZE", cls.max_batch_size, 1, 64)
        if max_batch_size > max_queue_size:
            raise SettingsError(
                f"{PREFIX}MAX_BATCH_SIZE ({max_batch_size}) is more than {PREFIX}MAX_QUEUE_SIZE "
                f"({max_queue_size}): no batch would ever be full, because those that wait for it are in the queue"
            )
        return cls(
            model_dir=model_dir,
            model_name=read.text("MODEL_NAME", None),
            precision=read.choice("PRECISION", FP32, PRECISIONS),
            host=read.text("HOST", cls.host) or cls.host,
            port=read.integer("PORT", cls.port, 0, 65_535),
            max_image_bytes=read.integer("MAX_IMAGE_BYTES", cls.max_image_bytes, 1024, 1024 * MIB),
            max_image_pixels=read.integer("MAX_IMAGE_PIXELS", cls.max_image_pixels, 1024, 200_000_000),
            max_queue_size=max_queue_size,
            max_connections=read.integer(
                "MAX_CONNECTIONS", max(cls.max_connections, 4 * max_queue_size), 8, 65_536
            ),
            max_batch_size=max_batch_size,
            max_queue_delay_milliseconds=read.integer(
                "MAX_QUEUE_DELAY_MILLISECONDS", cls.max_queue_delay_milliseconds, 0, 1000
            ),
            drain_seconds=read.seconds("DRAIN_SECONDS", cls.drain_seconds, 0, 600),
            queue_timeout_seconds=read.seconds("QUEUE_TIMEOUT_SECONDS", cls.queue_timeout_seconds, 0.1, 300),
            body_timeout_seconds=read.seconds("BODY_TIMEOUT_SECONDS", cls.body_timeout_seconds, 0.1, 600),
            header_timeout_seconds=read.seconds("HEADER_TIMEOUT_SECONDS", cls.header_timeout_seconds, 0.1, 600),
            threads=read.integer("THREADS", 0, 0, 256),
            memory_limit_bytes=read.integer("MEMORY_LIMIT_BYTES", 0, 0, 2**50),
            termination_log=read.path("TERMINATION_LOG", Path(TERMINATION_LOG)) or Path(TERMINATION_LOG),
            tracing=TracingSettings.from_env(env),
            api_keys_path=read.path("API_KEYS_PATH", None),
            rate_limit=read.number("RATE_LIMIT", 0, 0.001, 100_000, "of requests a second") or None,
            rate_limit_burst=read.integer("RATE_LIMIT_BURST", 0, 1, 1_000_000) or None,
            trusted_proxies=read.networks("TRUSTED_PROXIES"),
            cache=read_cache(read),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class FetchSettings:
    """What `imageclassifier fetch` needs to know. Times in seconds, sizes in bytes."""

    model_dir: Path
    uris: tuple[str, ...] = (DEFAULT_MODEL_URI,)
    model_name: str | None = None
    precision: str = FP32
    sha256: str | None = None
    max_model_bytes: int = 512 * MIB
    timeout_seconds: float = 600.0
    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    attempts: int = 4
    allow_loopback: bool = False
    termination_log: Path = Path(TERMINATION_LOG)
    file_roots: tuple[Path, ...] = ()
    volumes_dir: Path = Path("/volumes")
    s3_endpoint: str | None = None
    s3_region: str = "us-east-1"
    s3_addressing: str = "auto"
    hf_endpoint: str = "https://huggingface.co"
    credentials: Credentials = dataclasses.field(default_factory=Credentials)
    credentials_secret: str | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> FetchSettings:
        """Read every setting that is there; a bad value is named with what it should be."""
        read = _Reader(env)
        sha256 = (read.text("MODEL_SHA256", None) or "").lower() or None
        if sha256 is not None and (len(sha256) != 64 or set(sha256) - set("0123456789abcdef")):
            raise SettingsError(f"{PREFIX}MODEL_SHA256 must be 64 hexadecimal digits, not {sha256!r}")
        return cls(
            model_dir=read.path("MODEL_DIR", None) or Path("/model"),
            # only what ASCII calls a space ends an address: the API lets no other through in one
            uris=tuple(re.findall(r"[^ \t\r\n]+", read.text("MODEL_URI", None) or DEFAULT_MODEL_URI)),
            model_name=read.text("MODEL_NAME", None),
            precision=read.choice("PRECISION", FP32, PRECISIONS),
            sha256=sha256,
            max_model_bytes=read.integer("MAX_MODEL_BYTES", cls.max_model_bytes, 1, 2**40),
            timeout_seconds=read.seconds("FETCH_TIMEOUT_SECONDS", cls.timeout_seconds, 1, 86_400),
            allow_loopback=read.flag("ALLOW_LOOPBACK"),
            termination_log=read.path("TERMINATION_LOG", Path(TERMINATION_LOG)) or Path(TERMINATION_LOG),
            file_roots=read.folders("FILE_ROOTS"),
            volumes_dir=read.path("VOLUMES_DIR", None) or cls.volumes_dir,
            s3_endpoint=read.endpoint("S3_ENDPOINT", None, path=False),
            s3_region=read.matching("S3_REGION", cls.s3_region, r"[a-z0-9-]{1,63}", "such as eu-central-1"),
            s3_addressing=read.matching(
                "S3_ADDRESSING", cls.s3_addressing, "auto|path|virtual", "auto, path or virtual"
            ),
            hf_endpoint=read.endpoint("HF_ENDPOINT", cls.hf_endpoint) or cls.hf_endpoint,
            credentials=credentials_from_env(env),
            credentials_secret=read.text("CREDENTIALS_SECRET", None),
        )


class _Reader:
    """Typed access to the environment; an empty value counts as absent."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env

    def text(self, name: str, default: str | None) -> str | None:
        return self._env.get(PREFIX + name, "").strip() or default

    def path(self, name: str, default: Path | None) -> Path | None:
        value = self.text(name, None)
        return Path(value) if value else default

    def choice(self, name: str, default: str, values: tuple[str, ...]) -> str:
        value = self.text(name, None) or default
        for known in values:
            if known.lower() == value.lower():
                return known
        raise SettingsError(f"{PREFIX}{name} must be one of {', '.join(values)}, not {value!r}")

    def folders(self, name: str) -> tuple[Path, ...]:
        found = tuple(Path(part) for part in (self.text(name, None) or "").split(":") if part)
        for folder in found:
            if not folder.is_absolute() or ".." in folder.parts:
                raise SettingsError(f"{PREFIX}{name} must be absolute paths separated by colons, not {folder}")
        return found

    def endpoint(self, name: str, default: str | None, *, path: bool = True) -> str | None:
        value = self.text(name, default)
        if value is None:
            return None
        value = value.rstrip("/")
        parts = http_parts(value)
        if parts is None or parts.query or parts.fragment or (parts.path and not path):
            raise SettingsError(f"{PREFIX}{name} must be http(s)://host[:port], not {shown(value)!r}")
        return value

    def matching(self, name: str, default: str, pattern: str, wanted: str) -> str:
        value = self.text(name, None) or default
        if not re.fullmatch(pattern, value):
            raise SettingsError(f"{PREFIX}{name} must be {wanted}, not {value!r}")
        return value

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        value = self.text(name, None)
        if value is None:
            return default
        try:
            number = int(value)
        except ValueError:
            raise SettingsError(f"{PREFIX}{name} must be a whole number, not {value!r}") from None
        if not low <= number <= high:
            raise SettingsError(f"{PREFIX}{name} must be between {low} and {high}, not {number}")
        return number

    def seconds(self, name: str, default: float, low: float, high: float) -> float:
        return self.number(name, default, low, high, "of seconds")

    def number(self, name: str, default: float, low: float, high: float, what: str) -> float:
        value = self.text(name, None)
        if value is None:
            return default
        try:
            number = float(value)
        except ValueError:
            raise SettingsError(f"{PREFIX}{name} must be a number {what}, not {value!r}") from None
        if not low <= number <= high:
            raise SettingsError(f"{PREFIX}{name} must be between {low:g} and {high:g}, not {value}")
        return number

    def networks(self, name: str) -> tuple[Network, ...]:
        try:
            return networks(self.text(name, None) or "")
        except ValueError as error:
            raise SettingsError(f"{PREFIX}{name} must be networks such as 10.0.0.0/8: {error}") from None

    def flag(self, name: str) -> bool:
        value = (self.text(name, None) or "false").lower()
        if value not in {"true", "false", "1", "0"}:
            raise SettingsError(f"{PREFIX}{name} must be true or false, not {value!r}")
        return value in {"true", "1"}

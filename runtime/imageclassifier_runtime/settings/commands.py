"""Settings of both commands, read once from the environment and then frozen."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING

from imageclassifier_runtime.errors import SettingsError
from imageclassifier_runtime.model.precision import FP32, PRECISIONS
from imageclassifier_runtime.settings.cache import CacheSettings, read_cache
from imageclassifier_runtime.settings.credentials import Credentials
from imageclassifier_runtime.settings.credentials import from_env as credentials_from_env
from imageclassifier_runtime.settings.environment import PREFIX, Reader
from imageclassifier_runtime.settings.tracing import TracingSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imageclassifier_runtime.settings.environment import Network

MIB = 1024 * 1024
BUNDLED = "bundled:"
DEFAULT_MODEL_URI = "bundled:cifar10-mobilenet-v2"
TERMINATION_LOG = "/dev/termination-log"
LOOPBACK, ALL_ADDRESSES = "127.0.0.1", "*"


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
        read = Reader(env)
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
        read = Reader(env)
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

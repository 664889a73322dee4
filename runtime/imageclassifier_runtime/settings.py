"""Settings of both commands, read once from the environment and then frozen."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from imageclassifier_runtime.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "IMAGECLASSIFIER_"
MIB = 1024 * 1024
BUNDLED = "bundled:"
DEFAULT_MODEL_URI = "bundled:cifar10-mobilenet-v2"
TERMINATION_LOG = "/dev/termination-log"
FP32, INT8, AUTO = PRECISIONS = ("FP32", "INT8", "Auto")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """What `imageclassifier serve` needs to know. Times in seconds, sizes in bytes."""

    model_dir: Path | None = None
    model_name: str | None = None
    precision: str = FP32
    host: str = ""
    port: int = 8080
    max_image_bytes: int = 10 * MIB
    max_image_pixels: int = 25_000_000
    max_image_side: int = 16_384
    max_queue_size: int = 64
    max_connections: int = 512
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

    @classmethod
    def from_env(cls, env: Mapping[str, str], *, folder: Path | None = None) -> ServeSettings:
        """Read every setting that is there; a bad value is named with what it should be."""
        read = _Reader(env)
        model_dir = folder or read.path("MODEL_DIR", None)
        max_queue_size = read.integer("MAX_QUEUE_SIZE", cls.max_queue_size, 1, 10_000)
        return cls(
            model_dir=model_dir,
            model_name=read.text("MODEL_NAME", None),
            precision=read.choice("PRECISION", FP32, PRECISIONS),
            host=read.text("HOST", "") or "",
            port=read.integer("PORT", cls.port, 0, 65_535),
            max_image_bytes=read.integer("MAX_IMAGE_BYTES", cls.max_image_bytes, 1024, 1024 * MIB),
            max_image_pixels=read.integer("MAX_IMAGE_PIXELS", cls.max_image_pixels, 1024, 268_435_456),
            max_queue_size=max_queue_size,
            max_connections=read.integer(
                "MAX_CONNECTIONS", max(cls.max_connections, 4 * max_queue_size), 8, 65_536
            ),
            drain_seconds=read.seconds("DRAIN_SECONDS", cls.drain_seconds, 0, 600),
            queue_timeout_seconds=read.seconds("QUEUE_TIMEOUT_SECONDS", cls.queue_timeout_seconds, 0.1, 300),
            body_timeout_seconds=read.seconds("BODY_TIMEOUT_SECONDS", cls.body_timeout_seconds, 0.1, 600),
            header_timeout_seconds=read.seconds("HEADER_TIMEOUT_SECONDS", cls.header_timeout_seconds, 0.1, 600),
            threads=read.integer("THREADS", 0, 0, 256),
            memory_limit_bytes=read.integer("MEMORY_LIMIT_BYTES", 0, 0, 2**50),
            termination_log=read.path("TERMINATION_LOG", Path(TERMINATION_LOG)) or Path(TERMINATION_LOG),
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

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> FetchSettings:
        """Read every setting that is there; a bad value is named with what it should be."""
        read = _Reader(env)
        sha256 = (read.text("MODEL_SHA256", None) or "").lower() or None
        if sha256 is not None and (len(sha256) != 64 or set(sha256) - set("0123456789abcdef")):
            raise SettingsError(f"{PREFIX}MODEL_SHA256 must be 64 hexadecimal digits, not {sha256!r}")
        return cls(
            model_dir=read.path("MODEL_DIR", None) or Path("/model"),
            uris=tuple((read.text("MODEL_URI", None) or DEFAULT_MODEL_URI).split()),
            model_name=read.text("MODEL_NAME", None),
            precision=read.choice("PRECISION", FP32, PRECISIONS),
            sha256=sha256,
            max_model_bytes=read.integer("MAX_MODEL_BYTES", cls.max_model_bytes, 1, 2**40),
            timeout_seconds=read.seconds("FETCH_TIMEOUT_SECONDS", cls.timeout_seconds, 1, 86_400),
            allow_loopback=read.flag("ALLOW_LOOPBACK"),
            termination_log=read.path("TERMINATION_LOG", Path(TERMINATION_LOG)) or Path(TERMINATION_LOG),
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
        value = self.text(name, None)
        if value is None:
            return default
        try:
            number = float(value)
        except ValueError:
            raise SettingsError(f"{PREFIX}{name} must be a number of seconds, not {value!r}") from None
        if not low <= number <= high:
            raise SettingsError(f"{PREFIX}{name} must be between {low:g} and {high:g}, not {value}")
        return number

    def flag(self, name: str) -> bool:
        value = (self.text(name, None) or "false").lower()
        if value not in {"true", "false", "1", "0"}:
            raise SettingsError(f"{PREFIX}{name} must be true or false, not {value!r}")
        return value in {"true", "1"}

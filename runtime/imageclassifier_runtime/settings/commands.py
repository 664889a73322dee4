"""Settings of `serve` and `fetch`, read once from the environment and then frozen."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imageclassifier_runtime.errors import SettingsError
from imageclassifier_runtime.model.precision import FP32, PRECISIONS
from imageclassifier_runtime.settings import fields
from imageclassifier_runtime.settings.cache import CacheSettings, RedisSettings, read_cache
from imageclassifier_runtime.settings.credentials import Credentials
from imageclassifier_runtime.settings.credentials import from_env as credentials_from_env
from imageclassifier_runtime.settings.environment import PREFIX, Reader
from imageclassifier_runtime.settings.fields import MIB, Setting
from imageclassifier_runtime.settings.proxies import Proxies
from imageclassifier_runtime.settings.tracing import TracingSettings
from imageclassifier_runtime.settings.urls import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imageclassifier_runtime.settings.environment import Network

BUNDLED = "bundled:"
DEFAULT_MODEL_URI = "bundled:cifar10-mobilenet-v2"
_URI_ABOUT = (
    "a file or, ending in a slash, a folder: `http(s)://…`, `s3://bucket/…`, `pvc://claim/…`, `file:///…`, "
    "`hf://owner/repo@commit[/…]`; or `bundled:NAME`. Several, separated by spaces, are tried in order. `serve` "
    "takes only `bundled:NAME`, if it has no folder"
)
TERMINATION_LOG = "/dev/termination-log"
LOOPBACK, ALL_ADDRESSES = "127.0.0.1", "*"


def _model_dir(default: Path | None, **more: Any) -> Any:
    return fields.path(default, "folder that `fetch` writes and `serve` reads", flag=True, **more)


def _model_name() -> Any:
    return fields.text(None, "name in responses and metrics", shown="from the URI or the folder", flag=True)


def _precision() -> Any:
    return fields.choice(
        FP32, PRECISIONS, "`Auto` is int8 if the model folder has an accepted int8 graph", flag=True
    )


def _ca_dir() -> Any:
    return fields.path(
        None,
        "folder with CA certificates (PEM files `*.crt` and `*.pem`), trusted in addition to the system's",
        flag=True,
    )


def _termination_log() -> Any:
    return fields.path(Path(TERMINATION_LOG), "file for what the pod reports when it stops")


def _digest(read: Reader, name: str) -> str | None:
    value = (read.text(name, None) or "").lower() or None
    if value is not None and (len(value) != 64 or set(value) - set("0123456789abcdef")):
        raise SettingsError(f"{PREFIX}{name} must be 64 hexadecimal digits, not {value!r}")
    return value


def _sha256() -> Any:
    return fields.custom(_digest, None, "the digest that the model must have", variable="MODEL_SHA256", flag=True)


def _uris(read: Reader, name: str) -> tuple[str, ...]:
    # only ASCII whitespace separates addresses: the API accepts no other whitespace
    return tuple(re.findall(r"[^ \t\r\n]+", read.text(name, None) or DEFAULT_MODEL_URI))


@dataclasses.dataclass(frozen=True, kw_only=True)
class FetchSettings:
    """Settings of `imageclassifier fetch`. Times in seconds, sizes in bytes."""

    model_dir: Path = _model_dir(Path("/model"))
    model_name: str | None = _model_name()
    precision: str = _precision()
    uris: tuple[str, ...] = fields.custom(
        _uris,
        (DEFAULT_MODEL_URI,),
        _URI_ABOUT,
        variable="MODEL_URI",
        shown=f"`{DEFAULT_MODEL_URI}`",
        flag_default=DEFAULT_MODEL_URI,
        flag=True,
    )
    sha256: str | None = _sha256()
    max_model_bytes: int = fields.whole(512 * MIB, 1, 2**40, "largest model in bytes", flag=True)
    timeout_seconds: float = fields.number(
        600.0, 1, 86_400, "timeout of all attempts together", variable="FETCH_TIMEOUT_SECONDS", flag=True
    )
    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    attempts: int = 4
    file_roots: tuple[Path, ...] = fields.custom(
        lambda read, name: read.folders(name),
        (),
        "folders that `file://` may read from, separated by colons",
        flag=True,
    )
    volumes_dir: Path = fields.path(
        Path("/volumes"), "where the claims of `pvc://` are mounted, each under its name"
    )
    s3_endpoint: str | None = fields.endpoint(
        None, "`http(s)://host[:port]` of a store other than AWS", with_path=False, shown="AWS", flag=True
    )
    s3_region: str = fields.matching(
        "us-east-1", r"[a-z0-9-]{1,63}", "such as eu-central-1", "region of the bucket", flag=True
    )
    s3_addressing: str = fields.matching(
        "auto",
        "auto|path|virtual",
        "auto, path or virtual",
        "where the bucket's name goes: path, or virtual (the host name); auto is virtual for AWS",
        values="`auto`, `path`, `virtual`",
        flag=True,
    )
    hf_endpoint: str = fields.endpoint("https://huggingface.co", "`http(s)://host` of another hub", flag=True)
    credentials_secret: str | None = fields.text(
        None, "name of the Secret with the keys; if none of them is set, `fetch` fails"
    )
    ca_dir: Path | None = _ca_dir()
    allow_loopback: bool = fields.custom(
        lambda read, name: read.flag(name),
        False,
        "allows `fetch` to use loopback addresses; for development only",
        values="`true`, `false`",
    )
    termination_log: Path = _termination_log()
    credentials: Credentials = dataclasses.field(default_factory=Credentials)
    proxies: Proxies = dataclasses.field(default_factory=Proxies)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> FetchSettings:
        """Read the environment; raises SettingsError that names an invalid variable and what it should be."""
        return cls(
            **fields.values_of(cls, Reader(env)),
            credentials=credentials_from_env(env),
            proxies=Proxies.from_env(env),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """Settings of `imageclassifier serve`. Times in seconds, sizes in bytes."""

    model_dir: Path | None = _model_dir(None, shown="the bundled model")
    model_uri: str = fields.text(DEFAULT_MODEL_URI, _URI_ABOUT, flag=True)
    sha256: str | None = _sha256()
    model_name: str | None = _model_name()
    precision: str = _precision()
    host: str = fields.text(
        LOOPBACK, "address to listen on; `*` is all addresses, as the image sets it", flag=True
    )
    port: int = fields.whole(
        8080, 0, 65_535, "port to listen on; 0 picks a free one, the log says which", flag=True
    )
    max_image_bytes: int = fields.whole(10 * MIB, 1024, 1024 * MIB, "largest image in bytes", flag=True)
    max_image_pixels: int = fields.whole(25_000_000, 1024, 200_000_000, "largest image in pixels", flag=True)
    max_image_side: int = 16_384
    max_queue_size: int = fields.whole(64, 1, 10_000, "requests that may wait", flag=True)
    max_batch_size: int = fields.whole(
        1, 1, 64, "images in one inference, at most the queue; 1 is no batching", flag=True
    )
    max_queue_delay_milliseconds: int = fields.whole(
        2, 0, 1000, "how long an image that is ready waits for others that are being prepared", flag=True
    )
    queue_timeout_seconds: float = fields.number(10.0, 0.1, 300, "how long a request may wait")
    body_timeout_seconds: float = fields.number(30.0, 0.1, 600, "how long a body may take")
    body_idle_seconds: float = 10.0
    header_timeout_seconds: float = fields.number(10.0, 0.1, 600, "how long the headers of a request may take")
    max_connections: int = fields.whole(
        512,
        8,
        65_536,
        (
            "above it, connections that wait for their clients are closed; if there are none, only health and "
            "metrics are answered"
        ),
        shown="512, or 4 × the queue",
    )
    keep_alive_seconds: int = 75
    api_keys_path: Path | None = fields.path(
        None,
        "a file with one API key per line, or a folder of such files; then every request needs a key",
        flag=True,
    )
    api_keys_seconds: float = 5.0
    rate_limit: float | None = fields.number(
        None,
        0.001,
        100_000,
        "requests per second, for each key name or, without keys, for each address",
        what="of requests per second",
        flag=True,
    )
    rate_limit_burst: int | None = fields.whole(
        None, 1, 1_000_000, "burst size of the rate limit", shown="one second's worth", flag=True
    )
    trusted_proxies: tuple[Network, ...] = fields.custom(
        lambda read, name: read.networks(name),
        (),
        "networks (`10.0.0.0/8, fd00::/8`) whose `X-Forwarded-For` and `Forwarded` are trusted",
        flag=True,
    )
    drain_seconds: float = fields.number(10.0, 0, 600, "how long to keep serving after SIGTERM", flag=True)
    finish_seconds: float = 15.0
    threads: int = fields.whole(0, 0, 256, "workers", shown="the CPU quota, rounded up", flag=True)
    memory_limit_bytes: int = fields.whole(
        0, 0, 2**50, "memory limit that bodies and pixels share", shown="the container's limit"
    )
    ca_dir: Path | None = _ca_dir()
    termination_log: Path = _termination_log()
    tracing: TracingSettings | None = None
    cache: CacheSettings = dataclasses.field(default_factory=CacheSettings)

    @classmethod
    def from_env(cls, env: Mapping[str, str], *, folder: Path | None = None) -> ServeSettings:
        """Read the environment; raises SettingsError that names an invalid variable and what it should be."""
        read = Reader(env)
        found = fields.values_of(cls, read)
        if folder is not None:
            found["model_dir"] = folder
        if found["model_dir"] is None and not found["model_uri"].startswith(BUNDLED):
            raise SettingsError(
                f"without {PREFIX}MODEL_DIR, {PREFIX}MODEL_URI must be {BUNDLED}NAME, not "
                f"{shown(found['model_uri'])!r}: run `imageclassifier fetch`, and give the folder that it writes"
            )
        if found["rate_limit_burst"] and not found["rate_limit"]:
            raise SettingsError(f"{PREFIX}RATE_LIMIT_BURST must be given together with {PREFIX}RATE_LIMIT")
        batch, queue = found["max_batch_size"], found["max_queue_size"]
        if batch > queue:
            raise SettingsError(
                f"{PREFIX}MAX_BATCH_SIZE ({batch}) is more than {PREFIX}MAX_QUEUE_SIZE "
                f"({queue}): no batch would ever be full, because waiting images are in the queue"
            )
        if read.text("MAX_CONNECTIONS", None) is None:
            found["max_connections"] = max(cls.max_connections, 4 * queue)
        tracing = TracingSettings.from_env(env, ca_dir=found["ca_dir"])
        return cls(**found, tracing=tracing, cache=read_cache(read, ca_dir=found["ca_dir"]))


def fetch_settings() -> tuple[Setting, ...]:
    """Return the settings of `fetch`."""
    return tuple(fields.settings_of(FetchSettings).values())


def serve_settings() -> tuple[Setting, ...]:
    """Return the settings of `serve`."""
    parts = (ServeSettings, CacheSettings, RedisSettings)
    return tuple(setting for part in parts for setting in fields.settings_of(part).values())

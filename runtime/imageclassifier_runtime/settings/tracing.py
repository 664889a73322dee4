"""Settings of tracing, read from OpenTelemetry's standard environment variables.

Source: the OpenTelemetry specification, "Environment Variable Specification" and "OTLP Exporter Configuration".
Durations are in milliseconds, as the specification requires; an empty value counts as absent.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from imageclassifier_runtime.errors import SettingsError
from imageclassifier_runtime.settings.proxies import Proxies
from imageclassifier_runtime.settings.urls import http_parts, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

_ALL_SIGNALS = "OTEL_EXPORTER_OTLP_"
_TRACES_ONLY = "OTEL_EXPORTER_OTLP_TRACES_"
_PATH = "/v1/traces"
_SAMPLERS = ("always_on", "always_off", "traceidratio")
_PARENT_PREFIX = "parentbased_"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TracingSettings:
    """Where spans are sent, and which are sampled. Times in seconds, queue and batch in spans.

    `str()` of it does not show the values of headers.
    """

    endpoint: str
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    timeout_seconds: float = 10.0
    gzip: bool = False
    certificate: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    ratio: float = 1.0
    parent_based: bool = True
    resource: Mapping[str, str] = dataclasses.field(default_factory=dict)
    max_queue_size: int = 2048
    max_batch_size: int = 512
    delay_seconds: float = 5.0
    flush_seconds: float = 2.0
    ca_dir: Path | None = None
    proxies: Proxies = dataclasses.field(default_factory=Proxies)

    @classmethod
    def from_env(cls, env: Mapping[str, str], *, ca_dir: Path | None = None) -> TracingSettings | None:
        """Return the settings, or None if tracing is off or no endpoint is set; raises SettingsError.

        `ca_dir` has additional certificate authorities; the file of OTEL_EXPORTER_OTLP_CERTIFICATE replaces all.
        """
        read = _Reader(env)
        endpoint = _endpoint(read)
        off = read.text("OTEL_SDK_DISABLED").lower() == "true" or read.text("OTEL_TRACES_EXPORTER") == "none"
        if endpoint is None or off:
            return None
        read.otlp_choice("PROTOCOL", "http/protobuf", ("http/protobuf",))
        parent_based, ratio = _sampler(read)
        queue = read.integer("OTEL_BSP_MAX_QUEUE_SIZE", cls.max_queue_size, 1, 65_536)
        return cls(
            endpoint=endpoint,
            headers=_headers(read),
            timeout_seconds=read.milliseconds(read.otlp_name("TIMEOUT"), cls.timeout_seconds),
            gzip=read.otlp_choice("COMPRESSION", "none", ("none", "gzip")) == "gzip",
            certificate=read.otlp_file("CERTIFICATE"),
            client_certificate=read.otlp_file("CLIENT_CERTIFICATE"),
            client_key=read.otlp_file("CLIENT_KEY"),
            ratio=ratio,
            parent_based=parent_based,
            resource=_resource(read),
            max_queue_size=queue,
            max_batch_size=read.integer(
                "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", min(cls.max_batch_size, queue), 1, queue
            ),
            delay_seconds=read.milliseconds("OTEL_BSP_SCHEDULE_DELAY", cls.delay_seconds),
            ca_dir=ca_dir,
            proxies=Proxies.from_env(env),
        )


class _Reader:
    """Typed access to the environment; for OTLP, the variable for traces takes precedence over all signals'."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env

    def text(self, name: str) -> str:
        return self._env.get(name, "").strip()

    def otlp_name(self, suffix: str) -> str:
        """Return the variable to read: the one for traces if it is set, else the one for all signals."""
        return _TRACES_ONLY + suffix if self.text(_TRACES_ONLY + suffix) else _ALL_SIGNALS + suffix

    def otlp_choice(self, suffix: str, default: str, values: tuple[str, ...]) -> str:
        """Return one of `values`."""
        name = self.otlp_name(suffix)
        value = self.text(name) or default
        if value not in values:
            raise SettingsError(f"{name} must be {' or '.join(values)}, not {value!r}")
        return value

    def otlp_file(self, suffix: str) -> Path | None:
        """Return the path of an existing file."""
        name = self.otlp_name(suffix)
        value = self.text(name)
        if value and not Path(value).is_file():
            raise SettingsError(f"{name} must be a file, but {value!r} does not exist or is not a file")
        return Path(value) if value else None

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        value = self.text(name)
        if not value:
            return default
        if not value.isascii() or not value.isdigit() or not low <= int(value[:20]) <= high:
            raise SettingsError(f"{name} must be a whole number between {low} and {high}, not {value!r}")
        return int(value)

    def milliseconds(self, name: str, default: float) -> float:
        """Return a number of milliseconds, and `default`, in seconds."""
        return self.integer(name, round(1000 * default), 1, 600_000) / 1000


def _endpoint(read: _Reader) -> str | None:
    """Return the URL that batches are posted to; `/v1/traces` is added only to the endpoint of all signals."""
    name = read.otlp_name("ENDPOINT")
    value = read.text(name)
    if not value:
        return None
    if http_parts(value) is None or "?" in value or "#" in value or not re.fullmatch(r"[\x21-\x7e]+", value):
        raise SettingsError(
            f"{name} must be http(s)://host[:port][/path], not {shown(value)!r}; set keys in {_ALL_SIGNALS}HEADERS"
        )
    return value.rstrip("/") + _PATH if name == f"{_ALL_SIGNALS}ENDPOINT" else value


def _sampler(read: _Reader) -> tuple[bool, float]:
    """Return whether a parent's sampling decision applies, and the sampling ratio of traces started here."""
    name = read.text("OTEL_TRACES_SAMPLER") or "parentbased_always_on"
    kind = name.removeprefix(_PARENT_PREFIX)
    if kind not in _SAMPLERS:
        allowed = ", ".join((*_SAMPLERS, *(_PARENT_PREFIX + sampler for sampler in _SAMPLERS)))
        raise SettingsError(f"OTEL_TRACES_SAMPLER must be one of {allowed}, not {name!r}")
    ratio = {"always_on": 1.0, "always_off": 0.0}.get(kind)
    if ratio is None:
        text = read.text("OTEL_TRACES_SAMPLER_ARG") or "1"
        try:
            ratio = float(text)
        except ValueError:
            ratio = -1.0
        if not 0 <= ratio <= 1:
            raise SettingsError(f"OTEL_TRACES_SAMPLER_ARG must be a number between 0 and 1, not {text!r}")
    return name != kind, ratio


def _headers(read: _Reader) -> dict[str, str]:
    """Return the headers to send with every batch; errors do not show their values."""
    name = read.otlp_name("HEADERS")
    found = _pairs(name, read.text(name))
    for header, value in found.items():
        if not _HEADER_NAME.fullmatch(header) or not _HEADER_VALUE.fullmatch(value):
            raise SettingsError(f"{name}: the header {header!r} or its value has characters that are not allowed")
    return found


def _resource(read: _Reader) -> dict[str, str]:
    """Return the resource attributes of this server; OTEL_SERVICE_NAME takes precedence for `service.name`."""
    found = _pairs("OTEL_RESOURCE_ATTRIBUTES", read.text("OTEL_RESOURCE_ATTRIBUTES"))
    service = read.text("OTEL_SERVICE_NAME")
    return found | {"service.name": service} if service else found


def _pairs(name: str, text: str) -> dict[str, str]:
    """Parse `key1=value1,key2=value2` in the format of W3C Baggage; keys and values are percent-decoded."""
    found = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not part.strip():
            continue
        if not equals or not key.strip():
            raise SettingsError(f"{name} must be pairs such as key1=value1,key2=value2")
        found[unquote(key.strip())] = unquote(value.strip())
    return found

"""What OpenTelemetry's own environment variables say about traces; they are read by their standard names.

Source: the OpenTelemetry specification, "Environment Variable Specification" and "OTLP Exporter Configuration".
Durations are milliseconds, as it has them; an empty value counts as absent.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from imageclassifier_runtime.errors import SettingsError
from imageclassifier_runtime.settings.urls import http_parts, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

_OTLP = "OTEL_EXPORTER_OTLP_"
_TRACES = "OTEL_EXPORTER_OTLP_TRACES_"
_PATH = "/v1/traces"
_SAMPLERS = ("always_on", "always_off", "traceidratio")
_PARENT = "parentbased_"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TracingSettings:
    """Where spans go, and which. Times in seconds, the queue in spans; `str()` of it shows no header's value."""

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

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> TracingSettings | None:
        """Return the settings, None where nothing says where spans should go; raises SettingsError."""
        read = _Reader(env)
        endpoint = _endpoint(read)
        off = read.text("OTEL_SDK_DISABLED").lower() == "true" or read.text("OTEL_TRACES_EXPORTER") == "none"
        if endpoint is None or off:
            return None
        read.either("PROTOCOL", "http/protobuf", ("http/protobuf",))
        parent_based, ratio = _sampler(read)
        queue = read.integer("OTEL_BSP_MAX_QUEUE_SIZE", cls.max_queue_size, 1, 65_536)
        return cls(
            endpoint=endpoint,
            headers=_headers(read),
            timeout_seconds=read.milliseconds(read.otlp("TIMEOUT"), cls.timeout_seconds),
            gzip=read.either("COMPRESSION", "none", ("none", "gzip")) == "gzip",
            certificate=read.file("CERTIFICATE"),
            client_certificate=read.file("CLIENT_CERTIFICATE"),
            client_key=read.file("CLIENT_KEY"),
            ratio=ratio,
            parent_based=parent_based,
            resource=_resource(read),
            max_queue_size=queue,
            max_batch_size=read.integer(
                "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", min(cls.max_batch_size, queue), 1, queue
            ),
            delay_seconds=read.milliseconds("OTEL_BSP_SCHEDULE_DELAY", cls.delay_seconds),
        )


class _Reader:
    """Typed access to the environment; for OTLP, the name for traces comes before that for all signals."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env

    def text(self, name: str) -> str:
        return self._env.get(name, "").strip()

    def otlp(self, name: str) -> str:
        """Return the variable that counts: the one for traces, where it is there."""
        return _TRACES + name if self.text(_TRACES + name) else _OTLP + name

    def either(self, name: str, default: str, values: tuple[str, ...]) -> str:
        found = self.otlp(name)
        value = self.text(found) or default
        if value not in values:
            raise SettingsError(f"{found} must be {' or '.join(values)}, not {value!r}")
        return value

    def file(self, name: str) -> Path | None:
        found = self.otlp(name)
        value = self.text(found)
        if value and not Path(value).is_file():
            raise SettingsError(f"{found} must be a file, and {value!r} is none")
        return Path(value) if value else None

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        value = self.text(name)
        if not value:
            return default
        if not value.isascii() or not value.isdigit() or not low <= int(value[:20]) <= high:
            raise SettingsError(f"{name} must be a whole number between {low} and {high}, not {value!r}")
        return int(value)

    def milliseconds(self, name: str, default: float) -> float:
        """Return seconds."""
        return self.integer(name, round(1000 * default), 1, 600_000) / 1000


def _endpoint(read: _Reader) -> str | None:
    """Return the address that batches are posted to; only the general name gets `/v1/traces` added."""
    name = read.otlp("ENDPOINT")
    value = read.text(name)
    if not value:
        return None
    if http_parts(value) is None or "?" in value or "#" in value or not re.fullmatch(r"[\x21-\x7e]+", value):
        raise SettingsError(
            f"{name} must be http(s)://host[:port][/path], not {shown(value)!r}; keys go into {_OTLP}HEADERS"
        )
    return value.rstrip("/") + _PATH if name == f"{_OTLP}ENDPOINT" else value


def _sampler(read: _Reader) -> tuple[bool, float]:
    """Return whether a parent's decision is followed, and the ratio of traces that are begun here."""
    name = read.text("OTEL_TRACES_SAMPLER") or "parentbased_always_on"
    kind = name.removeprefix(_PARENT)
    if kind not in _SAMPLERS:
        known = ", ".join((*_SAMPLERS, *(_PARENT + sampler for sampler in _SAMPLERS)))
        raise SettingsError(f"OTEL_TRACES_SAMPLER must be one of {known}, not {name!r}")
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
    """Return the headers of every export; an error never shows a value."""
    name = read.otlp("HEADERS")
    found = _pairs(name, read.text(name))
    for header, value in found.items():
        if not _HEADER_NAME.fullmatch(header) or not _HEADER_VALUE.fullmatch(value):
            raise SettingsError(f"{name}: the header {header!r} or its value has characters that none may have")
    return found


def _resource(read: _Reader) -> dict[str, str]:
    """Return what is known about this server; a service's name of its own comes first."""
    found = _pairs("OTEL_RESOURCE_ATTRIBUTES", read.text("OTEL_RESOURCE_ATTRIBUTES"))
    service = read.text("OTEL_SERVICE_NAME")
    return found | {"service.name": service} if service else found


def _pairs(name: str, text: str) -> dict[str, str]:
    """Return `key1=value1,key2=value2` as W3C Baggage has it, values percent-decoded."""
    found = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not part.strip():
            continue
        if not equals or not key.strip():
            raise SettingsError(f"{name} must be pairs such as key1=value1,key2=value2")
        found[unquote(key.strip())] = unquote(value.strip())
    return found

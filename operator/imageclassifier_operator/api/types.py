"""One frozen dataclass per part of the spec, after defaults, with the API's units."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUP = "imageclassifier.dev"
VERSION = "v1alpha1"
KIND = "ImageClassifier"
PLURAL = "imageclassifiers"


@dataclass(frozen=True, kw_only=True)
class S3Store:
    """Where a bucket is: at AWS where `endpoint` is None."""

    endpoint: str | None = None
    region: str = "us-east-1"
    addressing: str = "Auto"


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """Where the model comes from, resolved against the catalogue.

    `uris` are mirrors of the same bytes, tried in order; `sha256` is the digest of the file, or of the
    folder's sorted `sha256sum` lines. `credentials_secret` is the name of a Secret in the object's namespace.
    `precision` is FP32, INT8 or Auto.
    """

    name: str
    uris: tuple[str, ...]
    sha256: str
    credentials_secret: str | None = None
    s3: S3Store | None = None
    precision: str = "FP32"

    @property
    def scheme(self) -> str:
        """Return what kind of source it is: http, https, s3, hf, pvc, bundled."""
        return self.uris[0].partition(":")[0]

    @property
    def claim(self) -> str | None:
        """Return the PersistentVolumeClaim that has to be mounted, None where the model is not in one."""
        return self.uris[0].partition("://")[2].partition("/")[0] if self.scheme == "pvc" else None


@dataclass(frozen=True, kw_only=True)
class Autoscaling:
    """Bounds and targets of the HorizontalPodAutoscaler; targets are percent of the request."""

    min_replicas: int = 2
    max_replicas: int = 10
    target_cpu_utilization: int | None = 70
    target_memory_utilization: int | None = None
    behavior: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Quantities of the server container, as written ("100m", "512Mi")."""

    requests: Mapping[str, str] = field(default_factory=lambda: {"cpu": "100m", "memory": "256Mi"})
    limits: Mapping[str, str] = field(default_factory=lambda: {"cpu": "500m", "memory": "512Mi"})


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of one request: bytes of a body, pixels of a decoded image, requests that may wait."""

    max_image_bytes: int = 10 * 1024 * 1024
    max_image_pixels: int = 25_000_000
    max_queue_size: int = 64


@dataclass(frozen=True, kw_only=True)
class RedisStore:
    """A Redis that keeps results too; `credentials_secret` names a Secret in the object's namespace."""

    url: str
    credentials_secret: str | None = None
    ttl_seconds: int = 86_400


@dataclass(frozen=True, kw_only=True)
class Cache:
    """The cache of results: bytes in each server, and Redis for all of them where it is given."""

    max_bytes: int = 16 * 1024 * 1024
    redis: RedisStore | None = None


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How many images go through the model together, 1 meaning one by one, and how long one waits for others."""

    max_batch_size: int = 1
    max_queue_delay_milliseconds: int = 2


@dataclass(frozen=True, kw_only=True)
class Service:
    """How the pods are reached."""

    type: str = "ClusterIP"
    port: int = 80


@dataclass(frozen=True, kw_only=True)
class Monitoring:
    """The ServiceMonitor: Auto (where its CRD is there), Enabled or Disabled."""

    service_monitor: str = "Auto"
    interval: str = "15s"
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Tracing:
    """Where traces go; `headers_secret` is the name of a Secret in the object's namespace."""

    endpoint: str
    sampling_percent: int = 1
    headers_secret: str | None = None


@dataclass(frozen=True, kw_only=True)
class RateLimit:
    """What one client may send to one pod; `burst` is left to the server where it is None."""

    requests_per_second: int
    burst: int | None = None


@dataclass(frozen=True, kw_only=True)
class Security:
    """Who is let in: `api_keys_secret` is the name of a Secret, `trusted_proxies` are networks as written."""

    api_keys_secret: str | None = None
    rate_limit: RateLimit | None = None
    trusted_proxies: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """The rolling update, in pods, and how long a pod that was told to end goes on answering."""

    max_surge: int = 1
    max_unavailable: int = 0
    drain_seconds: int = 10


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What one ImageClassifier asks for."""

    model: ModelSource
    replicas: int = 1
    autoscaling: Autoscaling | None = None
    resources: Resources = field(default_factory=Resources)
    limits: Limits = field(default_factory=Limits)
    cache: Cache | None = None
    batching: Batching = field(default_factory=Batching)
    service: Service = field(default_factory=Service)
    monitoring: Monitoring = field(default_factory=Monitoring)
    tracing: Tracing | None = None
    security: Security = field(default_factory=Security)
    rollout: Rollout = field(default_factory=Rollout)


@dataclass(frozen=True, kw_only=True)
class ImageClassifier:
    """One object: who it is, and its parsed spec."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: Spec

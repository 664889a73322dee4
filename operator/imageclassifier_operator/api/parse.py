"""From a live object to a typed spec, or to the whole list of what is wrong with it.

The CRD's schema checks types, bounds and most of what spans fields (CEL rules) before anything is stored. What
spans fields is checked here again, for objects that were stored under an older CRD; what CEL cannot express in a
useful message is checked only here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.api.cache import parse_cache
from imageclassifier_operator.api.quantity import QuantityError, parse_quantity
from imageclassifier_operator.api.security import security, security_problems
from imageclassifier_operator.api.source import own_source, source_problems
from imageclassifier_operator.api.types import (
    Autoscaling,
    Batching,
    Cache,
    ImageClassifier,
    Limits,
    ModelSource,
    Monitoring,
    Resources,
    Rollout,
    Service,
    Spec,
    Tracing,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imageclassifier_operator.api.config import OperatorConfig

KIBIBYTE = 1024
MEBIBYTE = 1024 * KIBIBYTE
GIBIBYTE = 1024 * MEBIBYTE

SERVER_BASE_BYTES = 160 * MEBIBYTE
"""What the server itself takes (interpreter, libraries, model, buffers): its own tests hold it to that."""

DECODE_BYTES_PER_PIXEL = 8
"""The most that decoding one pixel takes at its peak, over all formats and colour modes."""

_LABEL_KEY = re.compile(
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
)
_OWN_LABELS = "app.kubernetes.io/"


class InvalidSpecError(ValueError):
    """A spec that cannot be served; `problems` are sentences, each naming its field."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class _Problems(list[str]):
    """Collects problems, so that a person sees all of them at once."""

    def quantity(self, path: str, value: Any) -> int:
        try:
            number = parse_quantity(value)
        except QuantityError as error:
            self.append(f"{path}: {error}")
            return 0
        if number <= 0:
            self.append(f"{path}: must be greater than 0, is {value}")
        return int(number)


def parse(live: Mapping[str, Any], *, config: OperatorConfig) -> ImageClassifier:
    """Return the typed object behind a live ImageClassifier.

    Raises:
        InvalidSpecError: with every problem found.
    """
    metadata = live["metadata"]
    raw = live.get("spec") or {}
    problems = _Problems()
    spec = _spec(raw, problems, config)
    if problems or spec is None:
        raise InvalidSpecError(list(problems))
    return ImageClassifier(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        spec=spec,
    )


def _spec(raw: Mapping[str, Any], problems: _Problems, config: OperatorConfig) -> Spec | None:
    try:
        model = _model(raw.get("model") or {}, problems, config)
        resources = _resources(raw.get("resources") or {}, problems)
        limits = _limits(raw.get("limits") or {}, problems)
        cache = parse_cache(raw.get("cache"), problems.quantity, problems)
        batching = _batching(raw.get("batching") or {}, limits, problems)
        autoscaling = _autoscaling(raw["autoscaling"], problems) if raw.get("autoscaling") is not None else None
        rollout = _rollout(raw.get("rollout") or {}, problems)
        service = raw.get("service") or {}
        monitoring = _monitoring(raw.get("monitoring") or {}, problems)
        tracing = _tracing(raw["tracing"], problems) if raw.get("tracing") is not None else None
        guarded = raw.get("security") or {}
        problems.extend(security_problems(guarded))
        _memory_fits(resources, limits, cache, problems)
        return (
            None
            if model is None
            else Spec(
                model=model,
                replicas=int(raw.get("replicas", 1)),
                autoscaling=autoscaling,
                resources=resources,
                limits=limits,
                cache=cache,
                batching=batching,
                service=Service(**_renamed(service, {"type": "type", "port": "port"})),
                monitoring=monitoring,
                tracing=tracing,
                security=security(guarded),
                rollout=rollout,
            )
        )
    except (AttributeError, TypeError, ValueError) as error:  # a field of a type that the schema forbids
        problems.append(f"spec: {error}; kubectl explain imageclassifier.spec shows what each field takes")
        return None


def _renamed(raw: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {python: raw[api] for api, python in names.items() if raw.get(api) is not None}


def _model(raw: Mapping[str, Any], problems: _Problems, config: OperatorConfig) -> ModelSource | None:
    problems.extend(source_problems(raw))
    if raw.get("uri"):
        return own_source(raw)
    wanted = raw.get("name") or config.default_model
    entry = config.catalogue.get(wanted)
    if entry is None:
        known = ", ".join(sorted(config.catalogue)) or "nothing"
        problems.append(f"spec.model.name: {wanted} is not in the operator's catalogue, which has {known}")
        return None
    precision = raw.get("precision") or ModelSource.precision
    return ModelSource(name=wanted, uris=entry.uris, sha256=entry.sha256, precision=precision)


def _resources(raw: Mapping[str, Any], problems: _Problems) -> Resources:
    default = Resources()
    requests = {**default.requests, **(raw.get("requests") or {})}
    limits = {**default.limits, **(raw.get("limits") or {})}
    for kind, quantities in (("requests", requests), ("limits", limits)):
        for resource, value in quantities.items():
            problems.quantity(f"spec.resources.{kind}.{resource}", value)
    if not problems:
        problems.extend(
            f"spec.resources.requests.{resource}: {requests[resource]} is more than the limit, {limits[resource]}"
            for resource in requests
            if resource in limits and parse_quantity(requests[resource]) > parse_quantity(limits[resource])
        )
    return Resources(
        requests={key: str(value) for key, value in requests.items()},
        limits={key: str(value) for key, value in limits.items()},
    )


def _limits(raw: Mapping[str, Any], problems: _Problems) -> Limits:
    default = Limits()
    path, written = "spec.limits.maxImageBytes", raw.get("maxImageBytes")
    size = default.max_image_bytes if written is None else problems.quantity(path, written)
    if not problems and not KIBIBYTE <= size <= GIBIBYTE:
        problems.append(f"{path}: must be between 1Ki and 1Gi, is {written}")
    return Limits(
        max_image_bytes=size,
        max_image_pixels=int(raw.get("maxImagePixels", default.max_image_pixels)),
        max_queue_size=int(raw.get("maxQueueSize", default.max_queue_size)),
    )


def _memory_fits(resources: Resources, limits: Limits, cache: Cache | None, problems: _Problems) -> None:
    if problems:
        return
    have = int(parse_quantity(resources.limits["memory"]))
    need = SERVER_BASE_BYTES + limits.max_image_bytes + DECODE_BYTES_PER_PIXEL * limits.max_image_pixels
    need += 0 if cache is None else cache.max_bytes
    beside, lower = ("", "") if cache is None else (" beside the cache", ", or spec.cache.maxBytes")
    if need > have:
        problems.append(
            f"spec.limits: one largest image{beside} needs {-(-need // MEBIBYTE)} MiB of memory, "
            f"spec.resources.limits.memory is {resources.limits['memory']}; raise it to "
            f"{-(-need // MEBIBYTE)}Mi or lower maxImagePixels or maxImageBytes{lower}"
        )


def _batching(raw: Mapping[str, Any], limits: Limits, problems: _Problems) -> Batching:
    names = {"maxBatchSize": "max_batch_size", "maxQueueDelayMilliseconds": "max_queue_delay_milliseconds"}
    batching = Batching(**_renamed(raw, names))
    if batching.max_batch_size > limits.max_queue_size:
        problems.append(
            f"spec.batching.maxBatchSize: {batching.max_batch_size} is more than spec.limits.maxQueueSize "
            f"({limits.max_queue_size}), so no batch would ever be full; lower it or raise maxQueueSize"
        )
    return batching


def _autoscaling(raw: Mapping[str, Any], problems: _Problems) -> Autoscaling:
    low, high = int(raw.get("minReplicas", 2)), int(raw.get("maxReplicas", 10))
    if low > high:
        problems.append(
            f"spec.autoscaling: minReplicas ({low}) is more than maxReplicas ({high}); where not given they "
            "are 2 and 10"
        )
    cpu, memory = raw.get("targetCPUUtilization"), raw.get("targetMemoryUtilization")
    return Autoscaling(
        min_replicas=low,
        max_replicas=high,
        target_cpu_utilization=70 if cpu is None and memory is None else cpu,
        target_memory_utilization=memory,
        behavior=raw.get("behavior") or None,
    )


def _monitoring(raw: Mapping[str, Any], problems: _Problems) -> Monitoring:
    names = {"serviceMonitor": "service_monitor", "interval": "interval", "labels": "labels"}
    monitoring = Monitoring(**_renamed(raw, names))
    for key in sorted(monitoring.labels):
        if key.startswith(_OWN_LABELS):
            problems.append(f"spec.monitoring.labels: {key} is one of the operator's own labels")
        elif not _LABEL_KEY.fullmatch(key):
            problems.append(f"spec.monitoring.labels: {key!r} is not the key of a label")
    return monitoring


def _tracing(raw: Mapping[str, Any], problems: _Problems) -> Tracing | None:
    secret = raw.get("headersSecretRef")
    if secret is not None and not secret.get("name"):
        problems.append("spec.tracing.headersSecretRef: name is required")
    if not raw.get("otlpEndpoint"):
        return None
    return Tracing(
        endpoint=str(raw["otlpEndpoint"]),
        sampling_percent=int(raw.get("samplingPercent", Tracing.sampling_percent)),
        headers_secret=secret["name"] if secret is not None and secret.get("name") else None,
    )


def _rollout(raw: Mapping[str, Any], problems: _Problems) -> Rollout:
    names = {"maxSurge": "max_surge", "maxUnavailable": "max_unavailable", "drainSeconds": "drain_seconds"}
    rollout = Rollout(**_renamed(raw, names))
    if rollout.max_surge == 0 and rollout.max_unavailable == 0:
        problems.append("spec.rollout: maxSurge and maxUnavailable are both 0, so no pod could ever be replaced")
    return rollout

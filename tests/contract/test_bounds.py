"""The server accepts every number that the CRD accepts, and both have the same bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_runtime.errors import SettingsError
from imageclassifier_runtime.settings.commands import ServeSettings

from tests import crd
from tests.contract import pods

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A field and its setting; `same_minimum` and `same_maximum` say whether the server has the same bound."""

    field: str
    value: Callable[[ServeSettings], object]
    variable: str
    factor: float = 1
    same_minimum: bool = True
    same_maximum: bool = True


_BOUNDS = [
    Bound(
        field="limits.maxImageBytes", value=lambda settings: settings.max_image_bytes, variable="MAX_IMAGE_BYTES"
    ),
    Bound(
        field="limits.maxImagePixels",
        value=lambda settings: settings.max_image_pixels,
        variable="MAX_IMAGE_PIXELS",
    ),
    Bound(field="limits.maxQueueSize", value=lambda settings: settings.max_queue_size, variable="MAX_QUEUE_SIZE"),
    Bound(
        field="batching.maxBatchSize", value=lambda settings: settings.max_batch_size, variable="MAX_BATCH_SIZE"
    ),
    Bound(
        field="batching.maxQueueDelayMilliseconds",
        value=lambda settings: settings.max_queue_delay_milliseconds,
        variable="MAX_QUEUE_DELAY_MILLISECONDS",
    ),
    # the server also accepts no cache and a larger one
    Bound(
        field="cache.maxBytes",
        value=lambda settings: settings.cache.max_bytes,
        variable="CACHE_MAX_BYTES",
        same_minimum=False,
        same_maximum=False,
    ),
    Bound(
        field="cache.redis.ttlSeconds",
        value=lambda settings: settings.cache.redis and settings.cache.redis.ttl_seconds,
        variable="CACHE_REDIS_TTL_SECONDS",
    ),
    # the server also accepts fractions
    Bound(
        field="security.rateLimit.requestsPerSecond",
        value=lambda settings: settings.rate_limit,
        variable="RATE_LIMIT",
        same_minimum=False,
    ),
    Bound(
        field="security.rateLimit.burst",
        value=lambda settings: settings.rate_limit_burst,
        variable="RATE_LIMIT_BURST",
    ),
    Bound(field="rollout.drainSeconds", value=lambda settings: settings.drain_seconds, variable="DRAIN_SECONDS"),
    Bound(
        field="tracing.samplingPercent",
        value=lambda settings: settings.tracing and settings.tracing.ratio,
        variable="",
        factor=0.01,
        same_minimum=False,
        same_maximum=False,
    ),
]
# Fields that only Kubernetes or the operator reads.
_NOT_READ_BY_THE_SERVER = (
    "replicas",
    "autoscaling.",
    "resources.",
    "scheduling.",
    "disruption.",
    "service.",
    "ingress.",
    "gateway.",
    "rollout.max",
)
_NODES = dict(crd.nodes(pods.SPEC_SCHEMA))


def _spec(field: str, value: int) -> dict[str, Any]:
    """Return a spec with this value, and with other values that no rule rejects together with it."""
    spec: dict[str, Any] = {
        "resources": {"limits": {"memory": "16Ti"}},
        "limits": {"maxQueueSize": 10_000},
        "batching": {"maxBatchSize": 2},
        "cache": {"redis": {"url": "redis://redis"}},
        "security": {"rateLimit": {"requestsPerSecond": 1}},
        "tracing": {"otlpEndpoint": "http://collector:4318"},
    }
    if field == "limits.maxQueueSize":
        del spec["batching"]
    *parents, name = field.split(".")
    part = spec
    for parent in parents:
        part = part.setdefault(parent, {})
    part[name] = value
    return spec


def _environment(spec: dict[str, Any]) -> dict[str, str]:
    return pods.environment(pods.containers(pods.parsed(spec))["serve"])


def _rejected(field: str, value: int) -> bool:
    return any(field in error for error in crd.schema_errors({"metadata": {}, "spec": _spec(field, value)}))


@pytest.fixture(params=_BOUNDS, ids=lambda bound: bound.field)
def bound(request: pytest.FixtureRequest) -> Bound:
    found: Bound = request.param
    return found


def test_every_number_that_the_server_reads_is_compared() -> None:
    numbers = {path for path, node in _NODES.items() if "minimum" in node}
    read_by_the_server = {path for path in numbers if not path.startswith(_NOT_READ_BY_THE_SERVER)}
    assert read_by_the_server == {bound.field for bound in _BOUNDS}
    assert all("maximum" in _NODES[path] for path in read_by_the_server)


@pytest.mark.parametrize("kind", ["minimum", "maximum"])
def test_a_bound_of_the_crd_is_accepted_by_the_server(bound: Bound, kind: str) -> None:
    value = _NODES[bound.field][kind]
    spec = _spec(bound.field, value)
    assert not crd.schema_errors({"metadata": {}, "spec": spec})
    assert bound.value(ServeSettings.from_env(_environment(spec))) == value * bound.factor


def test_a_value_beyond_a_bound_is_rejected_by_the_crd(bound: Bound) -> None:
    node = _NODES[bound.field]
    assert _rejected(bound.field, node["maximum"] + 1)
    assert _rejected(bound.field, node["minimum"] - 1)
    assert not _rejected(bound.field, node["maximum"])


def test_the_server_has_the_same_bounds(bound: Bound) -> None:
    node = _NODES[bound.field]
    env = _environment(_spec(bound.field, node["minimum"]))
    for beyond, same in ((node["minimum"] - 1, bound.same_minimum), (node["maximum"] + 1, bound.same_maximum)):
        if same:
            with pytest.raises(SettingsError, match=rf"IMAGECLASSIFIER_{bound.variable} must be between"):
                ServeSettings.from_env({**env, f"IMAGECLASSIFIER_{bound.variable}": str(beyond)})


def test_the_maximum_image_size_is_200_megapixels() -> None:
    assert _NODES["limits.maxImagePixels"]["maximum"] == 200_000_000

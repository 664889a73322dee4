"""The two containers of a pod: the init container that fetches the model, and the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.api import DEFAULT_PRECISION
from imageclassifier_operator.manifests import cache, security, source, tracing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imageclassifier_operator.api import Batching, ModelSource, Spec
    from imageclassifier_operator.manifests.params import Params

PORT = 8080
MODEL_DIR = "/model"
API = "/api/v1/health"


def model_container(params: Params) -> dict[str, Any]:
    """Return the init container, which fetches the model and verifies its digest."""
    model = params.spec.model
    settings = {
        "MODEL_DIR": MODEL_DIR,
        "MODEL_NAME": model.name,
        "MODEL_URI": " ".join(model.uris),
        "MODEL_SHA256": model.sha256,
        **source.settings(model),
        **_precision(model),
    }
    container = _container("model", "fetch", params, settings=settings, model_read_only=False)
    container["env"] += source.secret_env(model)
    container["volumeMounts"] += source.mounts(model)
    return container


def server_container(params: Params) -> dict[str, Any]:
    """Return the server; it counts as started once it is warm, and is killed only if its event loop is blocked."""
    spec, limits = params.spec, params.spec.limits
    settings = {
        "MODEL_DIR": MODEL_DIR,
        **_precision(spec.model),
        "PORT": str(PORT),
        "MAX_IMAGE_BYTES": str(limits.max_image_bytes),
        "MAX_IMAGE_PIXELS": str(limits.max_image_pixels),
        "MAX_QUEUE_SIZE": str(limits.max_queue_size),
        "DRAIN_SECONDS": str(spec.rollout.drain_seconds),
        **security.settings(spec.security),
        **cache.settings(spec.cache),
        **_batching(spec.batching),
    }
    container = _container("server", "serve", params, settings=settings, model_read_only=True)
    container["env"] += tracing.env(params.ic, container="server")
    container["env"] += cache.secret_env(spec.cache)
    container["volumeMounts"] += security.mounts(spec.security)
    return {
        **container,
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        # every second for two minutes, so that a pod is ready within a second of being warm
        "startupProbe": _probe("ready", period=1, timeout=1, failures=120),
        "readinessProbe": _probe("ready", period=2, timeout=2, failures=3),
        "livenessProbe": _probe("live", period=10, timeout=5, failures=3),
    }


def _batching(batching: Batching) -> dict[str, str]:
    """Return nothing for batches of one, so that setting the default restarts no pod."""
    if batching.max_batch_size == 1:
        return {}
    return {
        "MAX_BATCH_SIZE": str(batching.max_batch_size),
        "MAX_QUEUE_DELAY_MILLISECONDS": str(batching.max_queue_delay_milliseconds),
    }


def volumes(spec: Spec) -> list[dict[str, Any]]:
    """Return the writable volumes, the claim that has the model, and the API keys."""
    return [
        {"name": "model", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
        *source.volumes(spec.model),
        *security.volumes(spec.security),
    ]


def _container(
    name: str,
    task: str,
    params: Params,
    *,
    settings: Mapping[str, str],
    model_read_only: bool,
) -> dict[str, Any]:
    config, resources = params.config, params.spec.resources
    return {
        "name": name,
        "image": config.runtime_image,
        "imagePullPolicy": config.image_pull_policy,
        "args": [task],
        "env": [{"name": f"IMAGECLASSIFIER_{key}", "value": _literal(settings[key])} for key in settings],
        # the same for both, so that the init container never raises the requests of the pod
        "resources": {"requests": dict(resources.requests), "limits": dict(resources.limits)},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        # the last log lines, if the process wrote no message
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            # false is omitted: the API server drops it, so it would always differ
            {"name": "model", "mountPath": MODEL_DIR, **({"readOnly": True} if model_read_only else {})},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
    }


def _precision(model: ModelSource) -> dict[str, str]:
    """Return the setting for both containers: the one that checks the model, and the one that serves it.

    The default is omitted, so that an upgrade to this version restarts no pod.
    """
    return {} if model.precision == DEFAULT_PRECISION else {"PRECISION": model.precision}


def _literal(value: str) -> str:
    """Escape a value for the kubelet, which expands `$(NAME)` and turns `$$` into `$`."""
    return value.replace("$", "$$")


def _probe(what: str, *, period: int, timeout: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": f"{API}/{what}", "port": "http", "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    }

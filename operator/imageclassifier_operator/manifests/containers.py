"""The containers of a pod: the server, and an init container that fetches the model.

The init container is left out if the model is sure to be in the image: the kubelet takes about a second to notice
that an init container has ended, which delays the pod.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.api import DEFAULT_PRECISION
from imageclassifier_operator.manifests import cache, security, source, tracing, trust
from imageclassifier_operator.naming import MODEL_CONTAINER, SERVER_CONTAINER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imageclassifier_operator.api import Batching, ModelSource
    from imageclassifier_operator.manifests.params import Params

PORT = 8080
MODEL_DIR = "/model"
_HEALTH_PATH = "/api/v1/health"


def init_containers(params: Params) -> list[dict[str, Any]]:
    """Return the init container, if there is one. It fetches the model and verifies its digest."""
    model = params.spec.model
    if not _is_fetched(params):
        return []
    settings = {
        "MODEL_DIR": MODEL_DIR,
        "MODEL_NAME": model.name,
        "MODEL_URI": " ".join(model.uris),  # mirrors, tried in this order
        "MODEL_SHA256": model.sha256,
        **source.settings(model),
        **_precision_settings(model),
        **trust.settings(params),
    }
    # Without `readOnly: false`: the API server drops it, so what it stores would always differ from what we apply.
    mounts = [{"name": "model", "mountPath": MODEL_DIR}]
    container = _container(params, name=MODEL_CONTAINER, command="fetch", settings=settings, mounts=mounts)
    container["env"] += source.secret_env(model) + _proxy_and_spec_variables(params)
    container["volumeMounts"] += source.mounts(model)
    return [container]


def _is_fetched(params: Params) -> bool:
    """Whether an init container fetches the model.

    It does, too, if the spec names its own runtime image: that may be an older one, which lacks the model.
    """
    return not params.spec.model.comes_with_server or params.spec.runtime.image is not None


def server_container(params: Params) -> dict[str, Any]:
    """Return the server container.

    The startup probe succeeds once the model is loaded and warmed up. The liveness probe fails only if the event
    loop of the server is blocked; the kubelet then restarts the container.
    """
    spec, limits = params.spec, params.spec.limits
    is_fetched = _is_fetched(params)
    settings = {
        **({"MODEL_DIR": MODEL_DIR} if is_fetched else {"MODEL_NAME": spec.model.name}),
        **_precision_settings(spec.model),
        "PORT": str(PORT),
        "MAX_IMAGE_BYTES": str(limits.max_image_bytes),
        "MAX_IMAGE_PIXELS": str(limits.max_image_pixels),
        "MAX_QUEUE_SIZE": str(limits.max_queue_size),
        "DRAIN_SECONDS": str(spec.rollout.drain_seconds),
        **security.settings(spec.security),
        **cache.settings(spec.cache),
        **_batching_settings(spec.batching),
        **trust.settings(params),
    }
    mounts = [{"name": "model", "mountPath": MODEL_DIR, "readOnly": True}] if is_fetched else []
    container = _container(params, name=SERVER_CONTAINER, command="serve", settings=settings, mounts=mounts)
    if not is_fetched:
        # The server verifies that the model in its image is this one. If the operator is configured with an older
        # image, that fails because of an unknown flag; it would ignore a variable, and serve another model.
        container["args"] += ["--model-uri", *spec.model.uris, "--model-sha256", spec.model.sha256]
    container["env"] += tracing.env(params.ic, container=SERVER_CONTAINER)
    container["env"] += cache.secret_env(spec.cache) + _proxy_and_spec_variables(params)
    container["volumeMounts"] += security.mounts(spec.security)
    return {
        **container,
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        # The server may take two minutes to start. A probe every second notices a ready server soon.
        "startupProbe": _probe("ready", period_seconds=1, timeout_seconds=1, failure_threshold=120),
        "readinessProbe": _probe("ready", period_seconds=2, timeout_seconds=2, failure_threshold=3),
        "livenessProbe": _probe("live", period_seconds=10, timeout_seconds=5, failure_threshold=3),
    }


def _batching_settings(batching: Batching) -> dict[str, str]:
    """Return the settings for batching.

    They are omitted if the maximum batch size is 1, the default. So an upgrade from a version without batching, or
    setting the default in the spec, does not restart the pods.
    """
    if batching.max_batch_size == 1:
        return {}
    return {
        "MAX_BATCH_SIZE": str(batching.max_batch_size),
        "MAX_QUEUE_DELAY_MILLISECONDS": str(batching.max_queue_delay_milliseconds),
    }


def volumes(params: Params) -> list[dict[str, Any]]:
    """Return the volumes.

    `tmp` and, if the model is fetched, `model` are writable. The claim that holds the model, the Secret with the
    API keys and the ConfigMap with CAs are there if they are configured.
    """
    spec = params.spec
    model = [{"name": "model", "emptyDir": {"sizeLimit": "1Gi"}}] if _is_fetched(params) else []
    return [
        *model,
        {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
        *source.volumes(spec.model),
        *security.volumes(spec.security),
        *trust.volumes(params),
    ]


def _container(
    params: Params,
    *,
    name: str,
    command: str,
    settings: Mapping[str, str],
    mounts: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the fields that the server and the init container share.

    command: the subcommand of the image's program, `serve` or `fetch`.
    settings: each becomes the variable `IMAGECLASSIFIER_<setting>`.
    """
    config, runtime, resources = params.config, params.spec.runtime, params.spec.resources
    return {
        "name": name,
        "image": runtime.image or config.runtime_image,
        "imagePullPolicy": runtime.image_pull_policy or config.image_pull_policy,
        "args": [command],
        "env": [
            {"name": f"IMAGECLASSIFIER_{setting}", "value": _escape_dollars(value)}
            for setting, value in settings.items()
        ],
        # Both containers have the same resources, so the init container does not raise the pod's requests.
        "resources": resources.model_dump(by_alias=True, exclude_none=True),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        # If the process fails without a termination message, the kubelet uses the last lines of its log.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [*mounts, {"name": "tmp", "mountPath": "/tmp"}, *trust.mounts(params)],  # noqa: S108
    }


def _proxy_and_spec_variables(params: Params) -> list[dict[str, Any]]:
    """Return the configured proxies, and then the variables of the spec, which may use `$(HTTP_PROXY)`.

    A variable of the spec with an empty value has no field `value`, as the API server stores it.
    """
    proxies = [
        {"name": name, "value": _escape_dollars(value)} for name, value in trust.proxy_variables(params).items()
    ]
    return proxies + [
        variable.model_dump(mode="json", exclude_defaults=True) for variable in params.spec.runtime.env
    ]


def _precision_settings(model: ModelSource) -> dict[str, str]:
    """Return the setting for the precision of the model, which both containers need.

    It is omitted for the default. So an upgrade from a version without this setting does not restart the pods.
    """
    return {} if model.precision == DEFAULT_PRECISION else {"PRECISION": model.precision}


def _escape_dollars(value: str) -> str:
    """Escape the value of a variable: the kubelet expands `$(NAME)` in it, and replaces `$$` by `$`."""
    return value.replace("$", "$$")


def _probe(endpoint: str, *, period_seconds: int, timeout_seconds: int, failure_threshold: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": f"{_HEALTH_PATH}/{endpoint}", "port": "http", "scheme": "HTTP"},
        "periodSeconds": period_seconds,
        "timeoutSeconds": timeout_seconds,
        "failureThreshold": failure_threshold,
    }

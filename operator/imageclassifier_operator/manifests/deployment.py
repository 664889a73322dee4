"""The Deployment: the pod template, and how pods are replaced.

A change of the pod template replaces all pods. A new version of the operator that builds another template offers
a new revision of every ImageClassifier (`revisions`). So the template has only the fields that are needed, and no
values that change by themselves, such as the operator's version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from imageclassifier_operator.labels import child_labels, selector_labels
from imageclassifier_operator.manifests import scheduling
from imageclassifier_operator.manifests.containers import init_containers, server_container, volumes
from imageclassifier_operator.manifests.metadata import child_metadata
from imageclassifier_operator.naming import child_name

if TYPE_CHECKING:
    from imageclassifier_operator.manifests.params import Params

_USER_ID = 65532
PROGRESS_DEADLINE_SECONDS = 300
"""How long a rollout may make no progress, for example while pods fetch the model. Known causes are reported
earlier."""

FINISH_SECONDS = 20
"""Time to finish the requests in flight, after `drainSeconds` have passed and the pod accepts no new requests."""

_HOST_USERS_SINCE: Final = (1, 33)
"""The version that enables `hostUsers` by default: KEP-127."""


def build(params: Params) -> dict[str, Any]:
    """Return the Deployment, with the template of the accepted revision or, without one, that of the spec.

    With autoscaling, `replicas` is omitted, since the autoscaler sets it.
    """
    name, spec = params.ic.name, params.spec
    rollout = spec.rollout
    replicas = {} if spec.autoscaling is not None else {"replicas": spec.replicas}
    return {
        "metadata": child_metadata(params.ic),
        "spec": {
            **replicas,
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": PROGRESS_DEADLINE_SECONDS,
            "selector": {"matchLabels": selector_labels(name)},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": rollout.max_surge, "maxUnavailable": rollout.max_unavailable},
            },
            "template": pod_template(params) if params.template is None else params.template,
        },
    }


def unsupported(params: Params) -> str | None:
    """Return a sentence about `hostUsers` if it is given and the API server does not know it."""
    if params.spec.runtime.host_users is None:
        return None
    return params.too_old("spec.runtime.hostUsers", since=_HOST_USERS_SINCE)


def pod_template(params: Params) -> dict[str, Any]:
    """Return the template of the pods, which a revision holds."""
    return {"metadata": _pod_metadata(params), "spec": _pod(params)}


def _pod_metadata(params: Params) -> dict[str, Any]:
    runtime = params.spec.runtime
    annotations = {"annotations": dict(runtime.pod_annotations)} if runtime.pod_annotations else {}
    return {"labels": {**runtime.pod_labels, **child_labels(params.ic.name)}, **annotations}


def _pod(params: Params) -> dict[str, Any]:
    runtime = params.spec.runtime
    secrets = [{"name": secret.name} for secret in runtime.image_pull_secrets]
    sends_host_users = runtime.host_users is not None and unsupported(params) is None
    return {
        "serviceAccountName": runtime.service_account_name or child_name(params.ic.name),
        **({"imagePullSecrets": secrets} if secrets else {}),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        **({"hostUsers": runtime.host_users} if sends_host_users else {}),
        "terminationGracePeriodSeconds": params.spec.rollout.drain_seconds + FINISH_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER_ID,
            "runAsGroup": _USER_ID,
            "fsGroup": _USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **scheduling.fields(params.ic),
        **({"initContainers": containers} if (containers := init_containers(params)) else {}),
        "containers": [server_container(params)],
        "volumes": volumes(params),
    }

"""The pods and how they are replaced.

Any change of the template restarts every pod of every ImageClassifier, even if only the operator is upgraded. So
the template has only what is needed, and nothing that changes by itself, such as a version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.labels import child_labels, selector_labels
from imageclassifier_operator.manifests.containers import model_container, server_container, volumes
from imageclassifier_operator.manifests.metadata import child_metadata
from imageclassifier_operator.naming import child_name

if TYPE_CHECKING:
    from imageclassifier_operator.manifests.params import Params

USER = 65532
PROGRESS_DEADLINE_SECONDS = 300
"""Time to download an image and a model; a failure is reported earlier, by its cause."""

FINISH_SECONDS = 20
"""Time for requests in flight after a pod has stopped accepting new ones."""


def build(params: Params) -> dict[str, Any]:
    """Return the Deployment; `replicas` is omitted with autoscaling."""
    name, spec = params.ic.name, params.spec
    rollout = spec.rollout
    fixed = {} if spec.autoscaling is not None else {"replicas": spec.replicas}
    return {
        "metadata": child_metadata(params.ic),
        "spec": {
            **fixed,
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": PROGRESS_DEADLINE_SECONDS,
            "selector": {"matchLabels": selector_labels(name)},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": rollout.max_surge, "maxUnavailable": rollout.max_unavailable},
            },
            "template": {"metadata": {"labels": child_labels(name)}, "spec": _pod(params)},
        },
    }


def _pod(params: Params) -> dict[str, Any]:
    return {
        "serviceAccountName": child_name(params.ic.name),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": params.spec.rollout.drain_seconds + FINISH_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            _spread(params.ic.name, over) for over in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
        ],
        "initContainers": [model_container(params)],
        "containers": [server_container(params)],
        "volumes": volumes(params.spec),
    }


def _spread(name: str, over: str) -> dict[str, Any]:
    """Return a constraint that prefers spreading, and never keeps a pod from being scheduled."""
    return {
        "maxSkew": 1,
        "topologyKey": over,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": selector_labels(name)},
    }

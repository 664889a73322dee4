"""Which nodes the pods run on; by default, they are spread over zones and nodes where possible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.labels import selector_labels

if TYPE_CHECKING:
    from imageclassifier_operator.api import ImageClassifier


def fields(ic: ImageClassifier) -> dict[str, Any]:
    """Return the fields of the pod's spec. Those that are not given are omitted, so no pod has to restart."""
    scheduling = ic.spec.scheduling
    result: dict[str, Any] = scheduling.model_dump(
        mode="json", by_alias=True, exclude={"spread"}, exclude_defaults=True
    )
    # Empty parts of the affinity have no effect, but would change the template.
    affinity = {name: part for name, part in result.pop("affinity", {}).items() if part}
    if affinity:
        result["affinity"] = affinity
    if scheduling.spread != "Off":
        result["topologySpreadConstraints"] = [
            _spread(ic.name, over, required=scheduling.spread == "Required")
            for over in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
        ]
    return result


def _spread(name: str, over: str, *, required: bool) -> dict[str, Any]:
    constraint = {
        "maxSkew": 1,
        "topologyKey": over,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": selector_labels(name)},
    }
    if not required:
        return constraint
    return {
        **constraint,
        "whenUnsatisfiable": "DoNotSchedule",
        # Counted within one ReplicaSet, else the pods that a rollout replaces could keep the new ones pending.
        "matchLabelKeys": ["pod-template-hash"],
        # Else a node that takes no pod, such as one that is drained, counts as an empty one.
        "nodeTaintsPolicy": "Honor",
    }

"""Metrics of each ImageClassifier: its conditions, replicas, model and revision, until it is deleted.

Conditions are labelled like those of kube-state-metrics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_PREFIX = "imageclassifier_operator_object"
_STATUSES = ("True", "False", "Unknown")
_COUNTS = {
    "desired": "Pods that the Deployment should have",
    "ready": "Pods that are ready",
    "min": "Pods that there are at least: the minimum of the autoscaler, or the desired number",
    "max": "Pods that there are at most: the maximum of the autoscaler, or the desired number",
}


@dataclass(frozen=True, kw_only=True)
class ObjectFacts:
    """What the metrics of one ImageClassifier say.

    conditions: the status (True, False or Unknown) of each, by type. replicas: the counts by the keys `desired`,
    `ready`, `min` and `max`. info: the labels of its model and its revision.
    """

    conditions: Mapping[str, str]
    replicas: Mapping[str, int]
    info: Mapping[str, str]


def object_facts(
    status: Mapping[str, Any], *, deployment: Mapping[str, Any] | None, autoscaler: Mapping[str, Any] | None
) -> ObjectFacts:
    """Return the facts about an object from its status, its Deployment, and what scales this."""
    spec = (deployment or {}).get("spec") or {}
    desired = int(spec.get("replicas", 1)) if deployment is not None else 0
    bounds = (autoscaler or {}).get("spec") or {}
    model = status.get("model") or {}
    return ObjectFacts(
        conditions={each["type"]: each["status"] for each in status.get("conditions") or []},
        replicas={
            "desired": desired,
            "ready": status.get("readyReplicas", 0),
            "min": bounds.get("minReplicas", desired if autoscaler is None else 1),
            "max": bounds.get("maxReplicas", desired),
        },
        info={
            "model": model.get("name", ""),
            "model_sha256": model.get("sha256", ""),
            "precision": model.get("precision", ""),
            "revision": (status.get("revisions") or {}).get("accepted", ""),
        },
    )


class ObjectMetrics(Collector):
    """The facts about all ImageClassifiers, by namespace and name."""

    def __init__(self) -> None:
        self._facts: dict[tuple[str, str], ObjectFacts] = {}

    def set(self, key: tuple[str, str], facts: ObjectFacts) -> None:
        """Replace what is known about an object."""
        self._facts[key] = facts

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._facts)

    def forget(self, key: tuple[str, str]) -> None:
        """Drop a deleted object."""
        self._facts.pop(key, None)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Yield the metrics of all objects."""
        labels = ["namespace", "name"]
        text = "Whether a condition of an ImageClassifier has a status"
        conditions = GaugeMetricFamily(
            f"{_PREFIX}_status_condition", text, labels=[*labels, "condition", "status"]
        )
        info_labels = ["model", "model_sha256", "precision", "revision"]
        info = GaugeMetricFamily(
            f"{_PREFIX}_info", "The model and the accepted revision", labels=[*labels, *info_labels]
        )
        counts = {
            name: GaugeMetricFamily(f"{_PREFIX}_replicas_{name}", help_text, labels=labels)
            for name, help_text in _COUNTS.items()
        }
        for key, facts in sorted(self._facts.items()):
            for condition, present in facts.conditions.items():
                for status in _STATUSES:
                    conditions.add_metric([*key, condition, status.lower()], float(status == present))
            info.add_metric([*key, *(facts.info[label] for label in info_labels)], 1.0)
            for name, family in counts.items():
                family.add_metric(list(key), float(facts.replicas[name]))
        yield from (conditions, info, *counts.values())

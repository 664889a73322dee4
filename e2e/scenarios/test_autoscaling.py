"""When autoscaling is switched on or off, no ready replica that is still desired is removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e2e.classifiers import condition, manifest, wait_for_replicas, wait_until_ready
from e2e.readiness import watch_ready_replicas

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.kube import Kube


def test_ready_replicas_never_fall_below_the_smaller_of_before_and_after(
    kube: Kube, namespace: str, add_to_summary: Callable[[str], None]
) -> None:
    spec: dict[str, Any] = {"replicas": 3, "rollout": {"drainSeconds": 1}}
    kube.apply(manifest("pets", namespace=namespace, spec=spec))
    wait_until_ready(kube, "pets", namespace=namespace)
    count = 3
    # (title, change, desired count after it)
    changes = (
        ("on, with the count inside its bounds", {"autoscaling": {"minReplicas": 2, "maxReplicas": 4}}, 3),
        ("off, to fewer", {"autoscaling": None, "replicas": 2}, 2),
        ("on, with a minimum above the count", {"autoscaling": {"minReplicas": 3, "maxReplicas": 4}}, 3),
        ("off, with the same count", {"autoscaling": None, "replicas": 3}, 3),
        ("on, with a maximum below the count", {"autoscaling": {"minReplicas": 1, "maxReplicas": 2}}, 2),
    )
    for title, change, desired in changes:
        with watch_ready_replicas(kube, "pets", namespace=namespace) as ready:
            kube.patch("imageclassifiers", "pets", {"spec": change}, namespace=namespace)
            # Ready alone is not enough: a count above the maximum is lowered later, by the autoscaler.
            live = wait_for_replicas(kube, "pets", desired, namespace=namespace)
        states = len(ready.counts)
        add_to_summary(
            f"autoscaling {title}: {count} -> {desired} pods, at least {ready.minimum} ready ({states} states)"
        )
        assert live["status"]["readyReplicas"] == desired, title
        assert ready.minimum >= min(count, desired), (title, ready.counts)
        autoscaler = kube.get("horizontalpodautoscalers", "pets", namespace=namespace)
        assert (autoscaler is not None) == (change["autoscaling"] is not None), title
        off = condition(live, "AutoscalingReady")["reason"] == "NotRequested"
        assert off == (autoscaler is None), title
        count = desired

"""Switching autoscaling on and off never takes ready replicas away that are wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e2e.classifiers import condition, current, manifest, wait_for, wait_ready
from e2e.readiness import watching

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.cluster.api import Object
    from e2e.kube import Kube


def _wait_count(kube: Kube, namespace: str, count: int) -> Object:
    """Wait until exactly so many are wanted, ready and told of."""
    summary = f"{count}/{count}"

    def reached(live: Object) -> bool:
        return current(live).get("status") == "True" and live["status"]["readySummary"] == summary

    return wait_for(kube, "pets", namespace=namespace, what=f"Ready with {summary}", probe=reached)


def test_ready_replicas_never_fall_below_the_smaller_of_before_and_after(
    kube: Kube, namespace: str, figure: Callable[[str], None]
) -> None:
    spec: dict[str, Any] = {"replicas": 3, "rollout": {"drainSeconds": 1}}
    kube.apply(manifest("pets", namespace=namespace, spec=spec))
    wait_ready(kube, "pets", namespace=namespace)
    count = 3
    # (what changes, the count wanted after it)
    changes = (
        ("on, with the count inside its bounds", {"autoscaling": {"minReplicas": 2, "maxReplicas": 4}}, 3),
        ("off, to fewer", {"autoscaling": None, "replicas": 2}, 2),
        ("on, with a minimum above the count", {"autoscaling": {"minReplicas": 3, "maxReplicas": 4}}, 3),
        ("off, with the same count", {"autoscaling": None, "replicas": 3}, 3),
        ("on, with a maximum below the count", {"autoscaling": {"minReplicas": 1, "maxReplicas": 2}}, 2),
    )
    for text, change, wanted in changes:
        with watching(kube, "pets", namespace=namespace) as seen:
            kube.patch("imageclassifiers", "pets", {"spec": change}, namespace=namespace)
            # Also when all are Ready: a count above the maximum is for the autoscaler to lower, in its own time.
            live = _wait_count(kube, namespace, wanted)
        states = len(seen.counts)
        figure(
            f"autoscaling {text}: {count} -> {wanted} pods, never fewer than {seen.fewest} ready ({states} states)"
        )
        assert live["status"]["readyReplicas"] == wanted, text
        assert seen.fewest >= min(count, wanted), (text, seen.counts)
        autoscaler = kube.get("horizontalpodautoscalers", "pets", namespace=namespace)
        assert (autoscaler is not None) == (change["autoscaling"] is not None), text
        off = condition(live, "AutoscalingReady")["reason"] == "NotRequested"
        assert off == (autoscaler is None), text
        count = wanted

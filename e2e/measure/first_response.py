"""Measures the time from `kubectl apply` of a new object to its first response with status 200."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2e.classifiers import delete, manifest, wait_for_endpoint, wait_for_response
from e2e.measure.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2e.kube import Kube

PHOTOGRAPH = Path(__file__).parents[1] / "demo" / "cat.jpg"
MAX_MEDIAN_SECONDS = 15.0
"""The limit that the scenarios check."""


def timelines_to_first_response(
    kube: Kube, *, namespace: str, runs: int, spec: Mapping[str, Any] | None = None
) -> list[dict[str, float]]:
    """The timeline of each run, from the start of kubectl. The images must be on the node already."""
    image = PHOTOGRAPH.read_bytes()
    found = []
    for number in range(runs):
        name = f"timed-{number}"
        timeline = Timeline(kube, name, namespace=namespace)
        kube.apply(manifest(name, namespace=namespace, spec=spec))
        wait_for_response(wait_for_endpoint(kube, name, namespace=namespace), image)
        found.append(timeline.finish())
        delete(kube, name, namespace=namespace)
    return found

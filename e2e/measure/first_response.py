"""Measures the time from `kubectl apply` of a new object to its first response with status 200."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2e.classifiers import delete, manifest, wait_for_endpoint, wait_for_response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2e.kube import Kube

PHOTOGRAPH = Path(__file__).parents[1] / "demo" / "cat.jpg"
MAX_MEDIAN_SECONDS = 15.0
"""The limit that the scenarios check."""


def times_to_first_response(
    kube: Kube, *, namespace: str, runs: int, spec: Mapping[str, Any] | None = None
) -> list[float]:
    """The duration of each run, from the start of kubectl, in seconds. The images must be on the node already."""
    image = PHOTOGRAPH.read_bytes()
    durations = []
    for number in range(runs):
        name = f"timed-{number}"
        began = time.monotonic()
        kube.apply(manifest(name, namespace=namespace, spec=spec))
        wait_for_response(wait_for_endpoint(kube, name, namespace=namespace), image)
        durations.append(time.monotonic() - began)
        delete(kube, name, namespace=namespace)
    return durations

"""Records the number of ready replicas at every state that a watch reports."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from tools.errors import ToolError
from tools.steps import elapsed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.kube import Kube


@dataclass
class ReadyReplicas:
    """The number of ready replicas at each event, with its time."""

    counts: list[tuple[float, int]] = field(default_factory=list)

    @property
    def minimum(self) -> int:
        """The smallest number observed."""
        return min(count for _, count in self.counts)


@contextmanager
def watch_ready_replicas(
    kube: Kube, name: str, *, namespace: str, timeout_seconds: int = 300
) -> Iterator[ReadyReplicas]:
    """Watch a Deployment while the block runs; unlike polling, a watch misses no state."""
    ready, first, stop = ReadyReplicas(), threading.Event(), threading.Event()
    errors: list[Exception] = []

    def follow() -> None:
        try:
            for live in kube.watch("deployments", namespace=namespace, name=name, timeout_seconds=timeout_seconds):
                ready.counts.append((elapsed(), (live.get("status") or {}).get("readyReplicas", 0)))
                first.set()
                if stop.is_set():
                    return
        except (httpx.HTTPError, ToolError) as error:
            errors.append(error)
            first.set()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        if not first.wait(15) or errors:
            raise RuntimeError(f"watch of {name} did not start: {errors}")
        yield ready
        if errors:
            raise RuntimeError(f"watch of {name} failed: {errors[0]}")
    finally:
        stop.set()
        # The thread waits for an event: a change without effect causes one.
        change = {"metadata": {"labels": {"imageclassifier.dev/e2e-watched": f"{elapsed():.3f}"}}}
        kube.patch("deployments", name, change, namespace=namespace)
        thread.join(15)

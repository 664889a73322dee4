"""Keeps an eye on how many replicas are ready, at every state that the cluster ever publishes."""

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
class Seen:
    """The ready replicas, with the time of each change."""

    counts: list[tuple[float, int]] = field(default_factory=list)

    @property
    def fewest(self) -> int:
        """The smallest number that was ever published."""
        return min(count for _, count in self.counts)


@contextmanager
def watching(kube: Kube, name: str, *, namespace: str, seconds: int = 300) -> Iterator[Seen]:
    """Watch a Deployment while the block runs; a watch leaves out no state, as asking now and then would."""
    seen, first, stop = Seen(), threading.Event(), threading.Event()
    errors: list[Exception] = []

    def follow() -> None:
        try:
            for live in kube.watch("deployments", namespace=namespace, name=name, seconds=seconds):
                seen.counts.append((elapsed(), (live.get("status") or {}).get("readyReplicas", 0)))
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
            raise RuntimeError(f"the watch of {name} did not begin: {errors}")
        yield seen
        if errors:
            raise RuntimeError(f"the watch of {name} broke: {errors[0]}")
    finally:
        stop.set()
        # A change that says nothing ends the thread's wait for the next one.
        change = {"metadata": {"labels": {"imageclassifier.dev/e2e-watched": f"{elapsed():.3f}"}}}
        kube.patch("deployments", name, change, namespace=namespace)
        thread.join(15)

"""Records when each step of the start of a new ImageClassifier is reached, as a client of the cluster sees it.

The steps come from watches, so a step that the kubelet reports includes the delay of its report. The two steps of
the log come from the container runtime's timestamps, so they need a node whose clock is that of this machine.
"""

from __future__ import annotations

import datetime
import re
import statistics
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from e2e.classifiers import pods
from e2e.cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from e2e.cluster.api import Object
    from e2e.kube import Kube

FIRST_RESPONSE = "first response with status 200"
_WATCH_SECONDS = 120
_SELECTOR_LABEL = "app.kubernetes.io/instance"


@dataclass(frozen=True)
class _Step:
    """A step that is reached once an object of a resource has some state."""

    name: str
    plural: str
    reached: Callable[[Object], bool]


@dataclass(frozen=True)
class _LoggedStep:
    """A step that is reached once a container has logged a message."""

    name: str
    container: str
    message: str


def _exists(_: Object) -> bool:
    return True


def _is_scheduled(pod: Object) -> bool:
    return bool(pod["spec"].get("nodeName"))


def _init_containers_ended(pod: Object) -> bool:
    statuses = pod["status"].get("initContainerStatuses") or []
    return bool(statuses) and all("terminated" in each["state"] for each in statuses)


def _is_running(pod: Object) -> bool:
    statuses = pod["status"].get("containerStatuses") or []
    return bool(statuses) and all("running" in each["state"] for each in statuses)


def _is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _has_ready_endpoint(endpoint_slice: Object) -> bool:
    endpoints = endpoint_slice.get("endpoints") or []
    return any((each.get("conditions") or {}).get("ready") for each in endpoints)


_STEPS = (
    _Step("ImageClassifier stored (kubectl)", "imageclassifiers", _exists),
    _Step("Deployment stored (operator)", "deployments", _exists),
    _Step("Pod stored (controller manager)", "pods", _exists),
    _Step("Pod scheduled (scheduler)", "pods", _is_scheduled),
    _Step("init containers reported as ended (kubelet)", "pods", _init_containers_ended),
    _Step("server container reported as running (kubelet)", "pods", _is_running),
    _Step("Pod reported as Ready (kubelet)", "pods", _is_ready),
    _Step("EndpointSlice ready (controller manager)", "endpointslices", _has_ready_endpoint),
)
_LOGGED_STEPS = (
    _LoggedStep("model ready (model container's log)", "model", "Model ready"),
    _LoggedStep("server ready (server's log)", "server", "Ready"),
)


class Timeline:
    """The steps of one ImageClassifier, from the creation of this object on.

    The watches run in threads, which end with the first event after `finish`, such as those of the deletion.
    """

    def __init__(self, kube: Kube, name: str, *, namespace: str) -> None:
        self._kube = kube
        self._name = name
        self._namespace = namespace
        self._reached: dict[str, float] = {}
        self._finished = threading.Event()
        self._began = time.time()
        for plural in dict.fromkeys(step.plural for step in _STEPS):
            threading.Thread(target=self._watch, args=(plural,), daemon=True).start()

    def finish(self) -> dict[str, float]:
        """Record the first response; return the seconds since the start, by step. A step may be missing."""
        self._reached[FIRST_RESPONSE] = time.time()
        for pod in pods(self._kube, self._name, namespace=self._namespace):
            for step in _LOGGED_STEPS:
                logged = self._logged(pod["metadata"]["name"], step)
                if logged is not None:
                    self._reached[step.name] = logged
        self._finished.set()
        return {name: reached - self._began for name, reached in self._reached.items()}

    def _watch(self, plural: str) -> None:
        steps = [step for step in _STEPS if step.plural == plural]
        watch = self._kube.watch(plural, namespace=self._namespace, timeout_seconds=_WATCH_SECONDS)
        try:
            for live in watch:
                if self._finished.is_set():
                    return
                if not self._is_ours(plural, live):
                    continue
                for step in steps:
                    if step.name not in self._reached and step.reached(live):
                        self._reached[step.name] = time.time()
        except (httpx.HTTPError, ClusterError):
            return  # the step stays missing

    def _is_ours(self, plural: str, live: Object) -> bool:
        metadata = live["metadata"]
        if plural == "imageclassifiers":
            return bool(metadata["name"] == self._name)
        return bool((metadata.get("labels") or {}).get(_SELECTOR_LABEL) == self._name)

    def _logged(self, pod: str, step: _LoggedStep) -> float | None:
        """Return the time of the first line with the message; None if the container does not exist."""
        options = (f"--namespace={self._namespace}", f"--container={step.container}", "--timestamps")
        try:
            log = self._kube.kubectl("logs", pod, *options)
        except ClusterError:
            return None
        for line in log.splitlines():
            timestamp, _, text = line.partition(" ")
            if f'"{step.message}"' in text:
                return _parse(timestamp)
        return None


def _parse(timestamp: str) -> float:
    """Return the Unix time of an RFC 3339 timestamp, which may have nanoseconds."""
    return datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", timestamp)).timestamp()


def table(timelines: Sequence[Mapping[str, float]]) -> str:
    """Return the median of each step over several objects, in the order of time."""
    names = dict.fromkeys(name for timeline in timelines for name in timeline)
    medians = {name: statistics.median([each[name] for each in timelines if name in each]) for name in names}
    width = max(map(len, medians))
    lines = [f"{'step':{width}}  since apply  step alone"]
    before = 0.0
    for name, seconds in sorted(medians.items(), key=lambda item: item[1]):
        lines.append(f"{name:{width}}  {seconds:9.2f} s  {seconds - before:8.2f} s")
        before = seconds
    return "\n".join(lines)

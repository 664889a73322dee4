"""Causes that are only in the Events of a pod."""

from __future__ import annotations

from typing import Any

import pytest
from imageclassifier_operator.status.pod_events import cause_in_events

STARTED = "2026-01-01T00:01:00Z"
WAITING = {"state": {"waiting": {"reason": "ContainerCreating"}}}
RUNNING = {"state": {"running": {"startedAt": STARTED}}}
ENDED = {"state": {"terminated": {"exitCode": 0, "startedAt": "2026-01-01T00:00:30Z"}}}


def pod(container: dict[str, Any] = WAITING, init: dict[str, Any] = WAITING) -> dict[str, Any]:
    statuses = {"initContainerStatuses": [init], "containerStatuses": [container]}
    return {"metadata": {"name": "pets-1", "uid": "p"}, "status": statuses}


def event(reason: str, message: str = "text", *, at: str = "2026-01-01T00:00:40Z", **more: Any) -> dict[str, Any]:
    return {"metadata": {}, "reason": reason, "message": message, "lastTimestamp": at, **more}


def test_a_volume_that_cannot_be_mounted_is_the_cause() -> None:
    mount = event("FailedMount", 'MountVolume.SetUp failed for volume "x" : configmap "ca" not found\n')
    reason, message = cause_in_events(pod(), [event("DNSConfigForming"), mount]) or ("", "")
    assert reason == "FailedMount"
    assert message.startswith('MountVolume.SetUp failed for volume "x" : configmap "ca" not found; create what')


@pytest.mark.parametrize("reason", ["FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"])
def test_what_kept_a_pod_from_starting_counts_no_more_once_a_container_has_started(reason: str) -> None:
    assert cause_in_events(pod(), [event(reason)]) is not None
    assert cause_in_events(pod(init=ENDED), [event(reason)]) is None
    assert cause_in_events({"metadata": {"name": "pets-1"}}, [event(reason)]) is not None


def test_an_event_from_before_the_network_was_there_is_no_cause() -> None:
    pulling = pod()
    pulling["status"]["conditions"] = [{"type": "PodReadyToStartContainers", "status": "True"}]
    assert cause_in_events(pulling, [event("FailedCreatePodSandBox")]) is None
    pulling["status"]["conditions"][0]["status"] = "False"
    assert cause_in_events(pulling, [event("FailedCreatePodSandBox")]) is not None
    older = pod()
    older["status"]["podIP"] = "10.88.0.9"
    assert cause_in_events(older, [event("NetworkNotReady")]) is None


def test_a_node_that_was_lost_before_the_last_start_is_no_cause() -> None:
    assert cause_in_events(pod(RUNNING, ENDED), [event("NodeNotReady", at="2026-01-01T00:00:50Z")]) is None
    assert cause_in_events(pod(RUNNING, ENDED), [event("NodeNotReady", at="2026-01-01T00:01:10Z")]) is not None


@pytest.mark.parametrize(("at", "is_cause"), [("2026-01-01T00:01:20Z", False), ("2026-01-01T00:01:40Z", True)])
def test_a_failing_probe_is_a_cause_after_the_usual_time_of_a_start(at: str, is_cause: bool) -> None:
    found = cause_in_events(pod(RUNNING, ENDED), [event("Unhealthy", "Startup probe failed: HTTP 503", at=at)])
    assert (found is not None) is is_cause


def test_the_newest_event_counts_whichever_field_has_its_time() -> None:
    old = event("Unhealthy", "old", at="2026-01-01T00:02:00Z")
    series = {"series": {"lastObservedTime": "2026-01-01T00:05:00.000000Z"}}
    new = event("NodeNotReady", "Node is not ready", at="", eventTime="2026-01-01T00:01:59.000000Z", **series)
    reason, message = cause_in_events(pod(RUNNING, ENDED), [new, old]) or ("", "")
    assert (reason, message.partition(";")[0]) == ("NodeNotReady", "Node is not ready")


@pytest.mark.parametrize("events", [[], [event("DNSConfigForming")], [event("Unhealthy", at="unknown")]])
def test_other_events_are_no_cause(events: list[dict[str, Any]]) -> None:
    assert cause_in_events(pod(RUNNING, ENDED), events) is None

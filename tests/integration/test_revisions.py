"""Revisions on a real API server: an upgrade of the operator, its waves, and what a user can do about them."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

from tests.integration.operator_harness import (
    RUNTIME_IMAGE,
    Api,
    OperatorCluster,
    classifier,
    condition,
    eventually,
    failed_init,
    make_ready,
    no_writes,
    pods_of,
    reconciled,
)
from tools.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

NEXT_IMAGE = "imageclassifier-runtime:next"
BROKEN_IMAGE = "imageclassifier-runtime:broken"


def operator(
    cluster: OperatorCluster, api: Api, *options: str, image: str = RUNTIME_IMAGE
) -> AbstractContextManager[subprocess.Popen[str]]:
    """Run the operator for the test's namespace only: the objects of other tests would be part of its waves."""
    return cluster.operator(f"--namespaces={api.namespace}", *options, image=image)


def image_of(api: Api, name: str) -> str:
    live = api.get("deployment", name)
    assert live is not None
    image: str = live["spec"]["template"]["spec"]["containers"][0]["image"]
    return image


def images(api: Api, *names: str) -> list[str]:
    return [image_of(api, name).rpartition(":")[2] for name in names]


def ready_fleets(cluster: OperatorCluster, api: Api, *names: str, **spec: Any) -> None:
    """Create objects, and return once they are Ready and the operator has stopped."""
    with operator(cluster, api):
        for name in names:
            api.apply(classifier(name, **spec))
        for name in names:
            make_ready(api, name)


def message(api: Api, name: str) -> str:
    text: str = condition(api.get("ic", name))["message"]
    return text


def candidate(api: Api, name: str) -> str:
    live = api.get("ic", name)
    assert live is not None
    found: str = live["status"]["revisions"]["candidate"]
    return found


def test_an_accepted_revision_is_a_controller_revision_of_the_object(cluster: OperatorCluster, api: Api) -> None:
    ready_fleets(cluster, api, "pets")
    live = api.get("ic", "pets")
    (stored,) = api.list("controllerrevisions")
    assert live is not None
    assert live["status"]["revisions"] == dict.fromkeys(("accepted", "ready"), stored["metadata"]["name"])
    assert stored["metadata"]["ownerReferences"][0]["uid"] == live["metadata"]["uid"]
    assert stored["revision"] == 1
    assert stored["metadata"]["name"] in api.run("get", "ic", "-o", "wide")


def test_an_upgrade_of_the_operator_with_manual_waits_for_the_annotation(
    cluster: OperatorCluster, api: Api
) -> None:
    ready_fleets(cluster, api, "pets", upgrade="Manual")
    with operator(cluster, api, image=NEXT_IMAGE):
        eventually(lambda: "UpgradeAvailable" in message(api, "pets"), what="the candidate")
        assert condition(api.get("ic", "pets"))["status"] == "True"
        assert "spec.upgrade is Manual" in message(api, "pets")
        assert image_of(api, "pets") == RUNTIME_IMAGE
        eventually(lambda: no_writes(cluster, seconds=2), what="the operator to stop writing")
        api.run("scale", "ic", "pets", "--replicas=2")
        make_ready(api, "pets")
        assert image_of(api, "pets") == RUNTIME_IMAGE, "a scaled object must not adopt a candidate"
        api.run("annotate", "ic", "pets", f"imageclassifier.dev/adopt={candidate(api, 'pets')}")
        eventually(lambda: image_of(api, "pets") == NEXT_IMAGE, what="the candidate to be adopted")
        make_ready(api, "pets")
        assert "UpgradeAvailable" not in message(api, "pets")
    events = [event["message"] for event in api.list("events") if event["reason"] == "RevisionAccepted"]
    assert any("(Adopted): spec.containers[server].image" in e for e in events)


def test_an_upgrade_goes_through_the_objects_in_waves(cluster: OperatorCluster, api: Api) -> None:
    names = ("a", "b", "c")
    ready_fleets(cluster, api, *names)
    with operator(cluster, api, "--upgrade-wave-size=1", image=NEXT_IMAGE):
        for number in range(1, 4):
            eventually(lambda n=number: images(api, *names).count("next") == n, what=f"object {number}")  # type: ignore[misc]
            waiting = [name for name in names if image_of(api, name) == RUNTIME_IMAGE]
            eventually(
                lambda left=waiting: all("before it" in message(api, name) for name in left),  # type: ignore[misc]
                what="the others to wait",
            )
            (present,) = (name for name in names if condition(reconciled(api, name))["status"] != "True")
            make_ready(api, present)
        eventually(lambda: no_writes(cluster, seconds=2), what="the operator to stop writing")


def test_a_candidate_that_cannot_start_stops_the_upgrade_after_its_wave(
    cluster: OperatorCluster, api: Api
) -> None:
    names = ("a", "b", "c")
    ready_fleets(cluster, api, *names)
    with operator(cluster, api, "--upgrade-wave-size=1", image=BROKEN_IMAGE):
        eventually(lambda: images(api, *names).count("broken") == 1, what="the first object")
        (first,) = (name for name in names if image_of(api, name) == BROKEN_IMAGE)
        fail_new_pods(api, first)
        eventually(lambda: condition(api.get("ic", first), "Stalled")["status"] == "True", what="the failure")
        others = [name for name in names if name != first]
        eventually(lambda: all("has stopped" in message(api, name) for name in others), what="the stop")
        assert images(api, *others) == ["test", "test"]
    with operator(cluster, api, "--upgrade-wave-size=1", image=BROKEN_IMAGE):  # a restart does not forget it
        settle(cluster)
        assert all("has stopped" in message(api, name) for name in others)
        assert images(api, *others) == ["test", "test"]
    with operator(cluster, api, "--upgrade-wave-size=1"):  # the operator before
        eventually(lambda: image_of(api, first) == RUNTIME_IMAGE, what="the roll-back")
        make_ready(api, first)
        assert images(api, *names) == ["test", "test", "test"]


def settle(cluster: OperatorCluster) -> None:
    """Return once an operator that was just started has reconciled, and writes nothing more."""
    start = cluster.audit_position()
    eventually(lambda: len(cluster.operator_requests(since=start)) > 10, what="the operator to start")
    eventually(lambda: no_writes(cluster, seconds=2), what="the operator to stop writing")


def fail_new_pods(api: Api, name: str) -> None:
    def failed() -> bool:
        new = [pod for pod in pods_of(api, name) if pod["status"]["phase"] == "Pending"]
        for pod in new:
            api.patch_status("pods", pod["metadata"]["name"], failed_init("no such image"))
        return bool(new)

    eventually(failed, what="a new pod")


def test_deleted_revisions_are_restored_without_a_restart(cluster: OperatorCluster, api: Api) -> None:
    ready_fleets(cluster, api, "pets")
    before = api.get("deployment", "pets")
    api.run("delete", "controllerrevisions", "--all")
    with operator(cluster, api, "--upgrade-wave-size=0", image=NEXT_IMAGE):
        eventually(lambda: "UpgradeAvailable" in message(api, "pets"), what="the candidate")
        stored = {item["revision"]: item for item in api.list("controllerrevisions")}
        assert set(stored) == {0, 1}
        after = api.get("deployment", "pets")
    assert before is not None
    assert after is not None
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert stored[1]["metadata"]["annotations"]["imageclassifier.dev/accepted-because"] == "TakenOver"


def test_kubectl_rollout_undo_is_reverted_with_an_event(cluster: OperatorCluster, api: Api) -> None:
    with operator(cluster, api):
        api.apply(classifier())
        make_ready(api, "pets")
        api.patch("ic", "pets", {"spec": {"rollout": {"drainSeconds": 7}}})
        grace = grace_of(api)
        eventually(lambda: grace() == 27, what="the change")
        api.run("rollout", "undo", "deployment/pets")
        eventually(lambda: events_of(api, "PodTemplateReverted"), what="the Event")
        assert grace() == 27
        assert "changed by kubectl" in events_of(api, "PodTemplateReverted")[0]
        api.run("rollout", "restart", "deployment/pets")
        eventually(lambda: no_writes(cluster, seconds=2), what="the operator to stop writing")
        live = api.get("deployment", "pets")
        assert live is not None
        assert "kubectl.kubernetes.io/restartedAt" in live["spec"]["template"]["metadata"]["annotations"]


def grace_of(api: Api) -> Callable[[], int]:
    def seconds() -> int:
        live = api.get("deployment", "pets")
        assert live is not None
        return int(live["spec"]["template"]["spec"]["terminationGracePeriodSeconds"])

    return seconds


def events_of(api: Api, reason: str) -> list[str]:
    return [event["message"] for event in api.list("events") if event["reason"] == reason]


def test_a_paused_object_is_not_written_until_it_continues(cluster: OperatorCluster, api: Api) -> None:
    with operator(cluster, api):
        api.apply(classifier(replicas=2))
        make_ready(api, "pets")
        api.patch("ic", "pets", {"spec": {"paused": True, "replicas": 1}})
        eventually(lambda: condition(api.get("ic", "pets"))["reason"] == "Paused", what="Paused")
        assert message(api, "pets") == (
            "Paused, so these changes are not applied: Deployment pets: spec.replicas from 2 to 1, "
            "PodDisruptionBudget pets is no longer requested; set spec.paused to false"
        )
        api.run("delete", "service", "pets")
        eventually(lambda: "Service pets is missing" in message(api, "pets"), what="the missing Service")
        assert api.get("service", "pets") is None
        api.patch("ic", "pets", {"spec": {"paused": False}})
        eventually(lambda: api.get("service", "pets"), what="the Service")
        eventually(lambda: api.get("pdb", "pets") is None, what="no PodDisruptionBudget")


def test_plan_prints_what_the_next_operator_would_restart(cluster: OperatorCluster, api: Api) -> None:
    ready_fleets(cluster, api, "pets")
    unchanged = plan(cluster, api, RUNTIME_IMAGE)
    assert unchanged.returncode == 0, unchanged.stderr
    changed = plan(cluster, api, NEXT_IMAGE)
    assert changed.returncode == 2, changed.stderr
    assert f"spec.containers[server].image: {RUNTIME_IMAGE} -> {NEXT_IMAGE}" in changed.stdout
    assert "in wave 1" in changed.stdout
    assert image_of(api, "pets") == RUNTIME_IMAGE


def plan(cluster: OperatorCluster, api: Api, image: str) -> subprocess.CompletedProcess[str]:
    command = [
        str(REPOSITORY / ".venv/bin/imageclassifier-operator"),
        "plan",
        f"--kubeconfig={cluster.operator_kubeconfig}",
        f"--context={cluster.plane.settings.context}",
        f"--catalogue={cluster.catalogue}",
        f"--runtime-image={image}",
        f"--namespaces={api.namespace}",
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

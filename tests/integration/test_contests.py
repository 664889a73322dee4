"""Other writers of the same fields: a user's own autoscaler gets the replicas, all others are outlasted."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.operator_harness import (
    Api,
    OperatorCluster,
    classifier,
    condition,
    eventually,
    no_writes,
    reconciled,
    spec_of,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator


pytestmark = pytest.mark.newest


@pytest.fixture(scope="module", autouse=True)
def operator(cluster: OperatorCluster) -> Iterator[subprocess.Popen[str]]:
    with cluster.operator() as process:
        yield process


@pytest.fixture
def opponent(api: Api) -> Iterator[threading.Event]:
    """Another writer, which sets a field of the Service again and again until it is stopped."""
    stop = threading.Event()
    patch = json.dumps([{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 9000}])

    def fight() -> None:
        while not stop.wait(0.1):
            api.run("patch", "service", "pets", "--type=json", "--field-manager=opponent", "-p", patch)

    api.apply(classifier())
    reconciled(api)
    thread = threading.Thread(target=fight)
    thread.start()
    yield stop
    stop.set()
    thread.join()


def test_a_field_that_another_manager_sets_back_is_written_with_growing_pauses_and_reported(
    cluster: OperatorCluster, api: Api, opponent: threading.Event
) -> None:
    before = cluster.audit_position()
    eventually(lambda: contested(api)["status"] == "True", seconds=30, what="Contested")
    message = contested(api)["message"]
    assert "Service spec.ports.80/TCP.targetPort (by opponent)" in message
    time.sleep(20)  # the time in which writes are counted
    writes = [each for each in cluster.operator_writes(since=before) if each[1] == "services/"]
    assert len(writes) <= 6, "3 without a pause, then after 5, 10 and 20 s"
    opponent.set()
    eventually(lambda: target_of(api) == "http", seconds=60, what="our value, once the opponent has given up")


def contested(api: Api) -> dict[str, Any]:
    return condition(api.get("ic", "pets"), "Contested")


def target_of(api: Api) -> object:
    service = api.get("service", "pets")
    assert service is not None
    return service["spec"]["ports"][0]["targetPort"]


def autoscaler(name: str) -> dict[str, Any]:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "pets"}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name},
        "spec": {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 5},
    }


def start_autoscaler(api: Api, name: str, *, replicas: int) -> None:
    """Create an autoscaler, and do what its controller does."""
    api.apply(autoscaler(name))
    api.run("scale", "deployment/pets", f"--replicas={replicas}")


@pytest.mark.parametrize("name", ["own", "pets"])
def test_the_replicas_are_left_to_an_autoscaler_of_the_user_as_long_as_there_is_one(
    cluster: OperatorCluster, api: Api, name: str
) -> None:
    api.apply(classifier())
    reconciled(api)
    start_autoscaler(api, name, replicas=4)
    eventually(lambda: scaling(api)["reason"] == "External", what="External")
    assert f"HorizontalPodAutoscaler {name} sets the replicas" in scaling(api)["message"]
    eventually(lambda: no_writes(cluster, seconds=2), what="the operator to stop writing")
    assert spec_of(api)["replicas"] == 4

    api.patch("ic", "pets", {"spec": {"rollout": {"drainSeconds": 7}}})
    reconciled(api)
    assert spec_of(api)["replicas"] == 4, "another field is applied, and the replicas are kept"

    api.run("delete", "hpa", name)
    api.run("annotate", "ic", "pets", "example.org/note=deleted")
    eventually(lambda: spec_of(api)["replicas"] == 1, what="the replicas of the spec")
    eventually(lambda: scaling(api)["reason"] == "NotRequested", what="NotRequested")


def scaling(api: Api) -> dict[str, Any]:
    return condition(api.get("ic", "pets"), "AutoscalingReady")


def test_a_second_operator_with_another_image_is_outlasted_with_growing_pauses(
    cluster: OperatorCluster, api: Api
) -> None:
    api.apply(classifier())
    reconciled(api)
    with cluster.operator(image="imageclassifier-runtime:other"):
        eventually(lambda: contested(api)["status"] == "True", seconds=40, what="Contested")
        assert (
            "ControllerRevision revision (by an unknown writer, such as a second operator"
            in contested(api)["message"]
        )
        before = highest_revision(api)
        time.sleep(20)  # the time in which acceptances are counted
        assert highest_revision(api) - before <= 8, "each operator accepts its own after 5, 10 and 20 s"
        assert spec_of(api)["template"]["spec"]["containers"][0]["image"].startswith("imageclassifier-runtime:")


def highest_revision(api: Api) -> int:
    return max(int(each["revision"]) for each in api.list("controllerrevisions"))


def test_replicas_of_the_spec_that_are_zero_stop_the_pods_also_with_an_own_autoscaler(api: Api) -> None:
    api.apply(classifier())
    reconciled(api)
    start_autoscaler(api, "own", replicas=3)
    eventually(lambda: scaling(api)["reason"] == "External", what="External")
    api.run("scale", "ic/pets", "--replicas=0")
    eventually(lambda: spec_of(api)["replicas"] == 0, what="no replicas")


def test_replicas_that_the_operator_has_set_are_handed_over_and_not_reset(
    cluster: OperatorCluster, api: Api
) -> None:
    """If the only owner of the field gave it up, there would be one pod, the default."""
    api.apply(classifier(replicas=3))
    reconciled(api)
    api.apply(autoscaler("own"))
    before = cluster.audit_position()
    api.run("scale", "ic/pets", "--replicas=4")
    eventually(lambda: scaling(api)["reason"] == "External", what="External")
    assert spec_of(api)["replicas"] == 3
    eventually(lambda: no_writes(cluster, seconds=2), what="the operator to stop writing")
    assert spec_of(api)["replicas"] == 3
    assert len([each for each in cluster.operator_writes(since=before) if each[1] == "deployments/"]) == 2

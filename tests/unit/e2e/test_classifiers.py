"""A condition counts only for the generation that it observed; children of two objects can be compared."""

from __future__ import annotations

from typing import Any

from e2e.classifiers import comparable, condition, current_condition, manifest, ready_summary


def _live(*, generation: int, observed: int) -> dict[str, Any]:
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "AllReplicasReady",
        "message": "All 2 replicas serve this generation",
        "observedGeneration": observed,
    }
    return {"metadata": {"generation": generation}, "status": {"conditions": [ready]}}


def test_a_condition_of_the_latest_generation_counts() -> None:
    assert current_condition(_live(generation=2, observed=2))["status"] == "True"


def test_a_condition_of_an_older_generation_does_not() -> None:
    live = _live(generation=3, observed=2)
    assert current_condition(live) == {}
    assert condition(live, "Ready")["status"] == "True"


def test_ready_summary_is_one_line() -> None:
    live = _live(generation=2, observed=2)
    assert ready_summary(live) == "Ready=True AllReplicasReady: All 2 replicas serve this generation"
    assert ready_summary(None) == "not found"
    assert ready_summary({"metadata": {}}) == "the operator has not reported status yet"


def test_a_manifest_has_all_fields_that_apply_needs() -> None:
    assert manifest("pets", namespace="vision", spec={"replicas": 2}) == {
        "apiVersion": "imageclassifier.dev/v1alpha1",
        "kind": "ImageClassifier",
        "metadata": {"name": "pets", "namespace": "vision"},
        "spec": {"replicas": 2},
    }


def _service(name: str, *, number: int, **spec: Any) -> dict[str, Any]:
    annotations = {"deployment.kubernetes.io/revision": str(number), "team": "vision"}
    return {
        "kind": "Service",
        "metadata": {"name": name, "uid": str(number), "labels": {"instance": name}, "annotations": annotations},
        "spec": {
            "clusterIP": f"10.96.0.{number}",
            "clusterIPs": [f"10.96.0.{number}"],
            "ports": [{"port": 80, "nodePort": 30_000 + number}],
            "selector": {"instance": name},
            **spec,
        },
        "status": {"loadBalancer": {"ingress": [{"ip": f"192.0.2.{number}"}]}},
    }


def test_children_of_equal_specs_are_equal_without_what_the_cluster_assigns() -> None:
    one = comparable(_service("pets", number=1), owner="pets")
    assert one == comparable(_service("cats", number=2), owner="cats")
    assert one["annotations"] == {"team": "vision"}
    assert one["spec"] == {"ports": [{"port": 80}], "selector": {"instance": "OWNER"}}


def test_children_of_other_specs_are_not_equal() -> None:
    others = [_service("pets", number=1, type="NodePort"), _service("pets", number=1)]
    others[1]["metadata"]["labels"]["team"] = "vision"
    for other in others:
        assert comparable(other, owner="pets") != comparable(_service("pets", number=1), owner="pets")

"""Which fields of others are in the way of a desired object."""

from __future__ import annotations

from typing import Any

import pytest
from imageclassifier_operator.apply.difference import difference
from imageclassifier_operator.apply.intruders import intruders, obstacles

SERVER: dict[str, Any] = {
    "name": "server",
    "image": "runtime:1",
    "args": ["serve"],
    "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
    "livenessProbe": {"httpGet": {"path": "/live"}, "periodSeconds": 10},
}


def deployment(*containers: dict[str, Any], **pod: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "pets"}}, "spec": {"containers": list(containers), **pod}}
    return {"metadata": {"name": "pets"}, "spec": {"replicas": 1, "template": template}}


def found(desired: dict[str, Any], live: dict[str, Any]) -> list[str]:
    return [each.path for each in intruders(desired, live)]


def beside(desired: dict[str, Any], live: dict[str, Any], *refused: str) -> list[str]:
    return [each.path for each in obstacles(desired, live, refused=refused)]


def test_a_container_of_ours_under_another_name_is_an_intruder_and_a_difference() -> None:
    renamed = {**SERVER, "name": "renamed"}
    other_image = {**renamed, "image": "other:1"}
    assert found(deployment(SERVER), deployment(renamed)) == ["spec.template.spec.containers.renamed"]
    assert found(deployment(SERVER), deployment(other_image)) == ["spec.template.spec.containers.renamed"]
    assert difference(deployment(SERVER), deployment(renamed), manager="m") is not None


def test_a_sidecar_is_no_intruder() -> None:
    sidecar = {"name": "sidecar", "image": "sidecar:1", "ports": [{"containerPort": 9000}]}
    assert found(deployment(SERVER), deployment(SERVER, sidecar)) == []
    assert found(deployment(SERVER), deployment({**SERVER, "name": "renamed"}, sidecar)) == [
        "spec.template.spec.containers.renamed"
    ]


def test_a_second_server_is_no_intruder_beside_ours() -> None:
    """Somebody has added it on purpose, and it replaces nothing."""
    assert found(deployment(SERVER), deployment(SERVER, {**SERVER, "name": "canary"})) == []


def test_a_field_that_decides_what_runs_is_an_intruder_if_we_do_not_set_it() -> None:
    live = deployment({**SERVER, "command": ["sleep"], "args": ["1d"], "stdin": True})
    assert found(deployment(SERVER), live) == ["spec.template.spec.containers.server.command"]


def test_the_other_field_of_a_probe_is_an_obstacle_and_its_defaults_are_too() -> None:
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 10, "successThreshold": 1}
    live = deployment({**SERVER, "livenessProbe": probe})
    prefix = "spec.template.spec.containers.server.livenessProbe"
    refused = "spec.template.spec.containers[0].livenessProbe.httpGet"
    assert beside(deployment(SERVER), live, refused) == [f"{prefix}.exec", f"{prefix}.successThreshold"]


def test_a_port_under_another_number_is_an_obstacle() -> None:
    desired = {"spec": {"ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}}
    live = {"spec": {"ports": [{"name": "http", "port": 8081, "protocol": "TCP", "nodePort": 30000}]}}
    assert beside(desired, live, "spec.ports[1].name") == ["spec.ports.8081/TCP"]


def test_nothing_is_an_obstacle_if_no_field_is_missing() -> None:
    live = deployment({**SERVER, "stdin": True}, tolerations=[{"key": "gpu"}])
    assert beside(deployment({**SERVER, "image": "runtime:2"}), live, "spec.template.spec.tolerations") == []


@pytest.mark.parametrize(
    "refused", [(), ("spec.template.spec.tolerations[0].operator",), ("spec.strategy.rollingUpdate.maxSurge",)]
)
def test_nothing_is_an_obstacle_if_another_field_is_refused(refused: tuple[str, ...]) -> None:
    """Such as a wrong value of the spec, or a policy that denies the write."""
    live = deployment({**SERVER, "env": [{"name": "THEIRS"}]}, priorityClassName="theirs")
    wanted = deployment({**SERVER, "env": [{"name": "OURS"}]}, tolerations=[{"operator": "wrong"}])
    assert beside(wanted, live, *refused) == []
    name = "spec.template.spec.containers[0].env[1].name"
    assert beside(wanted, live, name) == ["spec.template.spec.containers.server.env.THEIRS"]


def test_replicas_and_metadata_are_never_obstacles() -> None:
    desired = deployment(SERVER)
    del desired["spec"]["replicas"]
    desired["spec"]["minReadySeconds"] = 5
    live = deployment(SERVER)
    live["metadata"]["annotations"] = {"example.org/note": "mine"}
    live["spec"]["template"]["metadata"] = {"annotations": {"example.org/note": "mine"}}
    assert beside(desired, live, "spec.minReadySeconds", "spec.template.spec") == []


def test_a_list_that_the_api_replaces_as_a_whole_has_no_obstacles() -> None:
    desired = deployment(SERVER, tolerations=[{"key": "a"}])
    live = deployment(SERVER, tolerations=[{"key": "b"}, {"key": "c"}])
    assert beside(desired, live, "spec.template.spec.tolerations[0]") == []

"""What makes a write necessary, and what does not."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from imageclassifier_operator.apply.difference import difference, differences, owns

MANAGER = "imageclassifier-operator"


def owned(fields: dict[str, Any], **entry: Any) -> list[dict[str, Any]]:
    return [{"manager": MANAGER, "operation": "Apply", "fieldsV1": fields, **entry}]


def deployment() -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "pets", "namespace": "vision", "labels": {"a": "b"}},
        "spec": {
            "replicas": 2,
            "template": {
                "spec": {
                    "containers": [
                        {
                            "name": "server",
                            "env": [{"name": "PORT", "value": "8080"}],
                            "resources": {"limits": {"cpu": "500m", "memory": "0.5Gi"}},
                        }
                    ],
                    "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}],
                }
            },
        },
    }


def live_of(desired: dict[str, Any]) -> dict[str, Any]:
    live = copy.deepcopy(desired)
    live["metadata"] |= {"uid": "1", "resourceVersion": "7", "managedFields": []}
    return live


def test_an_object_with_server_defaults_does_not_differ() -> None:
    live = live_of(deployment())
    live["spec"]["paused"] = False
    live["spec"]["template"]["spec"]["containers"][0]["terminationMessagePath"] = "/dev/termination-log"
    assert difference(deployment(), live, manager=MANAGER) is None


def test_an_equal_quantity_in_another_notation_does_not_differ() -> None:
    live = live_of(deployment())
    live["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"] = {"cpu": "0.5", "memory": "512Mi"}
    assert difference(deployment(), live, manager=MANAGER) is None


def test_a_changed_field_is_reported_by_its_path() -> None:
    live = live_of(deployment())
    live["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = "9090"
    assert difference(deployment(), live, manager=MANAGER) == "spec.template.spec.containers.server.env.PORT.value"


@pytest.mark.parametrize("part", ["labels", "spec"])
def test_a_missing_part_differs(part: str) -> None:
    live = live_of(deployment())
    if part == "labels":
        del live["metadata"]["labels"]
    else:
        del live["spec"]["template"]["spec"]["volumes"]
    assert difference(deployment(), live, manager=MANAGER) is not None


def test_a_field_added_by_another_manager_does_not_differ() -> None:
    live = live_of(deployment())
    live["metadata"]["annotations"] = {"team": "vision"}
    live["spec"]["template"]["spec"]["containers"].append({"name": "sidecar"})
    assert difference(deployment(), live, manager=MANAGER) is None


def test_an_owned_field_that_is_no_longer_desired_differs() -> None:
    live = live_of(deployment())
    live["metadata"]["managedFields"] = owned({"f:spec": {"f:replicas": {}}})
    desired = deployment()
    del desired["spec"]["replicas"]
    assert difference(desired, live, manager=MANAGER) == "spec.replicas"


def test_an_owned_list_item_that_is_no_longer_desired_differs() -> None:
    live = live_of(deployment())
    key = 'k:{"name":"old"}'
    live["metadata"]["managedFields"] = owned(
        {"f:spec": {"f:template": {"f:spec": {"f:volumes": {key: {".": {}}}}}}}
    )
    path = difference(deployment(), live, manager=MANAGER)
    assert path is not None
    assert path.startswith("spec.template.spec.volumes")


@pytest.mark.parametrize("other", [{"manager": "kubectl"}, {"operation": "Update"}, {"subresource": "status"}])
def test_a_field_owned_by_an_update_does_not_differ(other: dict[str, str]) -> None:
    live = live_of(deployment())
    live["metadata"]["managedFields"] = owned({"f:spec": {"f:paused": {}}}, **other)
    assert difference(deployment(), live, manager=MANAGER) is None


def metric(name: str, percent: int) -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": name, "target": target}}


def autoscaler(*metrics: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "pets"}, "spec": {"metrics": list(metrics)}}


def variables(*names: str) -> dict[str, Any]:
    server = {"name": "server", "env": [{"name": name, "value": name.lower()} for name in names]}
    return {"metadata": {}, "spec": {"template": {"spec": {"containers": [server]}}}}


def test_variables_in_another_order_differ() -> None:
    # $(NAME) in a value stands for a variable before it
    (found,) = differences(variables("A", "B"), variables("B", "A"), manager=MANAGER)
    assert found.path == "spec.template.spec.containers.server.env"
    assert (found.desired, found.observed) == (["A", "B"], ["B", "A"])


@pytest.mark.parametrize("live", [("X", "A", "B"), ("A", "X", "B"), ("A", "B", "X")])
def test_a_variable_that_another_client_adds_does_not_differ(live: tuple[str, ...]) -> None:
    assert difference(variables("A", "B"), variables(*live), manager=MANAGER) is None


def test_a_missing_variable_is_reported_once() -> None:
    (found,) = differences(variables("A", "B", "C"), variables("A", "C"), manager=MANAGER)
    assert found.path == "spec.template.spec.containers.server.env.B"


def test_every_differing_field_is_reported_with_its_values() -> None:
    live = live_of(deployment())
    live["spec"]["replicas"] = 5
    live["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = "9090"
    del live["metadata"]["labels"]["a"]
    found = [(each.path, each.desired, each.observed) for each in differences(deployment(), live, manager=MANAGER)]
    assert found == [
        ("metadata.labels.a", "b", None),
        ("spec.replicas", 2, 5),
        ("spec.template.spec.containers.server.env.PORT.value", "8080", "9090"),
    ]


def test_an_extra_item_of_an_atomic_list_differs() -> None:
    assert difference(
        autoscaler(metric("cpu", 70)), autoscaler(metric("cpu", 70), metric("memory", 1)), manager=MANAGER
    )


def network_policy(**spec: Any) -> dict[str, Any]:
    rule = {"ports": [{"protocol": "TCP", "port": 53}]}
    selector = {"matchLabels": {"app": "pets"}}
    return {"metadata": {}, "spec": {"podSelector": selector, "ingress": [], "egress": [rule], **spec}}


@pytest.mark.parametrize(
    "changed",
    [
        {"podSelector": {"matchLabels": {"app": "pets", "tier": "none"}}},
        {"ingress": [{}]},
        {"egress": [{"ports": [{"protocol": "TCP", "port": 53}, {"protocol": "TCP", "port": 25}]}]},
        {"egress": [{"ports": [{"protocol": "TCP", "port": 53, "endPort": 65535}]}]},
    ],
)
def test_an_extra_field_of_a_network_policy_differs(changed: dict[str, Any]) -> None:
    # others would widen it, or apply it to no pod
    [field] = changed
    assert difference(network_policy(), live_of(network_policy(**changed)), manager=MANAGER) == f"spec.{field}"


def test_an_empty_list_that_the_api_server_omits_does_not_differ() -> None:
    live = live_of(network_policy())
    del live["spec"]["ingress"]
    assert difference(network_policy(), live, manager=MANAGER) is None
    assert difference(network_policy(ingress=[{}]), live, manager=MANAGER) == "spec.ingress"


def test_true_is_not_one() -> None:
    desired, live = {"metadata": {}, "spec": {"x": True}}, {"metadata": {}, "spec": {"x": 1}}
    assert difference(desired, live, manager=MANAGER) == "spec.x"


def test_owns_distinguishes_managers() -> None:
    live = live_of(deployment())
    live["metadata"]["managedFields"] = owned({"f:spec": {"f:replicas": {}}})
    assert owns(live, ("spec", "replicas"), manager=MANAGER)
    assert not owns(live, ("spec", "replicas"), manager="kubectl")
    assert not owns(live, ("spec", "paused"), manager=MANAGER)


def status_of(*conditions: str, **fields: Any) -> dict[str, Any]:
    return {"status": {**fields, "conditions": [{"type": kind, "status": "True"} for kind in conditions]}}


def with_status(status: dict[str, Any], fields: dict[str, Any], **entry: Any) -> dict[str, Any]:
    return {"metadata": {"managedFields": owned({"f:status": fields}, **entry)}, **status}


@pytest.mark.parametrize("kinds", [("Ready", "Foreign"), ("Foreign", "Ready")])
def test_a_condition_of_another_controller_does_not_differ(kinds: tuple[str, ...]) -> None:
    live = with_status(status_of(*kinds, url="u"), {"f:url": {}}, subresource="status")
    assert difference(status_of("Ready", url="u"), live, manager=MANAGER, subresource="status") is None


def test_a_status_field_that_no_longer_applies_is_removed() -> None:
    live = with_status(status_of("Ready", image="i"), {"f:image": {}}, subresource="status")
    found = difference(status_of("Ready"), live, manager=MANAGER, subresource="status")
    assert found == "status.image"


_TERM = {"topologyKey": "zone", "namespaces": ["x"], "labelSelector": {"matchLabels": {"app": "a", "tier": "b"}}}
_NODES = {"matchExpressions": [{"key": "pool", "operator": "Exists"}], "matchFields": [{"key": "metadata.name"}]}
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


@pytest.mark.parametrize(
    ("live_pod", "desired_pod"),
    [
        ({"nodeSelector": {"pool": "gpu", "disk": "ssd"}}, {"nodeSelector": {"pool": "gpu"}}),
        ({"tolerations": [{"key": "gpu", "operator": "Exists"}]}, {"tolerations": [{"key": "gpu"}]}),
        (
            {"tolerations": [{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}]},
            {"tolerations": [{"operator": "Exists", "effect": "NoExecute"}]},
        ),
        *(
            (
                {"affinity": {"podAntiAffinity": {_REQUIRED: [_TERM]}}},
                {"affinity": {"podAntiAffinity": {_REQUIRED: [term]}}},
            )
            for term in (
                {key: value for key, value in _TERM.items() if key != "namespaces"},
                {**_TERM, "labelSelector": {"matchLabels": {"app": "a"}}},
            )
        ),
        (
            {"affinity": {"nodeAffinity": {_REQUIRED: {"nodeSelectorTerms": [_NODES]}}}},
            {
                "affinity": {
                    "nodeAffinity": {
                        _REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": _NODES["matchExpressions"]}]}
                    }
                }
            },
        ),
    ],
)
def test_what_is_removed_inside_a_field_that_is_replaced_as_a_whole_differs(
    live_pod: dict[str, Any], desired_pod: dict[str, Any]
) -> None:
    desired = deployment()
    desired["spec"]["template"]["spec"] |= desired_pod
    live = live_of(deployment())
    live["spec"]["template"]["spec"] |= live_pod
    assert difference(desired, live, manager=MANAGER)
    live["spec"]["template"]["spec"] |= desired_pod
    assert difference(desired, live, manager=MANAGER) is None


def route() -> dict[str, Any]:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "pets", "namespace": "vision"},
        "spec": {"parentRefs": [{"name": "public"}], "rules": [{"backendRefs": [{"name": "pets", "port": 80}]}]},
    }


def live_route() -> dict[str, Any]:
    """Return the route with the defaults of its CRD, and its lists owned as a whole."""
    live = live_of(route())
    live["spec"]["parentRefs"][0] |= {"group": "gateway.networking.k8s.io", "kind": "Gateway"}
    live["spec"]["rules"][0]["matches"] = [{"path": {"type": "PathPrefix", "value": "/"}}]
    live["spec"]["rules"][0]["backendRefs"][0] |= {"group": "", "kind": "Service", "weight": 1}
    live["metadata"]["managedFields"] = owned({"f:spec": {"f:parentRefs": {}, "f:rules": {}}})
    return live


def test_defaults_inside_an_atomic_list_do_not_differ() -> None:
    assert difference(route(), live_route(), manager=MANAGER) is None


@pytest.mark.parametrize("removed", ["namespace", "sectionName", "port"])
def test_a_removed_field_inside_an_atomic_list_differs(removed: str) -> None:
    live = live_route()
    live["spec"]["parentRefs"][0][removed] = "before"
    assert difference(route(), live, manager=MANAGER) == "spec.parentRefs"


@pytest.mark.parametrize("field", ["parentRefs", "rules"])
def test_an_atomic_list_that_another_client_has_changed_differs(field: str) -> None:
    live = live_route()
    live["spec"][field][0]["filters"] = [{"type": "RequestMirror"}]
    del live["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"][f"f:{field}"]
    (found,) = differences(route(), live, manager=MANAGER)
    assert (found.path, found.desired, found.observed) == (
        f"spec.{field}",
        route()["spec"][field],
        live["spec"][field],
    )


def test_another_backend_differs() -> None:
    live = live_route()
    live["spec"]["rules"][0]["backendRefs"][0]["port"] = 8080
    assert difference(route(), live, manager=MANAGER) == "spec.rules.0.backendRefs.0.port"

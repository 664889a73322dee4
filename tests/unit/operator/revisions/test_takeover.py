"""The template that an earlier operator applied, read from a live Deployment."""

from __future__ import annotations

from typing import Any

from imageclassifier_operator.apply import differences
from imageclassifier_operator.ownership import MANAGER
from imageclassifier_operator.revisions.takeover import template_in_use

_APPLIED: dict[str, Any] = {
    "metadata": {"labels": {"app": "pets"}},
    "spec": {
        "containers": [
            {
                "name": "server",
                "image": "runtime:1",
                "args": ["serve"],
                "env": [{"name": "A", "value": "1"}],
                "resources": {"limits": {"cpu": "500m"}},
            }
        ],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}],
    },
}
_OWNED = {
    "f:metadata": {"f:labels": {"f:app": {}}},
    "f:spec": {
        "f:containers": {
            'k:{"name":"server"}': {
                ".": {},
                "f:name": {},
                "f:image": {},
                "f:args": {},
                "f:env": {'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}},
                "f:resources": {"f:limits": {"f:cpu": {}}},
            }
        },
        "f:volumes": {'k:{"name":"tmp"}': {".": {}, "f:name": {}, "f:emptyDir": {"f:sizeLimit": {}}}},
    },
}


def deployment(**changed: Any) -> dict[str, Any]:
    """Return a live Deployment with defaults, a sidecar, and an annotation of `kubectl rollout restart`."""
    server = {
        **_APPLIED["spec"]["containers"][0],
        "env": [{"name": "A", "value": "1"}, {"name": "INJECTED", "value": "x"}],
        "imagePullPolicy": "IfNotPresent",
        **changed,
    }
    spec = {
        **_APPLIED["spec"],
        "containers": [{"name": "sidecar", "image": "proxy:1"}, server],
        "dnsPolicy": "ClusterFirst",
    }
    metadata = {"labels": {"app": "pets"}, "annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}
    fields = {"f:spec": {"f:template": _OWNED, "f:replicas": {}}}
    return {
        "metadata": {"managedFields": [{"manager": MANAGER, "operation": "Apply", "fieldsV1": fields}]},
        "spec": {"replicas": 2, "template": {"metadata": metadata, "spec": spec}},
    }


def test_it_is_the_rendered_template_if_that_changes_nothing() -> None:
    assert template_in_use(deployment(), _APPLIED) is _APPLIED


def test_it_is_the_rendered_template_if_quantities_are_only_written_in_another_way() -> None:
    live = deployment(resources={"limits": {"cpu": "0.5"}})
    assert template_in_use(live, _APPLIED) is _APPLIED


def test_it_has_only_the_fields_that_the_operator_applied() -> None:
    rendered = {**_APPLIED, "metadata": {"labels": {"app": "pets", "new": "label"}}}
    assert template_in_use(deployment(), rendered) == _APPLIED


def test_it_can_be_applied_without_a_change() -> None:
    live = deployment(image="runtime:0")
    found = template_in_use(live, _APPLIED)
    assert found["spec"]["containers"][0]["image"] == "runtime:0"
    assert not list(differences({"spec": {"replicas": 2, "template": found}}, live, manager=MANAGER))


def test_without_managed_fields_it_is_the_rendered_template() -> None:
    live = deployment(image="runtime:0")
    live["metadata"]["managedFields"] = []
    assert template_in_use(live, _APPLIED) is _APPLIED

"""The installed manifests: least privilege, hardening, and references that match."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
import yaml
from imageclassifier_operator.children import CHILDREN
from imageclassifier_operator.kube import (
    CLASSIFIERS,
    CONTROLLER_REVISIONS,
    EVENTS,
    LEASES,
    PODS,
    REPLICA_SETS,
    Resource,
)
from imageclassifier_operator.labels import selector_labels

from tests import crd, openapi, pod_security

_DEPLOY = crd.CATALOGUE.parent
_MANAGE = {"get", "list", "watch", "create", "patch", "delete"}
_READ = {"get", "list", "watch"}


def _manifests() -> list[dict[str, Any]]:
    files = crd.load(_DEPLOY / "kustomization.yaml")["resources"]
    own = [file for file in files if file.endswith(".yaml")]
    return [manifest for file in own for manifest in yaml.safe_load_all((_DEPLOY / file).read_text())]


def _one(kind: str, name: str = "imageclassifier-operator") -> dict[str, Any]:
    (found,) = [m for m in _manifests() if m["kind"] == kind and m["metadata"]["name"] == name]
    return found


def _name(resource: Resource, subresource: str = "") -> tuple[str, str]:
    """Return a resource as an RBAC rule names it: API group and plural."""
    return resource.group_version.rpartition("/")[0], resource.plural + subresource


def _pod() -> dict[str, Any]:
    found: dict[str, Any] = _one("Deployment")["spec"]["template"]["spec"]
    return found


def test_the_operator_has_exactly_the_permissions_for_its_children() -> None:
    needed = {
        _name(CLASSIFIERS): _READ,
        _name(CLASSIFIERS, "/status"): {"patch"},
        _name(CLASSIFIERS, "/finalizers"): {"update"},
        **{_name(child.resource): _MANAGE for child in CHILDREN},
        _name(CONTROLLER_REVISIONS): _MANAGE - {"get"},
        _name(PODS): {"list", "watch"},
        _name(REPLICA_SETS): {"list"},
        _name(EVENTS): {"list", "create"},
    }
    rules = _one("ClusterRole")["rules"]
    assert all(set(rule) == {"apiGroups", "resources", "verbs"} for rule in rules)
    allowed = [
        ((group, resource), set(rule["verbs"]))
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    ]
    assert sorted(name for name, _ in allowed) == sorted(needed)
    assert dict(allowed) == needed


def test_no_role_has_a_wildcard_or_secrets() -> None:
    roles = [manifest for manifest in _manifests() if manifest["kind"] in {"ClusterRole", "Role"}]
    for rule in [rule for role in roles for rule in role["rules"]]:
        assert "*" not in {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
        assert "secrets" not in rule["resources"]


def test_editors_of_a_namespace_may_not_edit_the_status() -> None:
    rules = _one("ClusterRole", "imageclassifier-edit")["rules"]
    assert "imageclassifiers/status" not in {resource for rule in rules for resource in rule["resources"]}


def test_the_operator_pod_meets_the_pod_security_standard_of_its_namespace() -> None:
    labels = _one("Namespace", "imageclassifier-system")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert not pod_security.violations(_pod())


def test_two_operators_run_and_one_stays_during_a_disruption_or_an_upgrade() -> None:
    spec = _one("Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]["rollingUpdate"]["maxUnavailable"]) == (2, 0)
    budget = _one("PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert budget["selector"] == spec["selector"]


def test_the_operator_may_only_write_its_own_lease() -> None:
    (container,) = _pod()["containers"]
    settings = {entry["name"]: entry.get("value") for entry in container["env"]}
    namespace, _, name = str(settings["IMAGECLASSIFIER_OPERATOR_LEASE"]).partition("/")
    assert namespace == "$(POD_NAMESPACE)"  # so that another namespace can be set with kustomize
    role = _one("Role", "imageclassifier-operator-lease")
    assert role["metadata"]["namespace"] == _one("Deployment")["metadata"]["namespace"]
    group, plural = _name(LEASES)
    assert role["rules"] == [
        {"apiGroups": [group], "resources": [plural], "verbs": ["create"]},
        {
            "apiGroups": [group],
            "resources": [plural],
            "resourceNames": [name],
            "verbs": ["list", "watch", "update"],
        },
    ]


def test_the_identity_of_a_holder_is_that_of_its_pod() -> None:
    (container,) = _pod()["containers"]
    entries = {entry["name"]: entry for entry in container["env"]}
    names = ("POD_NAME", "POD_UID", "POD_NAMESPACE")
    paths = [entries[name]["valueFrom"]["fieldRef"]["fieldPath"] for name in names]
    assert paths == ["metadata.name", "metadata.uid", "metadata.namespace"]
    assert entries["IMAGECLASSIFIER_OPERATOR_IDENTITY"]["value"] == "$(POD_NAME)_$(POD_UID)"
    order = list(entries)  # $(NAME) stands for a variable before it
    assert max(map(order.index, names)) < order.index("IMAGECLASSIFIER_OPERATOR_IDENTITY")
    assert max(map(order.index, names)) < order.index("IMAGECLASSIFIER_OPERATOR_LEASE")


def test_the_images_are_those_of_this_version() -> None:
    version = tomllib.loads((crd.ROOT / "pyproject.toml").read_text())["project"]["version"]
    (container,) = _pod()["containers"]
    settings = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert container["image"] == f"imageclassifier-operator:{version}"
    assert settings["IMAGECLASSIFIER_OPERATOR_RUNTIME_IMAGE"] == f"imageclassifier-runtime:{version}"


def test_the_catalogue_is_mounted_at_the_configured_path() -> None:
    (container,) = _pod()["containers"]
    settings = {entry["name"]: entry.get("value") for entry in container["env"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert settings["IMAGECLASSIFIER_OPERATOR_CATALOGUE"] == f"{mounts['catalogue']}/{crd.CATALOGUE.name}"
    (volume,) = [volume for volume in _pod()["volumes"] if volume["name"] == "catalogue"]
    (generated,) = crd.load(_DEPLOY / "kustomization.yaml")["configMapGenerator"]
    assert volume["configMap"]["name"] == generated["name"]
    assert generated["files"] == [crd.CATALOGUE.name]


def test_probes_and_scrapes_use_existing_ports() -> None:
    (container,) = _pod()["containers"]
    named = {port["name"] for port in container["ports"]}
    assert named == {"health", "metrics"}
    assert {container[probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe")} <= named


def test_no_classifier_selects_the_operator_pod() -> None:
    labels = _one("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert not selector_labels("imageclassifier-operator").items() <= labels.items()


def test_all_namespaced_objects_are_in_the_operators_namespace() -> None:
    scoped = [m["metadata"]["namespace"] for m in _manifests() if m["kind"] in {"ServiceAccount", "Deployment"}]
    (subject,) = _one("ClusterRoleBinding")["subjects"]
    assert {*scoped, subject["namespace"]} == {"imageclassifier-system"}


@pytest.mark.parametrize("manifest", _manifests(), ids=lambda m: f"{m['kind']}-{m['metadata']['name']}")
def test_the_manifests_match_the_schemas_of_kubernetes_1_36(manifest: dict[str, Any]) -> None:
    if openapi.has_schema(manifest["apiVersion"]):
        assert not openapi.errors(manifest)

"""The chart: values, schema, permissions, hardening, and references that match."""

from __future__ import annotations

import copy
import itertools
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import helm_python
import jsonschema
import pytest
import yaml
from imageclassifier_operator.api import parse_catalogue

from tests import crd, openapi, pod_security
from tools import chart

if TYPE_CHECKING:
    from collections.abc import Iterator

Values = dict[str, Any]

VALUES_FILES = {file.stem: file for file in sorted(chart.CHART.glob("ci/*.yaml"))}
FREE_MAPS = {"resources", "affinity", "catalogue"}
"""Values that have their own keys below, of which a values file need not change each."""


def _values(name: str) -> Values:
    return crd.load(VALUES_FILES[name]) if name else {}


def _manifests(values: Values | None = None) -> list[dict[str, Any]]:
    return [item for path, text in chart.render(values).items() for item in chart.objects(path, text)]


def _all(kind: str, values: Values | None = None) -> list[dict[str, Any]]:
    return [item for item in _manifests(values) if item["kind"] == kind]


def _pods(values: Values | None = None) -> list[dict[str, Any]]:
    """The pods, or their templates: of the operator, and of `helm test`."""
    return [item["spec"]["template"] for item in _all("Deployment", values)] + _all("Pod", values)


def _leaves(values: Values, *path: str) -> Iterator[tuple[str, ...]]:
    for key, value in values.items():
        if isinstance(value, dict) and value and key not in FREE_MAPS:
            yield from _leaves(value, *path, key)
        else:
            yield (*path, key)


def _without(values: Values, path: tuple[str, ...]) -> Values:
    changed = copy.deepcopy(values)
    node = changed
    for key in path[:-1]:
        node = node[key]
    del node[path[-1]]
    return changed


def _defaults() -> Values:
    return crd.load(chart.CHART / "values.yaml")


@pytest.fixture(params=["", *VALUES_FILES], ids=lambda name: name or "defaults")
def values(request: pytest.FixtureRequest) -> Values:
    return _values(request.param)


def test_helm_finds_nothing_to_change(values: Values) -> None:
    report = helm_python.lint(chart.CHART, values, strict=True, kube_version="v1.30.0")
    assert report["errors"] == []
    assert [message["error"] for message in report["messages"]] == ["icon is recommended"]


def test_chart_and_application_have_the_version_of_the_project() -> None:
    version = tomllib.loads((crd.ROOT / "pyproject.toml").read_text())["project"]["version"]
    metadata = crd.load(chart.CHART / "Chart.yaml")
    assert (metadata["version"], metadata["appVersion"]) == (version, version)


def test_the_oldest_supported_kubernetes_is_required() -> None:
    assert crd.load(chart.CHART / "Chart.yaml")["kubeVersion"] == ">=1.30.0-0"


@pytest.mark.parametrize(
    "wrong",
    [
        {"naemspaces": ["team-a"]},
        {"image": {"tga": "1.0"}},
        {"image": {"digest": "latest"}},
        {"replicas": -1},
        {"replicas": 6},
        {"namespaces": ["Team A"]},
        {"catalogue": {"pets": {"uris": ["https://example.org/pets.onnx"]}}},
        {"catalogue": {"pets": {"uris": ["https://example.org/pets.onnx"], "sha": "5" * 64}}},
        {"extraEnv": [{"name": "IMAGECLASSIFIER_OPERATOR_NAMESPACES", "value": "team-a"}]},
        {"extraEnv": [{"name": "POD_NAME", "value": "other"}]},
        {"upgradeWaveSize": -1},
        {"catalogue": {"Pets": {"uris": ["https://example.org/pets.onnx"], "sha256": "5" * 64}}},
        {"catalogue": {"pets": {"uris": ["s3://models/pets.onnx"], "sha256": "5" * 64}}},
        {"extraLabels": {"app.kubernetes.io/name": "other"}},
        {"logLevel": "info"},
        {"runtimeProxy": {"httpsProxy": "socks5://proxy:1080"}},
        {"runtimeProxy": {"httpProxy": "http://user:pass/word@proxy"}},
        {"runtimeProxy": {"no_proxy": ".svc"}},
        {"runtimeCAConfigMap": "Corporate CA"},
    ],
    ids=str,
)
def test_a_wrong_value_is_rejected(wrong: Values) -> None:
    with pytest.raises(helm_python.HelmValuesError):
        chart.render(wrong)


def test_every_value_has_a_schema_and_every_schema_a_value() -> None:
    schema = crd.load(chart.CHART / "values.schema.json")

    def paths(node: dict[str, Any], *path: str) -> Iterator[tuple[str, ...]]:
        for key, inner in node["properties"].items():
            if "properties" in inner and key not in FREE_MAPS:
                assert inner["additionalProperties"] is False, key
                yield from paths(inner, *path, key)
            else:
                yield (*path, key)

    jsonschema.Draft7Validator.check_schema(schema)
    assert schema["additionalProperties"] is False
    assert set(paths(schema)) == {
        *_leaves(_defaults()),
        ("global",),  # Helm adds it to a subchart's values
        ("enabled",),  # a condition of the chart that has this one as a subchart
    }


def test_every_value_is_commented() -> None:
    lines = (chart.CHART / "values.yaml").read_text().splitlines()
    commented = [
        "#" in line or above.startswith("#")
        for above, line in itertools.pairwise(lines)
        if line and not line.startswith((" ", "#"))
    ]
    assert len(commented) == len(_defaults())
    assert all(commented)


def test_the_values_files_change_every_value() -> None:
    changed = {path for name in VALUES_FILES for path in _leaves(_values(name))}
    free_maps = {path for path in _leaves(_defaults()) if any(other[: len(path)] == path for other in changed)}
    # an image needs only one of both, and both images use the same template
    assert set(_leaves(_defaults())) - changed - free_maps == {("image", "tag"), ("runtimeImage", "digest")}


@pytest.mark.parametrize("name", VALUES_FILES)
def test_every_value_of_a_values_file_has_an_effect(name: str) -> None:
    values = _values(name)
    rendered = chart.render(values)
    for path in _leaves(values):
        assert chart.render(_without(values, path)) != rendered, path


def test_a_digest_takes_precedence_over_a_tag() -> None:
    digest = f"sha256:{'1' * 64}"
    values = {"image": {"repository": "registry.example.org/o", "tag": "1.2", "digest": digest}}
    (operator, _) = _pods(values)
    assert operator["spec"]["containers"][0]["image"] == f"registry.example.org/o@{digest}"


def test_entries_are_added_to_the_catalogue_and_null_removes_one() -> None:
    entry = {"uris": ["https://models.example.org/pets.onnx"], "sha256": "2" * 64}
    (config_map,) = _all("ConfigMap", {"catalogue": {"pets": entry, "mobilenet-v2": None}})
    catalogue = yaml.safe_load(config_map["data"]["catalogue.yaml"])
    assert set(catalogue) == {"cifar10-mobilenet-v2", "pets"}
    assert catalogue["pets"] == entry


def test_null_for_a_model_that_no_chart_has_is_no_entry() -> None:
    (config,) = chart.objects("catalogue.yaml", chart.render({"catalogue": {"gone": None}})["catalogue.yaml"])
    assert set(parse_catalogue(config["data"]["catalogue.yaml"])) == set(_defaults()["catalogue"])


def test_a_namespace_of_digits_is_a_string() -> None:
    rendered = chart.render({"namespaces": ["123"]})
    found = [item for path, text in rendered.items() for item in chart.objects(path, text)]
    namespaces = {item["metadata"].get("namespace") for item in found if item["kind"] == "Role"}
    assert namespaces == {"123", chart.NAMESPACE}


def test_a_changed_catalogue_restarts_the_operator() -> None:
    changed = {"catalogue": {"mobilenet-v2": None}}
    annotations = [_pods(values)[0]["metadata"]["annotations"] for values in ({}, changed)]
    assert annotations[0] != annotations[1]


def test_with_named_namespaces_the_operator_has_only_roles_in_them() -> None:
    values = {"namespaces": ["team-a", "team-b"], "roles": {"create": False}}
    manifests = _manifests(values)
    assert [item for item in manifests if item["kind"].startswith("ClusterRole")] == []
    (cluster_role,) = [item for item in _all("ClusterRole") if item["metadata"]["name"] == chart.NAME]
    names = (chart.NAME, f"{chart.NAME}-test")
    roles, bindings = (
        {
            (item["metadata"]["namespace"], item["metadata"]["name"]): item
            for item in manifests
            if item["kind"] == kind
        }
        for kind in ("Role", "RoleBinding")
    )
    lease = (chart.NAMESPACE, f"{chart.NAME}-lease")
    assert set(roles) == set(bindings) == {("team-a", names[0]), ("team-b", names[0]), ("team-a", names[1]), lease}
    for namespace in values["namespaces"]:
        assert roles[namespace, chart.NAME]["rules"] == cluster_role["rules"]
        (subject,) = bindings[namespace, chart.NAME]["subjects"]
        assert (subject["name"], subject["namespace"]) == (chart.NAME, chart.NAMESPACE)
        assert bindings[namespace, chart.NAME]["roleRef"]["kind"] == "Role"
    env = _pods(values)[0]["spec"]["containers"][0]["env"]
    assert {"name": "IMAGECLASSIFIER_OPERATOR_NAMESPACES", "value": "team-a,team-b"} in env


def test_the_wave_size_is_set_only_on_request() -> None:
    name = "IMAGECLASSIFIER_OPERATOR_UPGRADE_WAVE_SIZE"
    for values, expected in (({}, []), ({"upgradeWaveSize": 2}, ["2"])):
        env = _pods(values)[0]["spec"]["containers"][0]["env"]
        assert [entry["value"] for entry in env if entry["name"] == name] == expected


@pytest.mark.parametrize("parts", [{"runtimeProxy": None}, {"runtimeProxy": {"httpsProxy": None}}], ids=str)
def test_without_a_proxy_the_operator_gets_none(parts: Values) -> None:
    env = _pods(parts)[0]["spec"]["containers"][0]["env"]
    assert [entry["name"] for entry in env if "_PROXY" in entry["name"]] == []


@pytest.mark.parametrize(
    ("values", "budgets"),
    [
        ({}, 1),
        ({"replicas": 1}, 0),
        ({"replicas": 1, "podDisruptionBudget": {"enabled": True}}, 1),
        ({"podDisruptionBudget": {"enabled": False}}, 0),
    ],
    ids=str,
)
def test_several_replicas_have_a_disruption_budget(values: Values, budgets: int) -> None:
    assert len([item for item in _manifests(values) if item["kind"] == "PodDisruptionBudget"]) == budgets


def test_several_replicas_are_on_different_nodes_unless_an_affinity_is_given() -> None:
    own: Values = {"nodeAffinity": {}}
    specs = [_pods(values)[0]["spec"] for values in ({}, {"replicas": 1}, {"affinity": own})]
    (term,) = specs[0]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
    assert term["podAffinityTerm"]["labelSelector"]["matchLabels"]["app.kubernetes.io/name"] == chart.NAME
    assert [spec.get("affinity") for spec in specs[1:]] == [None, own]


def test_helm_test_may_only_use_its_own_object() -> None:
    (role,) = [item for item in _all("Role") if item["metadata"]["name"] == f"{chart.NAME}-test"]
    assert role["rules"] == [
        {"apiGroups": ["imageclassifier.dev"], "resources": ["imageclassifiers"], "verbs": ["create"]},
        {
            "apiGroups": ["imageclassifier.dev"],
            "resources": ["imageclassifiers"],
            "resourceNames": [f"{chart.NAME}-test-classifier"],
            "verbs": ["get", "delete"],
        },
    ]


def test_no_hook_has_the_name_of_the_object_whose_children_have_it_too() -> None:
    hooks = chart.objects("tests/prediction.yaml", chart.render()["tests/prediction.yaml"])
    (_, namespace, name, _, _) = hooks[-1]["spec"]["containers"][0]["args"]
    assert namespace == chart.NAMESPACE
    assert name not in {item["metadata"]["name"] for item in hooks}


def test_everything_of_helm_test_is_a_hook_that_is_deleted_again() -> None:
    hooks = chart.objects("tests/prediction.yaml", chart.render()["tests/prediction.yaml"])
    assert [item["kind"] for item in hooks] == ["ServiceAccount", "Role", "RoleBinding", "Pod"]
    for item in hooks:
        annotations = item["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "test"
        assert annotations["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"


def test_all_pods_meet_the_restricted_pod_security_standard(values: Values) -> None:
    assert [pod_security.violations(pod["spec"]) for pod in _pods(values)] == [[], []]


def test_all_selectors_select_the_operator_and_not_the_test_pod() -> None:
    values = _values("everything")
    operator, test = (pod["metadata"]["labels"] for pod in _pods(values))
    (deployment,), (budget,), (policy,) = (
        _all(kind, values) for kind in ("Deployment", "PodDisruptionBudget", "NetworkPolicy")
    )
    (service,), (monitor,) = _all("Service", values), _all("ServiceMonitor", values)
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        budget["spec"]["selector"]["matchLabels"],
        policy["spec"]["podSelector"]["matchLabels"],
        service["spec"]["selector"],
    ]
    for selector in selectors:
        assert selector.items() <= operator.items()
        assert not selector.items() <= test.items()
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    ports = {port["name"] for port in deployment["spec"]["template"]["spec"]["containers"][0]["ports"]}
    assert service["spec"]["ports"][0]["targetPort"] in ports
    assert policy["spec"]["ingress"][0]["ports"][0]["port"] in ports


def test_two_releases_in_a_namespace_share_no_object_but_the_clusters() -> None:
    def names(release: str) -> set[tuple[str, str]]:
        rendered = chart.render(name=release)
        manifests = [item for path, text in rendered.items() for item in chart.objects(path, text)]
        return {(item["kind"], item["metadata"]["name"]) for item in manifests}

    assert names("one") & names("two") == {
        ("CustomResourceDefinition", "imageclassifiers.imageclassifier.dev"),
        ("ClusterRole", "imageclassifier-edit"),
        ("ClusterRole", "imageclassifier-view"),
    }


def test_the_manifests_match_the_schemas_of_kubernetes_1_36(values: Values) -> None:
    for manifest in _manifests(values):
        if openapi.has_schema(manifest["apiVersion"]):
            assert not openapi.errors(manifest), manifest["kind"]


def test_the_notes_say_what_to_do_next(values: Values) -> None:
    notes = chart.render(values)["NOTES.txt"]
    for command in ("helm test", "echo '", "kubectl get imageclassifiers", "curl "):
        assert f"   {command}" in notes
    assert ("The CRD is kept" in notes) == values.get("crds", {}).get("install", True)


def test_the_catalogue_of_values_and_kustomize_is_the_same() -> None:
    assert yaml.safe_load(Path(crd.CATALOGUE).read_text()) == _defaults()["catalogue"]

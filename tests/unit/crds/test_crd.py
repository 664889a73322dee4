"""Names, printer columns, subresources and rules of the CRD."""

from __future__ import annotations

from typing import Any

from imageclassifier_operator.api import GROUP, KIND, PLURAL, VERSION

from tests import crd


def _version() -> dict[str, Any]:
    found: dict[str, Any] = crd.load(crd.DEFINITION)["spec"]["versions"][0]
    return found


def test_names_are_those_that_the_operator_uses() -> None:
    spec = crd.load(crd.DEFINITION)["spec"]
    assert (spec["group"], spec["names"]["kind"], spec["names"]["plural"]) == (GROUP, KIND, PLURAL)
    assert spec["names"]["shortNames"] == ["ic", "icl"]
    assert spec["scope"] == "Namespaced"
    assert [version["name"] for version in spec["versions"]] == [VERSION]
    assert crd.load(crd.DEFINITION)["metadata"]["name"] == f"{PLURAL}.{GROUP}"


def test_kubectl_get_shows_the_documented_columns() -> None:
    columns = _version()["additionalPrinterColumns"]
    narrow = [column["name"].upper() for column in columns if not column.get("priority")]
    wide = [column["name"].upper() for column in columns if column.get("priority")]
    assert narrow == ["READY", "REASON", "MODEL", "REPLICAS", "URL", "AGE"]
    assert wide == ["PRECISION", "REVISION", "IMAGE"]


def test_the_scale_subresource_has_replicas_and_selector() -> None:
    assert _version()["subresources"] == {
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    }


def test_only_nodes_with_dependent_fields_have_rules() -> None:
    rules = {path for path, node in crd.nodes(crd.schema()) if "x-kubernetes-validations" in node}
    selectors = {path for path in rules if path.endswith("elector.matchExpressions[]")}
    assert {path for path in rules - selectors if not path.startswith("spec.scheduling.affinity.")} == {
        "spec",
        "spec.model",
        "spec.autoscaling",
        "spec.resources",
        "spec.runtime",
        "spec.runtime.env[]",
        "spec.scheduling.tolerations[]",
        "spec.ingress",
        "spec.gateway",
        "spec.networkPolicy",
        "spec.networkPolicy.allowFrom[]",
        "spec.networkPolicy.allowMetricsFrom[]",
        "spec.rollout",
    }
    assert {path.rpartition(".")[2] for path in rules if path.startswith("spec.scheduling.affinity.")} == {
        "matchExpressions[]",
    }

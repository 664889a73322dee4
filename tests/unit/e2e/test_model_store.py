"""The model store of the scenarios: a hardened pod and its Service."""

from __future__ import annotations

from e2e.model_store import manifests, url
from tests import pod_security


def test_the_store_meets_the_restricted_pod_security_standard() -> None:
    deployment, service = manifests("vision", "imageclassifier-runtime:0.1.0")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod_security.violations(pod) == []
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]


def test_the_url_is_that_of_the_service() -> None:
    assert url("vision", "model.onnx") == "http://model-store.vision.svc/model.onnx"

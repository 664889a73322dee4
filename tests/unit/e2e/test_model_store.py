"""The model store is a pod that the restricted Pod Security Standard accepts."""

from __future__ import annotations

from e2e.model_store import manifests, url


def test_the_store_is_hardened() -> None:
    deployment, service = manifests("vision", "imageclassifier-runtime:0.1.0")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "hostPath" not in str(pod)
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]


def test_its_url_is_that_of_the_service() -> None:
    assert url("vision", "model.onnx") == "http://model-store.vision.svc/model.onnx"

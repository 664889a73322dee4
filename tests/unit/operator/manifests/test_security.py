"""The API keys and rate limits of a pod."""

from __future__ import annotations

from typing import Any

from tests import crd
from tests.unit.operator.manifests.building import FETCHED, template


def _pod(**security: Any) -> dict[str, Any]:
    spec = {"security": security}
    assert not crd.schema_errors({"metadata": {}, "spec": spec})
    pod: dict[str, Any] = template(spec)["spec"]
    return pod


def _settings(container: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container["env"]}


def test_without_security_the_pod_is_unchanged() -> None:
    assert template({"security": {}}) == template({"security": {"trustedProxies": []}}) == template()
    assert "RATE_LIMIT" not in str(template())
    assert "api-keys" not in str(template())


def test_only_the_server_mounts_the_secret_read_only() -> None:
    pod = template({**FETCHED, "security": {"apiKeysSecretRef": {"name": "pets-keys"}}})["spec"]
    (model,), (server,) = pod["initContainers"], pod["containers"]
    (volume,) = [volume for volume in pod["volumes"] if "secret" in volume]
    assert (volume["secret"]["secretName"], volume["secret"]["defaultMode"]) == ("pets-keys", 0o440)
    (mount,) = [mount for mount in server["volumeMounts"] if mount["name"] == volume["name"]]
    assert mount["readOnly"] is True
    assert _settings(server)["IMAGECLASSIFIER_API_KEYS_PATH"] == mount["mountPath"]
    assert volume["name"] not in str(model)
    assert "secretKeyRef" not in str(pod)  # a variable would not follow changes of the Secret


def test_without_a_burst_the_server_uses_its_default() -> None:
    (server,) = _pod(rateLimit={"requestsPerSecond": 5})["containers"]
    assert "IMAGECLASSIFIER_RATE_LIMIT_BURST" not in _settings(server)

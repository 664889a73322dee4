"""What a pod gets to know whom to let in, and that probes and Prometheus go on without a key."""

from __future__ import annotations

from typing import Any

from imageclassifier_runtime.access.peers import networks
from imageclassifier_runtime.settings import ServeSettings
from imageclassifier_runtime.web.paths import is_probe

from tests import crd
from tests.unit.operator.manifests.building import built, template

EVERYTHING: dict[str, Any] = {
    "apiKeysSecretRef": {"name": "pets-keys"},
    "rateLimit": {"requestsPerSecond": 50, "burst": 100},
    "trustedProxies": ["10.0.0.0/8", "fd00::/8"],
}


def _pod(**security: Any) -> dict[str, Any]:
    spec = {"security": security}
    assert not crd.schema_errors({"metadata": {}, "spec": spec})
    pod: dict[str, Any] = template(spec)["spec"]
    return pod


def _settings(container: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container["env"]}


def test_a_spec_without_security_gets_the_pod_that_it_always_had() -> None:
    assert template({"security": {}}) == template({"security": {"trustedProxies": []}}) == template()
    assert "RATE_LIMIT" not in str(template())
    assert "api-keys" not in str(template())


def test_the_server_alone_gets_the_secret_as_a_folder_that_it_can_only_read() -> None:
    pod = _pod(apiKeysSecretRef={"name": "pets-keys"})
    (model,), (server,) = pod["initContainers"], pod["containers"]
    (volume,) = [volume for volume in pod["volumes"] if "secret" in volume]
    assert (volume["secret"]["secretName"], volume["secret"]["defaultMode"]) == ("pets-keys", 0o440)
    (mount,) = [mount for mount in server["volumeMounts"] if mount["name"] == volume["name"]]
    assert mount["readOnly"] is True
    assert _settings(server)["IMAGECLASSIFIER_API_KEYS_PATH"] == mount["mountPath"]
    assert volume["name"] not in str(model)
    assert "secretKeyRef" not in str(pod)  # a variable would keep its value for the pod's life


def test_the_server_reads_what_the_operator_writes() -> None:
    (server,) = _pod(**EVERYTHING)["containers"]
    settings = ServeSettings.from_env(_settings(server))
    assert str(settings.api_keys_path) == "/api-keys"
    assert (settings.rate_limit, settings.rate_limit_burst) == (50, 100)
    assert settings.trusted_proxies == networks("10.0.0.0/8 fd00::/8")


def test_a_burst_that_is_not_given_is_left_to_the_server() -> None:
    (server,) = _pod(rateLimit={"requestsPerSecond": 5})["containers"]
    assert "IMAGECLASSIFIER_RATE_LIMIT_BURST" not in _settings(server)


def test_what_probes_and_prometheus_ask_needs_no_key() -> None:
    (server,) = _pod(**EVERYTHING)["containers"]
    asked = [server[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")]
    children = built({"security": EVERYTHING, "monitoring": {"serviceMonitor": "Enabled"}})
    asked += [endpoint["path"] for endpoint in children["ServiceMonitor"]["spec"]["endpoints"]]
    assert len(asked) == 4
    assert all(is_probe("GET", path) for path in asked)

"""Keys of Secrets, ports and paths have the same names in the operator and in the runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from imageclassifier_operator.api import InvalidSpecError
from imageclassifier_runtime import serve
from imageclassifier_runtime.auth.keys import MIN_LENGTH
from imageclassifier_runtime.model import folder as model_folder
from imageclassifier_runtime.request.paths import is_probe
from imageclassifier_runtime.settings.commands import ServeSettings
from imageclassifier_runtime.settings.credentials import KEYS
from imageclassifier_runtime.web.app import create_app

from tests import crd
from tests.contract import pods

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_SHA256 = "501096f942c4064c5a6a9aa1cd6afa840b16147a7910f7373a809c9f99cb6370"
_URIS = {
    "s3": "s3://models/m.onnx",
    "hf": "hf://owner/repo@0123456789abcdef0123456789abcdef01234567",
    "http": "http://models.example.org/m.onnx",
    "https": "https://models.example.org/m.onnx",
}


def _keys(container: dict[str, Any]) -> dict[str, str]:
    """Return the variables that come from a Secret, by key."""
    references = {entry["name"]: entry.get("valueFrom", {}).get("secretKeyRef") for entry in container["env"]}
    return {reference["key"]: name for name, reference in references.items() if reference is not None}


@pytest.mark.parametrize("scheme", KEYS)
def test_a_source_gets_the_secret_keys_that_the_runtime_reads_for_its_scheme(scheme: str) -> None:
    model = {"uri": _URIS[scheme], "sha256": _SHA256, "credentialsSecretRef": {"name": "model-store"}}
    container = pods.containers(pods.parsed({"model": model}))["fetch"]
    assert _keys(container) == {key: key for key in KEYS[scheme]}


@pytest.mark.parametrize("key", sorted({key for keys in KEYS.values() for key in keys}))
def test_a_variable_of_the_spec_cannot_be_a_credential_that_a_source_may_get(key: str) -> None:
    with pytest.raises(InvalidSpecError, match="reserved for the operator"):
        pods.parsed({"runtime": {"env": [{"name": key, "value": "x"}]}})


def test_the_description_of_the_field_lists_the_secret_keys_of_the_runtime() -> None:
    text = pods.SPEC_SCHEMA["properties"]["model"]["properties"]["credentialsSecretRef"]["description"]
    assert [key for keys in KEYS.values() for key in keys if key not in text] == []


def test_the_descriptions_list_the_secret_keys_of_redis_and_of_the_collector() -> None:
    (sample,) = [sample for sample in pods.VALID_SAMPLES if sample.path.stem == "every-field"]
    server = pods.containers(pods.parsed(sample.document["spec"]))["serve"]
    assert _keys(server) == {
        "password": "IMAGECLASSIFIER_CACHE_REDIS_PASSWORD",
        "username": "IMAGECLASSIFIER_CACHE_REDIS_USERNAME",
        "OTEL_EXPORTER_OTLP_HEADERS": "OTEL_EXPORTER_OTLP_HEADERS",
    }
    fields = pods.SPEC_SCHEMA["properties"]
    redis = fields["cache"]["properties"]["redis"]["properties"]["credentialsSecretRef"]["description"]
    tracing = fields["tracing"]["properties"]["headersSecretRef"]["description"]
    assert "password" in redis
    assert "username" in redis
    assert "OTEL_EXPORTER_OTLP_HEADERS" in tracing


def _requested_paths() -> list[str]:
    """Return the paths that the kubelet and Prometheus request."""
    (sample,) = [sample for sample in pods.VALID_SAMPLES if sample.path.stem == "every-field"]
    children = pods.children(pods.parsed(sample.document["spec"]))
    (server,) = children["Deployment"]["spec"]["template"]["spec"]["containers"]
    probes = [server[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")]
    return [*probes, *(endpoint["path"] for endpoint in children["ServiceMonitor"]["spec"]["endpoints"])]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    keys = tmp_path / "keys"
    keys.write_text("k" * MIN_LENGTH + "\n")
    settings = ServeSettings(memory_limit_bytes=1 << 30, api_keys_path=keys)
    model = model_folder.load(model_folder.or_bundled(None))
    state, workers = serve.build(settings, model, threads=1)
    state.lifecycle.ready = True
    transport = httpx.ASGITransport(app=create_app(state))
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        yield client
    workers.shutdown()


async def test_probes_and_metrics_need_no_api_key(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/v1/model/info")).status_code == 401
    paths = _requested_paths()
    assert len(paths) == 4
    for path in paths:
        assert (await client.get(path)).status_code == 200, path
        assert is_probe("GET", path), path
    assert "imageclassifier_" in (await client.get(paths[-1])).text


def test_all_ports_are_the_one_that_the_server_listens_on() -> None:
    children = pods.children(pods.parsed({"monitoring": {"serviceMonitor": "Enabled"}}))
    (server,) = children["Deployment"]["spec"]["template"]["spec"]["containers"]
    (port,) = server["ports"]
    assert port["containerPort"] == ServeSettings.from_env(pods.environment(server)).port
    probes = {server[f"{kind}Probe"]["httpGet"]["port"] for kind in ("startup", "readiness", "liveness")}
    (service,) = children["Service"]["spec"]["ports"]
    (endpoint,) = children["ServiceMonitor"]["spec"]["endpoints"]
    assert probes == {service["targetPort"]} == {port["name"]}
    assert endpoint["port"] == service["name"]


def test_no_other_test_imports_both_packages() -> None:
    for file in (crd.ROOT / "tests").rglob("*.py"):
        text = file.read_text()
        operator = " imageclassifier_operator" in text or file.is_relative_to(crd.ROOT / "tests/unit/operator")
        both = operator and " imageclassifier_runtime" in text
        assert not both or file.is_relative_to(crd.ROOT / "tests/contract"), file

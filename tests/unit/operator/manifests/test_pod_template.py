"""The changes that replace pods, and the settings of a pod."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests import pod_security
from tests.unit.operator.manifests.building import CONFIG, FETCHED, template

_SHA256 = "501096f942c4064c5a6a9aa1cd6afa840b16147a7910f7373a809c9f99cb6370"


def _uri(uri: str) -> dict[str, Any]:
    return {"model": {"uri": uri, "sha256": _SHA256}}


def _env(container: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container["env"]}


@pytest.mark.parametrize(
    "spec",
    [
        {"replicas": 5},
        {"autoscaling": {}},
        {"service": {"type": "NodePort", "port": 8080}},
        {"monitoring": {"serviceMonitor": "Disabled"}},
        {"rollout": {"maxSurge": 3, "maxUnavailable": 2}},
    ],
    ids=lambda spec: next(iter(spec)),
)
def test_a_change_outside_the_pod_template_restarts_no_pod(spec: dict[str, Any]) -> None:
    assert template(spec) == template()


@pytest.mark.parametrize(
    "spec",
    [
        {"model": {"name": "mobilenet-v2"}},
        {"resources": {"limits": {"cpu": "2"}}},
        {"resources": {"requests": {"memory": "300Mi"}}},
        {"limits": {"maxImageBytes": "5Mi"}},
        {"limits": {"maxImagePixels": 1_000_000}},
        {"limits": {"maxQueueSize": 1}},
        {"batching": {"maxBatchSize": 2}},
        {"rollout": {"drainSeconds": 11}},
    ],
    ids=str,
)
def test_a_change_of_the_pod_template_restarts_the_pods(spec: dict[str, Any]) -> None:
    assert template(spec) != template()


def test_another_digest_restarts_the_pods_even_at_the_same_uri() -> None:
    other = _uri("https://models.example.org/m.onnx")
    other["model"]["sha256"] = "0" * 64
    assert template(other) != template(_uri("https://models.example.org/m.onnx"))


def test_no_label_or_annotation_of_a_pod_contains_a_version() -> None:
    metadata = template()["metadata"]
    assert set(metadata) == {"labels"}
    upgraded = template(config=dataclasses.replace(CONFIG, runtime_image="imageclassifier-runtime:next"))
    assert upgraded["metadata"] == metadata


@pytest.mark.parametrize("rule", pod_security.RULES)
def test_a_pod_meets_the_restricted_pod_security_standard(rule: str) -> None:
    assert pod_security.RULES[rule](template()["spec"])


def test_a_pod_gets_no_token_and_no_service_variables() -> None:
    pod = template()["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False


def test_only_the_init_container_may_write_the_model() -> None:
    pod = template(FETCHED)["spec"]
    mounts = {
        container["name"]: {mount["name"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
        for container in pod_security.containers(pod)
    }
    assert mounts == {"model": {"model": False, "tmp": False}, "server": {"model": True, "tmp": False}}
    assert all(volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"])


def test_a_model_that_comes_with_the_server_needs_no_init_container() -> None:
    pod = template()["spec"]
    assert "initContainers" not in pod
    assert [volume["name"] for volume in pod["volumes"]] == ["tmp"]
    (server,) = pod["containers"]
    assert "IMAGECLASSIFIER_MODEL_DIR" not in _env(server)
    assert _env(server)["IMAGECLASSIFIER_MODEL_NAME"] == "cifar10-mobilenet-v2"
    flags = ["--model-uri", "bundled:cifar10-mobilenet-v2", "--model-sha256", "c1fa" * 16]
    assert server["args"] == ["serve", *flags], "an older image must not ignore them, as it ignores variables"


def test_an_image_of_the_spec_may_be_older_so_an_init_container_verifies_its_model() -> None:
    pod = template({"runtime": {"image": "registry.example.org/server:0.0.9"}})["spec"]
    assert [each["args"] for each in (*pod["initContainers"], *pod["containers"])] == [["fetch"], ["serve"]]


@pytest.mark.parametrize("precision", ["INT8", "Auto"])
def test_the_init_container_reports_the_precision_that_was_chosen(precision: str) -> None:
    (model,) = template({"model": {"precision": precision}})["spec"]["initContainers"]
    assert _env(model)["IMAGECLASSIFIER_MODEL_URI"] == "bundled:cifar10-mobilenet-v2"


def test_the_init_container_never_raises_the_requests_of_the_pod() -> None:
    pod = template({**FETCHED, "resources": {"limits": {"cpu": "2"}}})["spec"]
    model, server = pod_security.containers(pod)
    assert model["resources"] == server["resources"]
    assert model["resources"] is not server["resources"]


def test_mirrors_are_passed_in_their_order() -> None:
    (model,) = template(FETCHED)["spec"]["initContainers"]
    settings = _env(model)
    assert settings["IMAGECLASSIFIER_MODEL_URI"] == "https://one/m.onnx https://two/m.onnx"
    assert settings["IMAGECLASSIFIER_MODEL_NAME"] == "mobilenet-v2"
    assert settings["IMAGECLASSIFIER_MODEL_SHA256"] == "0e75" * 16


@pytest.mark.parametrize("text", ["$(HOME)", "$$(HOME)", "$", "$$", "a$b", "$(", "$(A)$(B)$$"])
def test_the_kubelet_passes_a_uri_unchanged(text: str) -> None:
    uri = f"https://models.example.org/{text}/m.onnx"
    (model,) = template(_uri(uri))["spec"]["initContainers"]
    assert _expanded(_env(model)["IMAGECLASSIFIER_MODEL_URI"], {"HOME": "?", "A": "?", "B": "?"}) == uri


def test_the_server_gets_its_limits_as_plain_numbers() -> None:
    spec = {
        "limits": {"maxImageBytes": "2.5Mi", "maxImagePixels": 1_000_000, "maxQueueSize": 3},
        "rollout": {"drainSeconds": 7},
    }
    (server,) = template(spec)["spec"]["containers"]
    settings = _env(server)
    assert settings["IMAGECLASSIFIER_MAX_IMAGE_BYTES"] == "2621440"
    assert settings["IMAGECLASSIFIER_MAX_IMAGE_PIXELS"] == "1000000"
    assert settings["IMAGECLASSIFIER_MAX_QUEUE_SIZE"] == "3"
    assert settings["IMAGECLASSIFIER_DRAIN_SECONDS"] == "7"


def test_there_are_no_batch_settings_for_batches_of_one() -> None:
    assert template({"batching": {"maxBatchSize": 1, "maxQueueDelayMilliseconds": 9}}) == template()
    (server,) = template({"batching": {"maxBatchSize": 8}})["spec"]["containers"]
    settings = _env(server)
    assert settings["IMAGECLASSIFIER_MAX_BATCH_SIZE"] == "8"
    assert settings["IMAGECLASSIFIER_MAX_QUEUE_DELAY_MILLISECONDS"] == "2"


def test_the_grace_period_covers_the_drain() -> None:
    pod = template({"rollout": {"drainSeconds": 600}})["spec"]
    assert pod["terminationGracePeriodSeconds"] == 620


def test_liveness_is_more_lenient_than_readiness() -> None:
    (server,) = template()["spec"]["containers"]
    assert server["livenessProbe"]["httpGet"]["path"].endswith("/live")
    assert server["startupProbe"]["httpGet"]["path"].endswith("/ready")
    assert server["readinessProbe"]["httpGet"]["path"].endswith("/ready")
    assert server["livenessProbe"]["periodSeconds"] > server["readinessProbe"]["periodSeconds"]


def test_spread_constraints_never_prevent_scheduling() -> None:
    spread = template()["spec"]["topologySpreadConstraints"]
    assert {constraint["whenUnsatisfiable"] for constraint in spread} == {"ScheduleAnyway"}


def _expanded(text: str, variables: dict[str, str]) -> str:
    """Expand as the kubelet does (k8s.io/kubernetes/third_party/forked/golang/expansion)."""
    result, at = "", 0
    while at < len(text):
        if text[at] != "$" or at + 1 == len(text):
            result, at = result + text[at], at + 1
        elif text[at + 1] == "$":
            result, at = result + "$", at + 2
        elif text[at + 1] == "(" and ")" in text[at:]:
            end = text.index(")", at)
            name = text[at + 2 : end]
            result, at = result + variables.get(name, f"$({name})"), end + 1
        else:
            result, at = result + text[at : at + 2], at + 2
    return result

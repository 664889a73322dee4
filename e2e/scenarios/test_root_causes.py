"""Each way in which a fleet can fail to come up is named by Ready, with its remedy."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_runtime.model.folder import bundled

from e2e import model_store
from e2e.classifiers import (
    condition,
    current_condition,
    manifest,
    pods,
    wait_for_reason,
    wait_until_ready,
)
from e2e.cluster import program_images
from e2e.cluster.kubectl import KubectlError
from e2e.install import file_sha256
from e2e.pod_programs import fill_memory, source
from e2e.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from e2e.cluster.api import Object
    from e2e.kube import Kube

_SPEC: dict[str, Any] = {"rollout": {"drainSeconds": 0}, "resources": {"requests": {"cpu": "10m"}}}
_WRONG = "0123456789abcdef" * 4
_SECONDS = 90.0
_TEXT = "labels.txt"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What an object asks for that cannot work, the reason of Ready, and what its message has to contain."""

    spec: Mapping[str, Any]
    reason: str
    message: str


def _model(uri: str, *, sha256: str = _WRONG, **source: Any) -> dict[str, Any]:
    return {"model": {"uri": uri, "sha256": sha256, **source}}


def _text_digest() -> str:
    folder = bundled(model_store.BUNDLED)
    assert folder is not None
    return file_sha256(folder / _TEXT)


def failures(store: str, images: Mapping[str, str]) -> dict[str, Failure]:
    """The failures by the name of their objects."""
    folder = f"{model_store.BUNDLED}/"
    bucket = f"s3://{model_store.S3_BUCKET}/pets/"
    s3: dict[str, Any] = {"endpoint": model_store.endpoint(store)}
    missing_secret: dict[str, Any] = {"credentialsSecretRef": {"name": "missing"}}
    return {
        "image-not-found": Failure(
            spec={"runtime": {"image": "localhost:1/none:1.0"}},
            reason="ImagePullBackOff",
            message="check the image",
        ),
        "image-never-pulled": Failure(
            spec={"runtime": {"image": "localhost:1/none:1.0", "imagePullPolicy": "Never"}},
            reason="ErrImageNeverPull",
            message="check the image",
        ),
        "another-program": Failure(
            spec={"runtime": {"image": images["operator"]}}, reason="CrashLoopBackOff", message="invalid choice"
        ),
        "wrong-digest": Failure(
            spec=_model(model_store.url(store, folder)), reason="ModelDigestMismatch", message="spec.model.sha256"
        ),
        "no-such-model": Failure(
            spec=_model(model_store.url(store, "none.onnx")), reason="ModelNotFound", message="check spec.model"
        ),
        "not-a-model": Failure(
            spec=_model(model_store.url(store, f"{model_store.BUNDLED}/{_TEXT}"), sha256=_text_digest()),
            reason="ModelInvalid",
            message="export the model again",
        ),
        "no-such-host": Failure(
            spec=_model(f"http://nobody.{store}.svc/pets.onnx"), reason="ModelUnreachable", message="retrying"
        ),
        "metadata-address": Failure(
            spec=_model("http://169.254.169.254/pets.onnx"),
            reason="ModelAddressRefused",
            message="another address",
        ),
        "no-access": Failure(
            spec=_model(bucket, s3=s3), reason="ModelAccessDenied", message="credentialsSecretRef"
        ),
        "no-secret": Failure(
            spec=_model(bucket, s3=s3, **missing_secret), reason="CreateContainerConfigError", message="missing"
        ),
        "no-api-keys": Failure(
            spec={"security": {"apiKeysSecretRef": {"name": "missing"}}},
            reason="ApiKeysInvalid",
            message="spec.security.apiKeysSecretRef",
        ),
        "no-certificates": Failure(
            spec={"runtime": {"caConfigMapRef": {"name": "missing"}}},
            reason="CACertificatesInvalid",
            message="spec.runtime.caConfigMapRef",
        ),
        "no-claim": Failure(
            spec=_model("pvc://missing/pets/"), reason="Unschedulable", message="create the claim missing"
        ),
        "no-node": Failure(
            spec={"scheduling": {"nodeSelector": {"example.org/none": "there"}}},
            reason="Unschedulable",
            message="nodeSelector",
        ),
        "too-large": Failure(
            spec={"resources": {"requests": {"cpu": "500"}, "limits": {"cpu": "500"}}},
            reason="Unschedulable",
            message="Insufficient cpu",
        ),
        "no-service-account": Failure(
            spec={"runtime": {"serviceAccountName": "missing"}},
            reason="FailedCreate",
            message="spec.runtime.serviceAccountName",
        ),
        "no-priority-class": Failure(
            spec={"scheduling": {"priorityClassName": "missing"}},
            reason="FailedCreate",
            message="spec.scheduling.priorityClassName",
        ),
        "name-conflict": Failure(spec={}, reason="NameConflict", message="Service name-conflict exists already"),
        "paused": Failure(spec={"paused": True}, reason="Paused", message="spec.paused"),
    }


def test_every_cause_is_named(
    kube: Kube,
    namespace: str,
    store: str,
    images: Mapping[str, str],
    add_to_summary: Callable[[str], None],
) -> None:
    taken = {
        "metadata": {"name": "name-conflict"},
        "spec": {"ports": [{"port": 81}], "selector": {"app": "other"}},
    }
    kube.create("services", taken, namespace=namespace)
    expected = failures(store, images)
    for name, failure in expected.items():
        kube.apply(manifest(name, namespace=namespace, spec={**_SPEC, **failure.spec}))
    began = time.monotonic()
    seconds: dict[str, float] = {}

    def all_named() -> bool:
        live = {item["metadata"]["name"]: item for item in kube.list("imageclassifiers", namespace=namespace)}
        for name, failure in expected.items():
            ready = current_condition(live[name])
            if ready.get("reason") == failure.reason and failure.message in ready.get("message", ""):
                seconds.setdefault(name, time.monotonic() - began)
        return seconds.keys() == expected.keys()

    def missing() -> str:
        return kube.kubectl(
            "describe", "ic", *sorted(expected.keys() - seconds.keys()), f"--namespace={namespace}"
        )

    until(all_named, seconds=_SECONDS, every=0.5, what="the causes to be named", describe=missing)
    print(kube.kubectl("get", "ic", "--output=wide", f"--namespace={namespace}"))
    for item in kube.list("imageclassifiers", namespace=namespace):
        name = item["metadata"]["name"]
        print(f"{name} ({seconds[name]:.1f} s): {condition(item, 'Ready')['message']}")
    add_to_summary(
        f"{len(expected)} causes named, the last one {max(seconds.values()):.0f} s after it was applied"
    )


def test_an_init_container_that_does_not_end_is_named(kube: Kube, namespace: str) -> None:
    if not kube.target.local:
        pytest.skip("another cluster may not have an image whose program only waits")
    waits = {"runtime": {"image": program_images.PAUSE.name, "imagePullPolicy": "Never"}}
    kube.apply(manifest("pets", namespace=namespace, spec={**_SPEC, **waits}))
    reason, message = "PodInitializing", "kubectl logs"
    wait_for_reason(kube, "pets", reason, namespace=namespace, containing=message)
    print(kube.kubectl("get", "ic", "--output=wide", f"--namespace={namespace}"))


_POD_LIMIT: Object = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "no-pods"},
    "spec": {"hard": {"pods": "0"}},
}
_CPU_LIMIT: Object = {
    "apiVersion": "v1",
    "kind": "LimitRange",
    "metadata": {"name": "small"},
    "spec": {"limits": [{"type": "Container", "max": {"cpu": "100m"}}]},
}


@pytest.mark.parametrize(
    ("limit", "message"),
    [(_POD_LIMIT, "exceeded quota: no-pods"), (_CPU_LIMIT, "maximum cpu usage per Container is 100m")],
    ids=["quota", "limit-range"],
)
def test_a_limit_of_the_namespace_is_named(kube: Kube, namespace: str, limit: Object, message: str) -> None:
    kube.apply({**limit, "metadata": {**limit["metadata"], "namespace": namespace}})
    if limit is _POD_LIMIT:  # without a status, the API server gives another reason for its rejection
        seconds = "--timeout=30s"
        kube.kubectl("wait", "--for=jsonpath={.status.hard.pods}=0", "quota/no-pods", f"-n={namespace}", seconds)
    kube.apply(manifest("pets", namespace=namespace, spec=_SPEC))
    wait_for_reason(kube, "pets", "FailedCreate", namespace=namespace, containing=message)
    print(kube.kubectl("get", "ic", "--output=wide", f"--namespace={namespace}"))


@pytest.fixture
def no_pods(kube: Kube, namespace: str) -> Iterator[str]:
    """An admission policy that rejects the pods of the namespace."""
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    version = "admissionregistration.k8s.io/v1"
    policy = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "false", "message": "no pods on Fridays"}],
    }
    binding = {
        "policyName": namespace,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": selector},
    }
    metadata = {"name": namespace}
    kinds = {"ValidatingAdmissionPolicy": policy, "ValidatingAdmissionPolicyBinding": binding}
    kube.apply(
        *(
            {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
            for kind, spec in kinds.items()
        )
    )
    yield "no pods on Fridays"
    for kind in kinds:
        kube.kubectl("delete", kind.lower(), namespace)


def test_a_rejection_by_an_admission_policy_is_named(kube: Kube, namespace: str, no_pods: str) -> None:
    # The policy takes effect within moments: a pod that was created before is replaced by one that is not.
    kube.apply(manifest("pets", namespace=namespace, spec=_SPEC))
    until(partial(_is_rejected, kube, namespace), seconds=60, what="the policy to reject a pod")
    wait_for_reason(kube, "pets", "FailedCreate", namespace=namespace, containing=no_pods)
    print(kube.kubectl("get", "ic", "--output=wide", f"--namespace={namespace}"))


def test_a_rejection_by_pod_security_is_named(kube: Kube, namespace: str) -> None:
    # warnings would fail the suite
    levels = ("pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/warn=privileged")
    kube.kubectl("label", "namespace", namespace, *levels)
    kube.apply(manifest("pets", namespace=namespace, spec=_SPEC))
    wait_until_ready(kube, "pets", namespace=namespace)  # our own pods fit the strictest level
    sidecar = {"name": "debug", "image": program_images.PAUSE.name, "imagePullPolicy": "Never"}
    patch = json.dumps({"spec": {"template": {"spec": {"containers": [sidecar]}}}})
    kube.kubectl("patch", "deployment", "pets", f"--patch={patch}", f"--namespace={namespace}")
    live = wait_for_reason(kube, "pets", "FailedCreate", namespace=namespace, containing="violates PodSecurity")
    assert "the Pod Security level of the namespace" in condition(live, "Ready")["message"]
    assert condition(live, "Available")["status"] == "True"
    print(kube.kubectl("get", "ic", "--output=wide", f"--namespace={namespace}"))
    kube.kubectl("rollout", "undo", "deployment/pets", f"--namespace={namespace}")
    wait_until_ready(kube, "pets", namespace=namespace)


def _is_rejected(kube: Kube, namespace: str) -> bool:
    for pod in pods(kube, "pets", namespace=namespace):
        kube.delete("pods", pod["metadata"]["name"], namespace=namespace)
    conditions = (
        (kube.get("deployments", "pets", namespace=namespace) or {}).get("status", {}).get("conditions", [])
    )
    return any(each["type"] == "ReplicaFailure" and each["status"] == "True" for each in conditions)


def test_a_server_that_was_ready_and_runs_out_of_memory_is_named(kube: Kube, namespace: str) -> None:
    kube.apply(manifest("pets", namespace=namespace, spec=_SPEC))
    wait_until_ready(kube, "pets", namespace=namespace)
    (pod,) = pods(kube, "pets", namespace=namespace)
    command = ("exec", pod["metadata"]["name"], "--container=server", f"--namespace={namespace}", "--")
    options = ("10", "48", "30")  # processes, MiB of each, seconds
    with pytest.raises(KubectlError):  # they end with the container
        kube.kubectl(*command, "/app/bin/python", "-c", source(fill_memory), *options)
    # The server is Ready again within seconds, perhaps before kubectl returns: the Event of the change is left.
    until(partial(_has_event, kube, namespace, "OOMKilled"), seconds=60, what="an Event with the cause")
    print(kube.kubectl("get", "events", "--field-selector=involvedObject.kind=ImageClassifier", f"-n={namespace}"))
    wait_until_ready(kube, "pets", namespace=namespace)


def _has_event(kube: Kube, namespace: str, reason: str) -> bool:
    return any(
        event["reason"] == reason and "spec.resources.limits.memory" in event["message"]
        for event in kube.list("events", namespace=namespace)
        if event["involvedObject"]["kind"] == "ImageClassifier"
    )

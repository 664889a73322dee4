"""The conditions that are calculated from the observed state."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from imageclassifier_operator.api import Autoscaling, ImageClassifier, ModelSource, Monitoring, Spec
from imageclassifier_operator.api.exposure import Gateway, Ingress, ParentRef
from imageclassifier_operator.children import CONDITIONS
from imageclassifier_operator.status import (
    ContestedField,
    Observation,
    OverriddenField,
    Problem,
    Revisions,
    compute,
    compute_invalid,
    override_message,
)

NOW = "2026-01-01T00:00:00Z"
SHA = "a" * 64
SUMMARY = ("Ready", "Available", "Progressing", "Stalled", "Contested")


def classifier(**spec: Any) -> ImageClassifier:
    model = ModelSource(name="pets", uris=("bundled:pets",), sha256=SHA)
    return ImageClassifier(namespace="vision", name="pets", uid="1", generation=3, spec=Spec(model=model, **spec))


def deployment(*, desired: int = 2, updated: int = 2, ready: int = 2, **other: Any) -> dict[str, Any]:
    status = {
        "observedGeneration": 5,
        "replicas": max(updated, ready),
        "updatedReplicas": updated,
        "readyReplicas": ready,
        "availableReplicas": ready,
        **other,
    }
    template = {"spec": {"containers": [{"name": "server", "image": "runtime:1"}]}}
    return {
        "metadata": {"generation": 5, "uid": "d"},
        "spec": {"replicas": desired, "template": template},
        "status": status,
    }


def replica_set(uid: str, revision: int) -> dict[str, Any]:
    return {"metadata": {"uid": uid, "annotations": {"deployment.kubernetes.io/revision": str(revision)}}}


def pod(name: str, *, of: str = "new", **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "ownerReferences": [{"uid": of}]}, "status": status}


def waiting(reason: str, message: str = "", **other: Any) -> dict[str, Any]:
    return {
        "name": "server",
        "ready": False,
        "state": {"waiting": {"reason": reason, "message": message}},
        **other,
    }


def exited(
    message: str, *, code: int = 1, reason: str = "Error", where: str = "state", name: str = "model"
) -> dict[str, Any]:
    end = {"exitCode": code, "message": message, "reason": reason}
    return {"name": name, "ready": code == 0, where: {"terminated": end}}


def world(*pods: dict[str, Any], **other: Any) -> Observation:
    sets = (replica_set("old", 9), replica_set("new", 10))
    return Observation(**{"deployment": deployment(), "replica_sets": sets, "pods": pods, **other})


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(entry for entry in status["conditions"] if entry["type"] == kind)
    return found


def status_of(
    observed: Observation, *, previous: dict[str, Any] | None = None, now: str = NOW, **spec: Any
) -> dict[str, Any]:
    status = compute(classifier(**spec), observed, conditions=CONDITIONS, previous=previous or {}, now=now)
    return dict(status.fields)


def ready(observed: Observation, **spec: Any) -> dict[str, Any]:
    return condition(status_of(observed, **spec), "Ready")


def test_a_server_without_api_keys_is_reported_with_the_remedy() -> None:
    message = json.dumps({"reason": "ApiKeysInvalid", "message": "there is no API key at /api-keys"})
    end = {"exitCode": 2, "message": message, "reason": "Error"}
    looping = waiting("CrashLoopBackOff", lastState={"terminated": end})
    status = status_of(world(pod("a", containerStatuses=[looping]), deployment=deployment(ready=0)))
    reported = condition(status, "Ready")
    assert (reported["status"], reported["reason"]) == ("False", "ApiKeysInvalid")
    assert "there is no API key" in reported["message"]
    assert "spec.security.apiKeysSecretRef" in reported["message"]
    assert condition(status, "Stalled")["status"] == "True"


def test_the_first_status_has_every_condition() -> None:
    status = status_of(Observation())
    kinds = [entry["type"] for entry in status["conditions"]]
    assert kinds[0] == "Ready", "kubectl describe shows it first"
    assert sorted(kinds) == sorted([*SUMMARY, *(child.type for child in CONDITIONS.values())])
    assert len(set(kinds)) == len(kinds)
    assert {entry["observedGeneration"] for entry in status["conditions"]} == {3}


def test_all_replicas_of_the_newest_generation_ready_is_ready() -> None:
    status = status_of(world())
    assert condition(status, "Ready")["status"] == "True"
    assert condition(status, "Ready")["reason"] == "AllReplicasReady"
    assert (status["readySummary"], status["url"], status["image"]) == (
        "2/2",
        "http://pets.vision.svc",
        "runtime:1",
    )


@pytest.mark.parametrize(
    ("observed", "reason"),
    [
        (Observation(), "DeploymentMissing"),
        (world(deployment=deployment(observedGeneration=4)), "RolloutPending"),
        (world(deployment=deployment(updated=1, replicas=2)), "RollingOut"),
        (world(deployment=deployment(replicas=3)), "RollingOut"),
        (world(deployment=deployment(ready=1)), "ReplicasNotReady"),
    ],
)
def test_ready_is_false_until_the_newest_generation_serves(observed: Observation, reason: str) -> None:
    found = ready(observed)
    assert (found["status"], found["reason"]) == ("False", reason)


@pytest.mark.parametrize("paused", [False, True])
def test_a_raised_count_is_not_reported_as_a_rollout(paused: bool) -> None:
    live = deployment(desired=3)
    live["spec"]["paused"] = paused  # the Deployment controller also scales while it is paused
    status = status_of(world(deployment=live))
    found = condition(status, "Ready")
    assert (found["reason"], found["message"]) == ("ReplicasNotReady", "2/3 replicas are ready")
    assert condition(status, "Progressing")["status"] == "True"


@pytest.mark.parametrize(("existing", "words"), [(3, "1 old replica"), (4, "2 old replicas")])
def test_old_replicas_are_counted_until_they_have_terminated(existing: int, words: str) -> None:
    found = ready(world(deployment=deployment(replicas=existing)))
    assert found["message"] == f"Waiting for {words} to terminate"


@pytest.mark.parametrize("observed", [Observation(), world(), world(deployment=deployment(ready=1))])
def test_a_status_is_ready_when_its_condition_says_so(observed: Observation) -> None:
    status = compute(classifier(), observed, conditions=CONDITIONS, previous={}, now=NOW)
    assert status.ready is (condition(dict(status.fields), "Ready")["status"] == "True")


def test_zero_desired_replicas_is_ready_and_not_available() -> None:
    status = status_of(world(deployment=deployment(desired=0, updated=0, ready=0)))
    assert condition(status, "Ready")["reason"] == "ScaledToZero"
    assert condition(status, "Available")["status"] == "False"


def test_a_digest_mismatch_is_reported_with_both_digests_and_stalls() -> None:
    detail = f"expected sha256 {SHA}, got {'b' * 64}"
    message = json.dumps({"reason": "ModelDigestMismatch", "message": detail})
    observed = world(
        pod("p", initContainerStatuses=[exited(message, where="lastState")]),
        deployment=deployment(ready=0),
    )
    status = status_of(observed)
    found = condition(status, "Ready")
    assert found["reason"] == "ModelDigestMismatch"
    assert SHA in found["message"]
    assert "b" * 64 in found["message"]
    assert condition(status, "Stalled")["status"] == "True"


def test_an_unreachable_source_does_not_stall() -> None:
    message = json.dumps({"reason": "ModelUnreachable", "message": "connection refused"})
    observed = world(pod("p", initContainerStatuses=[exited(message)]), deployment=deployment(ready=0))
    status = status_of(observed)
    assert condition(status, "Ready")["reason"] == "ModelUnreachable"
    assert condition(status, "Stalled")["status"] == "False"
    assert condition(status, "Progressing")["status"] == "True"


def test_an_image_that_cannot_be_pulled_is_reported_with_the_remedy() -> None:
    found = ready(world(pod("p", containerStatuses=[waiting("ImagePullBackOff", 'Back-off pulling "x:1"')])))
    assert found["reason"] == "ImagePullBackOff"
    assert "x:1" in found["message"]
    assert "check the image" in found["message"]


def test_reasons_between_which_the_kubelet_alternates_become_one() -> None:
    pulls = [ready(world(pod("p", containerStatuses=[waiting(w)]))) for w in ("ErrImagePull", "ImagePullBackOff")]
    assert {found["reason"] for found in pulls} == {"ImagePullBackOff"}
    end = {"terminated": {"exitCode": 3, "reason": "Error"}}
    again = {"name": "server", "ready": False, "restartCount": 2, "state": end}
    crashes = [waiting("CrashLoopBackOff", lastState=end, restartCount=2), again]
    assert {ready(world(pod("p", containerStatuses=[crash])))["reason"] for crash in crashes} == {
        "CrashLoopBackOff"
    }


def test_an_oom_killed_container_is_reported() -> None:
    end = {"exitCode": 137, "reason": "OOMKilled"}
    found = ready(world(pod("p", containerStatuses=[waiting("CrashLoopBackOff", lastState={"terminated": end})])))
    assert found["reason"] == "OOMKilled"
    assert "spec.resources.limits.memory" in found["message"]


def test_a_crash_loop_reports_the_last_log_line() -> None:
    end = {"exitCode": 3, "reason": "Error", "message": "first\nlast words"}
    found = ready(world(pod("p", containerStatuses=[waiting("CrashLoopBackOff", lastState={"terminated": end})])))
    assert found["reason"] == "CrashLoopBackOff"
    assert "last words" in found["message"]


def _reads(secret: str, keys: dict[str, bool], *, prefix: str = "") -> list[dict[str, Any]]:
    """Return variables for keys of a Secret; True: the container needs the key to start."""
    return [
        {
            "name": f"{prefix}{key}",
            "valueFrom": {"secretKeyRef": {"name": secret, "key": key, "optional": not required}},
        }
        for key, required in keys.items()
    ]


@pytest.mark.parametrize(
    "message",
    [
        'secret "model-store" not found',
        'secrets "model-store" not found',
        "couldn't find key AWS_SECRET_ACCESS_KEY in Secret vision/model-store",
    ],
)
def test_a_missing_secret_of_the_source_is_reported_with_its_field_and_keys(message: str) -> None:
    blocked = waiting("CreateContainerConfigError", message, name="model")
    keys = {"AWS_ACCESS_KEY_ID": True, "AWS_SECRET_ACCESS_KEY": True, "AWS_SESSION_TOKEN": False}
    waits = {
        **pod("p", initContainerStatuses=[blocked]),
        "spec": {"initContainers": [{"name": "model", "env": _reads("model-store", keys)}]},
    }
    status = status_of(world(waits, deployment=deployment(ready=0)))
    found = condition(status, "Ready")
    assert found["reason"] == "CreateContainerConfigError"
    assert found["message"] == (
        f"p: {message}; spec.model.credentialsSecretRef needs that Secret in this namespace, with the keys "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (AWS_SESSION_TOKEN is optional)"
    )
    assert condition(status, "Stalled")["status"] == "True"


@pytest.mark.parametrize(
    ("prefix", "key", "who"),
    [
        ("IMAGECLASSIFIER_CACHE_REDIS_", "PASSWORD", "spec.cache.redis.credentialsSecretRef"),
        ("", "OTEL_EXPORTER_OTLP_HEADERS", "spec.tracing.headersSecretRef"),
        ("OF_A_WEBHOOK_", "PASSWORD", "container server"),
    ],
)
def test_a_missing_secret_of_the_server_is_reported_only_with_the_field_that_names_it(
    prefix: str, key: str, who: str
) -> None:
    copied = _reads("login", {key: False}, prefix="COPY_")
    of_login = [*_reads("login", {key: True}, prefix=prefix), *copied]
    env = [*of_login, *_reads("other", {"token": True}), {"name": "PLAIN", "value": "1"}]
    waits = {
        **pod("p", containerStatuses=[waiting("CreateContainerConfigError", 'secret "login" not found')]),
        "spec": {
            "containers": [
                {"name": "sidecar", "env": _reads("login", {"x": True})},
                {"name": "server", "env": env},
            ]
        },
    }
    assert ready(world(waits))["message"] == (
        f'p: secret "login" not found; {who} needs that Secret in this namespace, with the key {key}'
    )


@pytest.mark.parametrize(
    ("reads", "keys"),
    [
        ({"envFrom": [{"secretRef": {"name": "x"}}]}, ""),
        ({"env": _reads("x", {"password": True})}, ", with the key password"),
    ],
)
def test_a_missing_secret_of_a_container_of_somebody_else_is_reported_without_a_field(
    reads: dict[str, Any], keys: str
) -> None:
    blocked = waiting("CreateContainerConfigError", 'secret "x" not found', name="proxy")
    waits = {**pod("p", containerStatuses=[blocked]), "spec": {"containers": [{"name": "proxy", **reads}]}}
    assert ready(world(waits))["message"] == (
        f'p: secret "x" not found; container proxy needs that Secret in this namespace{keys}'
    )


@pytest.mark.parametrize("container", ["server", "model"])
def test_a_digest_of_a_model_in_the_image_is_reported_with_the_remedy_for_it(container: str) -> None:
    reported = json.dumps({"reason": "ModelDigestMismatch", "message": "expected sha256 a, got b"})
    variable = {"name": "IMAGECLASSIFIER_MODEL_URI", "value": "bundled:pets"}
    waits = {
        **pod("p", initContainerStatuses=[exited(reported, name=container)]),
        "spec": {"initContainers": [{"name": "model", "env": [variable]}]},
    }
    found = ready(world(waits, deployment=deployment(ready=0)))
    assert "use a runtime image that fits the operator's catalogue" in found["message"]
    assert "spec.model.sha256" not in found["message"]


def test_access_that_is_denied_is_reported_with_the_secret_if_there_is_one() -> None:
    reported = json.dumps({"reason": "ModelAccessDenied", "message": "http://store answers 403"})
    failing = pod("p", initContainerStatuses=[exited(reported)])
    variable = {"name": "IMAGECLASSIFIER_CREDENTIALS_SECRET", "value": "store-keys"}
    named = {**failing, "spec": {"initContainers": [{"name": "model", "env": [variable]}]}}
    without, of_secret = (
        ready(world(each, deployment=deployment(ready=0)))["message"] for each in (failing, named)
    )
    assert "name a Secret with credentials in spec.model.credentialsSecretRef, or allow access" in without
    assert of_secret.endswith(
        "check what the keys of the Secret store-keys (spec.model.credentialsSecretRef) may read"
    )


@pytest.mark.parametrize(
    ("uris", "words"),
    [
        ("pvc://claim/pets/", "make the files in the claim readable for the user or group 65532"),
        ("http://store/pets/", "name a Secret with credentials"),
    ],
)
def test_access_that_is_denied_is_reported_with_what_the_source_needs(uris: str, words: str) -> None:
    reported = json.dumps({"reason": "ModelAccessDenied", "message": "it is not readable"})
    env = [{"name": "IMAGECLASSIFIER_MODEL_URI", "value": uris}]
    waits = {
        **pod("p", initContainerStatuses=[exited(reported)]),
        "spec": {"initContainers": [{"name": "model", "env": env}]},
    }
    assert words in ready(world(waits, deployment=deployment(ready=0)))["message"]


def test_an_unknown_ca_is_reported_with_the_config_map_that_is_mounted() -> None:
    reported = json.dumps({"reason": "ModelUnreachable", "message": "self-signed certificate"})
    volume = {"name": "ca-certificates", "configMap": {"name": "corporate-ca"}}
    waits = {**pod("p", initContainerStatuses=[exited(reported)]), "spec": {"volumes": [volume]}}
    assert (
        "add the certificate of the server's CA to the ConfigMap corporate-ca"
        in (ready(world(waits, deployment=deployment(ready=0)))["message"])
    )


@pytest.mark.parametrize(
    ("reason", "volume", "named"),
    [
        ("ApiKeysInvalid", {"name": "api-keys", "secret": {"secretName": "pets-keys"}}, "the Secret pets-keys in"),
        (
            "CACertificatesInvalid",
            {"name": "ca-certificates", "configMap": {"name": "corporate-ca"}},
            "the ConfigMap corporate-ca in",
        ),
    ],
)
def test_a_mounted_object_that_is_missing_is_named(reason: str, volume: dict[str, Any], named: str) -> None:
    reported = json.dumps({"reason": reason, "message": "/folder is empty"})
    waits = {**pod("p", containerStatuses=[exited(reported, name="server")]), "spec": {"volumes": [volume]}}
    assert named in ready(world(waits, deployment=deployment(ready=0)))["message"]


def test_a_secret_that_the_kubelet_has_not_synced_does_not_stall() -> None:
    message = "failed to sync secret cache: timed out waiting for the condition"
    blocked = waiting("CreateContainerConfigError", message)
    observed = world(pod("p", containerStatuses=[blocked]), deployment=deployment(ready=0))
    status = status_of(observed)
    assert condition(status, "Ready")["message"] == f"p: {message}; the kubelet is retrying"
    assert condition(status, "Stalled")["status"] == "False"


def test_another_configuration_error_gets_no_remedy_for_secrets() -> None:
    blocked = waiting("CreateContainerConfigError", 'configmap "other" not found')
    assert ready(world(pod("p", containerStatuses=[blocked])))["message"].endswith('configmap "other" not found')


@pytest.mark.parametrize("reason", ["ModelAccessDenied", "ModelCredentialsMissing"])
def test_a_source_that_denies_access_stalls_and_names_the_field(reason: str) -> None:
    reported = json.dumps({"reason": reason, "message": "http://minio/models answers 403 (AccessDenied)"})
    observed = world(pod("p", initContainerStatuses=[exited(reported)]), deployment=deployment(ready=0))
    status = status_of(observed)
    assert condition(status, "Ready")["reason"] == reason
    assert "answers 403 (AccessDenied); " in condition(status, "Ready")["message"]
    assert condition(status, "Stalled")["status"] == "True"


@pytest.mark.parametrize(
    ("message", "remedy", "stalled"),
    [
        (
            '0/3 nodes are available: persistentvolumeclaim "models" not found. preemption: none',
            "create the claim models in this namespace",
            "True",
        ),
        ('persistentvolumeclaim "models" not found', "create the claim models in this namespace", "True"),
        (
            "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
            "check that a volume fits the claim",
            "False",
        ),
        (
            "0/3 nodes are available: 3 node(s) had volume node affinity conflict.",
            "check that a volume fits",
            "False",
        ),
        ("0/3 nodes are available: 3 Insufficient cpu.", "lower spec.resources.requests or add nodes", "False"),
        (
            "0/1 nodes are available: 1 node(s) were unschedulable. preemption: 0/1 nodes: 1 Insufficient cpu.",
            "kubectl uncordon the nodes once their maintenance is over, or add nodes",
            "False",
        ),
        (
            "0/2 nodes: 1 node(s) had untolerated taint {dedicated: gpu}, 1 had untolerated taint {a: b}.",
            "tolerate the taint dedicated in spec.scheduling.tolerations, or remove it; tolerate the taint a",
            "False",
        ),
        (
            "0/2 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }.",
            "kubectl get nodes shows nodes that are not ready",
            "False",
        ),
        (
            "0/2 nodes are available: 2 node(s) had untolerated taint(s).",
            "tolerate the taint of the nodes",
            "False",
        ),
        (
            "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/disk-pressure: }.",
            "free disk, memory or process IDs on the nodes",
            "False",
        ),
        (
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
            "correct spec.scheduling.nodeSelector",
            "False",
        ),
        (
            "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules.",
            "correct spec.scheduling.affinity.podAntiAffinity, or add nodes",
            "False",
        ),
        (
            "0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints.",
            "set spec.scheduling.spread to Preferred",
            "False",
        ),
        ("0/1 nodes are available: 1 Too many pods.", "add nodes", "False"),
        ("no nodes available to schedule pods", "add nodes", "False"),
        ("a reason of a plugin of another scheduler", "kubectl describe pod shows more", "False"),
    ],
)
def test_a_pod_that_cannot_be_scheduled_is_reported_with_the_remedy(
    message: str, remedy: str, stalled: str
) -> None:
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    observed = world(pod("p", conditions=[unscheduled]), deployment=deployment(ready=0))
    status = status_of(observed)
    assert condition(status, "Ready")["message"].startswith(f"p: {message}; {remedy}")
    assert condition(status, "Stalled")["status"] == stalled


def test_a_pod_that_cannot_be_scheduled_is_reported() -> None:
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    found = ready(world(pod("p", conditions=[unscheduled])))
    assert found["reason"] == "Unschedulable"
    assert "0/3 nodes" in found["message"]


def test_the_root_cause_of_all_pods_is_reported() -> None:
    message = json.dumps({"reason": "ModelNotFound", "message": "404"})
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    observed = world(
        pod("a", conditions=[unscheduled]),
        pod("b", initContainerStatuses=[exited(message)]),
        pod("c", initContainerStatuses=[exited(message)]),
    )
    assert ready(observed)["reason"] == "ModelNotFound"
    assert "1 more pod" in ready(observed)["message"]


def evicted(name: str, message: str) -> dict[str, Any]:
    """Return a pod as the kubelet leaves it after an eviction."""
    server = {**exited("", code=137), "name": "server"}
    return pod(name, phase="Failed", reason="Evicted", message=message, containerStatuses=[server])


NODE_LOW = (
    "The node was low on resource: ephemeral-storage. Threshold quantity: 10, available: 9. "
    "Container server was using 28Mi, request is 0, has larger consumption of ephemeral-storage. "
)


@pytest.mark.parametrize(
    ("message", "remedy", "stalled"),
    [
        (
            "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ",
            "raise spec.resources.limits.ephemeral-storage",
            "True",
        ),
        (
            'Container server exceeded its local ephemeral storage limit "1Mi". ',
            "raise spec.resources.limits.ephemeral-storage",
            "True",
        ),
        ('Usage of EmptyDir volume "model" exceeds the limit "1Gi". ', "serve a smaller model", "True"),
        (NODE_LOW, "raise spec.resources.requests.ephemeral-storage, or free disk on the node", "False"),
        (
            "The node was low on resource: memory. Threshold quantity: 10, available: 9. ",
            "raise spec.resources.requests.memory, or add nodes",
            "False",
        ),
    ],
)
def test_an_evicted_pod_is_reported_with_the_remedy(message: str, remedy: str, stalled: str) -> None:
    status = status_of(world(evicted("p", message), deployment=deployment(ready=1)))
    found = condition(status, "Ready")
    assert found["reason"] == "Evicted"
    assert found["message"] == f"p: {message.strip().removesuffix('.')}; {remedy}"
    assert condition(status, "Stalled")["status"] == stalled


def test_what_keeps_the_replacement_of_a_failed_pod_from_starting_is_reported_instead() -> None:
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    pods = (evicted("p", NODE_LOW), pod("q", conditions=[unscheduled]))
    assert ready(world(*pods, deployment=deployment(ready=1)))["reason"] == "Unschedulable"


def test_a_failed_pod_without_a_reason_is_reported_as_its_containers_are() -> None:
    failed = pod("p", phase="Failed", containerStatuses=[exited("last words", code=3)])
    assert "last words" in ready(world(failed, deployment=deployment(ready=1)))["message"]
    silent = pod("p", phase="Failed")
    assert ready(world(silent, deployment=deployment(ready=1)))["reason"] == "PodFailed"


SERVES: dict[str, Any] = {"conditions": [{"type": "Ready", "status": "True"}]}
EVICTED: dict[str, Any] = {
    "phase": "Failed",
    "reason": "Evicted",
    "message": "Usage of EmptyDir volume exceeds the limit",
}


def test_a_failed_pod_that_was_replaced_is_no_cause() -> None:
    replaced = world(pod("a", **EVICTED), pod("b", **SERVES), pod("c", **SERVES))
    assert ready(replaced)["reason"] == "AllReplicasReady"
    missing = world(pod("a", **EVICTED), pod("b", **SERVES), pod("c"), deployment=deployment(ready=1))
    assert ready(missing)["reason"] == "Evicted"


@pytest.mark.parametrize("told_by", ["condition", "event"])
def test_an_evicted_pod_that_ended_in_order_is_reported_as_evicted(told_by: str) -> None:
    """The kubelet reports phase Succeeded and no reason for it (kubernetes/kubernetes#118310)."""
    message = 'Usage of EmptyDir volume "model" exceeds the limit "1Gi". '
    target = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": message}
    conditions = [target] if told_by == "condition" else []
    server = {**exited("", code=0), "name": "server"}
    left = pod("a", phase="Succeeded", conditions=conditions, containerStatuses=[server])
    left["metadata"]["uid"] = "a"
    events = {} if told_by == "condition" else {"a": [{"metadata": {}, "reason": "Evicted", "message": message}]}
    missing = world(left, pod("b", **SERVES), pod("c"), deployment=deployment(ready=1), warnings=events)
    assert ready(missing)["reason"] == "Evicted"
    assert "serve a smaller model" in ready(missing)["message"]
    assert ready(world(left, pod("b", **SERVES), pod("c", **SERVES)))["reason"] == "AllReplicasReady"


def test_a_pod_that_ended_in_order_with_its_node_is_reported_as_terminated() -> None:
    message = "Pod was terminated in response to imminent node shutdown."
    target = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": message}
    left = pod("a", phase="Succeeded", conditions=[target])
    assert ready(world(left, pod("b", **SERVES), deployment=deployment(ready=1)))["reason"] == "Terminated"


def test_a_pod_that_ended_in_order_and_was_replaced_is_no_cause() -> None:
    ended = {**exited("", code=0), "name": "server"}
    left = pod("a", phase="Succeeded", containerStatuses=[ended])
    pods = (left, pod("b", **SERVES), pod("c"))
    assert ready(world(*pods, deployment=deployment(ready=1), now=NOW))["reason"] == "ReplicasNotReady"


def failed_at(time: str) -> dict[str, Any]:
    return pod("old", **EVICTED, conditions=[{"type": "Ready", "status": "False", "lastTransitionTime": time}])


@pytest.mark.parametrize(
    ("failed", "reason"), [("2025-12-31T23:59:00Z", "Evicted"), ("2025-12-31T20:00:00Z", "ReplicasNotReady")]
)
def test_a_pod_that_failed_long_ago_is_no_cause_while_its_replacement_starts(failed: str, reason: str) -> None:
    pods = (failed_at(failed), pod("b", **SERVES), pod("c"))
    assert ready(world(*pods, deployment=deployment(ready=1), now=NOW))["reason"] == reason
    alone = world(failed_at("2025-12-31T20:00:00Z"), pod("b", **SERVES), deployment=deployment(ready=1), now=NOW)
    assert ready(alone)["reason"] == "Evicted", "it was not replaced"


@pytest.mark.parametrize(
    ("started", "reason"), [("2025-12-31T23:59:00Z", "Completed"), ("2025-12-11T00:00:00Z", "ReplicasNotReady")]
)
def test_a_restart_of_long_ago_is_no_cause(started: str, reason: str) -> None:
    server = {
        "name": "server",
        "ready": False,
        "restartCount": 1,
        "state": {"running": {"startedAt": started}},
        "lastState": {"terminated": {"exitCode": 0, "reason": "Completed"}},
    }
    status = status_of(world(pod("p", containerStatuses=[server]), deployment=deployment(ready=1), now=NOW))
    assert condition(status, "Ready")["reason"] == reason
    assert condition(status, "Stalled")["status"] == "False"


def test_a_new_pod_that_fails_is_a_cause_while_the_old_ones_serve() -> None:
    looping = waiting("CrashLoopBackOff", lastState={"terminated": {"exitCode": 1}})
    surge = world(pod("new", containerStatuses=[looping]), deployment=deployment(updated=1, replicas=3))
    assert ready(surge)["reason"] == "CrashLoopBackOff"


@pytest.mark.parametrize("state", ["waiting", "running"])
def test_a_server_that_is_stopped_again_and_again_is_in_a_crash_loop(state: str) -> None:
    stopped = {"terminated": {"exitCode": 0, "reason": "Completed"}}
    current = {"waiting": {"reason": "CrashLoopBackOff"}} if state == "waiting" else {"running": {}}
    server = {"name": "server", "ready": False, "restartCount": 4, "state": current, "lastState": stopped}
    status = status_of(world(pod("p", containerStatuses=[server]), deployment=deployment(ready=1)))
    found = condition(status, "Ready")
    assert (found["status"], found["reason"]) == ("False", "CrashLoopBackOff")
    assert "terminated with exit code 0; kubectl describe pod p shows failed probes" in found["message"]
    assert condition(status, "Stalled")["status"] == "True"


def test_an_event_explains_a_pod_that_reports_no_cause() -> None:
    silent = pod("p")
    silent["metadata"]["uid"] = "u"
    mount = {"metadata": {}, "reason": "FailedMount", "message": 'secret "keys" not found', "lastTimestamp": NOW}
    observed = world(silent, warnings={"u": [mount]}, deployment=deployment(ready=1))
    found = ready(observed)
    assert (found["reason"], found["message"].partition(";")[0]) == ("FailedMount", 'p: secret "keys" not found')


def test_a_cause_that_may_pass_needs_user_action_once_the_rollout_has_made_no_progress_for_too_long() -> None:
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    late = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
    observed = world(pod("p", conditions=[unscheduled]), deployment=deployment(ready=1, conditions=late))
    status = status_of(observed)
    assert condition(status, "Stalled")["status"] == "True"
    assert condition(status, "Stalled")["reason"] == "Unschedulable"


AUTOSCALER: dict[str, Any] = {
    "HorizontalPodAutoscaler": {"metadata": {"name": "pets"}, "spec": {"minReplicas": 2, "maxReplicas": 9}}
}


def test_an_object_whose_autoscaler_adds_pods_stays_ready() -> None:
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    observed = world(
        pod("new", conditions=[unscheduled]),
        deployment=deployment(desired=3, updated=3, ready=2),
        children=AUTOSCALER,
    )
    status = status_of(observed)
    found = condition(status, "Ready")
    assert (found["status"], found["reason"]) == ("True", "Scaling")
    counts = "2/3 replicas are ready, of which the autoscaler requires at least 2"
    assert found["message"].startswith(f"{counts}; new: 0/3 nodes")
    assert condition(status, "Progressing")["status"] == "True"
    assert condition(status, "Stalled")["status"] == "False"


def test_an_autoscaler_whose_new_pods_crash_does_not_keep_an_object_ready() -> None:
    looping = waiting("CrashLoopBackOff", lastState={"terminated": {"exitCode": 139}}, restartCount=3)
    observed = world(
        pod("new", containerStatuses=[looping]),
        deployment=deployment(desired=9, updated=9, ready=2),
        children=AUTOSCALER,
    )
    assert ready(observed)["reason"] == "CrashLoopBackOff"


def test_a_revision_whose_pods_are_not_all_ready_is_not_recorded_as_one_that_was_ready() -> None:
    observed = world(
        deployment=deployment(desired=3, updated=3, ready=2),
        children=AUTOSCALER,
        revisions=Revisions(accepted="pets-2"),
    )
    status = status_of(observed, previous={"revisions": {"accepted": "pets-2", "ready": "pets-1"}})
    assert condition(status, "Ready")["reason"] == "Scaling"
    assert status["revisions"] == {"accepted": "pets-2", "ready": "pets-1"}


@pytest.mark.parametrize("labels", [{}, {"app": "pets"}])
def test_an_object_stays_ready_while_the_deployment_controller_has_not_seen_another_count(
    labels: dict[str, str],
) -> None:
    scaled = deployment(desired=3, observedGeneration=4)
    template = {"metadata": {"labels": labels}, **scaled["spec"]["template"]}
    scaled["spec"]["template"] = template
    newest = replica_set("new", 10)
    newest["spec"] = {"template": {**template, "metadata": {"labels": {**labels, "pod-template-hash": "1"}}}}
    newest["status"] = {"replicas": 2, "availableReplicas": 2}
    observed = world(deployment=scaled, replica_sets=(newest,), children=AUTOSCALER)
    assert ready(observed)["reason"] == "Scaling"
    newest["status"] = {"replicas": 1}  # it is new, and the counts of the Deployment are about the one before
    assert ready(observed)["reason"] == "RolloutPending"
    newest["status"] = {"replicas": 3, "availableReplicas": 3}
    before = {**replica_set("old", 9), "status": {"replicas": 1}}
    assert ready(replace(observed, replica_sets=(before, newest)))["reason"] == "RolloutPending"
    newest["spec"]["template"]["spec"] = {"containers": []}
    assert ready(observed)["reason"] == "RolloutPending"


def test_a_quota_that_keeps_an_autoscaler_from_adding_pods_is_named() -> None:
    failure = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": "exceeded quota: pods",
    }
    limited = deployment(desired=3, updated=2, ready=2, conditions=[failure])
    found = ready(world(deployment=limited, children=AUTOSCALER))
    assert found["status"] == "True"
    assert ", of which the autoscaler requires at least 2; exceeded quota: pods; " in found["message"]


@pytest.mark.parametrize(
    "fewer",
    [
        deployment(desired=3, updated=2, ready=1),
        deployment(desired=3, updated=1, ready=2, replicas=3),
        deployment(desired=2, updated=2, ready=1),
    ],
    ids=["less than the minimum", "old pods are left", "the minimum itself"],
)
def test_an_autoscaled_object_is_not_ready_without_its_minimum_of_new_pods(fewer: dict[str, Any]) -> None:
    assert ready(world(deployment=fewer, children=AUTOSCALER))["status"] == "False"


def test_a_number_of_replicas_in_the_spec_is_ready_when_all_are() -> None:
    assert ready(world(deployment=deployment(desired=3, updated=3, ready=2)))["status"] == "False"


def test_a_rollout_that_somebody_has_paused_says_how_to_resume_it() -> None:
    held = deployment(updated=1)
    held["spec"]["paused"] = True
    held["metadata"]["name"] = "pets"
    status = status_of(world(deployment=held))
    found = condition(status, "Ready")
    assert (found["reason"], condition(status, "Stalled")["status"]) == ("DeploymentPaused", "True")
    assert "kubectl rollout resume deployment/pets" in found["message"]


def test_a_paused_object_keeps_the_url_and_the_model_of_what_is_served() -> None:
    previous = {"model": {"name": "before"}}
    service = {"metadata": {"name": "pets"}, "spec": {"ports": [{"port": 81}]}}
    observed = world(children={"Service": service}, not_applied=["Service pets: spec.ports.80/TCP differs"])
    fields = compute(classifier(), observed, conditions=CONDITIONS, previous=previous, now=NOW).fields
    assert (fields["url"], fields["model"]) == ("http://pets.vision.svc:81", previous["model"])


def test_a_paused_object_that_serves_nothing_shows_what_it_asks_for() -> None:
    previous = {"model": {"name": "before"}}
    observed = Observation(not_applied=["Deployment pets is missing"])
    fields = compute(classifier(), observed, conditions=CONDITIONS, previous=previous, now=NOW).fields
    assert (fields["url"], fields["model"]["name"]) == ("http://pets.vision.svc", "pets")


def test_a_paused_object_says_why_its_pods_do_not_serve() -> None:
    failing = pod("p", containerStatuses=[waiting("ImagePullBackOff", 'Back-off pulling "x:1"')])
    status = status_of(world(failing, deployment=deployment(ready=0), not_applied=["Deployment pets: x differs"]))
    found = condition(status, "Ready")
    assert found["reason"] == "Paused"
    assert 'set spec.paused to false; p: Back-off pulling "x:1"; check the image' in found["message"]
    assert condition(status, "Stalled")["status"] == "True"


def test_a_paused_deployment_that_has_rolled_out_is_ready() -> None:
    held = deployment()
    held["spec"]["paused"] = True
    assert ready(world(deployment=held))["reason"] == "AllReplicasReady"


def test_pods_of_an_older_generation_are_ignored() -> None:
    assert ready(world(pod("p", of="old", containerStatuses=[waiting("ImagePullBackOff")])))["status"] == "True"


def test_pods_rejected_by_admission_are_reported_with_its_message() -> None:
    failure = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": "exceeded quota: pods",
    }
    found = ready(world(deployment=deployment(updated=0, conditions=[failure])))
    assert (found["reason"], found["message"].partition("; ")[0]) == ("FailedCreate", "exceeded quota: pods")


def test_a_child_of_another_owner_stalls_as_a_name_conflict() -> None:
    problem = Problem(kind="Service", reason="NameConflict", message="Service pets exists already")
    status = status_of(world(problems=[problem]))
    assert condition(status, "Ready")["reason"] == "NameConflict"
    assert condition(status, "Stalled")["status"] == "True"


def test_the_transition_time_changes_only_with_the_status() -> None:
    first = status_of(world(deployment=deployment(ready=0)), now="2026-01-01T00:00:00Z")
    same = status_of(world(deployment=deployment(ready=1)), previous=first, now="2026-01-01T00:01:00Z")
    flipped = status_of(world(), previous=same, now="2026-01-01T00:02:00Z")
    times = [condition(status, "Ready")["lastTransitionTime"] for status in (first, same, flipped)]
    assert times == ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-01T00:02:00Z"]


def test_an_unchanged_world_gives_an_equal_status() -> None:
    first = status_of(world(), now="2026-01-01T00:00:00Z")
    assert status_of(world(), previous=first, now="2026-01-01T00:09:00Z") == first


def test_the_report_of_the_init_container_becomes_the_model_of_the_status() -> None:
    facts = {"name": "pets", "sha256": SHA, "precision": "FP32", "classes": 10}
    observed = world(pod("p", initContainerStatuses=[exited(json.dumps(facts), code=0)]))
    assert status_of(observed)["model"] == facts


def test_the_facts_of_a_model_that_comes_with_the_server_need_no_report() -> None:
    bundled = ModelSource(name="pets", uris=("bundled:pets",), sha256=SHA)
    fetched = ModelSource(name="pets", uris=("https://a/m.onnx",), sha256=SHA)
    chosen = ModelSource(name="pets", uris=("bundled:pets",), sha256=SHA, precision="Auto")
    expected = {"name": "pets", "sha256": SHA}
    for model, facts in ((bundled, {"precision": "FP32"}), (fetched, {}), (chosen, {})):
        ic = ImageClassifier(namespace="vision", name="pets", uid="1", generation=3, spec=Spec(model=model))
        status = compute(ic, world(), conditions=CONDITIONS, previous={}, now=NOW)
        assert status.fields["model"] == {**expected, **facts}


def test_an_invalid_spec_stalls_and_keeps_the_rest_of_the_status() -> None:
    live = {"metadata": {"name": "pets", "generation": 4}, "status": {"url": "http://pets.vision.svc"}}
    invalid = compute_invalid(live, ["spec.x: wrong"], world(), conditions=CONDITIONS, now=NOW)
    status = dict(invalid.fields)
    assert not invalid.ready
    assert condition(status, "Ready")["reason"] == "InvalidSpec"
    assert condition(status, "Stalled")["message"] == "spec.x: wrong"
    assert condition(status, "Available")["status"] == "True"
    assert (status["url"], status["readySummary"]) == ("http://pets.vision.svc", "2/2")


def monitoring(observed: Observation, mode: str = "Auto") -> dict[str, Any]:
    parsed = Monitoring.model_validate({"serviceMonitor": mode})
    return condition(status_of(observed, monitoring=parsed), "MonitoringReady")


def test_a_missing_service_monitor_api_does_not_affect_ready() -> None:
    observed = world(unserved={"ServiceMonitor"})
    assert monitoring(observed)["reason"] == "CRDNotInstalled"
    assert ready(observed)["status"] == "True"


def test_applied_monitoring_differs_from_monitoring_that_is_not_requested() -> None:
    assert monitoring(world(children={"ServiceMonitor": {"kind": "ServiceMonitor"}}))["status"] == "True"
    assert monitoring(world(), "Disabled")["reason"] == "NotRequested"


def autoscaler(*conditions: dict[str, str], **status: Any) -> dict[str, Any]:
    metrics = [
        {"type": "Resource", "resource": {"name": name, "target": {"averageUtilization": target}}}
        for name, target in (("cpu", 70), ("memory", 80))
    ]
    spec = {"minReplicas": 2, "maxReplicas": 5, "metrics": metrics}
    return {"spec": spec, "status": {"conditions": list(conditions), **status}}


ABLE = {"type": "AbleToScale", "status": "True"}
ACTIVE = {"type": "ScalingActive", "status": "True"}


def scaling(live: dict[str, Any] | None) -> dict[str, Any]:
    spec = Autoscaling(target_memory_utilization=80)
    children = {} if live is None else {"HorizontalPodAutoscaler": live}
    return condition(status_of(world(children=children), autoscaling=spec), "AutoscalingReady")


def used(cpu: int, memory: int) -> list[dict[str, Any]]:
    return [
        {"type": "Resource", "resource": {"name": name, "current": {"averageUtilization": value}}}
        for name, value in (("cpu", cpu), ("memory", memory))
    ]


def test_an_autoscaler_that_is_not_requested_differs_from_one_not_created_yet() -> None:
    assert condition(status_of(world()), "AutoscalingReady")["reason"] == "NotRequested"
    assert scaling(None)["reason"] == "Pending"


@pytest.mark.parametrize(("kind", "type_"), [(kind, each.type) for kind, each in CONDITIONS.items()])
def test_a_problem_of_a_child_with_a_condition_leaves_ready_alone(kind: str, type_: str) -> None:
    problem = Problem(kind=kind, reason="Forbidden", message="no", has_condition=True)
    requested: dict[str, Any] = {
        "autoscaling": Autoscaling(),
        "ingress": Ingress(host="pets.example.org"),
        "gateway": Gateway(parent_refs=(ParentRef(name="public"),)),
    }
    status = status_of(world(problems=[problem]), **requested)
    assert (condition(status, type_)["status"], condition(status, type_)["reason"]) == ("False", "Forbidden")
    assert condition(status, "Ready")["status"] == "True"
    conflict = Problem(kind=kind, reason="NameConflict", message="exists", has_condition=True)
    assert ready(world(problems=[conflict]))["reason"] == "NameConflict"


def test_an_autoscaler_without_metrics_reports_why() -> None:
    blind = {
        "type": "ScalingActive",
        "status": "False",
        "reason": "FailedGetResourceMetric",
        "message": "no metrics",
    }
    assert scaling(autoscaler(ABLE, blind))["reason"] == "FailedGetResourceMetric"


def test_an_autoscaler_without_status_is_unknown() -> None:
    assert scaling(autoscaler())["status"] == "Unknown"


def test_memory_that_alone_keeps_the_count_is_reported() -> None:
    held = autoscaler(ABLE, ACTIVE, currentReplicas=6, desiredReplicas=6, currentMetrics=used(5, 80))
    assert scaling(held)["reason"] == "HeldByMemory"
    busy = autoscaler(ABLE, ACTIVE, currentReplicas=6, desiredReplicas=6, currentMetrics=used(70, 80))
    assert scaling(busy)["reason"] == "Scaling"


def test_an_autoscaler_that_works_is_ready() -> None:
    found = scaling(autoscaler(ABLE, ACTIVE, currentReplicas=2, desiredReplicas=2))
    assert (found["status"], found["message"]) == (
        "True",
        "Desired replicas by metrics: 2 (minReplicas 2, maxReplicas 5); spec.replicas is not used",
    )


@pytest.mark.parametrize(
    ("message", "reason"),
    [("must have an owner", "MustHaveAnOwner"), ("K8sRequired-Labels", "K8sRequiredLabels"), ("403", "Unknown")],
)
def test_any_reason_becomes_one_that_the_api_accepts(message: str, reason: str) -> None:
    observed = world(problems=[Problem(kind="Service", reason=message, message="no")])
    status = status_of(observed)
    assert condition(status, "Ready")["reason"] == reason


def test_model_facts_that_the_schema_rejects_are_omitted() -> None:
    facts = {"name": "n" * 300, "sha256": SHA, "precision": 32, "classes": "ten"}
    reported = pod("a", initContainerStatuses=[exited(json.dumps(facts), code=0)])
    status = status_of(world(reported))
    assert status["model"] == {"sha256": SHA}


def test_a_transient_problem_does_not_stall() -> None:
    transient = Problem(kind="Service", reason="Terminating", message="soon", transient=True)
    status = status_of(world(problems=[transient]))
    found = {entry["type"]: (entry["status"], entry["reason"]) for entry in status["conditions"]}
    assert found["Ready"] == ("False", "Terminating")
    assert found["Progressing"] == ("True", "Terminating")
    assert found["Stalled"][0] == "False"
    hard = Problem(kind="Deployment", reason="Forbidden", message="no")
    status = status_of(world(problems=[transient, hard]))
    assert condition(status, "Ready")["reason"] == "Forbidden"
    assert {entry["type"]: entry["status"] for entry in status["conditions"]}["Stalled"] == "True"


def overridden(desired: Any, observed: Any, path: str = "spec.replicas") -> OverriddenField:
    return OverriddenField(kind="Deployment", path=path, desired=desired, observed=observed)


@pytest.mark.parametrize(
    ("desired", "observed", "words"),
    [
        (3, 1, "desired 3, observed 1"),
        ("high", None, "desired high, observed none"),
        ("", {"b": 1, "a": [True]}, 'desired "", observed {"a": [true], "b": 1}'),
        ("x" * 500, None, f"desired {'x' * 80}…, observed none"),
    ],
)
def test_an_overridden_field_is_reported_after_the_cause(desired: Any, observed: Any, words: str) -> None:
    plain = ready(world())
    found = ready(world(overridden=[overridden(desired, observed)]))
    assert (found["status"], found["reason"]) == (plain["status"], plain["reason"])
    assert found["message"] == (
        f"{plain['message']}; Deployment spec.replicas is overridden by the API server (an admission policy or "
        f"webhook): {words}"
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("http://user:w0rd@proxy:3128", "http://…@proxy:3128"),
        ("user:w0rd@proxy:3128", "…@proxy:3128"),
        (f"http://user:{'w0rd' * 100}@proxy", "http://…@proxy"),
        ("http://user:w0@w0rd@proxy", "http://…@proxy"),
        ("http://proxy:3128/a@b", "http://proxy:3128/a@b"),
        ("hf://owner/repository@0123", "hf://owner/repository@0123"),
        ("runtime:1.0@sha256:0123", "runtime:1.0@sha256:0123"),
        ("runtime:1.0@sha512:0123", "runtime:1.0@sha512:0123"),
        ("https://store/m.onnx?sig=w0rd&x=1#part", "https://store/m.onnx?…#part"),
        ("http://one/m?sig=w0rd http://two/m?sig=w0rd", "http://one/m?… http://two/m?…"),
        ("a://" * 100_000, "… (400000 characters)"),
        (
            {"name": "HTTPS_PROXY", "value": "http://user:w0rd@proxy"},
            '{"name": "HTTPS_PROXY", "value": "http://…@proxy"}',
        ),
        ([["http://user:w0rd@proxy"], 1], '[["http://…@proxy"], 1]'),
    ],
)
def test_the_message_about_an_overridden_field_has_no_credentials(value: Any, shown: str) -> None:
    message = override_message(overridden(value, "http://user:w0rd@other"))
    assert message.endswith(f"desired {shown}, observed http://…@other")


@pytest.mark.parametrize(("count", "words"), [(4, "1 more field is"), (9, "6 more fields are")])
def test_many_overridden_fields_fit_into_the_message(count: int, words: str) -> None:
    problem = Problem(kind="Service", reason="Rejected", message="m" * 5000)
    fields = [overridden("d" * 500, "o" * 500, path=f"{'spec.' * 100}{number}") for number in range(count)]
    message = ready(world(overridden=fields, problems=[problem]))["message"]
    assert len(message) == 2000
    assert message.startswith("mmm")
    assert message.endswith(f"; {words} overridden")


def test_only_ready_reports_overridden_fields() -> None:
    status = status_of(world(overridden=[overridden(3, 1)]))
    assert [each["type"] for each in status["conditions"] if "overridden" in each["message"]] == ["Ready"]


def test_a_field_that_the_server_is_too_old_for_is_in_the_condition_of_its_child_or_in_ready() -> None:
    plain = status_of(world())
    unsupported = {"Service": "one is not applied", "HorizontalPodAutoscaler": "another is not applied"}
    status = status_of(world(unsupported=unsupported))
    for kind, sentence in (("Ready", "one"), ("AutoscalingReady", "another")):
        found, before = condition(status, kind), condition(plain, kind)
        assert found == {**before, "message": f"{before['message']}; {sentence} is not applied"}
    changed = [
        each["type"]
        for each, before in zip(status["conditions"], plain["conditions"], strict=True)
        if each != before
    ]
    assert changed == ["Ready", "AutoscalingReady"]


def test_an_autoscaler_of_the_user_is_reported_as_external() -> None:
    own = {"metadata": {"name": "own"}, "spec": {"minReplicas": 2}}
    found = condition(status_of(world(children={"HorizontalPodAutoscaler": own})), "AutoscalingReady")
    assert (found["status"], found["reason"]) == ("True", "External")
    assert "HorizontalPodAutoscaler own sets the replicas" in found["message"]


def test_an_autoscaler_that_is_left_from_the_spec_is_not_external() -> None:
    """It is not deleted while the object is paused."""
    owners = [{"kind": "ImageClassifier", "name": "pets", "controller": True}]
    left = {"metadata": {"name": "pets", "ownerReferences": owners}, "spec": {}}
    found = condition(status_of(world(children={"HorizontalPodAutoscaler": left})), "AutoscalingReady")
    assert found["reason"] == "NotRequested"


def test_an_object_is_not_ready_while_others_hold_a_field_at_another_value() -> None:
    """Else an upgrade would count a revision as Ready that has never run."""
    fields = [ContestedField(kind="Deployment", path="spec.template", manager="gitops")]
    status = status_of(world(contested=fields, withheld=True))
    assert (ready(world(contested=fields, withheld=True))["reason"]) == "SetBackByOthers"
    assert "by gitops" in condition(status, "Ready")["message"]
    assert condition(status, "Stalled")["status"] == "True"
    assert condition(status, "Contested")["status"] == "True"
    assert ready(world(contested=fields))["reason"] == "AllReplicasReady", "our value is there at present"


def initializing(name: str = "model", *, since: str) -> dict[str, Any]:
    return {"name": name, "ready": False, "state": {"running": {"startedAt": since}}}


def test_a_model_that_is_fetched_for_long_is_named() -> None:
    observed = world(
        pod("p", initContainerStatuses=[initializing(since="2025-12-31T23:59:30Z")]),
        deployment=deployment(ready=0),
        now=NOW,
    )
    found = ready(observed)
    assert (found["status"], found["reason"]) == ("False", "PodInitializing")
    assert found["message"] == (
        "p: the model is being fetched since 2025-12-31T23:59:30Z; kubectl logs p -c model shows the progress"
    )


@pytest.mark.parametrize(
    ("init_containers", "status"),
    [
        ([], initializing(since="2025-12-31T23:59:55Z")),
        ([{"name": "proxy", "restartPolicy": "Always"}], initializing("proxy", since="2025-12-31T23:00:00Z")),
    ],
    ids=["moments ago", "a sidecar"],
)
def test_an_init_container_that_may_run_is_no_cause(
    init_containers: list[dict[str, Any]], status: dict[str, Any]
) -> None:
    starting = {**pod("p", initContainerStatuses=[status]), "spec": {"initContainers": init_containers}}
    assert ready(world(starting, deployment=deployment(ready=0), now=NOW))["reason"] == "ReplicasNotReady"


def test_a_rollout_keeps_its_reason_while_a_model_is_fetched() -> None:
    fetching = pod("p", initContainerStatuses=[initializing(since="2025-12-31T23:59:30Z")])
    for_long = {"type": "Progressing", "reason": "ProgressDeadlineExceeded", "status": "False"}
    rolling = world(fetching, deployment=deployment(updated=1), now=NOW)
    late = world(fetching, deployment=deployment(ready=0, conditions=[for_long]), now=NOW)
    assert ready(rolling)["reason"] == "RollingOut"
    assert ready(late)["reason"] == "ProgressDeadlineExceeded"

"""Installs the operator in a cluster: its images, and its chart with Helm."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from e2e import kind
from e2e.cluster import gateway_api
from e2e.cluster.cluster import Cluster
from e2e.cluster.errors import ClusterError
from e2e.release import image_values, open_release
from e2e.waiting import until
from tools import chart
from tools.images import build
from tools.steps import say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from e2e.cluster.api import Object
    from e2e.kube import Kube
    from e2e.target import Target

NAMESPACE = chart.NAMESPACE
OPERATOR = chart.NAME
OPERATOR_USER = f"system:serviceaccount:{NAMESPACE}:{OPERATOR}"
SERVICE_MONITOR_CRD = "servicemonitors.monitoring.coreos.com"
TRIMMED_LABEL = "imageclassifier.dev/cut-down-for-tests"
"""Marks the trimmed ServiceMonitor CRD of these tests; a CRD without this label is never replaced or deleted."""

POD_SELECTOR = f"app.kubernetes.io/name={chart.NAME}"
"""Not the pod that a failed `helm test` leaves."""

_BUILT_FROM = "imageclassifier.dev/built-from"
_RUNTIME_FROM = "imageclassifier.dev/runtime-built-from"


def provide_images(target: Target) -> dict[str, str]:
    """Build what changed and make it available to the cluster; returns the images' names there."""
    if target.local:
        for image in build.IMAGES:
            Cluster().load(build.ensure(image))
    elif target.kind:
        return kind.load_images()
    elif target.registry:
        insecure = target.insecure_registry
        return {image: build.push(image, target.registry, insecure=insecure) for image in build.IMAGES}
    else:
        names = " and ".join(build.name(image) for image in build.IMAGES)
        say(f"E2E_REGISTRY is not set: assuming that {names} are on the nodes already")
    return {image: build.name(image) for image in build.IMAGES}


def release_values(*, images: Mapping[str, str], keys: Mapping[str, str]) -> dict[str, Any]:
    """The chart's values with this cluster's image names, and with the images' build keys as pod annotations.

    If a tag points to a new image, the changed annotation restarts the operator.
    """
    annotations = {_BUILT_FROM: keys["operator"], _RUNTIME_FROM: keys["runtime"]}
    return {**image_values(images), "podAnnotations": annotations}


def install(kube: Kube, images: Mapping[str, str], *, values: Mapping[str, Any] | None = None) -> None:
    """Install or upgrade the chart, with these values too, and wait until the operator reconciles."""
    keys = {image: build.key(image) for image in build.IMAGES}
    before = kube.get("deployments", OPERATOR, namespace=NAMESPACE)
    if before is not None and before["metadata"]["labels"].get("app.kubernetes.io/managed-by") != "Helm":
        raise ClusterError(
            f"the operator in {NAMESPACE} was not installed with Helm: stop the cluster (make cluster-down), or "
            "delete what was installed (kubectl delete -k operator/deploy), which deletes every ImageClassifier"
        )
    kube.apply(yaml.safe_load((chart.DEPLOY / "namespace.yaml").read_text()))
    with open_release(kube.target) as release:
        release.apply(_merged(release_values(images=images, keys=keys), values or {}))
    wait_for_operator(kube)
    if before is not None and _pod_annotations(before).get(_RUNTIME_FROM) not in {None, keys["runtime"]}:
        say("The runtime image changed: restarting the classifiers")
        restart_classifiers(kube, stamp=keys["runtime"])


def _merged(values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """The values, with those of the others in their place."""
    merged = dict(values)
    for key, value in others.items():
        merged[key] = _merged(merged.get(key) or {}, value) if isinstance(value, dict) else value
    return merged


def _pod_annotations(deployment: Mapping[str, Object]) -> Mapping[str, str]:
    found: Mapping[str, str] = deployment["spec"]["template"]["metadata"].get("annotations") or {}
    return found


def restart_classifiers(kube: Kube, *, stamp: str) -> None:
    """Restart the pods of every classifier, whose image tag points to a new image."""
    selector = "app.kubernetes.io/managed-by=imageclassifier-operator"
    change = {"spec": {"template": {"metadata": {"annotations": {_RUNTIME_FROM: stamp}}}}}
    for live in kube.list("deployments", selector=selector):
        metadata = live["metadata"]
        kube.patch("deployments", metadata["name"], change, namespace=metadata["namespace"])


def wait_for_operator(kube: Kube, *, seconds: float = 90) -> None:
    """Wait until the operator's latest revision is ready and the only one, and one of its pods holds the Lease."""

    def rolled_out() -> bool:
        live = kube.get("deployments", OPERATOR, namespace=NAMESPACE)
        if live is None:
            return False
        status = live.get("status") or {}
        desired = live["spec"]["replicas"]
        observed = status.get("observedGeneration", 0) >= live["metadata"]["generation"]
        counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas")]
        return bool(observed and counts == [desired] * 3)

    until(
        lambda: rolled_out() and _is_led_by_a_present_pod(kube),
        seconds=seconds,
        what="the operator to be ready",
        every=0.2,
        describe=lambda: _container_states(kube),
    )


def _is_led_by_a_present_pod(kube: Kube) -> bool:
    """Whether no pod is ending, and one of them holds the Lease, or there are none without replicas."""
    pods = kube.list("pods", namespace=NAMESPACE, selector=POD_SELECTOR)
    if any("deletionTimestamp" in pod["metadata"] for pod in pods):
        return False
    live = kube.get("deployments", OPERATOR, namespace=NAMESPACE)
    if live is None or live["spec"]["replicas"] == 0:
        return not pods
    variables = {entry["name"] for entry in live["spec"]["template"]["spec"]["containers"][0]["env"]}
    if "IMAGECLASSIFIER_OPERATOR_LEASE" not in variables:  # an older version
        return True
    return lease_holder(kube) in {pod["metadata"]["name"] for pod in pods}


def operator_log(kube: Kube) -> str:
    """The log of all pods of the operator, since their containers were started last."""
    options = (f"--selector={POD_SELECTOR}", f"--namespace={NAMESPACE}", "--tail=-1", "--max-log-requests=9")
    return kube.kubectl("logs", *options)


def lease_holder(kube: Kube) -> str:
    """The name of the pod that holds the operator's Lease; empty if none does."""
    lease = kube.get("leases", OPERATOR, namespace=NAMESPACE) or {}
    holder: str = (lease.get("spec") or {}).get("holderIdentity") or ""
    return holder.partition("_")[0]


@contextmanager
def configured_operator(kube: Kube, images: Mapping[str, str], values: Mapping[str, Any]) -> Iterator[None]:
    """Run the operator with other values of its chart during the block."""
    install(kube, images, values=values)
    try:
        yield
    finally:
        install(kube, images)


def _container_states(kube: Kube) -> str:
    pods = kube.list("pods", namespace=NAMESPACE)
    states = [
        f"{pod['metadata']['name']}: {status.get('state')}"
        for pod in pods
        for status in pod["status"].get("containerStatuses") or []
    ]
    return "; ".join(states) or "no pods found"


def scale_operator(kube: Kube, replicas: int) -> None:
    """Set the number of operator replicas, and wait until it is reached."""
    kube.patch("deployments", OPERATOR, {"spec": {"replicas": replicas}}, namespace=NAMESPACE)
    wait_for_operator(kube)


def service_monitor_crd() -> Object:
    """The ServiceMonitor CRD, trimmed to the fields used here."""
    found: Object = yaml.safe_load((Path(__file__).parent / "manifests" / "servicemonitor-crd.yaml").read_text())
    return found


def install_service_monitor_crd(kube: Kube) -> None:
    """Create the trimmed CRD, unless the cluster has that of the Prometheus operator."""
    live = kube.get("customresourcedefinitions", SERVICE_MONITOR_CRD)
    if live is not None and TRIMMED_LABEL not in (live["metadata"].get("labels") or {}):
        return
    kube.apply(service_monitor_crd())
    until(lambda: service_monitor_established(kube), seconds=30, what="the CRD ServiceMonitor to be served")


def install_http_route_crd(kube: Kube) -> None:
    """Create the CRD of HTTPRoutes, unless the cluster has one. It is too large for `kubectl apply`."""
    if kube.get("customresourcedefinitions", gateway_api.HTTP_ROUTE_CRD) is None:
        kube.kubectl("create", "-f", str(gateway_api.http_route_crd()))
    until(
        lambda: _established(kube, gateway_api.HTTP_ROUTE_CRD), seconds=30, what="the CRD HTTPRoute to be served"
    )


def service_monitor_established(kube: Kube) -> bool:
    """Whether the ServiceMonitor CRD exists and is served."""
    return _established(kube, SERVICE_MONITOR_CRD)


def _established(kube: Kube, crd: str) -> bool:
    live = kube.get("customresourcedefinitions", crd) or {}
    conditions = (live.get("status") or {}).get("conditions") or []
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)


def file_sha256(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

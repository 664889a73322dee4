"""Runs a real operator process against a real API server, and reads and writes objects with kubectl."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from imageclassifier_operator.children import CHILDREN
from imageclassifier_operator.kube.warnings import LOGGED

from e2e import audit
from e2e.cluster import gateway_api
from e2e.cluster.controlplane import free_ports
from e2e.cluster.kubectl import KubectlError, run_kubectl
from tools.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from e2e.cluster.controlplane import ControlPlane

T = TypeVar("T")

OPERATOR_USER = "system:serviceaccount:imageclassifier-system:imageclassifier-operator"
RUNTIME_IMAGE = "imageclassifier-runtime:test"
SHA = "5" * 64
REQUIRED = tuple(child.resource.plural for child in CHILDREN if not child.optional)
"""The children that every ImageClassifier has."""


@dataclass
class Api:
    """kubectl with the cluster administrator's permissions."""

    kubeconfig: Path
    namespace: str = ""

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl and return what it printed. Raises KubectlError, ServerWarningError."""
        namespace = [f"--namespace={self.namespace}"] if self.namespace else []
        return run_kubectl(
            arguments, options=[f"--kubeconfig={self.kubeconfig}", *namespace], stdin=stdin, timeout_seconds=60
        )

    def apply(self, manifest: dict[str, Any]) -> None:
        """Apply an object as a user would."""
        self.run("apply", "-f", "-", stdin=json.dumps(manifest))

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return an object, or None if it does not exist."""
        text = self.run("get", kind, name, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text else None

    def list(self, kind: str) -> list[dict[str, Any]]:
        """Return the namespace's objects of a kind."""
        items: list[dict[str, Any]] = json.loads(self.run("get", kind, "-o", "json"))["items"]
        return items

    def patch(self, kind: str, name: str, patch: dict[str, Any], *options: str) -> None:
        """Merge a patch into an object."""
        self.run("patch", kind, name, "--type=merge", "-p", json.dumps(patch), *options)

    def patch_status(self, kind: str, name: str, status: dict[str, Any]) -> None:
        """Merge into a status, as a kubelet or a controller does."""
        self.patch(kind, name, {"status": status}, "--subresource=status")


@dataclass
class OperatorCluster:
    """A control plane with the CRD and the operator's RBAC rules."""

    plane: ControlPlane
    catalogue: Path
    operator_kubeconfig: Path
    namespaces: int = 0
    _used: list[Api] = field(default_factory=list)

    def fresh_namespace(self) -> Api:
        """Create a namespace, and return kubectl for it."""
        self.namespaces += 1
        name = f"test-{self.namespaces}"
        api = Api(self.plane.kubeconfig, name)
        api.run("create", "namespace", name)
        self._used.append(api)
        return api

    def delete_objects(self) -> None:
        """Delete the ImageClassifiers of all fresh namespaces, so that no write for them is counted later."""
        while self._used:
            self._used.pop().run("delete", "ic", "--all", "--wait=false")

    @contextmanager
    def operator(
        self,
        *options: str,
        killed: bool = False,
        image: str = RUNTIME_IMAGE,
        errors: bool = False,
        code: int = 0,
    ) -> Iterator[subprocess.Popen[str]]:
        """Run the operator with its service account.

        It must exit on SIGTERM, with the status `code`; with `killed` it gets SIGKILL. Its log has no errors,
        unless `errors` allows them.
        """
        probe, metrics = free_ports(2)
        command = [
            str(REPOSITORY / ".venv/bin/imageclassifier-operator"),
            "run",
            f"--kubeconfig={self.operator_kubeconfig}",
            f"--context={self.plane.settings.context}",
            f"--catalogue={self.catalogue}",
            f"--runtime-image={image}",
            "--host=127.0.0.1",
            f"--probe-port={probe}",
            f"--metrics-port={metrics}",
            *options,
        ]
        log = self.plane.directory / "logs" / f"operator-{time.monotonic_ns()}.log"
        with log.open("w") as out:
            process = subprocess.Popen(command, stderr=out, text=True, env=os.environ)
            try:
                yield process
            finally:
                process.send_signal(signal.SIGKILL if killed else signal.SIGTERM)
                found = process.wait(20)
        assert found == (-signal.SIGKILL if killed else code), log.read_text()
        text = log.read_text()
        assert errors or '"ERROR"' not in text, text
        assert LOGGED not in text, text  # for example of a deprecated API

    def last_log(self) -> str:
        """Return the log of the operator that was started last."""
        logs = (self.plane.directory / "logs").glob("operator-*.log")
        return max(logs, key=lambda path: path.stat().st_ctime).read_text()

    def audit_position(self) -> audit.LogPosition:
        """Return the current end of the audit log."""
        return audit.position(self.plane.audit_log)

    def operator_requests(self, *, since: audit.LogPosition) -> list[dict[str, Any]]:
        """Return the audit events of the operator's requests after a position of the log."""
        events = audit.events_since(self.plane.audit_log, since)
        return [event for event in events if event["user"].get("username") == OPERATOR_USER]

    def operator_writes(self, *, since: audit.LogPosition) -> list[tuple[str, str]]:
        """Return the operator's writes after a position of the audit log, as (verb, resource)."""
        targets = [
            (event["verb"], event["objectRef"])
            for event in self.operator_requests(since=since)
            if event["verb"] in audit.WRITES
        ]
        return [(verb, f"{target['resource']}/{target.get('subresource', '')}") for verb, target in targets]


def service_account_kubeconfig(plane: ControlPlane, user: str = OPERATOR_USER) -> Path:
    """Write a kubeconfig with a token of a service account, by default the operator's."""
    namespace, name = user.split(":")[2:]
    admin = Api(plane.kubeconfig, namespace)
    token = admin.run("create", "token", name, "--duration=6h").strip()
    config = json.loads(admin.run("config", "view", "--raw", "-o", "json"))
    config["users"][0]["user"] = {"token": token}
    path = plane.directory / f"{namespace}-{name}.kubeconfig"
    path.write_text(json.dumps(config))
    return path


def eventually(observe: Callable[[], T | None], *, seconds: float = 15.0, what: str = "") -> T:
    """Call `observe` until it succeeds with a true value, and return that."""
    deadline = time.monotonic() + seconds
    last_error: object = None
    while True:
        try:
            found = observe()
            if found:
                return found
        except (KubectlError, KeyError, TypeError, IndexError, StopIteration, AssertionError) as error:
            last_error = error
        if time.monotonic() > deadline:
            raise AssertionError(
                f"timed out after {seconds:g} s waiting for {what or observe}; last error: {last_error}"
            )
        time.sleep(0.1)


def install_http_route_crd(admin: Api) -> None:
    """Install the CRD of HTTPRoutes, with server-side apply: it is too large for kubectl's annotation."""
    admin.run("apply", "--server-side", "-f", str(gateway_api.http_route_crd()))
    wait_until_established(admin, gateway_api.HTTP_ROUTE_CRD)


def wait_until_established(admin: Api, crd: str) -> None:
    """Wait until a CRD is served. `kubectl wait` is repeated: it fails on a CRD that has no conditions yet.

    An established CRD is in the discovery documents a moment later.
    """
    eventually(lambda: admin.run("wait", "--for=condition=Established", f"crd/{crd}"), seconds=30, what=crd)
    eventually(
        lambda: admin.run("get", crd, "--all-namespaces", "--output=json"), seconds=30, what=f"{crd} in kubectl"
    )


def classifier(name: str = "pets", **spec: Any) -> dict[str, Any]:
    """Return an ImageClassifier to apply."""
    return {
        "apiVersion": "imageclassifier.dev/v1alpha1",
        "kind": "ImageClassifier",
        "metadata": {"name": name},
        "spec": spec,
    }


def condition(live: dict[str, Any] | None, kind: str = "Ready") -> dict[str, Any]:
    """Return one condition of a live object. Raises KeyError, StopIteration or AssertionError if it has none."""
    assert live is not None
    found: dict[str, Any] = next(entry for entry in live["status"]["conditions"] if entry["type"] == kind)
    return found


def reconciled(api: Api, name: str = "pets", *, seconds: float = 15) -> dict[str, Any]:
    """Return the object once the operator has observed its newest generation and its Deployment."""

    def current() -> dict[str, Any] | None:
        live = api.get("ic", name)
        assert live is not None
        observed = live["status"]["observedGeneration"] == live["metadata"]["generation"]
        pending = condition(live)["reason"] in {"DeploymentMissing", "RolloutPending"}
        return live if observed and not pending else None

    return eventually(current, seconds=seconds, what=f"{name} to be reconciled")


def make_ready(api: Api, name: str) -> None:
    """Let the pods of an object run, until it is Ready."""

    def is_ready() -> bool:
        for pod in pods_of(api, name):
            if pod["status"]["phase"] != "Running":
                api.patch_status("pods", pod["metadata"]["name"], running())
            elif "deletionTimestamp" in pod["metadata"]:
                api.run("delete", "pod", pod["metadata"]["name"], "--force", "--grace-period=0")
        live = reconciled(api, name)
        return bool(condition(live)["status"] == "True")

    eventually(is_ready, seconds=30, what=f"{name} to be Ready")


def no_writes(cluster: OperatorCluster, *, seconds: float) -> bool:
    """Whether the operator writes nothing for that many seconds."""
    before = cluster.audit_position()
    time.sleep(seconds)
    return cluster.operator_writes(since=before) == []


def spec_of(api: Api) -> dict[str, Any]:
    """Return the live Deployment's spec."""
    live = api.get("deployment", "pets")
    assert live is not None
    spec: dict[str, Any] = live["spec"]
    return spec


def controlled_by(api: Api, kind: str, name: str = "pets", *, owner: str | None = None) -> bool:
    """Whether a child exists, and belongs to an ImageClassifier, by default to that of the same name."""
    child, parent = api.get(kind, name), api.get("ic", owner or name)
    if child is None or parent is None:
        return False
    references = child["metadata"].get("ownerReferences") or []
    return any(reference["uid"] == parent["metadata"]["uid"] for reference in references)


def pods_of(api: Api, name: str = "pets") -> list[dict[str, Any]]:
    """Return the pods of an object."""
    return [pod for pod in api.list("pods") if pod["metadata"]["name"].startswith(f"{name}-")]


def failed_init(message: str) -> dict[str, Any]:
    """Return the status of a pod whose init container fails with a termination message."""
    terminated = {"exitCode": 1, "reason": "Error", "message": message}
    return {
        "phase": "Pending",
        "initContainerStatuses": [
            container("model", {"waiting": {"reason": "CrashLoopBackOff"}}, last=terminated)
        ],
    }


def running(facts: str = "{}") -> dict[str, Any]:
    """Return the status of a Ready pod, whose init container reported facts about the model."""
    now = "2026-01-01T00:00:00Z"
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": now} for kind in ("Ready", "ContainersReady")
    ]
    init = container("model", {"terminated": {"exitCode": 0, "message": facts}}, ready=True)
    server = container("server", {"running": {"startedAt": now}}, ready=True)
    return {
        "phase": "Running",
        "conditions": conditions,
        "initContainerStatuses": [init],
        "containerStatuses": [server],
    }


def container(
    name: str, state: dict[str, Any], *, ready: bool = False, last: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the status of a container."""
    status = {"name": name, "ready": ready, "restartCount": 0, "image": "i", "imageID": "i", "state": state}
    return status if last is None else {**status, "lastState": {"terminated": last}}

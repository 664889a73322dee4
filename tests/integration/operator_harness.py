"""A real operator process against a real API server, and the few words a test says to both."""

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

from e2e.cluster.controlplane import free_ports
from e2e.cluster.kubectl import KubectlError, kubectl_output
from tools.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from e2e.cluster.controlplane import ControlPlane

T = TypeVar("T")

OPERATOR_USER = "system:serviceaccount:imageclassifier-system:imageclassifier-operator"
SHA = "5" * 64
REQUIRED = tuple(child.resource.plural for child in CHILDREN if not child.optional)
"""The children that every ImageClassifier has."""

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass
class Api:
    """kubectl, as the cluster's admin."""

    kubeconfig: Path
    namespace: str = ""

    def run(self, *words: str, stdin: str | None = None) -> str:
        """Run kubectl and return what it printed. Raises KubectlError, ServerWarningError."""
        inside = [f"--namespace={self.namespace}"] if self.namespace else []
        return kubectl_output(words, options=[f"--kubeconfig={self.kubeconfig}", *inside], stdin=stdin, seconds=60)

    def apply(self, manifest: dict[str, Any]) -> None:
        """Apply an object as a person would."""
        self.run("apply", "-f", "-", stdin=json.dumps(manifest))

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return an object, None where there is none."""
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
class Bench:
    """One control plane with the CRD and the operator's rights installed."""

    plane: ControlPlane
    catalogue: Path
    operator_kubeconfig: Path
    namespaces: int = field(default=0)

    def fresh_namespace(self) -> Api:
        """Return kubectl in a namespace of the test's own."""
        self.namespaces += 1
        name = f"test-{self.namespaces}"
        api = Api(self.plane.kubeconfig, name)
        api.run("create", "namespace", name)
        return api

    @contextmanager
    def operator(self, *, killed: bool = False) -> Iterator[subprocess.Popen[str]]:
        """Run the operator as its own service account; it has to end by itself on SIGTERM, unless `killed`."""
        probe, metrics = free_ports(2)
        command = [
            str(REPOSITORY / ".venv/bin/imageclassifier-operator"),
            "run",
            f"--kubeconfig={self.operator_kubeconfig}",
            f"--context={self.plane.settings.context}",
            f"--catalogue={self.catalogue}",
            "--runtime-image=imageclassifier-runtime:test",
            "--host=127.0.0.1",
            f"--probe-port={probe}",
            f"--metrics-port={metrics}",
        ]
        log = self.plane.directory / "logs" / f"operator-{time.monotonic_ns()}.log"
        with log.open("w") as out:
            process = subprocess.Popen(command, stderr=out, text=True, env=os.environ)
            try:
                yield process
            finally:
                process.send_signal(signal.SIGKILL if killed else signal.SIGTERM)
                code = process.wait(20)
        assert code == (-signal.SIGKILL if killed else 0), log.read_text()
        text = log.read_text()
        assert '"ERROR"' not in text, text
        assert LOGGED not in text, text  # a deprecated API, for example

    def operator_writes(self, *, since: int = 0) -> list[tuple[str, str]]:
        """Return the operator's writes, (verb, resource), from a line of the audit log on."""
        writes = []
        for line in self.plane.audit_log.read_text().splitlines()[since:]:
            entry = json.loads(line)
            if entry["user"]["username"] == OPERATOR_USER and entry["verb"] in WRITES:
                where = entry["objectRef"]
                writes.append((entry["verb"], f"{where['resource']}/{where.get('subresource', '')}"))
        return writes

    def audit_lines(self) -> int:
        """Return how long the audit log is by now."""
        return len(self.plane.audit_log.read_text().splitlines())


def service_account_kubeconfig(plane: ControlPlane) -> Path:
    """Return a kubeconfig for the operator's own service account, with a token as a pod would have."""
    namespace, name = OPERATOR_USER.split(":")[2:]
    admin = Api(plane.kubeconfig, namespace)
    token = admin.run("create", "token", name, "--duration=6h").strip()
    config = json.loads(admin.run("config", "view", "--raw", "-o", "json"))
    config["users"][0]["user"] = {"token": token}
    path = plane.directory / "operator.kubeconfig"
    path.write_text(json.dumps(config))
    return path


def eventually(look: Callable[[], T | None], *, seconds: float = 15.0, what: str = "") -> T:
    """Return the first thing that `look` finds; a look that fails or finds nothing is repeated."""
    deadline = time.monotonic() + seconds
    last: object = None
    while True:
        try:
            found = look()
            if found:
                return found
        except (KubectlError, KeyError, TypeError, IndexError, StopIteration, AssertionError) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"never came: {what or look}; last: {last}")
        time.sleep(0.1)


def classifier(name: str = "pets", **spec: Any) -> dict[str, Any]:
    """Return an ImageClassifier to apply."""
    return {
        "apiVersion": "imageclassifier.dev/v1alpha1",
        "kind": "ImageClassifier",
        "metadata": {"name": name},
        "spec": spec,
    }


def condition(live: dict[str, Any] | None, kind: str = "Ready") -> dict[str, Any]:
    """Return one condition of a live object; KeyError and the like while it has none."""
    assert live is not None
    found: dict[str, Any] = next(entry for entry in live["status"]["conditions"] if entry["type"] == kind)
    return found


def settled(api: Api, name: str = "pets") -> dict[str, Any]:
    """The object, once the operator has seen its newest generation and has nothing left to write."""

    def look() -> dict[str, Any] | None:
        live = api.get("ic", name)
        assert live is not None
        seen = live["status"]["observedGeneration"] == live["metadata"]["generation"]
        known = condition(live)["reason"] not in {"DeploymentMissing", "RolloutPending"}
        return live if seen and known else None

    return eventually(look, what=f"a settled {name}")


def no_writes(bench: Bench, *, seconds: float) -> bool:
    """Whether the operator leaves the API server alone for so long."""
    before = bench.audit_lines()
    time.sleep(seconds)
    return bench.operator_writes(since=before) == []


def spec_of(api: Api) -> dict[str, Any]:
    """Return the live Deployment's spec."""
    live = api.get("deployment", "pets")
    assert live is not None
    spec: dict[str, Any] = live["spec"]
    return spec

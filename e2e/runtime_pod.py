"""One hardened pod of the runtime image behind a Service, for helper programs of scenarios."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from e2e.waiting import until

if TYPE_CHECKING:
    from e2e.cluster.api import Object
    from e2e.kube import Kube

PYTHON = "/app/bin/python"


@dataclass(frozen=True, kw_only=True)
class RuntimePod:
    """A pod of the runtime image that runs `command`; `volume` is a volume source, mounted at `mount_path`."""

    name: str
    container: str
    command: tuple[str, ...]
    port_name: str
    container_port: int
    service_port: int
    probe: Object
    volume_name: str
    volume: Object
    mount_path: str
    env: tuple[Object, ...] = ()
    memory: str = "128Mi"

    def manifests(self, namespace: str, image: str) -> list[Object]:
        """Return the Deployment and the Service."""
        labels = {"app.kubernetes.io/name": self.name}
        metadata = {"name": self.name, "namespace": namespace, "labels": labels}
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": 1,
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": self._pod(image)},
            },
        }
        port = {
            "name": self.port_name,
            "port": self.service_port,
            "targetPort": self.port_name,
            "protocol": "TCP",
        }
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": labels, "ports": [port]},
        }
        return [deployment, service]

    def run_python(
        self, kube: Kube, namespace: str, program: str, *arguments: str, stdin: bytes | None = None
    ) -> str:
        """Run a Python program in the pod with `kubectl exec`, and return its output."""
        interactive = [] if stdin is None else ["-i"]
        target = [f"--namespace={namespace}", f"deploy/{self.name}"]
        command = [PYTHON, "-c", program, *arguments]
        return kube.kubectl("exec", *interactive, *target, "--", *command, stdin=stdin)

    def _pod(self, image: str) -> Object:
        writable = "emptyDir" in self.volume
        user: Object = {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532}
        if writable:
            user["fsGroup"] = 65532
        return {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {**user, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [self._container(image, writable=writable)],
            "volumes": [{"name": self.volume_name, **self.volume}],
        }

    def _container(self, image: str, *, writable: bool) -> Object:
        mount: Object = {"name": self.volume_name, "mountPath": self.mount_path}
        if not writable:
            mount["readOnly"] = True
        container: Object = {
            "name": self.container,
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "command": list(self.command),
            "ports": [{"name": self.port_name, "containerPort": self.container_port, "protocol": "TCP"}],
            "readinessProbe": {**self.probe, "periodSeconds": 1},
            "resources": {
                "requests": {"cpu": "10m", "memory": "32Mi"},
                "limits": {"cpu": "500m", "memory": self.memory},
            },
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [mount],
        }
        if self.env:
            container["env"] = list(self.env)
        return container


def wait_until_ready(kube: Kube, namespace: str, name: str, *, what: str) -> None:
    """Wait until the Deployment of this name has a ready pod; `what` describes it in the error."""

    def ready() -> bool:
        live = kube.get("deployments", name, namespace=namespace) or {}
        return bool((live.get("status") or {}).get("readyReplicas"))

    until(ready, seconds=60, what=f"{what} to be ready")

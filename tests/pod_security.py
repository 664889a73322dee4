"""The *restricted* Pod Security Standard as a table of rules.

Source: kubernetes.io/docs/concepts/security/pod-security-standards, profiles Baseline and Restricted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Pod = dict[str, Any]

_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
_SECCOMP = {"RuntimeDefault", "Localhost"}


def containers(pod: Pod) -> Iterator[dict[str, Any]]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        yield from pod.get(kind, [])


def _every_container(pod: Pod, holds: Callable[[dict[str, Any]], bool]) -> bool:
    return all(holds(container.get("securityContext", {})) for container in containers(pod))


def _container_or_pod(pod: Pod, holds: Callable[[dict[str, Any]], bool | None]) -> bool:
    """Whether a rule holds in each container; the pod's setting applies to a container without its own."""
    default = holds(pod.get("securityContext", {}))
    settings = [holds(container.get("securityContext", {})) for container in containers(pod)]
    return all(default is True if setting is None else setting for setting in settings)


def _seccomp(context: dict[str, Any]) -> bool | None:
    profile = context.get("seccompProfile")
    return None if profile is None else profile.get("type") in _SECCOMP


RULES: Mapping[str, Callable[[Pod], bool]] = {
    "no host namespaces": lambda pod: not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")),
    "no host ports": lambda pod: (
        not any(port.get("hostPort") for container in containers(pod) for port in container.get("ports", []))
    ),
    "volumes of allowed types": lambda pod: all(
        set(volume) - {"name"} <= _VOLUMES for volume in pod.get("volumes", [])
    ),
    "not privileged": lambda pod: _every_container(pod, lambda context: not context.get("privileged")),
    "no privilege escalation": lambda pod: _every_container(
        pod, lambda context: context.get("allowPrivilegeEscalation") is False
    ),
    "all capabilities dropped": lambda pod: _every_container(
        pod, lambda context: "ALL" in context.get("capabilities", {}).get("drop", [])
    ),
    "no capabilities added": lambda pod: _every_container(
        pod, lambda context: set(context.get("capabilities", {}).get("add", [])) <= {"NET_BIND_SERVICE"}
    ),
    "runs as non-root": lambda pod: _container_or_pod(pod, lambda context: context.get("runAsNonRoot")),
    "no root user": lambda pod: all(
        context.get("runAsUser") != 0
        for context in [
            pod.get("securityContext", {}),
            *(container.get("securityContext", {}) for container in containers(pod)),
        ]
    ),
    "seccomp profile": lambda pod: _container_or_pod(pod, _seccomp),
    "no unmasked proc": lambda pod: _every_container(
        pod, lambda context: context.get("procMount", "Default") == "Default"
    ),
    "no sysctls": lambda pod: not pod.get("securityContext", {}).get("sysctls"),
}


def violations(pod: Pod) -> list[str]:
    """Return the names of the rules that a pod violates."""
    return [name for name, holds in RULES.items() if not holds(pod)]

"""Finds out what to do about a pod that the scheduler cannot place, from the reasons in the scheduler's message.

Source of the reasons: the plugins of kube-scheduler (`pkg/scheduler/framework/plugins` in k8s.io/kubernetes).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_CLAIM_NOT_FOUND = re.compile(r'persistentvolumeclaim "([^"]+)" not found', re.IGNORECASE)
_TAINT = re.compile(r"untolerated taint(?:\(s\))?(?: \{([^:}]*))?")
_DOCUMENTED = "kubectl describe pod shows more"
_LOST = "kubectl get nodes shows nodes that are not ready: repair or remove them"
_CORDONED = "kubectl uncordon the nodes once their maintenance is over, or add nodes"
_UNDER_PRESSURE = (
    "free disk, memory or process IDs on the nodes (kubectl describe nodes shows which), or add nodes"
)
_TAINT_REMEDIES = {
    "node.kubernetes.io/unreachable": _LOST,
    "node.kubernetes.io/not-ready": _LOST,
    "node.kubernetes.io/network-unavailable": _LOST,
    "node.kubernetes.io/unschedulable": _CORDONED,
    "node.kubernetes.io/disk-pressure": _UNDER_PRESSURE,
    "node.kubernetes.io/memory-pressure": _UNDER_PRESSURE,
    "node.kubernetes.io/pid-pressure": _UNDER_PRESSURE,
}
"""Taints that Kubernetes sets by itself. Source: "Taints and Tolerations" in the documentation of Kubernetes."""

_REMEDIES = (
    ("were unschedulable", _CORDONED),
    ("Insufficient", "lower spec.resources.requests or add nodes"),
    ("Too many pods", "add nodes: these have as many pods as they may have"),
    (
        "node affinity/selector",
        "correct spec.scheduling.nodeSelector or spec.scheduling.affinity.nodeAffinity, or label nodes",
    ),
    ("pod affinity rules", "correct spec.scheduling.affinity.podAffinity"),
    ("anti-affinity rules", "correct spec.scheduling.affinity.podAntiAffinity, or add nodes"),
    ("topology spread constraints", "set spec.scheduling.spread to Preferred, or add nodes in other zones"),
    ("no nodes available", "add nodes"),
)


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """What to do, and whether the pod needs user action in any case."""

    text: str
    stalled: bool = False


def remedy_of(message: str) -> Remedy:
    """Return the remedy for a message of the scheduler. It has one part for each reason that the message names."""
    missing = _CLAIM_NOT_FOUND.search(message)
    if missing is not None:
        text = f"create the claim {missing[1]} in this namespace, or correct spec.model.uri"
        return Remedy(text=text, stalled=True)
    reasons = message.partition("preemption:")[0]
    found = [remedy for part, remedy in _REMEDIES if part in reasons]
    found += [_of_taint(key) for key in _TAINT.findall(reasons)]
    if "PersistentVolumeClaim" in reasons or "volume" in reasons:
        found.append("check that a volume fits the claim of spec.model.uri, and that a node may use it")
    return Remedy(text="; ".join(dict.fromkeys(found)) or _DOCUMENTED)


def _of_taint(key: str) -> str:
    """Return the remedy for a taint; the key is empty if the scheduler does not name it."""
    taint = f"the taint {key}" if key else "the taint of the nodes"
    return _TAINT_REMEDIES.get(key, f"tolerate {taint} in spec.scheduling.tolerations, or remove it")

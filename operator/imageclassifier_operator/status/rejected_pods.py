"""Finds out what to do if the API server rejects the pods, from its message.

Source of the messages: the admission plugins of the API server (`plugin/pkg/admission` in k8s.io/kubernetes).
"""

from __future__ import annotations

import re

_REMEDIES = (
    (r"exceeded quota", "lower spec.resources or the replicas, or raise the quota (kubectl describe quota)"),
    (r"failed quota: .*must specify", "set spec.resources for what the quota requires (kubectl describe quota)"),
    (r"status unknown for quota", "the quota was created a moment ago; Kubernetes retries"),
    (
        r"usage per (Container|Pod) is|limit to request ratio per",
        "change spec.resources to fit the LimitRange of the namespace (kubectl describe limits)",
    ),
    (
        r"looking up service account|serviceaccount \"[^\"]*\" not found",
        "create the ServiceAccount in this namespace, or correct spec.runtime.serviceAccountName",
    ),
    (r"no PriorityClass with name", "create the PriorityClass, or correct spec.scheduling.priorityClassName"),
    (r"RuntimeClass \"[^\"]*\" not found", "create the RuntimeClass, or correct spec.scheduling.runtimeClassName"),
    (r"violates PodSecurity", "change what it names, or the Pod Security level of the namespace"),
    (r"failed calling webhook", "repair the webhook, or exempt the namespace from it"),
    (
        r"denied the request|ValidatingAdmissionPolicy",
        "change what it names, or ask the owner of the webhook or policy",
    ),
)


def with_remedy(message: str) -> str:
    """Return the message with what to do about it, if it is one that is known."""
    for pattern, remedy in _REMEDIES:
        if re.search(pattern, message):
            return f"{message.strip().removesuffix('.')}; {remedy}"
    return message

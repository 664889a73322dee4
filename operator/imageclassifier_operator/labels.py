"""The labels of the children. Those that select pods never change; the others are only for information."""

from __future__ import annotations

from imageclassifier_operator.naming import child_name

MANAGED_BY = "imageclassifier-operator"
MANAGED_SELECTOR = f"app.kubernetes.io/managed-by={MANAGED_BY}"


def selector_labels(name: str) -> dict[str, str]:
    """Return the labels that the Service and the Deployment select pods by. The Deployment's are immutable."""
    return {"app.kubernetes.io/name": "imageclassifier", "app.kubernetes.io/instance": child_name(name)}


def child_labels(name: str) -> dict[str, str]:
    """Return the labels of every child and pod."""
    return {
        **selector_labels(name),
        "app.kubernetes.io/component": "server",
        "app.kubernetes.io/part-of": "imageclassifier",
        "app.kubernetes.io/managed-by": MANAGED_BY,
    }


def selector_text(name: str) -> str:
    """Return the label selector of the pods as text, for list requests and the scale subresource."""
    return ",".join(f"{key}={value}" for key, value in selector_labels(name).items())

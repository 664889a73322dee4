"""The labels of children: those that select pods, and so never change, and those that only inform."""

from __future__ import annotations

from imageclassifier_operator.naming import child_name

MANAGED_BY = "imageclassifier-operator"
MANAGED_SELECTOR = f"app.kubernetes.io/managed-by={MANAGED_BY}"


def selector_labels(name: str) -> dict[str, str]:
    """Return the labels by which a Service and a Deployment select pods; immutable in a Deployment."""
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
    """Return the selector as text, for the scale subresource."""
    return ",".join(f"{key}={value}" for key, value in selector_labels(name).items())

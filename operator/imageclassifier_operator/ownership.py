"""Decides whether a live object with the name of a child belongs to an ImageClassifier, and says why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.api import KIND
from imageclassifier_operator.labels import child_labels
from imageclassifier_operator.status import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imageclassifier_operator.api import ImageClassifier

MANAGER = "imageclassifier-operator"
"""The field manager of everything that the operator applies."""


def belongs_to(live: Mapping[str, Any], *, name: str, uid: str) -> bool:
    """Whether the ImageClassifier with this name and UID is the controller of a live object, or may become it.

    It may if the object has no controller, has our labels, and our field manager has applied it. Such objects are
    left by `kubectl delete --cascade=orphan`, and by backups that are restored without owner references.
    """
    if is_controlled_by(live, uid):
        return True
    metadata = live["metadata"]
    if any(owner.get("controller") for owner in metadata.get("ownerReferences") or []):
        return False
    labels = metadata.get("labels") or {}
    labelled = child_labels(name).items() <= labels.items()
    return labelled and any(
        entry.get("manager") == MANAGER and entry.get("operation") == "Apply"
        for entry in metadata.get("managedFields") or []
    )


def is_controlled_by(live: Mapping[str, Any], uid: str) -> bool:
    """Whether the object with this UID is the controller of a live object."""
    owners = live["metadata"].get("ownerReferences") or []
    return any(owner.get("controller") and owner.get("uid") == uid for owner in owners)


def foreign_problem(live: Mapping[str, Any], ic: ImageClassifier, kind: str) -> Problem:
    """Return the problem of an object that has the name of a child, but does not belong to the ImageClassifier."""
    name = live["metadata"]["name"]
    owners = live["metadata"].get("ownerReferences") or []
    controller = next((owner for owner in owners if owner.get("controller")), None)
    if controller is not None and (controller["kind"], controller["name"]) == (KIND, ic.name):
        message = (
            f"{kind} {name} belongs to a deleted ImageClassifier of the same name "
            "and will be recreated once the cluster has deleted it"
        )
        return Problem(kind=kind, reason="Terminating", message=message, transient=True)
    owner = "no one" if controller is None else f"{controller['kind']} {controller['name']}"
    remedies = [_DELETION.get(kind, "delete it"), "give the ImageClassifier another name"]
    if kind == "PodDisruptionBudget":
        remedies.insert(0, "set spec.disruption.budget to Disabled to keep it")
    return Problem(
        kind=kind,
        reason="NameConflict",
        message=f"{kind} {name} exists already and is controlled by {owner}; {', or '.join(remedies)}",
    )


_DELETION = {"Deployment": "delete it (with kubectl delete --cascade=orphan, its pods go on running)"}


def terminating_problem(live: Mapping[str, Any], kind: str) -> Problem:
    """Return the problem of a child that is being deleted: it is recreated when its watch reports the deletion."""
    finalizers = ", ".join(live["metadata"].get("finalizers") or [])
    message = f"{kind} {live['metadata']['name']} is being deleted and will be recreated"
    if finalizers:
        message += f"; waiting for its finalizers: {finalizers}"
    return Problem(kind=kind, reason="Terminating", message=message, transient=True)

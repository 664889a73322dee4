"""The metadata that all children share: name, labels, owner reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.api import GROUP, KIND, VERSION
from imageclassifier_operator.labels import child_labels
from imageclassifier_operator.naming import child_name

if TYPE_CHECKING:
    from imageclassifier_operator.api import ImageClassifier


def child_metadata(ic: ImageClassifier) -> dict[str, Any]:
    """Return the metadata of a child; by the owner reference, the cluster deletes it with its owner."""
    return {
        "name": child_name(ic.name),
        "namespace": ic.namespace,
        "labels": child_labels(ic.name),
        "ownerReferences": [
            {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": KIND,
                "name": ic.name,
                "uid": ic.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }

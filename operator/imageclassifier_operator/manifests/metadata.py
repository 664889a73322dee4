"""The metadata that all children have in common: name, labels, owner reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.api import GROUP, KIND, VERSION
from imageclassifier_operator.labels import child_labels
from imageclassifier_operator.naming import child_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imageclassifier_operator.api import ImageClassifier


def child_metadata(ic: ImageClassifier, *, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the metadata of a child. The cluster deletes the child with its owner, by the owner reference."""
    return {
        "name": child_name(ic.name),
        "namespace": ic.namespace,
        "labels": child_labels(ic.name),
        **({"annotations": dict(annotations)} if annotations else {}),
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

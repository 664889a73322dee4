"""The ServiceAccount of the pods of one ImageClassifier. It has no permissions, and its token is not mounted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.manifests.metadata import child_metadata

if TYPE_CHECKING:
    from imageclassifier_operator.manifests.params import Params


def build(params: Params) -> dict[str, Any]:
    """Return the ServiceAccount that the pods run as."""
    return {
        "metadata": child_metadata(params.ic),
        "automountServiceAccountToken": False,
    }

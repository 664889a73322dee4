"""The ServiceAccount of the pods of one ImageClassifier. It has no permissions, and its token is not mounted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.manifests.metadata import child_metadata

if TYPE_CHECKING:
    from imageclassifier_operator.manifests.params import Params


def build(params: Params) -> dict[str, Any]:
    """Return the ServiceAccount that the pods run as, unless the spec names another one.

    It is kept even then: as long as older pods use it, they could not be recreated without it.
    """
    return {
        "metadata": child_metadata(params.ic, annotations=params.spec.runtime.service_account_annotations),
        "automountServiceAccountToken": False,
    }

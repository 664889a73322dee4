"""Keeps a write from giving a child to an ImageClassifier that has been deleted.

With `--cascade=orphan`, the garbage collector first removes the owner reference from each child, and then the
object. A write that was decided before would add the reference again. The garbage collector would then delete the
child, since its owner no longer exists, and with the Deployment all pods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.kube import CLASSIFIERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imageclassifier_operator.api import ImageClassifier
    from imageclassifier_operator.kube import Cluster


class OwnerDeletedError(Exception):
    """The ImageClassifier is being deleted, or no longer exists: nothing more must be written for it."""


def for_version(desired: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest for exactly the version that was read: to write over another one is a conflict."""
    exact = {key: live["metadata"][key] for key in ("uid", "resourceVersion")}
    return {**desired, "metadata": {**desired["metadata"], **exact}}


async def check_owner(cluster: Cluster, ic: ImageClassifier) -> None:
    """Read the ImageClassifier again before a child is created or adopted, as the controllers of Kubernetes do.

    An orphan that was read before this may have been left by this deletion, which is then visible.

    Raises:
        OwnerDeletedError: it is being deleted, or no longer exists.
    """
    live = await cluster.get(CLASSIFIERS, namespace=ic.namespace, name=ic.name)
    metadata = {} if live is None else live["metadata"]
    if metadata.get("uid") != ic.uid or metadata.get("deletionTimestamp") is not None:
        raise OwnerDeletedError

"""The one door to the API server: a small protocol, so that tests can stand a fault in front of it."""

from imageclassifier_operator.kube.errors import (
    ConflictError,
    ForbiddenError,
    GoneError,
    KubeError,
    NotFoundError,
    RejectedError,
    UnreachableError,
)
from imageclassifier_operator.kube.protocol import Cluster, Listing, WatchEvent
from imageclassifier_operator.kube.resources import (
    CLASSIFIERS,
    EVENTS,
    PODS,
    REPLICA_SETS,
    Resource,
)

__all__ = [
    "CLASSIFIERS",
    "EVENTS",
    "PODS",
    "REPLICA_SETS",
    "Cluster",
    "ConflictError",
    "ForbiddenError",
    "GoneError",
    "KubeError",
    "Listing",
    "NotFoundError",
    "RejectedError",
    "Resource",
    "UnreachableError",
    "WatchEvent",
]

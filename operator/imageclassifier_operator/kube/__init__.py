"""Access to the API server. The operator uses the protocol `Cluster`, so that tests can inject faults."""

from imageclassifier_operator.kube.errors import (
    ConflictError,
    ForbiddenError,
    GoneError,
    KubeError,
    NotFoundError,
    RejectedError,
    SilentError,
    UnreachableError,
)
from imageclassifier_operator.kube.protocol import Cluster, Listing, WatchEvent
from imageclassifier_operator.kube.resources import (
    CLASSIFIERS,
    CONTROLLER_REVISIONS,
    EVENTS,
    LEASES,
    PODS,
    REPLICA_SETS,
    Resource,
)

__all__ = [
    "CLASSIFIERS",
    "CONTROLLER_REVISIONS",
    "EVENTS",
    "LEASES",
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
    "SilentError",
    "UnreachableError",
    "WatchEvent",
]

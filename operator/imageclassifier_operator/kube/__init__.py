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
    AUTOSCALERS,
    CLASSIFIERS,
    DEPLOYMENTS,
    EVENTS,
    PODS,
    REPLICA_SETS,
    SERVICE_ACCOUNTS,
    SERVICE_MONITORS,
    SERVICES,
    Resource,
    resource_of,
)

__all__ = [
    "AUTOSCALERS",
    "CLASSIFIERS",
    "DEPLOYMENTS",
    "EVENTS",
    "PODS",
    "REPLICA_SETS",
    "SERVICES",
    "SERVICE_ACCOUNTS",
    "SERVICE_MONITORS",
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
    "resource_of",
]

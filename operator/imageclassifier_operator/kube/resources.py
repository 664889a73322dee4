"""The REST paths of kinds, and the kinds that the operator uses and that are not children."""

from __future__ import annotations

from dataclasses import dataclass

from imageclassifier_operator.api import GROUP, KIND, PLURAL, VERSION


@dataclass(frozen=True)
class Resource:
    """A kind of object in the API, with its REST path."""

    group_version: str
    plural: str
    kind: str

    def path(
        self, *, namespace: str | None = None, name: str | None = None, subresource: str | None = None
    ) -> str:
        """Return the path of an object or, without a name, of the list in one namespace or in all (None)."""
        root = "/api" if "/" not in self.group_version else "/apis"
        parts = [root, self.group_version]
        if namespace is not None:
            parts += ["namespaces", namespace]
        return "/".join([*parts, self.plural, *(part for part in (name, subresource) if part)])


CLASSIFIERS = Resource(f"{GROUP}/{VERSION}", PLURAL, KIND)
PODS = Resource("v1", "pods", "Pod")
EVENTS = Resource("v1", "events", "Event")
CONTROLLER_REVISIONS = Resource("apps/v1", "controllerrevisions", "ControllerRevision")
REPLICA_SETS = Resource("apps/v1", "replicasets", "ReplicaSet")
LEASES = Resource("coordination.k8s.io/v1", "leases", "Lease")

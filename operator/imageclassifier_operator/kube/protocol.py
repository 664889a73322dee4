"""What the operator asks of an API server, and nothing more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from imageclassifier_operator.kube.resources import Resource


@dataclass(frozen=True)
class Listing:
    """The items of a list, and the resource version to watch from."""

    items: list[dict[str, Any]]
    resource_version: str


@dataclass(frozen=True)
class WatchEvent:
    """One line of a watch: ADDED, MODIFIED, DELETED or BOOKMARK, and the object."""

    type: str
    object: dict[str, Any]


class Cluster(Protocol):
    """An API server. Every call raises a `KubeError` of the kind that says what to do next."""

    async def get(self, resource: Resource, *, namespace: str, name: str) -> dict[str, Any] | None:
        """Return a live object, None where there is none."""

    async def list(
        self, resource: Resource, *, namespace: str | None, selector: str = "", metadata_only: bool = False
    ) -> Listing:
        """Return the objects of one namespace, or of all (None), that a label selector takes."""

    async def apply(
        self, resource: Resource, manifest: Mapping[str, Any], *, manager: str, subresource: str | None = None
    ) -> dict[str, Any]:
        """Apply a manifest on the server's side, forced, and return the object as it is then.

        A `metadata.uid` in the manifest has to be the live object's, else it is a `ConflictError`.
        """

    async def create(self, resource: Resource, manifest: Mapping[str, Any]) -> None:
        """Create an object."""

    async def delete(self, resource: Resource, *, namespace: str, name: str, uid: str) -> None:
        """Delete the object of this UID; one that is gone already is no error."""

    async def serves(self, resource: Resource) -> bool:
        """Say whether objects of this resource can be made at this version."""

    def watch(
        self, resource: Resource, *, namespace: str | None, selector: str, resource_version: str
    ) -> AsyncIterator[WatchEvent]:
        """Yield changes (metadata alone) until the server ends the stream or it falls silent."""

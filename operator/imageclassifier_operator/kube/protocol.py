"""The requests that the operator makes to an API server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from imageclassifier_operator.kube.resources import Resource


@dataclass(frozen=True)
class Listing:
    """The items of a list, and the resource version to watch from."""

    items: list[dict[str, Any]]
    resource_version: str


@dataclass(frozen=True)
class WatchEvent:
    """One event of a watch: its type (ADDED, MODIFIED, DELETED or BOOKMARK), and the object."""

    type: str
    object: dict[str, Any]


class Cluster(Protocol):
    """An API server. Every method can raise a `KubeError`."""

    async def get(self, resource: Resource, *, namespace: str, name: str) -> dict[str, Any] | None:
        """Return a live object, or None if it does not exist."""

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str | None,
        selector: str = "",
        name: str | None = None,
        metadata_only: bool = False,
    ) -> Listing:
        """Return the objects that match a label selector, in one namespace, or in all (None).

        name: only the object with this name.
        """

    async def warnings(self, *, namespace: str, uid: str) -> Listing:
        """Return the Events of type Warning about the object with this UID."""

    async def apply(
        self, resource: Resource, manifest: Mapping[str, Any], *, manager: str, subresource: str | None = None
    ) -> dict[str, Any]:
        """Apply a manifest with server-side apply (`force: true`), and return the resulting object.

        Raises `ConflictError` if the manifest has a UID or resource version, and the live object has another one.
        For a status, only the resource version counts: the API server ignores its UID.
        """

    async def set_managed_fields(
        self, resource: Resource, live: Mapping[str, Any], managed_fields: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """Replace who owns the fields of a live object, and return the resulting object; no other field changes.

        Raises `ConflictError` if the object has changed since it was read.
        """

    async def create(self, resource: Resource, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object, and return it. Raises `ConflictError` if there is one with its name."""

    async def replace(self, resource: Resource, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Replace an object, and return it.

        Raises `ConflictError` if the live object does not have the manifest's resource version.
        """

    async def delete(self, resource: Resource, live: Mapping[str, Any]) -> None:
        """Delete exactly the version of an object that was read, if the object still exists.

        Raises `ConflictError` if the object has changed since it was read.
        """

    async def version(self) -> tuple[int, int]:
        """Return the version of the API server, major and minor."""

    async def serves(self, resource: Resource) -> bool:
        """Whether the API server serves this resource in this version, and allows objects to be created."""

    def watch(
        self,
        resource: Resource,
        *,
        namespace: str | None,
        selector: str = "",
        name: str | None = None,
        metadata_only: bool = True,
        resource_version: str,
    ) -> AsyncIterator[WatchEvent]:
        """Yield the changes of the objects that `list` returns, until the API server closes the watch.

        Raises `SilentError` if it stops sending.
        """

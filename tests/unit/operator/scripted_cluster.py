"""An API server that answers from a script, for situations that a real one cannot produce on demand."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.kube import ConflictError, Listing
from imageclassifier_operator.ownership import MANAGER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from imageclassifier_operator.api import ImageClassifier
    from imageclassifier_operator.kube import KubeError, Resource, WatchEvent


class ScriptEndedError(Exception):
    """The script has no further response: the test is over."""


class ScriptedCluster:
    """Lists and watch streams are taken in order; an exception in their place is raised."""

    def __init__(
        self,
        *,
        lists: Sequence[Listing | Exception] = (),
        streams: Sequence[Sequence[WatchEvent | Exception]] = (),
    ) -> None:
        self._lists = list(lists)
        self._streams = list(streams)
        self.watched_from: list[str] = []

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str | None,
        selector: str = "",
        name: str | None = None,
        metadata_only: bool = False,
    ) -> Listing:
        return self.listed(resource, namespace=namespace, selector=selector)

    def listed(self, resource: Resource, *, namespace: str | None, selector: str) -> Listing:
        """Return the response to a list; subclasses replace this."""
        del resource, namespace, selector
        if not self._lists:
            raise ScriptEndedError
        answer = self._lists.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def watch(
        self,
        resource: Resource,
        *,
        namespace: str | None,
        selector: str = "",
        name: str | None = None,
        metadata_only: bool = True,
        resource_version: str,
    ) -> AsyncIterator[WatchEvent]:
        self.watched_from.append(resource_version)
        async for event in self.stream(resource):
            yield event

    async def stream(self, resource: Resource) -> AsyncIterator[WatchEvent]:
        """Yield the events of a watch; subclasses replace this."""
        del resource
        if not self._streams:
            raise ScriptEndedError
        for answer in self._streams.pop(0):
            if isinstance(answer, Exception):
                raise answer
            yield answer

    async def get(self, resource: Resource, *, namespace: str, name: str) -> dict[str, Any] | None:
        raise NotImplementedError

    async def warnings(self, *, namespace: str, uid: str) -> Listing:
        return Listing([], "1")

    async def apply(
        self, resource: Resource, manifest: Mapping[str, Any], *, manager: str, subresource: str | None = None
    ) -> dict[str, Any]:
        raise NotImplementedError

    async def set_managed_fields(
        self, resource: Resource, live: Mapping[str, Any], managed_fields: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        raise NotImplementedError

    async def create(self, resource: Resource, manifest: Mapping[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    async def replace(self, resource: Resource, manifest: Mapping[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    async def delete(self, resource: Resource, live: Mapping[str, Any]) -> None:
        raise NotImplementedError

    async def version(self) -> tuple[int, int]:
        return (1, 37)

    async def serves(self, resource: Resource) -> bool:
        raise NotImplementedError


def existing(ic: ImageClassifier, **metadata: Any) -> dict[str, Any]:
    """Return an ImageClassifier as a child's writer reads it again."""
    names = {"namespace": ic.namespace, "name": ic.name, "uid": ic.uid}
    return {"kind": "ImageClassifier", "metadata": {**names, **metadata}}


class StoredCluster(ScriptedCluster):
    """Stores what is applied, by kind; writes of a kind can be rejected, and `mutate` changes what is stored.

    What our main field manager applies replaces the object; what another one applies is merged into it.
    """

    def __init__(
        self,
        *live: dict[str, Any],
        rejected: Mapping[str, KubeError] | None = None,
        mutate: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> None:
        super().__init__()
        self.mutate = mutate
        self.applied: list[str] = []
        self.live = {item["kind"]: item for item in live}
        self.rejected = rejected or {}

    async def serves(self, resource: Resource) -> bool:
        return False

    async def get(self, resource: Resource, *, namespace: str, name: str) -> dict[str, Any] | None:
        return self.live.get(resource.kind)

    def listed(self, resource: Resource, *, namespace: str | None, selector: str) -> Listing:
        return Listing([self.live[resource.kind]] if resource.kind in self.live else [], "1")

    async def apply(
        self, resource: Resource, manifest: Mapping[str, Any], *, manager: str, subresource: str | None = None
    ) -> dict[str, Any]:
        if resource.kind in self.rejected:
            raise self.rejected[resource.kind]
        live = self.live.get(resource.kind, {})
        version = live.get("metadata", {}).get("resourceVersion", "0")
        if manifest["metadata"].get("resourceVersion", version) != version:
            raise ConflictError("the object has been modified", status=409, reason="Conflict")
        self.applied.append(resource.kind)
        kept = {} if manager == MANAGER else {part: live.get(part) or {} for part in ("metadata", "spec")}
        merged = {**manifest, **{part: {**before, **manifest[part]} for part, before in kept.items()}}
        metadata = {"uid": "9", **merged["metadata"], "resourceVersion": str(int(version) + 1)}
        self.live[resource.kind] = copy.deepcopy({**merged, "metadata": metadata})
        self.mutate(self.live[resource.kind])
        return self.live[resource.kind]

"""Watches the objects of one kind: each change makes an ImageClassifier due, and its version is remembered.

Usually only the metadata are watched, and every change counts. A kind whose status changes all the time is watched
as a whole, and only what the operator uses of it counts.

Children are selected by label. kopf's watches are not used for them: they have no label selector, and would hold
every Deployment and Pod of the cluster in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import random
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.api import KIND
from imageclassifier_operator.controller.workqueue import Key
from imageclassifier_operator.kube import (
    Cluster,
    ForbiddenError,
    KubeError,
    NotFoundError,
    Resource,
    SilentError,
    UnreachableError,
)
from imageclassifier_operator.kube.client import WATCH_SECONDS
from imageclassifier_operator.labels import MANAGED_SELECTOR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from imageclassifier_operator.controller.heartbeats import Heartbeats
    from imageclassifier_operator.metrics import Metrics

ABSENT_SECONDS, LONGEST_ABSENT_SECONDS = 30.0, 300.0
"""Time between checks whether an absent API is served now: the shortest, and the longest, without a reason."""

FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 1.0, 30.0

LASTING_SECONDS = 15.0
"""A watch works once it has delivered an event, or has lasted for this time. A rejected one ends at once."""

_SHORTEST_SECONDS = 1.0
"""A watch that ends earlier, without an event, was not served by an API server that works."""

_SIGN_OF_LIFE_SECONDS = 240.0
"""A request ends after 30 s, a silent watch after 90 s, and the longest pause after an error is 30 s."""

logger = logging.getLogger(__name__)


class KindWatch:
    """Watches the objects of one kind until it is cancelled, or until an unexpected error.

    notify: called with the key of the ImageClassifier that an object belongs to, after each change of the object.
    recovered: called when the watch works again after an error, or when the API starts or stops to be served.
    version_of: returns what stands for the resource version of an object; the same means that nothing has changed.
    """

    def __init__(
        self,
        cluster: Cluster,
        resource: Resource,
        *,
        namespace: str | None,
        notify: Callable[[Key], None],
        metrics: Metrics,
        heartbeats: Heartbeats,
        recovered: Callable[[], None] = lambda: None,
        selector: str = MANAGED_SELECTOR,
        key_of: Callable[[Mapping[str, Any]], Key | None] | None = None,
        version_of: Callable[[Mapping[str, Any]], str] | None = None,
    ) -> None:
        self._cluster = cluster
        self._resource = resource
        self._namespace = namespace
        self._notify = notify
        self._recovered = recovered
        self._selector = selector
        self._key_of = key_of or owner_key
        self._version_of = version_of or _resource_version
        self._metadata_only = version_of is None
        self._rest = heartbeats.rest
        self._beat = functools.partial(heartbeats.beat, within=_SIGN_OF_LIFE_SECONDS)
        self.name = f"watch of {resource.plural} in {namespace or 'all namespaces'}"
        self._labels = {"resource": resource.plural, "watched_namespace": namespace or ""}
        self._up = metrics.watcher_up.labels(**self._labels)
        self._up.set(0)
        self._last_event = metrics.watcher_last_event
        self._failures = 0
        self._is_absent = False
        self._check_is_due = asyncio.Event()
        self._owners: dict[str, Key] = {}
        self._versions: dict[str, str] = {}
        self._seen: dict[str, str] = {}
        self._by_owner: dict[Key, set[str]] = {}
        self._current = False

    @property
    def current(self) -> bool:
        """Whether the memory of this watch is that of the API server, but for events that are on their way.

        An API that is not served has no objects.
        """
        return self._current

    def versions(self, owner: Key) -> Iterator[tuple[str, str]]:
        """Yield the UID and version of each child of an owner."""
        return ((uid, self._versions[uid]) for uid in self._by_owner.get(owner, ()))

    def owners(self) -> Iterator[Key]:
        """Yield the keys of the ImageClassifiers that the objects belong to."""
        return iter(tuple(self._by_owner))

    async def run(self) -> None:
        """List the objects, and watch them from the version of the list. After an error, list them again."""
        while True:
            self._beat(self.name)
            try:
                await self._follow(await self._list())
            except NotFoundError:
                self._up.set(0)
                self._current = True
                if not self._is_absent:
                    self._recovered()
                self._is_absent = True
                self._rest(self.name)
                await self._pause_while_absent()
            except KubeError as error:
                self._up.set(0)
                self._current = False
                self._failures += 1
                level = logging.ERROR if isinstance(error, ForbiddenError) else logging.INFO
                logger.log(level, "Restarting watch of %s: %s", self._resource.plural, error.message)
                max_wait = min(FIRST_RETRY_SECONDS * 2 ** min(self._failures, 8), MAX_RETRY_SECONDS)
                await asyncio.sleep(random.uniform(0.5, 1.0) * max_wait)  # noqa: S311  jitter, not security

    def check_soon(self) -> None:
        """If the API is not served, look for it soon: somebody is at work, who may have installed it."""
        self._check_is_due.set()

    async def _pause_while_absent(self) -> None:
        await asyncio.sleep(ABSENT_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_ABSENT_SECONDS - ABSENT_SECONDS):
                await self._check_is_due.wait()
        self._check_is_due.clear()

    async def _list(self) -> str:
        listing = await self._cluster.list(
            self._resource,
            namespace=self._namespace,
            selector=self._selector,
            metadata_only=self._metadata_only,
        )
        if self._is_absent:
            self._is_absent = False
            self._recovered()
        owners = {
            item["metadata"]["uid"]: key for item in listing.items if (key := self._key_of(item)) is not None
        }
        versions = {item["metadata"]["uid"]: self._version_of(item) for item in listing.items}
        # By resource version: what stands for it may have changed, and changed back, while nothing was watched.
        seen = {item["metadata"]["uid"]: _resource_version(item) for item in listing.items}
        changed = {uid for uid, version in seen.items() if self._seen.get(uid) != version}
        gone = self._versions.keys() - versions.keys()
        keys = {known[uid] for uid in changed | gone for known in (owners, self._owners) if uid in known}
        self._owners, self._versions, self._seen, self._by_owner = owners, versions, seen, {}
        for uid, owner in owners.items():
            self._by_owner.setdefault(owner, set()).add(uid)
        for key in keys:
            self._notify(key)
        return listing.resource_version

    def _works(self) -> None:
        if self._failures:
            self._recovered()
        self._failures = 0
        self._up.set(1)
        self._current = True

    async def _follow(self, version: str) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._beat(self.name)
            began, delivered = loop.time(), False
            lasting = loop.call_later(LASTING_SECONDS, self._works)
            try:
                async for event in self._cluster.watch(
                    self._resource,
                    namespace=self._namespace,
                    selector=self._selector,
                    metadata_only=self._metadata_only,
                    resource_version=version,
                ):
                    delivered = True
                    self._beat(self.name)
                    self._works()
                    self._last_event.labels(**self._labels).set_to_current_time()
                    version = _resource_version(event.object)
                    if event.type != "BOOKMARK":
                        self._handle(event.type, event.object)
            except SilentError:  # watched again from the same version, in case the connection is dead
                continue
            finally:
                lasting.cancel()
            lasted = loop.time() - began
            if not delivered and lasted < _SHORTEST_SECONDS:
                raise UnreachableError("the watch ended at once, without an event")
            if lasted < WATCH_SECONDS[0] - 1:
                self._recovered()  # the API server has ended, and a newer one may have taken its place

    def _handle(self, event_type: str, item: Mapping[str, Any]) -> None:
        uid, key = item["metadata"]["uid"], self._key_of(item)
        known_key = self._owners.get(uid)
        version = self._version_of(item)
        self._seen[uid] = _resource_version(item)
        if event_type == "MODIFIED" and key == known_key and version == self._versions.get(uid):
            return
        if known_key is not None and (event_type == "DELETED" or key != known_key):
            self._forget(uid, known_key)
        if event_type == "DELETED":
            self._versions.pop(uid, None)
            self._seen.pop(uid, None)
        else:
            self._versions[uid] = version
            if key is not None:
                self._owners[uid] = key
                self._by_owner.setdefault(key, set()).add(uid)
        for owner in {key, known_key} - {None}:
            self._notify(owner)  # type: ignore[arg-type]

    def _forget(self, uid: str, owner: Key) -> None:
        del self._owners[uid]
        self._by_owner[owner].discard(uid)
        if not self._by_owner[owner]:
            del self._by_owner[owner]


def _resource_version(item: Mapping[str, Any]) -> str:
    version: str = item["metadata"]["resourceVersion"]
    return version


def owner_key(item: Mapping[str, Any]) -> Key | None:
    """Return the key of the ImageClassifier that a child or pod belongs to.

    It comes from the owner reference or, for a pod or an orphan, from the instance label. The label has the name
    of the children, which differs from the name of the ImageClassifier if that is long or has dots.
    """
    metadata = item["metadata"]
    for owner in metadata.get("ownerReferences") or []:
        if owner.get("kind") == KIND and owner.get("controller"):
            return Key(metadata["namespace"], owner["name"])
    name = (metadata.get("labels") or {}).get("app.kubernetes.io/instance")
    return Key(metadata["namespace"], name) if name else None


def own_key(item: Mapping[str, Any]) -> Key:
    """Return the key of an ImageClassifier."""
    return Key(item["metadata"]["namespace"], item["metadata"]["name"])

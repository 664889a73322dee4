"""Runs the workers of the queue, the watches, and the resync."""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from imageclassifier_operator.apply import WriteHistory
from imageclassifier_operator.children import CHILDREN
from imageclassifier_operator.controller.event_check import EventCheck
from imageclassifier_operator.controller.memory import Memory
from imageclassifier_operator.controller.watches import KindWatch, own_key
from imageclassifier_operator.controller.workqueue import Key, WorkQueue
from imageclassifier_operator.discovery import discover
from imageclassifier_operator.kube import (
    CLASSIFIERS,
    CONTROLLER_REVISIONS,
    PODS,
    Cluster,
    ForbiddenError,
    KubeError,
    UnreachableError,
)
from imageclassifier_operator.log_fields import reconcile_of
from imageclassifier_operator.naming import child_name
from imageclassifier_operator.reconcile import reconcile
from imageclassifier_operator.revisions import Waves

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from imageclassifier_operator.api import OperatorConfig
    from imageclassifier_operator.controller.heartbeats import Heartbeats
    from imageclassifier_operator.kube import Resource
    from imageclassifier_operator.manifests import Capabilities
    from imageclassifier_operator.metrics import Metrics
    from imageclassifier_operator.reconcile import Outcome

WORKERS = 8
RESYNC_SECONDS = 300.0
CHECK_SECONDS = 60.0
"""Interval between checks whether an event is missing."""

DISCOVERY_SECONDS = 3600.0
"""Longest time between discoveries. A watch that recovers, or whose API appears or goes, causes one soon."""

DISCOVERY_RETRY_SECONDS = (1.0, 2.0, 5.0, 15.0)
"""Pauses before discovery is repeated: the API server's documents follow its APIs with some delay."""

RECONCILE_SECONDS = 600.0
"""A reconcile that takes longer hangs: each request has a timeout, and the first that fails usually ends it."""

STALE_WATCH_SECONDS = 120.0
"""How long an event of an ImageClassifier may be missing before the watch counts as stale."""

logger = logging.getLogger(__name__)

T = TypeVar("T")


class StaleWatchError(RuntimeError):
    """kopf's watch no longer reports changes. Only a restart of the process fixes that."""


class Controller:
    """Runs the workers, the watches and the resync of one process.

    The kopf handlers call `handle_event`. `run` returns after `stop` was called, and raises if a part fails.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        config: OperatorConfig,
        namespaces: Sequence[str | None],
        metrics: Metrics,
        heartbeats: Heartbeats,
    ) -> None:
        self._cluster = cluster
        self._config = config
        self._namespaces = namespaces
        self._metrics = metrics
        self._queue = WorkQueue(observe_wait=metrics.queue_wait.observe)
        self._history = WriteHistory()
        self._memory = Memory()
        self._heartbeats = heartbeats
        self._events = EventCheck(scope_of=lambda key: key.namespace if key.namespace in namespaces else None)
        self._child_watches: list[KindWatch] = []
        self._own_watches: list[KindWatch] = []
        self._discovery_due = asyncio.Event()
        self._discovery_due.set()  # an API may appear between the first discovery and the first list of its watch
        self._waves = Waves(config.upgrade_wave_size)
        self._versions: dict[Key, str] = {}
        self._owner_by_child: dict[Key, Key] = {}
        self._capabilities: Capabilities | None = None
        self._parts: asyncio.Task[None] | None = None
        self._stopping = False
        metrics.queue_depth.set_function(lambda: len(self._queue))
        metrics.upgrade_waiting.set_function(lambda: self._waves.waiting)
        metrics.upgrade_running.set_function(lambda: self._waves.running)
        metrics.upgrade_stopped.set_function(lambda: self._waves.stopped)

    @property
    def ready(self) -> bool:
        """Whether reconciling has started."""
        return self._capabilities is not None

    def handle_event(self, key: Key, *, resource_version: str, deleted: bool = False) -> None:
        """Record an event of an ImageClassifier and make it due."""
        child = Key(key.namespace, child_name(key.name))
        self._events.reported(key, None if deleted else resource_version)
        for watch in (*self._child_watches, *self._own_watches):
            watch.check_soon()
        if deleted:
            self._versions.pop(key, None)
            self._owner_by_child.pop(child, None)
            self._waves.forget((key.namespace, key.name))
            self._queue.forget(key)
            self._memory.forget(key)
            self._metrics.objects.forget((key.namespace, key.name))
        else:
            self._versions[key] = resource_version
            self._owner_by_child[child] = key
        self._queue.notify(key)

    def wake(self, key: Key) -> None:
        """Make an object due. The key has the name of the object or, if a pod changed, that of its children."""
        self._queue.notify(key if key in self._versions else self._owner_by_child.get(key, key))

    def stop(self) -> None:
        """Stop `run`. A reconcile can be interrupted: the next process does it again."""
        self._stopping = True
        if self._parts is not None:
            self._parts.cancel()

    async def run(self) -> None:
        """Reconcile until stopped. If a part fails, all parts are stopped, and the error is raised."""
        self._parts = asyncio.create_task(self._run_parts(), name="controller")
        try:
            await self._parts
        except asyncio.CancelledError:
            self._parts.cancel()
            if not self._stopping:
                raise

    async def _run_parts(self) -> None:
        self._capabilities = await self._first_discovery()
        await self._expect_all()
        watched = {child.resource: child.version for child in CHILDREN} | {CONTROLLER_REVISIONS: None, PODS: None}
        async with asyncio.TaskGroup() as group:
            for namespace in self._namespaces:
                watches = [self._watch(namespace, resource, version) for resource, version in watched.items()]
                self._child_watches += watches
                for watch in watches:
                    self._memory.add(namespace, watch)
                own = self._watch_classifiers(namespace)
                self._own_watches.append(own)
                for watch in (*watches, own):
                    group.create_task(watch.run(), name=watch.name)
            for number in range(WORKERS):
                group.create_task(self._work(f"worker {number}"), name=f"worker {number}")
            group.create_task(self._rediscover(), name="discovery")
            group.create_task(self._resync(), name="resync")

    def _watch(
        self, namespace: str | None, resource: Resource, version_of: Callable[[Mapping[str, Any]], str] | None
    ) -> KindWatch:
        return KindWatch(
            self._cluster,
            resource,
            namespace=namespace,
            notify=self.wake,
            metrics=self._metrics,
            heartbeats=self._heartbeats,
            recovered=self._discovery_due.set,
            version_of=version_of,
        )

    def _watch_classifiers(self, namespace: str | None) -> KindWatch:
        """Watch the objects beside kopf, to find out whether kopf's watch still reports changes."""

        def seen(key: Key) -> None:
            version = next((version for _, version in watch.versions(key)), None)
            self._events.seen(key, version)
            if version is None:
                self._metrics.objects.forget((key.namespace, key.name))
                self._queue.notify(key)

        watch = KindWatch(
            self._cluster,
            CLASSIFIERS,
            namespace=namespace,
            notify=seen,
            metrics=self._metrics,
            heartbeats=self._heartbeats,
            selector="",
            key_of=own_key,
        )
        return watch

    async def _first_discovery(self) -> Capabilities:
        return await _until_it_succeeds(lambda: discover(self._cluster))

    async def _expect_all(self) -> None:
        """Make all existing objects due; no upgrade continues before each of them was reconciled once."""
        for namespace in self._namespaces:
            keys = await _until_it_succeeds(functools.partial(self._keys, namespace))
            self._waves.expect((key.namespace, key.name) for key in keys)
            for key in keys:
                self._queue.notify(key)

    async def _keys(self, namespace: str | None) -> list[Key]:
        """Return the keys of all objects, or none of a namespace without permission, which may be gone."""
        try:
            listing = await self._cluster.list(CLASSIFIERS, namespace=namespace, metadata_only=True)
        except ForbiddenError as error:
            logger.error("ImageClassifiers cannot be listed: %s", error.message)  # noqa: TRY400
            return []
        return [Key(item["metadata"]["namespace"], item["metadata"]["name"]) for item in listing.items]

    async def _work(self, name: str) -> None:
        while True:
            self._heartbeats.rest(name)
            key, had_event = await self._queue.take()
            self._heartbeats.beat(name, within=RECONCILE_SECONDS)
            with reconcile_of(key.namespace, key.name, cause="event" if had_event else "timer"):
                await self._reconcile(key, had_event)

    async def _reconcile(self, key: Key, had_event: bool) -> None:
        if self._capabilities is None:  # workers start after the first discovery
            raise RuntimeError("reconcile before discovery")
        started, result = time.monotonic(), "error"
        version = self._versions.get(key)
        versions = self._memory.versions(key, version)
        unchanged = None if had_event else self._memory.unchanged(key, versions)
        try:
            outcome = await reconcile(
                self._cluster,
                namespace=key.namespace,
                name=key.name,
                config=self._config,
                capabilities=self._capabilities,
                history=self._history,
                waves=self._waves,
                unchanged=unchanged,
            )
        except KubeError as error:
            self._memory.forget(key)
            wait = self._queue.failed(key, min_wait=min(error.retry_after, 60.0))
            self._waves.failed((key.namespace, key.name), unreachable=isinstance(error, UnreachableError))
            self._metrics.retries.inc()
            logger.warning(
                "Reconcile failed: %s/%s: %s; retrying in %.1f s", key.namespace, key.name, error.message, wait
            )
        except Exception:  # a bug that one object triggers must not stop the reconciles of the others
            self._memory.forget(key)
            wait = self._queue.failed(key)
            self._waves.failed((key.namespace, key.name))
            self._metrics.retries.inc()
            result = "bug"
            logger.exception(
                "Unexpected error in reconcile: %s/%s; retrying in %.1f s", key.namespace, key.name, wait
            )
        else:
            result = outcome.result
            self._memory.record(key, versions, outcome)
            self._measure(key, outcome)
            self._metrics.last_success.set_to_current_time()
            if outcome.again:  # retried with backoff, so that a persistent conflict causes no busy loop
                self._metrics.retries.inc()
                self._queue.failed(key)
                self._waves.failed((key.namespace, key.name), unreachable=True)
                return
            self._queue.done(key)
            if outcome.result == "gone":
                self._queue.forget(key)
                if self._versions.get(key) == version:  # kopf may not report its deletion
                    self._versions.pop(key, None)
            if outcome.poll_after is not None:
                self._queue.schedule_poll(key, first=outcome.poll_after, longest=outcome.longest_poll)
            elif outcome.requeue_after is not None:
                self._queue.notify(key, after=outcome.requeue_after)
        finally:
            self._metrics.reconciles.labels(result=result).inc()
            self._metrics.seconds.labels(result=result).observe(time.monotonic() - started)
            for due in self._waves.take_due():
                self._queue.notify(Key(*due))

    def _measure(self, key: Key, outcome: Outcome) -> None:
        if outcome.facts is not None:
            self._metrics.objects.set((key.namespace, key.name), outcome.facts)
        elif outcome.result == "gone":
            self._metrics.objects.forget((key.namespace, key.name))

    async def _rediscover(self) -> None:
        """Discover again when a watch gives a reason to, and at long intervals."""
        while True:
            try:
                async with asyncio.timeout(DISCOVERY_SECONDS):
                    await self._discovery_due.wait()
            except TimeoutError:
                pass
            first, *others = DISCOVERY_RETRY_SECONDS
            await asyncio.sleep(first)  # several watches have a reason at about the same time
            self._discovery_due.clear()
            found = await self._discover()
            for pause in others:  # also after a difference, since another API may be served a moment later
                await asyncio.sleep(pause)
                found = await self._discover()
            if found is None:
                self._discovery_due.set()
            elif found != self._capabilities:
                self._use(found)

    async def _discover(self) -> Capabilities | None:
        """Discover once, use which APIs are served, and return what was found, or None after an error.

        During an upgrade, API servers have different versions, and templates of pods depend on the version:
        that of the last attempt is used.
        """
        try:
            found = await discover(self._cluster)
        except KubeError as error:
            logger.info("Discovery failed, retrying: %s", error.message)
            return None
        if self._capabilities is not None:
            apis = replace(found, kubernetes=self._capabilities.kubernetes)
            if apis != self._capabilities:
                self._use(apis)
        return found

    def _use(self, found: Capabilities) -> None:
        """Reconcile all objects with other capabilities of the API server."""
        logger.info("Capabilities of the API server changed: %s", found)
        self._capabilities = found
        self._memory.forget()
        for key in self._versions:
            self._queue.notify(key)

    async def _resync(self) -> None:
        """Make every object due at intervals, and check that kopf's watch still reports changes."""
        last = time.monotonic()
        while True:
            self._heartbeats.beat("resync", within=2 * CHECK_SECONDS)
            await asyncio.sleep(CHECK_SECONDS)
            self._check_events()
            if time.monotonic() - last >= RESYNC_SECONDS:
                last = time.monotonic()
                self._make_due()

    def _make_due(self) -> None:
        """Make every object due that is not at rest."""
        known = {key for watch in self._own_watches for key in watch.owners()}
        for key in known | self._versions.keys():
            if not self._memory.is_at_rest(key, self._memory.versions(key, self._versions.get(key))):
                self._queue.notify(key, after=random.uniform(0.0, RESYNC_SECONDS / 2))  # noqa: S311

    def _check_events(self) -> None:
        """Reconcile the objects whose event is late or lost.

        Raises:
            StaleWatchError: an event has been missing for too long.
        """
        for key, seconds in self._events.late().items():
            self._queue.notify(key)
            if seconds >= STALE_WATCH_SECONDS:
                raise StaleWatchError(f"no watch event received for {key.namespace}/{key.name} in {seconds:.0f} s")


async def _until_it_succeeds(request: Callable[[], Awaitable[T]]) -> T:
    while True:
        try:
            return await request()
        except KubeError as error:
            logger.warning("API server unreachable, retrying: %s", error.message)
            await asyncio.sleep(2.0)

"""Runs the workers of the queue, the watches of the children, and the resync."""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import time
from typing import TYPE_CHECKING, TypeVar

from imageclassifier_operator.apply import WriteHistory
from imageclassifier_operator.children import CHILDREN
from imageclassifier_operator.controller.memory import Memory
from imageclassifier_operator.controller.watches import ChildWatch
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
from imageclassifier_operator.naming import child_name
from imageclassifier_operator.reconcile import reconcile
from imageclassifier_operator.revisions import Waves

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
    from typing import Any

    from imageclassifier_operator.api import OperatorConfig
    from imageclassifier_operator.manifests import Capabilities
    from imageclassifier_operator.metrics import Metrics
    from imageclassifier_operator.reconcile import Outcome

WORKERS = 8
RESYNC_SECONDS = 300.0
DISCOVERY_SECONDS = 30.0
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
        self, cluster: Cluster, *, config: OperatorConfig, namespaces: Sequence[str | None], metrics: Metrics
    ) -> None:
        self._cluster = cluster
        self._config = config
        self._namespaces = namespaces
        self._metrics = metrics
        self._queue = WorkQueue(observe_wait=metrics.queue_wait.observe)
        self._history = WriteHistory()
        self._memory = Memory()
        self._waves = Waves(config.upgrade_wave_size)
        self._versions: dict[Key, str] = {}
        self._owner_by_child: dict[Key, Key] = {}
        self._missing_events: dict[Key, tuple[str | None, float]] = {}
        self._unlisted: set[Key] = set()
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
        watched = [*(child.resource for child in CHILDREN), CONTROLLER_REVISIONS, PODS]
        async with asyncio.TaskGroup() as group:
            for namespace in self._namespaces:
                for resource in watched:
                    watch = ChildWatch(
                        self._cluster,
                        resource,
                        namespace=namespace,
                        notify=self.wake,
                        metrics=self._metrics,
                    )
                    self._memory.add(namespace, watch)
                    group.create_task(watch.run(), name=f"watch of {resource.plural} in {namespace or 'all'}")
            for number in range(WORKERS):
                group.create_task(self._work(), name=f"worker {number}")
            group.create_task(self._rediscover(), name="discovery")
            group.create_task(self._resync(), name="resync")

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

    async def _work(self) -> None:
        while True:
            await self._reconcile(*await self._queue.take())

    async def _reconcile(self, key: Key, had_event: bool) -> None:
        if self._capabilities is None:  # workers start after the first discovery
            raise RuntimeError("reconcile before discovery")
        started, result = time.monotonic(), "error"
        versions = self._memory.versions(key, self._versions.get(key))
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
                return
            self._queue.done(key)
            if outcome.result == "gone":
                self._queue.forget(key)
            if outcome.poll_after is not None:
                self._queue.poll(key, first=outcome.poll_after, longest=outcome.longest_poll)
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
        while True:
            await asyncio.sleep(DISCOVERY_SECONDS)
            try:
                found = await discover(self._cluster)
            except KubeError as error:
                logger.info("Discovery failed, retrying: %s", error.message)
                continue
            if found != self._capabilities:
                logger.info("Capabilities of the API server changed: %s", found)
                self._capabilities = found
                self._memory.forget()
                for key in self._versions:
                    self._queue.notify(key)

    async def _resync(self) -> None:
        """Make every object due at intervals, and check that kopf's watch still reports changes."""
        last = time.monotonic()
        while True:
            await asyncio.sleep(STALE_WATCH_SECONDS / 2)
            due = time.monotonic() - last >= RESYNC_SECONDS
            complete = True
            for namespace in self._namespaces:
                try:
                    await self._check_watch(namespace, resync=due)
                except ForbiddenError as error:
                    logger.error("Resync failed: %s", error.message)  # noqa: TRY400
                except KubeError as error:
                    complete = False
                    logger.info("Resync failed, retrying: %s", error.message)
            if due and complete:
                last = time.monotonic()

    def _forget_unlisted(self, namespace: str | None, listed: Collection[Key]) -> None:
        """Drop the metrics of objects that two lists in a row do not have: the event of a deletion can be lost."""
        known = (Key(*key) for key in self._metrics.objects)
        missing = {key for key in known if _in_scope(namespace, key) and key not in listed}
        for key in missing & self._unlisted:
            self._metrics.objects.forget((key.namespace, key.name))
        self._unlisted = {key for key in self._unlisted if not _in_scope(namespace, key)} | missing

    async def _check_watch(self, namespace: str | None, *, resync: bool) -> None:
        """Compare a list of the objects with the versions in the events of kopf's watch.

        Raises:
            StaleWatchError: an event has been missing for too long.
        """
        listing = await self._cluster.list(CLASSIFIERS, namespace=namespace, metadata_only=True)
        now = time.monotonic()
        missing: dict[Key, tuple[str | None, float]] = {}
        for item in listing.items:
            metadata, key = item["metadata"], Key(*_identity(item))
            last_event = self._versions.get(key)
            at_rest = self._memory.is_at_rest(key, self._memory.versions(key, metadata["resourceVersion"]))
            if resync and not at_rest:
                self._queue.notify(key, after=random.uniform(0.0, RESYNC_SECONDS / 2))  # noqa: S311
            if last_event == metadata["resourceVersion"]:
                continue
            self._queue.notify(key)  # its event may be late or lost
            before = self._missing_events.get(key)
            # If an event of this object has arrived since the last check, the watch works, and is only late.
            missing[key] = before if before is not None and before[0] == last_event else (last_event, now)
            if now - missing[key][1] >= STALE_WATCH_SECONDS:
                raise StaleWatchError(
                    f"no watch event received for {key.namespace}/{key.name} in {STALE_WATCH_SECONDS:.0f} s"
                )
        self._forget_unlisted(namespace, {Key(*_identity(item)) for item in listing.items})
        others = {k: v for k, v in self._missing_events.items() if not _in_scope(namespace, k)}
        self._missing_events = {**others, **missing}


def _identity(item: Mapping[str, Any]) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]


async def _until_it_succeeds(request: Callable[[], Awaitable[T]]) -> T:
    while True:
        try:
            return await request()
        except KubeError as error:
            logger.warning("API server unreachable, retrying: %s", error.message)
            await asyncio.sleep(2.0)


def _in_scope(namespace: str | None, key: Key) -> bool:
    return namespace is None or key.namespace == namespace

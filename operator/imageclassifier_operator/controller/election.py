"""Elects the process that acts: it holds a Lease and renews it; one that cannot renew it in time stops.

The rules and times are those of client-go's leader election, which the controllers of Kubernetes use. A process
never compares its clock with the times in the Lease: another holder's Lease expires if this process has seen no
renewal for its whole duration. The others watch the Lease instead of reading it at intervals.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.kube import (
    LEASES,
    Cluster,
    ConflictError,
    KubeError,
    NotFoundError,
    UnreachableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imageclassifier_operator.controller.heartbeats import Heartbeats

LEASE_SECONDS = 15
"""A Lease that is not renewed for this time may be taken by another process."""

RENEW_DEADLINE_SECONDS = 10.0
"""If the last renewal is older than this, the holder begins no write, and stops."""

RENEW_SECONDS = 2.0
"""Time from the start of a renewal, also of a failed one, to the next."""

ATTEMPT_SECONDS = RENEW_DEADLINE_SECONDS / 2
"""An attempt to read or write the Lease takes at most this long, so that another fits in before the deadline."""

_WRITE_MARGIN_SECONDS = 1.0
"""A write ends at least this time before the Lease expires."""

_RELEASED_SECONDS = 1
"""The duration of a released Lease, as in client-go; the API server rejects 0."""

_SHORTEST_WATCH_SECONDS = 1.0
"""A watch that ends earlier was not served by an API server that works."""

_SIGN_OF_LIFE_SECONDS = 400.0
"""The API server closes a watch after at most 300 s."""

_NO_RESPONSE = "no response"

logger = logging.getLogger(__name__)


class LeaseLostError(RuntimeError):
    """The process no longer holds the Lease, or cannot renew it in time. It must not act any more."""


def boot_time() -> float:
    """Return seconds that also advance while the machine is suspended, unlike the clock of the event loop."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Election:
    """One process in the election; first `acquire`, then `keep` until it raises, and `release` in the end."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        namespace: str,
        name: str,
        identity: str,
        heartbeats: Heartbeats,
        clock: Callable[[], float] = boot_time,
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._name = name
        self.identity = identity
        self._clock = clock
        self._beat = functools.partial(heartbeats.beat, "election")
        self._lease: Mapping[str, Any] | None = None
        self._free_at = 0.0
        self._renewed_at: float | None = None
        self._may_hold = False
        self._is_released = False
        self._follows = False

    @property
    def leads(self) -> bool:
        """Whether this process holds the Lease."""
        return self._renewed_at is not None and not self._is_released

    @property
    def is_standby(self) -> bool:
        """Whether this process knows the Lease, and waits for it."""
        return self._follows and not self.leads

    def write_seconds(self) -> float:
        """Return the seconds in which a write that begins now has to end; 0 if none may begin."""
        left = self._seconds_to_renew()
        return left + LEASE_SECONDS - RENEW_DEADLINE_SECONDS - _WRITE_MARGIN_SECONDS if left > 0 else 0.0

    async def acquire(self) -> None:
        """Wait until this process holds the Lease."""
        version: str | None = None
        while not self.leads:
            self._beat(within=_SIGN_OF_LIFE_SECONDS)
            try:
                if version is None:
                    async with asyncio.timeout(ATTEMPT_SECONDS):
                        version = await self._read()
                version = await self._wait_until_free(version)
                async with asyncio.timeout(ATTEMPT_SECONDS):
                    await self._hold()
            except ConflictError:
                version = None  # another process was faster
            except (KubeError, TimeoutError) as error:
                version, self._follows = None, False
                logger.warning("Lease cannot be acquired, retrying: %s", _cause(error))
                await asyncio.sleep(RENEW_SECONDS * random.uniform(0.5, 1.0))  # noqa: S311  jitter, not security

    async def keep(self) -> None:
        """Renew the Lease until it is released. Raises `LeaseLostError` if it is lost."""
        failure, began = _NO_RESPONSE, self._clock()
        while (left := self._seconds_to_renew()) > 0:
            self._beat(within=2 * RENEW_DEADLINE_SECONDS)
            pause = max(began + RENEW_SECONDS - self._clock(), 0.0)
            await asyncio.sleep(min(pause, left))
            if (left := self._seconds_to_renew()) <= 0:  # the process was stopped in the meantime
                break
            began = self._clock()
            try:
                async with asyncio.timeout(min(left, ATTEMPT_SECONDS)):
                    await self._renew()
            except (KubeError, TimeoutError) as error:
                failure = _cause(error)
                logger.info("Lease was not renewed, retrying: %s", failure)
        if self._is_released:
            return
        raise LeaseLostError(f"the Lease was not renewed for {RENEW_DEADLINE_SECONDS:g} s: {failure}")

    async def release(self) -> None:
        """Give the Lease back, so that others need not wait until it expires. A failure is only logged.

        No write may begin any more, also if that fails. If it fails or is cancelled, it can be called again.
        """
        self._is_released = True
        is_late = self._renewed_at is not None and self._seconds_left(self._renewed_at) <= 0
        if is_late or not self._may_hold:
            return
        try:
            async with asyncio.timeout(RENEW_SECONDS):
                try:
                    await self._give_back()
                except ConflictError:  # by the last renewal, of which this process has seen no response
                    await self._give_back()
            self._may_hold = False
        except (KubeError, TimeoutError) as error:
            logger.info("Lease was not released: %s", _cause(error))

    async def _give_back(self) -> None:
        await self._read()
        if self._holder() == self.identity:
            await self._write(holder="", seconds=_RELEASED_SECONDS)

    def _seconds_to_renew(self) -> float:
        return 0.0 if self._renewed_at is None or self._is_released else self._seconds_left(self._renewed_at)

    def _seconds_left(self, renewed_at: float) -> float:
        return renewed_at + RENEW_DEADLINE_SECONDS - self._clock()

    async def _read(self) -> str:
        """Read the Lease, and return the resource version to watch it from."""
        listing = await self._cluster.list(LEASES, namespace=self._namespace, name=self._name)
        lease = next(iter(listing.items), None)
        if lease is None:  # if it was there before, its holder creates it again
            self._lease = None
        else:
            self._see(lease)
        self._follows = True
        return listing.resource_version

    def _see(self, lease: Mapping[str, Any]) -> None:
        """Record the Lease, and when it expires; only a change of it extends that."""
        if self._lease is not None and _version(self._lease) == _version(lease):
            return
        self._lease, spec = lease, lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        is_held = holder not in {"", self.identity}
        self._free_at = self._now() + (spec.get("leaseDurationSeconds") or LEASE_SECONDS) if is_held else 0.0

    async def _wait_until_free(self, version: str) -> str:
        """Watch the Lease until it is free or expired; return the resource version to go on from."""
        while (began := self._now()) < self._free_at:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._free_at) as timeout:
                    async for event in self._cluster.watch(
                        LEASES,
                        namespace=self._namespace,
                        name=self._name,
                        metadata_only=False,
                        resource_version=version,
                    ):
                        self._beat(within=_SIGN_OF_LIFE_SECONDS)
                        version = _version(event.object)
                        if event.type == "DELETED":  # its holder creates it again; who is faster must not be two
                            self._lease = None
                        elif event.type != "BOOKMARK":
                            self._see(event.object)
                            timeout.reschedule(self._free_at)
                if self._now() < min(self._free_at, began + _SHORTEST_WATCH_SECONDS):
                    raise UnreachableError("the watch of the Lease ended at once")
        return version

    async def _renew(self) -> None:
        try:
            await self._hold()
        except (ConflictError, NotFoundError):
            # Somebody else has written it, or this process, if the response to its last write was lost.
            await self._read()
            if self._is_released:
                return
            if self._lease is not None and self._holder() != self.identity:
                self._renewed_at, self._may_hold = None, False
                raise LeaseLostError(f"the Lease is held by {self._holder() or 'nobody'}") from None
            await self._hold()

    def _holder(self) -> str:
        return ((self._lease or {}).get("spec") or {}).get("holderIdentity") or ""

    async def _hold(self) -> None:
        """Write the Lease with this process as its holder; it counts from before the request."""
        self._may_hold, began = True, self._clock()
        await self._write(holder=self.identity, seconds=LEASE_SECONDS)
        self._renewed_at = began

    async def _write(self, *, holder: str, seconds: int) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        before = (self._lease or {}).get("spec") or {}
        spec = {**before, "holderIdentity": holder, "leaseDurationSeconds": seconds, "renewTime": now}
        if holder and holder != before.get("holderIdentity"):
            transitions = before.get("leaseTransitions", -1) + 1
            spec |= {"acquireTime": now, "leaseTransitions": transitions}
        if self._lease is None:
            metadata = {"namespace": self._namespace, "name": self._name}
            body = {"apiVersion": LEASES.group_version, "kind": LEASES.kind, "metadata": metadata, "spec": spec}
            self._lease = await self._cluster.create(LEASES, body)
        else:
            self._lease = await self._cluster.replace(LEASES, {**self._lease, "spec": spec})

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _cause(error: KubeError | TimeoutError) -> str:
    return error.message if isinstance(error, KubeError) else _NO_RESPONSE


def _version(item: Mapping[str, Any]) -> str:
    version: str = item["metadata"]["resourceVersion"]
    return version

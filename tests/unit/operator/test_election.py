"""Of several processes one acts, and it stops before another one may start."""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_operator.controller import Election, Heartbeats, LeaseLostError, election
from imageclassifier_operator.kube import (
    ConflictError,
    KubeError,
    Listing,
    NotFoundError,
    Resource,
    UnreachableError,
    WatchEvent,
)

from tests.unit.operator.scripted_cluster import ScriptedCluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


class LeaseServer(ScriptedCluster):
    """Stores one Lease, and reports its changes to the watches.

    `failures` are raised by the next writes, and `lost_responses` after them. The number of `hanging_reads` and
    `hanging_writes` get no response.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lease: dict[str, Any] | None = None
        self.failures: list[KubeError] = []
        self.lost_responses: list[KubeError] = []
        self.hanging_reads = self.hanging_writes = 0
        self.reads = 0
        self._version = 0
        self._watches: list[asyncio.Queue[WatchEvent]] = []
        self.watched = asyncio.Event()

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str | None,
        selector: str = "",
        name: str | None = None,
        metadata_only: bool = False,
    ) -> Listing:
        assert (resource.plural, namespace, name, metadata_only) == ("leases", "system", "operator", False)
        if self.hanging_reads:
            self.hanging_reads -= 1
            await asyncio.Event().wait()
        self.reads += 1
        return Listing([] if self.lease is None else [copy.deepcopy(self.lease)], str(self._version))

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
        assert not metadata_only
        queue: asyncio.Queue[WatchEvent] = asyncio.Queue()
        self._watches.append(queue)
        self.watched.set()
        while True:
            yield await queue.get()

    async def create(self, resource: Resource, manifest: Mapping[str, Any]) -> dict[str, Any]:
        await self._hang()
        if self.lease is not None:
            raise ConflictError("already exists", status=409)
        return self._store(manifest)

    async def replace(self, resource: Resource, manifest: Mapping[str, Any]) -> dict[str, Any]:
        await self._hang()
        if self.lease is None:
            raise NotFoundError("not found", status=404)
        if manifest["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise ConflictError("modified", status=409)
        return self._store(manifest)

    async def _hang(self) -> None:
        if self.hanging_writes:
            self.hanging_writes -= 1
            await asyncio.Event().wait()

    def remove(self) -> None:
        """Delete the Lease, as a person could."""
        assert self.lease is not None
        gone, self.lease = self.lease, None
        self._report("DELETED", gone)

    def hold(self, holder: str, *, seconds: int = 15) -> None:
        """Let another process hold the Lease."""
        metadata = {"namespace": "system", "name": "operator"}
        self._store({"metadata": metadata, "spec": {"holderIdentity": holder, "leaseDurationSeconds": seconds}})

    def _store(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        if self.failures:
            raise self.failures.pop(0)
        self.lease = copy.deepcopy(dict(manifest))
        self._report("MODIFIED", self.lease)
        if self.lost_responses:
            raise self.lost_responses.pop(0)
        return copy.deepcopy(self.lease)

    def _report(self, kind: str, lease: dict[str, Any]) -> None:
        self._version += 1
        lease["metadata"] = {**lease["metadata"], "resourceVersion": str(self._version)}
        for queue in self._watches:
            queue.put_nowait(WatchEvent(kind, copy.deepcopy(lease)))

    @property
    def spec(self) -> dict[str, Any]:
        assert self.lease is not None
        spec: dict[str, Any] = self.lease["spec"]
        return spec


class Clock:
    """A clock that only tests advance."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def process(server: LeaseServer, identity: str = "a", clock: Clock | None = None) -> Election:
    return Election(
        server,
        namespace="system",
        name="operator",
        identity=identity,
        heartbeats=Heartbeats(),
        clock=clock or Clock(),
    )


async def waiting(candidate: Election, server: LeaseServer) -> asyncio.Task[None]:
    """Start to acquire a Lease that another process holds, and return once the Lease is watched."""
    task = asyncio.create_task(candidate.acquire())
    async with asyncio.timeout(5):
        await server.watched.wait()
    assert candidate.is_standby
    return task


async def test_the_first_process_creates_the_lease() -> None:
    server, clock = LeaseServer(), Clock()
    leader = process(server, clock=clock)
    assert leader.write_seconds() == 0
    await leader.acquire()
    assert leader.leads
    assert not leader.is_standby
    assert server.spec["holderIdentity"] == "a"
    assert server.spec["leaseDurationSeconds"] == election.LEASE_SECONDS
    assert server.spec["leaseTransitions"] == 0


async def test_a_renewal_of_which_the_response_is_lost_does_not_keep_the_lease_from_being_released() -> None:
    server = LeaseServer()
    leader = process(server)
    await leader.acquire()
    server.lost_responses = [UnreachableError("cancelled")]
    with pytest.raises(UnreachableError):
        await leader._renew()
    await leader.release()
    assert server.spec["holderIdentity"] == ""


async def test_a_lease_that_was_acquired_without_a_response_is_released() -> None:
    server = LeaseServer()
    server.lost_responses = [UnreachableError("cancelled")]
    leader = process(server)
    task = asyncio.create_task(leader.acquire())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert server.spec["holderIdentity"] == "a"
    await leader.release()
    assert server.spec["holderIdentity"] == ""


async def test_renewing_ends_without_an_error_once_the_lease_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    server, clock = LeaseServer(), Clock()
    leader = process(server, clock=clock)
    await leader.acquire()

    async def released(_: float) -> None:
        await leader.release()

    monkeypatch.setattr(asyncio, "sleep", released)
    await leader.keep()
    assert server.spec["holderIdentity"] == ""


async def test_a_process_that_never_held_the_lease_releases_nothing() -> None:
    server = LeaseServer()
    server.hold("b")
    other = process(server)
    task = await waiting(other, server)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    reads = server.reads
    await other.release()
    assert (server.spec["holderIdentity"], server.reads) == ("b", reads)


@pytest.mark.parametrize(
    ("age", "left"), [(0.0, 14.0), (5.0, 9.0), (9.9, pytest.approx(4.1)), (10.0, 0.0), (60.0, 0.0)]
)
async def test_a_write_must_begin_before_the_renew_deadline_and_end_before_the_lease_does(
    age: float, left: float
) -> None:
    clock = Clock()
    leader = process(LeaseServer(), clock=clock)
    await leader.acquire()
    clock.now += age
    assert leader.write_seconds() == left


async def test_another_process_waits_without_reading_and_takes_over_at_once_after_a_release() -> None:
    server = LeaseServer()
    leader, other = process(server), process(server, "b")
    await leader.acquire()
    task = await waiting(other, server)
    for _ in range(5):
        await leader._renew()
        await asyncio.sleep(0.01)
    assert (server.reads, other.leads) == (2, False)
    await leader.release()
    assert leader.write_seconds() == 0
    async with asyncio.timeout(1):
        await task
    assert other.leads
    assert (server.spec["holderIdentity"], server.spec["leaseTransitions"]) == ("b", 1)
    assert server.reads == 3  # the one that released it has read it once more


async def test_another_process_takes_over_once_it_has_seen_no_renewal_for_the_duration() -> None:
    server = LeaseServer()
    server.hold("gone", seconds=2)
    loop = asyncio.get_running_loop()
    began = loop.time()
    other = process(server, "b")
    task = await waiting(other, server)
    await asyncio.sleep(0.5)
    server.hold("gone", seconds=2)  # a renewal
    await task
    assert 2.5 <= loop.time() - began < 10
    assert other.leads


async def test_a_restarted_container_resumes_its_own_lease_at_once() -> None:
    server = LeaseServer()
    server.hold("pod_uid")
    again = process(server, "pod_uid")
    async with asyncio.timeout(1):
        await again.acquire()
    assert again.leads


async def test_of_two_that_find_the_lease_free_one_gets_it() -> None:
    server = LeaseServer()
    server.hold("")
    both = [process(server, name) for name in "ab"]
    tasks = [asyncio.create_task(each.acquire()) for each in both]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(0.05)
    assert [each.leads for each in both].count(True) == 1
    assert server.spec["holderIdentity"] == next(each.identity for each in both if each.leads)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_lease_that_somebody_deletes_is_not_free_before_it_would_have_expired() -> None:
    server = LeaseServer()
    leader, other = process(server), process(server, "b")
    await leader.acquire()
    task = await waiting(other, server)
    server.remove()
    await asyncio.sleep(0.05)
    assert not other.leads
    await leader._renew()  # creates it again
    await asyncio.sleep(0.05)
    assert (leader.leads, other.leads, server.spec["holderIdentity"]) == (True, False, "a")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def renewed(server: LeaseServer, leader: Election, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Renew until the Lease is lost; sleeping advances the clock."""

    async def sleep(seconds: float) -> None:
        clock.now += seconds

    monkeypatch.setattr(asyncio, "sleep", sleep)
    await leader.keep()


async def test_a_process_that_cannot_renew_stops_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    server, clock = LeaseServer(), Clock()
    leader = process(server, clock=clock)
    await leader.acquire()
    server.failures = [UnreachableError("connection refused")] * 100
    with pytest.raises(LeaseLostError, match="not renewed for 10 s: connection refused"):
        await renewed(server, leader, clock, monkeypatch)
    assert clock.now == 1000 + election.RENEW_DEADLINE_SECONDS
    assert leader.write_seconds() == 0
    await leader.release()
    assert server.spec["holderIdentity"] == "a"  # nothing is written after the deadline


async def test_failures_that_end_before_the_deadline_are_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    server, clock = LeaseServer(), Clock()
    leader = process(server, clock=clock)
    await leader.acquire()
    server.failures = [UnreachableError("connection refused")] * 2
    server.lost_responses = [UnreachableError("response lost")]
    writes: list[float] = []

    async def sleep(seconds: float) -> None:
        clock.now += seconds
        writes.append(clock.now)
        if len(writes) == 10:
            server.hold("b")

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(LeaseLostError, match="held by b"):
        await leader.keep()
    assert len(writes) == 10
    assert not leader.leads


async def test_a_process_that_was_stopped_for_longer_than_the_deadline_does_not_write_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, clock = LeaseServer(), Clock()
    leader = process(server, clock=clock)
    await leader.acquire()
    server.hold("b")

    async def stopped(_: float) -> None:
        clock.now += 60

    monkeypatch.setattr(asyncio, "sleep", stopped)
    with pytest.raises(LeaseLostError):
        await leader.keep()
    assert leader.write_seconds() == 0
    assert server.spec["holderIdentity"] == "b"


async def test_a_released_lease_is_free_and_a_failed_release_is_only_logged() -> None:
    server = LeaseServer()
    leader = process(server)
    await leader.acquire()
    server.failures = [UnreachableError("connection refused")]
    await leader.release()
    assert server.spec["holderIdentity"] == "a"
    assert not leader.leads


async def test_requests_that_hang_keep_no_process_from_acquiring_the_lease(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(election, "ATTEMPT_SECONDS", 0.01)
    monkeypatch.setattr(election, "RENEW_SECONDS", 0.01)
    server = LeaseServer()
    server.hanging_reads = server.hanging_writes = 2
    candidate = process(server)
    async with asyncio.timeout(5):
        await candidate.acquire()
    assert candidate.leads
    assert (server.hanging_reads, server.hanging_writes) == (0, 0)


async def test_a_renewal_that_hangs_leaves_time_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(election, "ATTEMPT_SECONDS", 0.01)
    server, clock = LeaseServer(), Clock()
    leader = process(server, clock=clock)
    await leader.acquire()
    server.hanging_writes = 2
    with pytest.raises(LeaseLostError, match="connection refused"):
        await asyncio.wait_for(_renewed_after_hanging(server, leader, clock, monkeypatch), 5)
    assert server.hanging_writes == 0
    assert clock.now > 1000 + election.RENEW_DEADLINE_SECONDS, "it was renewed after the requests that hung"


async def _renewed_after_hanging(
    server: LeaseServer, leader: Election, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renew until every write fails, which begins with the fourth."""
    renewals = 0

    async def sleep(seconds: float) -> None:
        nonlocal renewals
        clock.now += seconds
        renewals += 1
        if renewals == 4:
            server.failures = [UnreachableError("connection refused")] * 100

    monkeypatch.setattr(asyncio, "sleep", sleep)
    await leader.keep()


async def test_giving_the_lease_back_is_repeated_if_it_was_cancelled() -> None:
    server = LeaseServer()
    leader = process(server)
    await leader.acquire()
    server.hanging_writes = 1
    task = asyncio.create_task(leader.release())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert server.spec["holderIdentity"] == "a"
    assert (leader.leads, leader.write_seconds()) == (False, 0.0)
    await leader.release()
    assert server.spec["holderIdentity"] == ""
    reads = server.reads
    await leader.release()
    assert server.reads == reads, "it is given back once"


async def test_a_renewal_that_conflicts_with_the_release_is_no_failure() -> None:
    server = LeaseServer()
    leader = process(server)
    await leader.acquire()
    server.failures = [ConflictError("modified", status=409)]
    await leader.release()
    assert server.spec["holderIdentity"] == ""
    server.failures = [ConflictError("modified", status=409)]
    await leader._renew()  # was in flight
    assert server.spec["holderIdentity"] == ""
    assert not leader.leads

"""No request causes a 5xx other than 503, a restart of the server, or memory use above its limit."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import TYPE_CHECKING

import httpx

from e2e.classifiers import (
    CLASSIFY,
    manifest,
    pods,
    restarts,
    wait_for_endpoint,
    wait_for_response,
    wait_until_ready,
)
from e2e.pod_programs import memory_use, source
from e2e.scenarios.hostile_images import cases, largest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from e2e.classifiers import Endpoint
    from e2e.cluster.api import Object
    from e2e.kube import Kube
    from e2e.scenarios.hostile_images import Case

CLIENTS = 64
BUSY = httpx.codes.SERVICE_UNAVAILABLE


def test_hostile_images_never_crash_a_pod(
    kube: Kube, namespace: str, photograph: bytes, add_to_summary: Callable[[str], None]
) -> None:
    kube.apply(manifest("pets", namespace=namespace))
    wait_until_ready(kube, "pets", namespace=namespace)
    endpoint = wait_for_endpoint(kube, "pets", namespace=namespace)
    wait_for_response(endpoint, photograph)
    small, large = cases(), largest()
    assert len(small) >= 200

    sequential = asyncio.run(_send(endpoint, small, clients=1))
    add_to_summary(f"hostile images, one at a time: {_summary(sequential)}")
    # The largest are sent one after the other, so that as many as possible are processed at the same time.
    concurrent = asyncio.run(
        _send(endpoint, [*large * (CLIENTS // len(large) + 1), *small, *large], clients=CLIENTS)
    )
    add_to_summary(f"hostile images, {CLIENTS} concurrent clients: {_summary(concurrent)}")

    wrong = [line for results in (sequential, concurrent) for line in results[1]]
    assert not wrong, wrong[:20]
    # With a single client, no response may be a 503.
    assert not sequential[0][BUSY]
    assert restarts(kube, "pets", namespace=namespace) == 0
    memory = _memory(kube, namespace)
    sizes = ", ".join(
        f"{key} {value / 2**20:.0f} MiB" for key, value in memory.items() if key != "kills" and value
    )
    add_to_summary(f"hostile images, memory: {sizes}")
    assert memory["kills"] == 0
    assert memory["peak_resident"] < memory["limit"]
    assert wait_for_response(endpoint, photograph, seconds=10)
    wait_until_ready(kube, "pets", namespace=namespace)


def _memory(kube: Kube, namespace: str) -> Object:
    (pod,) = pods(kube, "pets", namespace=namespace)
    command = ("exec", f"--namespace={namespace}", pod["metadata"]["name"], "--container=server")
    program = ("/app/bin/python", "-c", source(memory_use), "/sys/fs/cgroup", "/proc/1/status")
    found: Object = json.loads(kube.kubectl(*command, "--", *program))
    return found


async def _send(
    endpoint: Endpoint, requests: Sequence[Case], *, clients: int
) -> tuple[Counter[int], list[str], float]:
    """Send all with that many clients; returns statuses, descriptions of wrong responses, and duration."""
    statuses: Counter[int] = Counter()
    wrong: list[str] = []
    queue = list(reversed(requests))
    began = time.monotonic()

    async def work(client: httpx.AsyncClient) -> None:
        while queue:
            case = queue.pop()
            headers = {"Content-Type": case.content_type} if case.content_type else {}
            try:
                response = await client.post(CLASSIFY, content=case.body, headers=headers)
            except httpx.HTTPError as error:
                wrong.append(f"{case.name}: {error!r}")
                continue
            statuses[response.status_code] += 1
            if response.status_code == BUSY and "retry-after" in response.headers:
                continue
            if response.status_code not in case.statuses:
                wrong.append(
                    f"{case.name}: {response.status_code}, not of {sorted(case.statuses)}: {response.text[:200]}"
                )

    async with endpoint.async_client(timeout_seconds=60, connections=clients) as client:
        await asyncio.gather(*(work(client) for _ in range(clients)))
    return statuses, wrong, time.monotonic() - began


def _summary(results: tuple[Counter[int], list[str], float]) -> str:
    statuses, wrong, seconds = results
    counts = ", ".join(f"{number} x {status}" for status, number in sorted(statuses.items()))
    return f"{statuses.total() + len(wrong)} images in {seconds:.1f} s: {counts}; {len(wrong)} wrong"

"""Nothing that clients send gives a 5xx but a 503, restarts the server or takes more memory than it may."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import TYPE_CHECKING

import httpx

from e2e.classifiers import CLASSIFY, manifest, pods, restarts, wait_answer, wait_door, wait_ready
from e2e.scenarios.hostile_images import cases, largest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from e2e.classifiers import Door
    from e2e.cluster.api import Object
    from e2e.kube import Kube
    from e2e.scenarios.hostile_images import Case

CLIENTS = 64
BUSY = httpx.codes.SERVICE_UNAVAILABLE
MEMORY = """
import json, pathlib
def number(*names):
    for name in names:
        path = pathlib.Path("/sys/fs/cgroup") / name
        if path.is_file() and path.read_text().strip().isdigit():
            return int(path.read_text())
    return None
kills = 0
for name in ("memory/memory.oom_control", "memory.events"):
    path = pathlib.Path("/sys/fs/cgroup") / name
    if path.is_file():
        lines = path.read_text().splitlines()
        kills += sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
status = dict(line.split(":", 1) for line in pathlib.Path("/proc/1/status").read_text().splitlines())
print(json.dumps({
    "limit": number("memory/memory.limit_in_bytes", "memory.max"),
    "peak": number("memory/memory.max_usage_in_bytes", "memory.peak"),
    "peak_resident": int(status["VmHWM"].split()[0]) * 1024,
    "kills": kills,
}))
"""


def test_hostile_images_never_break_a_pod(
    kube: Kube, namespace: str, photograph: bytes, figure: Callable[[str], None]
) -> None:
    kube.apply(manifest("pets", namespace=namespace))
    wait_ready(kube, "pets", namespace=namespace)
    way = wait_door(kube, "pets", namespace=namespace)
    wait_answer(way, photograph)
    small, large = cases(), largest()
    assert len(small) >= 200

    one_by_one = asyncio.run(_send(way, small, clients=1))
    figure(f"hostile images, one at a time: {_told(one_by_one)}")
    # The largest lie close together, so that as many of them as possible are in the pod at once.
    both = asyncio.run(_send(way, [*large * (CLIENTS // len(large) + 1), *small, *large], clients=CLIENTS))
    figure(f"hostile images, {CLIENTS} clients at once: {_told(both)}")

    wrong = [line for answers in (one_by_one, both) for line in answers[1]]
    assert not wrong, wrong[:20]
    # Busy is no excuse for one client alone.
    assert not one_by_one[0][BUSY]
    assert restarts(kube, "pets", namespace=namespace) == 0
    memory = _memory(kube, namespace)
    sizes = ", ".join(
        f"{key} {value / 2**20:.0f} MiB" for key, value in memory.items() if key != "kills" and value
    )
    figure(f"hostile images, memory: {sizes}")
    assert memory["kills"] == 0
    assert memory["peak_resident"] < memory["limit"]
    assert wait_answer(way, photograph, seconds=10)
    wait_ready(kube, "pets", namespace=namespace)


def _memory(kube: Kube, namespace: str) -> Object:
    (pod,) = pods(kube, "pets", namespace=namespace)
    where = ("exec", f"--namespace={namespace}", pod["metadata"]["name"], "--container=server")
    found: Object = json.loads(kube.kubectl(*where, "--", "/app/bin/python", "-c", MEMORY))
    return found


async def _send(way: Door, wanted: Sequence[Case], *, clients: int) -> tuple[Counter[int], list[str], float]:
    """Send all, so many at once; returns the statuses, what was wrong with any, and the seconds it took."""
    statuses: Counter[int] = Counter()
    wrong: list[str] = []
    queue = list(reversed(wanted))
    began = time.monotonic()

    async def work(client: httpx.AsyncClient) -> None:
        while queue:
            case = queue.pop()
            headers = {"Content-Type": case.content_type} if case.content_type else {}
            try:
                answer = await client.post(CLASSIFY, content=case.body, headers=headers)
            except httpx.HTTPError as error:
                wrong.append(f"{case.name}: {error!r}")
                continue
            statuses[answer.status_code] += 1
            if answer.status_code == BUSY and "retry-after" in answer.headers:
                continue
            if answer.status_code not in case.statuses:
                wrong.append(
                    f"{case.name}: {answer.status_code}, not of {sorted(case.statuses)}: {answer.text[:200]}"
                )

    async with way.async_client(seconds=60, connections=clients) as client:
        await asyncio.gather(*(work(client) for _ in range(clients)))
    return statuses, wrong, time.monotonic() - began


def _told(answers: tuple[Counter[int], list[str], float]) -> str:
    statuses, wrong, seconds = answers
    counts = ", ".join(f"{number} x {status}" for status, number in sorted(statuses.items()))
    return f"{statuses.total() + len(wrong)} images in {seconds:.1f} s: {counts}; {len(wrong)} wrong"

"""The load generator counts what a server really did: answers, refusals, ended connections and silence."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from runtime.bench import wire
from runtime.bench.jobs import Load, LoadJob
from runtime.bench.loadgen import Run
from tools.paths import REPOSITORY

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\nRetry-After: %d\r\n\r\n"
Behaviour = Callable[[int], bytes | None]


class Scripted:
    """A real server on loopback; `behaviour` gives the answer to the nth request, or None to hang up."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self.requests = 0
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
                await reader.readexactly(length)
                self.requests += 1
                answer = self._behaviour(self.requests)
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
                if b"Connection: close" in answer:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(scripted: Scripted) -> AsyncIterator[int]:
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def load(behaviour: Behaviour, **changes: object) -> tuple[Scripted, Load]:
    scripted = Scripted(behaviour)
    async with serving(scripted) as port:
        values = {"clients": 2, "seconds": 20.0, "warmup": 0.0, "max_answers": 20, "timeout": 5.0}
        job = LoadJob(port=port, path="/", pictures="", **(values | changes))  # type: ignore[arg-type]
        requests = [wire.request("/", bytes(size), form=True) for size in (10, 100_000, 300_000)]
        return scripted, await Run(job, requests).go()


async def test_it_stops_at_its_count_and_keeps_its_connections() -> None:
    scripted, seen = await load(lambda _: OK, clients=3)
    assert (seen.answers, seen.statuses, seen.unfinished) == (20, {"200": 20}, 0)
    assert scripted.connections == 3
    assert 0 < seen.p50 <= seen.p95 <= seen.p99


async def test_it_stops_at_its_time() -> None:
    _, seen = await load(lambda _: OK, seconds=2.0, max_answers=1_000_000)
    assert 1.9 < seen.seconds < 20
    assert 0 < seen.answers < 1_000_000


async def test_what_comes_before_the_window_does_not_count() -> None:
    scripted, seen = await load(lambda _: OK, warmup=0.1, seconds=0.1, max_answers=1_000_000)
    assert seen.answers < scripted.requests


async def test_one_client_has_one_request_under_way_at_a_time() -> None:
    at_once = 0

    def behaviour(_: int) -> bytes:
        nonlocal at_once
        at_once += 1
        return OK

    scripted, seen = await load(behaviour, clients=1, max_answers=5)
    assert scripted.connections == 1
    assert seen.answers == 5
    assert at_once - seen.answers <= 1


async def test_a_refusal_is_counted_apart_and_its_client_waits_as_it_is_told() -> None:
    scripted, seen = await load(lambda number: BUSY % 1 if number == 1 else OK, clients=1, max_answers=3)
    assert seen.statuses == {"200": 3, "503": 1}
    assert seen.seconds >= 1
    assert scripted.connections == 2


async def test_an_impatient_client_comes_again_at_once() -> None:
    _, seen = await load(lambda number: BUSY % 60 if number == 1 else OK, clients=1, max_answers=3, impatient=True)
    assert seen.statuses == {"200": 3, "503": 1}
    assert seen.seconds < 20


async def test_a_connection_that_ends_without_an_answer_is_a_reset() -> None:
    _, seen = await load(lambda number: None if number % 5 == 0 else OK)
    assert seen.statuses["200"] == 20
    assert seen.statuses["reset"] >= 3


async def test_a_request_without_an_answer_is_given_up_and_counted() -> None:
    _, seen = await load(lambda number: b"" if number == 1 else OK, clients=1, max_answers=2, timeout=0.5)
    assert seen.statuses == {"200": 2, "timeout": 1}


async def test_a_request_that_is_never_answered_is_unfinished() -> None:
    _, seen = await load(lambda _: b"", clients=2, seconds=0.1, timeout=0.3)
    assert (seen.answers, seen.unfinished) == (0, 2)


async def test_what_is_no_http_is_malformed() -> None:
    _, seen = await load(lambda number: b"hello\r\n\r\n" if number == 1 else OK, clients=1, max_answers=2)
    assert seen.statuses == {"200": 2, "malformed": 1}


async def test_a_server_that_is_not_there_is_refused() -> None:
    scripted = Scripted(lambda _: OK)
    async with serving(scripted) as port:
        pass
    job = LoadJob(port=port, path="/", pictures="", clients=1, seconds=0.3, warmup=0.0, max_answers=9)
    seen = await Run(job, [b"x"]).go()
    assert seen.answers == 0
    assert seen.statuses["refused"] >= 1


@pytest.mark.timeout(120)
def test_as_a_process_it_reaches_the_null_server_and_shows_its_own_cost(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(bytes(50_000))
    command = [sys.executable, "-m", "runtime.bench.null_server"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as null:
        try:
            assert null.stdout is not None
            port = json.loads(null.stdout.readline())["port"]
            job = {
                "port": port,
                "path": "/",
                "pictures": str(tmp_path),
                "clients": 5,
                "seconds": 60,
                "warmup": 0,
                "max_answers": 2000,
                "server_pid": null.pid,
            }
            done = subprocess.run(
                [sys.executable, "-m", "runtime.bench.loadgen"],
                cwd=REPOSITORY,
                input=json.dumps(job),
                capture_output=True,
                text=True,
                check=True,
            )
        finally:
            null.kill()
    seen = json.loads(done.stdout)
    assert seen["statuses"] == {"200": 2000}
    assert seen["generator_cpu_seconds"] > 0
    assert seen["server_cpu_seconds"] > 0
